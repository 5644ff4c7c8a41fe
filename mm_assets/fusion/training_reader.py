"""Load a release for training, with the assertions that keep a bad sample out of a batch.

The only module of this package that needs torch; nothing that the definitions import may import it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypedDict, cast

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from mm_assets.errors import REMEDIES, CrossModalCode, FormatError, ReleaseError
from mm_assets.fusion.box_markup import BOX_START, check_boxes, strip_tags
from mm_assets.fusion.findings import LintCode
from mm_assets.fusion.negative_texts import find_negative_fault
from mm_assets.fusion.placeholders import (
    CODE_NAMES,
    IMAGE_END,
    IMAGE_START,
    Modality,
    ParsedContent,
    Vocabulary,
    inspect_content,
)
from mm_assets.fusion.release_files import OpenFiles, check_files, find_lines
from mm_assets.fusion.release_format import MANIFEST_NAME, SAMPLES_FOLDER, read_release_format
from mm_assets.fusion.samples import (
    AUDIO_CODES,
    AUDIO_FEATURES,
    VISUAL_CODES,
    VISUAL_FEATURES,
    Box,
    FusionLine,
    Negative,
    SegmentDetails,
)
from mm_assets.fusion.shard_index import CODES_FOLDER, FEATURES_FOLDER, UnresolvedReferenceError, split_reference
from mm_assets.fusion.usual_content import UsualContent

MAX_FEATURE_NORM: Final = 10.0
_VISUAL: Final = (Modality.IMAGE, Modality.VIDEO)
_AUDIO: Final = (Modality.AUDIO,)
_VISUAL_TENSORS: Final = (VISUAL_FEATURES, VISUAL_CODES)
_AUDIO_TENSORS: Final = (AUDIO_FEATURES, AUDIO_CODES)


class _Spans(NamedTuple):
    """Codes, int64, shape (T,), and their places in the content, shape (T, 2)."""

    codes: NDArray[np.int64]
    places: NDArray[np.int64]


_NO_SPANS: Final = _Spans(np.empty(0, np.int64), np.empty((0, 2), np.int64))


class _WithSegment(msgspec.Struct):
    """The part of a segment's line that only segments have."""

    segment: SegmentDetails


class TrainingSample(TypedDict):
    """One sample.

    ``codes``, ``token_ids``: int64, shape (T,); ``code_places``: int64, shape (T, 2), start and end of each placeholder
    in ``content``, characters; ``features``: float32, shape (T, C), row i belongs to placeholder i. T is 0 for text.
    ``audio_codes``, ``audio_token_ids``, ``audio_code_places``, ``audio_features``: the same of its sound.
    ``boxes``: float32, shape (B, 4), corners x1 y1 x2 y2 in pixels of the stored image; ``phrase_places``: int64,
    shape (B, 2), start and end in ``content`` of the phrase each box holds. ``times``: int64, shape (N, 2), start and
    end on the medium's global clock, microseconds; ``segment``: what else its line says of a segment, None of others.
    ``negatives``: false texts of the sample, with the strategy of each.
    """

    id: str
    kind: str
    pool: str
    weight: float
    content: str
    text: str
    codes: torch.Tensor
    token_ids: torch.Tensor
    code_places: torch.Tensor
    features: torch.Tensor
    audio_codes: torch.Tensor
    audio_token_ids: torch.Tensor
    audio_code_places: torch.Tensor
    audio_features: torch.Tensor
    boxes: torch.Tensor
    phrase_places: torch.Tensor
    times: torch.Tensor
    segment: SegmentDetails | None
    negatives: list[Negative]


