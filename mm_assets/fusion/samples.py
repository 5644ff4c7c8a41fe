"""The line of a release: its fields, their types and the values they may take."""

from typing import Annotated, Final, Literal

import msgspec

Kind = Literal["image_text", "object", "segment", "document", "text", "dialogue"]
Pool = Literal["text_retention", "coarse_image_text", "fine_grained_interleaved", "dialogue"]
ReviewStatus = Literal["unreviewed", "accepted", "rejected"]
ModalityName = Literal["audio", "image", "text", "video"]

KINDS: Final[tuple[Kind, ...]] = ("image_text", "object", "segment", "document", "text", "dialogue")
POOLS: Final[tuple[Pool, ...]] = ("text_retention", "coarse_image_text", "fine_grained_interleaved", "dialogue")
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
    """A hard negative of the sample."""

    text: str
    strategy: str


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
