"""What the training reader makes of one line, and what it refuses. Needs torch."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from mm_assets.errors import REMEDIES, CrossModalCode, FormatError
from mm_assets.fusion.box_markup import check_boxes
from mm_assets.fusion.findings import LintCode
from mm_assets.fusion.placeholders import CODE_NAMES, Modality, ParsedContent
from mm_assets.fusion.samples import Box, Kind, Negative, Pool, TimeSpan
from mm_assets.fusion.shard_index import UnresolvedReferenceError, split_reference
from mm_assets.fusion.training_sample import TrainingSample, box_tensors


class Spans(NamedTuple):
    """Codes, int64, shape (T,), and their places in the content, shape (T, 2)."""

    codes: NDArray[np.int64]
    places: NDArray[np.int64]


class TrainingLine(msgspec.Struct, frozen=True, gc=False):
    """What a training sample takes of its line."""

    id: str
    kind: Kind
    content: str
    visual_features_path: str | None
    audio_features_path: str | None
    boxes: tuple[Box, ...]
    times: tuple[TimeSpan, ...]
    negatives: tuple[Negative, ...]
    pool: Pool
    weight: Annotated[float, msgspec.Meta(ge=0.0)]
    placeholder_version: str


class ReadLine(msgspec.Struct, frozen=True, gc=False):
    """A line as read: its place in the batch asked for, its file and line from 0, and itself."""

    slot: int
    file: str
    number: int
    line: TrainingLine

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"sample {self.line.id} ({name_line(self.file, self.number)})"


_NO_CODES: Final = torch.empty(0, dtype=torch.int64)
_NO_PLACES: Final = torch.empty((0, 2), dtype=torch.int64)
NO_FEATURES: Final = torch.empty((0, 0))
_NO_BOXES: Final = torch.empty((0, 4))
NO_SPANS: Final = Spans(np.empty(0, np.int64), np.empty((0, 2), np.int64))


def gather_rows(shards: Sequence[NDArray[Any]], rows: Sequence[Sequence[int]], count: int) -> NDArray[Any]:
    """Rows of shards of one shape, in turn."""
    gathered = np.empty((count, *shards[0].shape[1:]), shards[0].dtype)
    start = 0
    for shard, wanted in zip(shards, rows, strict=True):
        np.take(shard, wanted, axis=0, out=gathered[start : start + len(wanted)], mode="clip")
        start += len(wanted)
    return gathered


def make_sample(
    read: ReadLine,
    text: str,
    codes: torch.Tensor,
    token_ids: torch.Tensor,
    places: torch.Tensor,
    features: torch.Tensor,
    *,
    tagged: bool,
) -> TrainingSample:
    """A sample without sound; its boxes are checked.

    Args:
        read: its line.
        text: of its content.
        codes: of its picture.
        token_ids: of these codes.
        places: of its placeholders.
        features: of its picture.
        tagged: whether its content has box tags.

    Raises:
        FormatError: boxes and tags do not go together.
    """
    line = read.line
    boxes, phrases = _NO_BOXES, _NO_PLACES
    if tagged or line.boxes or line.kind == "object":
        for code, message in check_boxes(line.content, line.boxes, tags_required=line.kind == "object").items():
            raise format_error(read.name, code, message)
        boxes, phrases = box_tensors(line.boxes)
    times = _NO_PLACES
    if line.times:
        times = torch.tensor([(span.start_us, span.end_us) for span in line.times], dtype=torch.int64)
    return {
        "id": line.id,
        "kind": line.kind,
        "pool": line.pool,
        "weight": line.weight,
        "content": line.content,
        "text": text,
        "codes": codes,
        "token_ids": token_ids,
        "code_places": places,
        "features": features,
        "audio_codes": _NO_CODES,
        "audio_token_ids": _NO_CODES,
        "audio_code_places": _NO_PLACES,
        "audio_features": NO_FEATURES,
        "boxes": boxes,
        "phrase_places": phrases,
        "times": times,
        "segment": None,
        "negatives": list(line.negatives),
    }


def refuse_spans_without_features(visual: Spans, audio: Spans, read: ReadLine) -> None:
    """Compare which media the content spells with which features the line names.

    Raises:
        FormatError: one is without the other.
    """
    for path, span, field in (
        (read.line.visual_features_path, visual, "visual_features_path"),
        (read.line.audio_features_path, audio, "audio_features_path"),
    ):
        if (path is None) != (len(span.codes) == 0):
            message = f"{field} and the spans of its media in content do not go together"
            raise format_error(read.name, LintCode.MISSING_SENTINEL, message)


def refuse_other_codes(spelled: NDArray[np.int64], stored: NDArray[Any], reference: str | None, name: str) -> None:
    """Compare the codes of placeholders with those stored.

    Raises:
        FormatError: they differ, or are not as many.
    """
    if len(stored) != len(spelled):
        message = f"{len(spelled)} placeholders and {len(stored)} feature rows and codes of {reference}"
        raise format_error(name, LintCode.COUNT_MISMATCH, message)
    if not np.array_equal(stored, spelled):
        raise format_error(name, LintCode.CODE_MISMATCH, f"placeholders do not spell the codes of {reference}")


def take_spans(parsed: ParsedContent, content: str, media: tuple[Modality, ...]) -> Spans:
    """Codes of these media and where their placeholders stand in the content."""
    places: list[tuple[int, int]] = []
    for span in parsed.spans:
        if span.modality not in media:
            continue
        name, end = f"<{CODE_NAMES[span.modality]}_", span.start
        for _ in span.codes:
            start = content.index(name, end)
            end = content.index(">", start) + 1
            places.append((start, end))
    return Spans(np.asarray(parsed.codes(*media), np.int64), np.asarray(places, dtype=np.int64).reshape(-1, 2))


def name_line(file: str, number: int) -> str:
    """What messages call a line; number counts from 0."""
    return f"{file.rpartition('/')[2]} line {number + 1}"


def follow_reference(reference: str, read: ReadLine) -> tuple[str, int]:
    """Shard and row of a reference.

    Raises:
        FormatError: it is none.
    """
    try:
        return split_reference(reference)
    except UnresolvedReferenceError as error:
        raise format_error(read.name, error.code, error.message) from error


def format_error(name: str, code: LintCode, message: str) -> FormatError:
    """An error that names the sample, what is wrong and how to mend it."""
    return FormatError(
        f"{CrossModalCode.TOKEN_FMT}: {name}: {code}: {message}; {REMEDIES[CrossModalCode.TOKEN_FMT].fix}"
    )