class ReleaseDataset(Dataset[TrainingSample]):
    """A release as a map-style PyTorch dataset, in release order.

    Lines and features are read when asked for; only the offset of each line is held. It can be pickled and used by the
    workers of a ``DataLoader``: each process opens its own files.

    Args:
        path: release folder.
        verify_checksums: compare every file with its SHA-256 in the manifest once, when the release is opened.
        max_norm: bound of the L2 norm of a feature row; longer rows are scaled down to it. None leaves them.

    Raises:
        ReleaseError: the folder is no release, a file is missing, or its bytes are not those that were released.
    """

    def __init__(
        self, path: Path | str, *, verify_checksums: bool = True, max_norm: float | None = MAX_FEATURE_NORM
    ) -> None:
        self._folder = Path(path)
        declared = read_release_format(self._folder)
        if declared is None:
            raise ReleaseError(f"{self._folder} has no {MANIFEST_NAME}; give the folder of a finished release")
        check_files(self._folder, declared, verify=verify_checksums)
        self._vocabulary: Vocabulary = declared.vocabulary.vocabulary()
        self._version = declared.placeholder_version
        self._usual = UsualContent(self._vocabulary)
        lengths = [len(f"<IMG_TK_{code}>") for code in range(self._vocabulary.image_codes)]
        self._spelled = np.array(lengths, dtype=np.int64)
        self._max_norm = max_norm
        names = [file.path for file in declared.files if file.path.startswith(f"{SAMPLES_FOLDER}/")]
        self._files = [self._folder / name for name in sorted(names)]
        self._offsets = [find_lines(file) for file in self._files]
        self._starts = np.cumsum([0, *(len(offsets) - 1 for offsets in self._offsets)])
        self._handles = OpenFiles(self._folder)
        self._make_decoders()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> TrainingSample:
        """Read and check one sample.

        Raises:
            IndexError: there is no such sample.
            FormatError: the sample breaks the format; the message names id, file and line, cause and fix.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of a release of {len(self)}")
        index %= len(self)
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        place = index - int(self._starts[number])
        start, end = self._offsets[number][place : place + 2].tolist()
        where = f"{self._files[number].name} line {place + 1}"
        raw = self._handles.read(self._files[number], start, end - start)
        try:
            line = self._decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _format_error(f"sample of {where}", LintCode.INVALID_JSON, str(error)) from error
        name = f"sample {line.id} ({where})"
        return self._sample(line, None if line.kind != "segment" else self._details(raw, name), name)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_handles"], state["_decoder"], state["_segments"]
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._handles = OpenFiles(self._folder)
        self._make_decoders()

    def _make_decoders(self) -> None:
        self._decoder = msgspec.json.Decoder(FusionLine)
        self._segments = msgspec.json.Decoder(_WithSegment)

    def _details(self, raw: bytes, name: str) -> SegmentDetails:
        try:
            return self._segments.decode(raw).segment
        except msgspec.DecodeError as error:
            raise _format_error(name, LintCode.INVALID_FIELD, f"segment: {error}") from error

    def _sample(self, line: FusionLine, segment: SegmentDetails | None, name: str) -> TrainingSample:
        if line.placeholder_version != self._version:
            message = f"placeholder_version {line.placeholder_version!r} is not the release's {self._version!r}"
            raise _format_error(name, LintCode.INVALID_FIELD, message)
        spans, text = self._take_apart(line.content, name)
        for code, message in check_boxes(line.content, line.boxes, tags_required=line.kind == "object").items():
            raise _format_error(name, code, message)
        wrong = find_negative_fault(line.content, line.negatives)
        if wrong is not None:
            raise _format_error(name, LintCode.INVALID_FIELD, wrong)
        visual, audio = spans
        for path, span, field in (
            (line.visual_features_path, visual, "visual_features_path"),
            (line.audio_features_path, audio, "audio_features_path"),
        ):
            if (path is None) != (len(span.codes) == 0):
                message = f"{field} and the spans of its media in content do not go together"
                raise _format_error(name, LintCode.MISSING_SENTINEL, message)
        boxes, phrases = _box_tensors(line.boxes)
        vectors = self._features(line.visual_features_path, visual.codes, _VISUAL_TENSORS, name)
        sounds = self._features(line.audio_features_path, audio.codes, _AUDIO_TENSORS, name)
        times = [(span.start_us, span.end_us) for span in line.times]
        return TrainingSample(
            id=line.id,
            kind=line.kind,
            pool=line.pool,
            weight=line.weight,
            content=line.content,
            text=text,
            codes=torch.from_numpy(visual.codes),
            token_ids=torch.from_numpy(visual.codes + self._vocabulary.image_offset),
            code_places=torch.from_numpy(visual.places),
            features=torch.from_numpy(vectors),
            audio_codes=torch.from_numpy(audio.codes),
            audio_token_ids=torch.from_numpy(audio.codes + self._vocabulary.audio_offset),
            audio_code_places=torch.from_numpy(audio.places),
            audio_features=torch.from_numpy(sounds),
            boxes=boxes,
            phrase_places=phrases,
            times=torch.tensor(times, dtype=torch.int64).reshape(-1, 2),
            segment=segment,
            negatives=line.negatives,
        )

    def _take_apart(self, content: str, name: str) -> tuple[tuple[_Spans, _Spans], str]:
        """Visual and audio spans, and the text."""
        plain = strip_tags(content) if BOX_START in content else content
        usual = None if plain is None else self._usual.image_codes(plain)
        if plain is not None and usual is not None:
            codes = np.asarray(usual, dtype=np.int64)
            ends = len(IMAGE_START) + np.cumsum(self._spelled[codes])
            places = np.stack([ends - self._spelled[codes], ends], axis=-1)
            text = plain[int(ends[-1]) + len(IMAGE_END) :].removeprefix(" ") if usual else plain
            return (_Spans(codes, places), _NO_SPANS), text
        parsed, faults = inspect_content(content, self._vocabulary)
        for code, message in faults.items():
            raise _format_error(name, code, message)
        return (_spans(parsed, content, _VISUAL), _spans(parsed, content, _AUDIO)), parsed.text

    def _features(
        self, reference: str | None, codes: NDArray[np.int64], tensors: tuple[str, str], name: str
    ) -> NDArray[np.float32]:
        if reference is None:
            return np.empty((0, 0), dtype=np.float32)
        try:
            path, row = split_reference(reference)
            rows = self._handles.row(path, tensors[0], row)
            stored = self._handles.row(path.replace(FEATURES_FOLDER, CODES_FOLDER, 1), tensors[1], row)
        except UnresolvedReferenceError as error:
            raise _format_error(name, error.code, error.message) from error
        if not len(rows) == len(stored) == len(codes):
            message = f"{len(codes)} placeholders, {len(rows)} feature rows and {len(stored)} codes of {reference}"
            raise _format_error(name, LintCode.COUNT_MISMATCH, message)
        if not np.array_equal(stored, codes):
            message = f"placeholders do not spell the codes of {reference}"
            raise _format_error(name, LintCode.CODE_MISMATCH, message)
        features = rows.astype(np.float32)
        if not np.isfinite(features).all():
            raise FormatError(
                f"{CrossModalCode.FUSION}: {name}: features {reference} are not finite; "
                f"{REMEDIES[CrossModalCode.FUSION].fix}"
            )
        return features if self._max_norm is None else _clip_norms(features, self._max_norm)


def collate_samples(samples: Sequence[TrainingSample]) -> dict[str, list[Any]]:
    """Collect samples field by field, without padding: lengths differ and text has no features."""
    return {
        key: [cast("Mapping[str, Any]", sample)[key] for sample in samples] for key in TrainingSample.__annotations__
    }


def _box_tensors(boxes: Sequence[Box]) -> tuple[torch.Tensor, torch.Tensor]:
    """Corners, float32, shape (B, 4), and phrases, int64, shape (B, 2)."""
    if not boxes:
        return torch.empty((0, 4)), torch.empty((0, 2), dtype=torch.int64)
    corners = torch.tensor([box.xyxy for box in boxes], dtype=torch.float32)
    return corners, torch.tensor([box.phrase for box in boxes], dtype=torch.int64)


def _spans(parsed: ParsedContent, content: str, media: tuple[Modality, ...]) -> _Spans:
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
    return _Spans(np.asarray(parsed.codes(*media), np.int64), np.asarray(places, dtype=np.int64).reshape(-1, 2))


def _clip_norms(features: NDArray[np.float32], max_norm: float) -> NDArray[np.float32]:
    norms = np.linalg.norm(features, axis=-1, keepdims=True)
    if not (norms > max_norm).any():
        return features
    return features * (max_norm / np.maximum(norms, max_norm)).astype(np.float32)


def _format_error(name: str, code: LintCode, message: str) -> FormatError:
    return FormatError(
        f"{CrossModalCode.TOKEN_FMT}: {name}: {code}: {message}; {REMEDIES[CrossModalCode.TOKEN_FMT].fix}"
    )
