"""The line of a release: its fields, their types and the values they may take."""

from typing import Annotated, Final, Literal

import msgspec

from mm_assets.hard_negatives.negatives import Strategy

Kind = Literal["image_text", "object", "segment", "document", "text", "dialogue"]
Pool = Literal["text_retention", "coarse_image_text", "fine_grained_interleaved", "dialogue"]
Split = Literal["train", "validation", "test"]
ReviewStatus = Literal["unreviewed", "accepted", "rejected"]
ModalityName = Literal["audio", "image", "text", "video"]

KINDS: Final[tuple[Kind, ...]] = ("image_text", "object", "segment", "document", "text", "dialogue")
POOLS: Final[tuple[Pool, ...]] = ("text_retention", "coarse_image_text", "fine_grained_interleaved", "dialogue")
TRAIN: Final = "train"
SPLITS: Final[tuple[Split, ...]] = (TRAIN, "validation", "test")
REVIEW_STATUSES: Final[tuple[ReviewStatus, ...]] = ("unreviewed", "accepted", "rejected")
MODALITIES: Final[tuple[ModalityName, ...]] = ("audio", "image", "text", "video")

VISUAL_FEATURES: Final = "visual_features"
AUDIO_FEATURES: Final = "audio_features"
VISUAL_CODES: Final = "visual_codes"
AUDIO_CODES: Final = "audio_codes"


class Box(msgspec.Struct, frozen=True):
    """A phrase of the content and its region: character offsets, and pixels of the stored image."""

    phrase: tuple[int, int]
    xyxy: tuple[float, float, float, float]


class TimeSpan(msgspec.Struct, frozen=True):
    """A piece of the media's global clock, microseconds."""

    start_us: int
    end_us: int


class Negative(msgspec.Struct, frozen=True):
    """A false text of the sample, and how it was made."""

    text: Annotated[str, msgspec.Meta(pattern=r"\S")]
    strategy: Strategy


class FusionLine(msgspec.Struct, frozen=True, gc=False):
    """One line of ``samples/*.jsonl``; further fields are allowed and ignored."""

    id: Annotated[str, msgspec.Meta(min_length=1)]
    kind: Kind
    modalities: list[ModalityName]
    content: str
    visual_features_path: str | None
    audio_features_path: str | None
    boxes: list[Box]
    times: list[TimeSpan]
    negatives: list[Negative]
    pool: Pool
    weight: Annotated[float, msgspec.Meta(ge=0.0)]
    batch: str
    source: str
    license: str
    placeholder_version: str
    checks: dict[str, object]
    review_status: ReviewStatus


FIELDS: Final[tuple[str, ...]] = FusionLine.__struct_fields__


class SplitLine(FusionLine, frozen=True, gc=False, kw_only=True):
    """A line as a release holds it: with the split its group lies in; older releases have none and are trained on."""

    split: Split = TRAIN


class Word(msgspec.Struct, frozen=True):
    """A word of a segment: when it is said, by whom, and who timed it; microseconds."""

    word: str
    start_us: int
    end_us: int
    confidence: float | None
    method: str
    speaker: str | None


class SegmentDetails(msgspec.Struct, frozen=True):
    """What a segment's line says beside the fields of every line.

    Attributes:
        clip_id: the clip it was cut from.
        medium: audio or video.
        times: the segment's own place on the clip's global clock.
        words: words in order.
        speakers: who speaks, in the order of their first word.
        key_frames_us: when the pictures of its video span are shown; the span's codes are theirs, in order.
        text_origin: cue, transcription, transcript or description.
        verdict: trimodal, audio_text, video_text or unverified.
        score: the least of the figures behind the verdict.
        offset_us: measured offset of the clip's cues or sound.
        drift_ppm: measured drift of the same.
    """

    clip_id: str
    medium: str
    times: list[TimeSpan]
    words: list[Word]
    speakers: list[str]
    key_frames_us: list[int]
    text_origin: str
    verdict: str
    score: float | None
    offset_us: int | None
    drift_ppm: float | None


class SegmentLine(SplitLine, frozen=True, gc=False, kw_only=True):
    """A line of kind ``segment``: those of every kind, and the segment's own."""

    segment: SegmentDetails


class FigureAnchor(msgspec.Struct, frozen=True):
    """A figure of a window and what is said of it, as characters of the content: what a question can be asked about.

    Attributes:
        figure: block id of the figure.
        span: its placeholders.
        caption: its caption; None without one in the window.
        caption_score: how surely the caption is its own.
        referring: texts that refer to it.
    """

    figure: str
    span: tuple[int, int]
    caption: tuple[int, int] | None
    caption_score: float | None
    referring: list[tuple[int, int]]


class DocumentDetails(msgspec.Struct, frozen=True):
    """What a document window's line says beside the fields of every line.

    Attributes:
        document_id: the document.
        window_id: the window.
        window_index: place of the window in its document, from 0.
        pages: first and last page it takes text or pictures from.
        tokens: tokens as the window was planned.
        anchors: its figures, in their order.
    """

    document_id: str
    window_id: str
    window_index: int
    pages: tuple[int, int]
    tokens: int
    anchors: list[FigureAnchor]


class DocumentLine(SplitLine, frozen=True, gc=False, kw_only=True):
    """A line of kind ``document``: those of every kind, and the window's own."""

    document: DocumentDetails
