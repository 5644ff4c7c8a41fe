"""Load a release for training, with the assertions that keep a bad sample out of a batch.

Needs torch; nothing that the definitions import may import it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from mm_assets.errors import REMEDIES, CrossModalCode, FormatError, ReleaseError
from mm_assets.fusion.box_markup import BOX_START
from mm_assets.fusion.findings import LintCode
from mm_assets.fusion.negative_texts import find_negative_fault
from mm_assets.fusion.placeholders import (
    Modality,
    Vocabulary,
    inspect_content,
    proves_plain,
)
from mm_assets.fusion.release_files import OpenFiles, check_files, find_lines
from mm_assets.fusion.release_format import MANIFEST_NAME, SAMPLES_FOLDER, read_release_format
from mm_assets.fusion.samples import (
    AUDIO_CODES,
    AUDIO_FEATURES,
    SPLITS,
    VISUAL_CODES,
    VISUAL_FEATURES,
    SegmentDetails,
    Split,
)
from mm_assets.fusion.shard_index import CODES_FOLDER, FEATURES_FOLDER, UnresolvedReferenceError
from mm_assets.fusion.training_facts import SampleFacts, read_facts
from mm_assets.fusion.training_lines import (
    NO_FEATURES,
    NO_SPANS,
    ReadLine,
    Spans,
    TrainingLine,
    follow_reference,
    format_error,
    gather_rows,
    make_sample,
    name_line,
    refuse_other_codes,
    refuse_spans_without_features,
    take_spans,
)
from mm_assets.fusion.training_sample import TrainingSample
from mm_assets.fusion.usual_content import SpelledImages

MAX_FEATURE_NORM: Final = 10.0
_VISUAL: Final = (Modality.IMAGE, Modality.VIDEO)
_AUDIO: Final = (Modality.AUDIO,)
_VISUAL_TENSORS: Final = (VISUAL_FEATURES, VISUAL_CODES)
_AUDIO_TENSORS: Final = (AUDIO_FEATURES, AUDIO_CODES)


class _WithSegment(msgspec.Struct):
    """The part of a segment's line that only segments have."""

    segment: SegmentDetails


class ReleaseDataset(Dataset[TrainingSample]):
    """A release as a map-style PyTorch dataset, in release order.

    Lines and features are read when asked for; only the offset of each line is held. It can be pickled and used by the
    workers of a ``DataLoader``: each process opens its own files. A ``DataLoader`` asks for whole batches, which cost a
    fifth of their samples one by one.

    A file of samples is compared with its SHA-256 when the release is opened; a shard before its first row is used,
    once for all workers that were forked or spawned from here.

    Args:
        path: release folder.
        verify_checksums: compare files with their SHA-256 in the manifest; if not, with their sizes alone.
        verify_at_once: compare all of them when the release is opened.
        max_norm: bound of the L2 norm of a feature row; longer rows are scaled down to it. None leaves them.
        split: take the samples of this split alone; None takes all.

    Raises:
        ReleaseError: the folder is no release, a file is missing or cut, or its bytes are not those that were released.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        verify_checksums: bool = True,
        verify_at_once: bool = False,
        max_norm: float | None = MAX_FEATURE_NORM,
        split: Split | None = None,
    ) -> None:
        self._folder = Path(path)
        declared = read_release_format(self._folder)
        if declared is None:
            raise ReleaseError(f"{self._folder} has no {MANIFEST_NAME}; give the folder of a finished release")
        check_files(self._folder, declared, verify=False)
        self.release = declared.release
        self._vocabulary: Vocabulary = declared.vocabulary.vocabulary()
        self._version = declared.placeholder_version
        self._spelled = SpelledImages(self._vocabulary)
        self._max_norm = max_norm
        self._records = declared.files if verify_checksums else []
        self._sound = torch.zeros(len(self._records), dtype=torch.uint8).share_memory_()
        self._open()
        names = [file.path for file in declared.files if file.path.startswith(f"{SAMPLES_FOLDER}/") and file.size_bytes]
        self._files = sorted(names)
        self._offsets = [find_lines(self._handles.text(name)) for name in self._files]
        self._starts = np.cumsum([0, *(len(offsets) - 1 for offsets in self._offsets)])
        self._facts: SampleFacts | None = None
        self._chosen: NDArray[np.int64] | None = None
        if split is not None:
            self._chosen = np.flatnonzero(self._all_facts().splits == SPLITS.index(split))
        if verify_at_once:
            self._handles.verify_all()

    def __len__(self) -> int:
        return int(self._starts[-1]) if self._chosen is None else len(self._chosen)

    def __getitem__(self, index: int) -> TrainingSample:
        """Read and check one sample; see `__getitems__`."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[TrainingSample]:
        """Read and check samples, in the order asked for.

        Raises:
            IndexError: there is no such sample.
            FormatError: a sample breaks the format; the message names id, file and line, cause and fix.
            ReleaseError: a shard's bytes are not those that were released.
        """
        found: list[TrainingSample | None] = [None] * len(indices)
        images: dict[str, tuple[list[ReadLine], list[int]]] = {}
        for read, raw in self._read(indices):
            line = read.line
            reference = line.visual_features_path
            if reference is not None and line.audio_features_path is None and line.kind != "segment":
                path, row = follow_reference(reference, read)
                wanted = images.get(path)
                if wanted is None:
                    wanted = images[path] = ([], [])
                wanted[0].append(read)
                wanted[1].append(row)
            else:
                found[read.slot] = self._sample(read, raw)
        self._images(images, found)
        return found  # pyright: ignore[reportReturnType] - every slot is filled

    def facts(self) -> SampleFacts:
        """Pool, weight and split of every sample; read once, all the lines of the release."""
        facts = self._all_facts()
        return facts if self._chosen is None else facts.take(self._chosen)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_handles"], state["_decoder"], state["_segments"]
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def _open(self) -> None:
        self._handles = OpenFiles(self._folder, self._records, self._sound.numpy())
        self._decoder = msgspec.json.Decoder(TrainingLine)
        self._segments = msgspec.json.Decoder(_WithSegment)

    def _all_facts(self) -> SampleFacts:
        if self._facts is None:
            self._facts = read_facts(self._handles, self._files)
        return self._facts

    def _read(self, indices: Sequence[int]) -> Iterator[tuple[ReadLine, bytes]]:
        asked = np.asarray(indices, np.int64)
        wrong = (asked < -len(self)) | (asked >= len(self))
        if wrong.any():
            raise IndexError(f"sample {int(asked[wrong][0])} of a release of {len(self)}")
        asked %= max(1, len(self))
        if self._chosen is not None:
            asked = self._chosen[asked]
        files = np.searchsorted(self._starts, asked, side="right") - 1
        places = asked - self._starts[files]
        decode, version = self._decoder.decode, self._version
        for number in np.unique(files).tolist():
            data, name, offsets = self._handles.text(self._files[number]), self._files[number], self._offsets[number]
            slots = np.flatnonzero(files == number)
            own = places[slots]
            for slot, place, start, end in zip(
                slots.tolist(), own.tolist(), offsets[own].tolist(), offsets[own + 1].tolist(), strict=True
            ):
                raw = data[start:end]
                try:
                    line = decode(raw)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                    where = f"sample of {name_line(name, place)}"
                    raise format_error(where, LintCode.INVALID_JSON, str(error)) from error
                read = ReadLine(slot, name, place, line)
                if line.placeholder_version != version:
                    message = f"placeholder_version {line.placeholder_version!r} is not the release's {version!r}"
                    raise format_error(read.name, LintCode.INVALID_FIELD, message)
                if line.negatives:
                    wrong = find_negative_fault(line.content, line.negatives)
                    if wrong is not None:
                        raise format_error(read.name, LintCode.INVALID_FIELD, wrong)
                yield read, raw

    def _tensors(self, path: str, tensors: tuple[str, str], read: ReadLine) -> tuple[NDArray[Any], NDArray[Any]]:
        """Features and codes of a shard."""
        try:
            features = self._handles.tensor(path, tensors[0])
            return features, self._handles.tensor(path.replace(FEATURES_FOLDER, CODES_FOLDER, 1), tensors[1])
        except UnresolvedReferenceError as error:
            raise format_error(read.name, error.code, error.message) from error

    def _images(
        self, images: Mapping[str, tuple[list[ReadLine], list[int]]], found: list[TrainingSample | None]
    ) -> None:
        """Fill in samples with pictures, those with as many codes each at once."""
        alike: dict[tuple[int, ...], list[tuple[list[ReadLine], list[int], NDArray[Any], NDArray[Any]]]] = {}
        for path, (reads, rows) in images.items():
            features, codes = self._tensors(path, _VISUAL_TENSORS, reads[0])
            least = min(len(features), len(codes))
            if max(rows) >= least:
                read, row = next((read, row) for read, row in zip(reads, rows, strict=True) if row >= least)
                raise format_error(read.name, LintCode.BAD_REFERENCE, f"{path} has no row {row}; rebuild the release")
            if features.shape[1] != codes.shape[1]:
                message = f"{features.shape[1]} feature rows and {codes.shape[1]} codes in {path}"
                raise format_error(reads[0].name, LintCode.COUNT_MISMATCH, message)
            alike.setdefault(features.shape[1:], []).append((reads, rows, features, codes))
        for parts in alike.values():
            reads = [read for some, _, _, _ in parts for read in some]
            rows = [part[1] for part in parts]
            features = self._clip(gather_rows([part[2] for part in parts], rows, len(reads)), reads)
            codes = gather_rows([part[3] for part in parts], rows, len(reads)).astype(np.int64)
            self._fill(reads, features, codes, found)

    def _fill(
        self,
        reads: Sequence[ReadLine],
        features: torch.Tensor,
        codes: NDArray[np.int64],
        found: list[TrainingSample | None],
    ) -> None:
        """Fill in N samples: features, shape (N, T, C), codes, shape (N, T)."""
        heads, text_behind = self._spelled.spell(codes), self._spelled.text_behind
        places = torch.from_numpy(self._spelled.places(codes)).unbind()
        token_ids = torch.from_numpy(codes + self._vocabulary.image_offset).unbind()
        columns = reads, heads, torch.from_numpy(codes).unbind(), token_ids, places, features.unbind()
        for read, head, own_codes, own_ids, usual_places, rows in zip(*columns, strict=True):
            content = read.line.content
            usual = text_behind(content, head)
            if usual is not None:
                text, tagged = usual
                found[read.slot] = make_sample(read, text, own_codes, own_ids, usual_places, rows, tagged=tagged)
                continue
            spans, text = self._take_apart(content, read.name)
            refuse_spans_without_features(*spans, read)
            refuse_other_codes(spans[0].codes, own_codes.numpy(), read.line.visual_features_path, read.name)
            own_places, tagged = torch.from_numpy(spans[0].places), BOX_START in content
            found[read.slot] = make_sample(read, text, own_codes, own_ids, own_places, rows, tagged=tagged)

    def _sample(self, read: ReadLine, raw: bytes) -> TrainingSample:
        """Any sample, checked on its own."""
        line, name = read.line, read.name
        (visual, audio), text = self._take_apart(line.content, name)
        refuse_spans_without_features(visual, audio, read)
        vectors = self._features(line.visual_features_path, visual.codes, _VISUAL_TENSORS, read)
        sounds = self._features(line.audio_features_path, audio.codes, _AUDIO_TENSORS, read)
        sample = make_sample(
            read,
            text,
            torch.from_numpy(visual.codes),
            torch.from_numpy(visual.codes + self._vocabulary.image_offset),
            torch.from_numpy(visual.places),
            vectors,
            tagged=BOX_START in line.content,
        )
        if len(audio.codes):
            sample["audio_codes"] = torch.from_numpy(audio.codes)
            sample["audio_token_ids"] = torch.from_numpy(audio.codes + self._vocabulary.audio_offset)
            sample["audio_code_places"] = torch.from_numpy(audio.places)
            sample["audio_features"] = sounds
        if line.kind == "segment":
            try:
                sample["segment"] = self._segments.decode(raw).segment
            except msgspec.DecodeError as error:
                raise format_error(name, LintCode.INVALID_FIELD, f"segment: {error}") from error
        return sample

    def _take_apart(self, content: str, name: str) -> tuple[tuple[Spans, Spans], str]:
        """Visual and audio spans, and the text."""
        if proves_plain(content):
            return (NO_SPANS, NO_SPANS), content
        parsed, faults = inspect_content(content, self._vocabulary)
        for code, message in faults.items():
            raise format_error(name, code, message)
        return (take_spans(parsed, content, _VISUAL), take_spans(parsed, content, _AUDIO)), parsed.text

    def _features(
        self, reference: str | None, codes: NDArray[np.int64], tensors: tuple[str, str], read: ReadLine
    ) -> torch.Tensor:
        if reference is None:
            return NO_FEATURES
        path, row = follow_reference(reference, read)
        features, stored = self._tensors(path, tensors, read)
        if row >= min(len(features), len(stored)):
            raise format_error(read.name, LintCode.BAD_REFERENCE, f"{path} has no row {row}; rebuild the release")
        if features.shape[1] != stored.shape[1]:
            message = f"{features.shape[1]} feature rows and {stored.shape[1]} codes in {path}"
            raise format_error(read.name, LintCode.COUNT_MISMATCH, message)
        refuse_other_codes(codes, stored[row], reference, read.name)
        return self._clip(features[[row]], [read])[0]

    def _clip(self, stored: NDArray[Any], reads: Sequence[ReadLine]) -> torch.Tensor:
        """Features as float32, shape (N, T, C), rows scaled down to the bound.

        Raises:
            FormatError: some are not finite.
        """
        features = torch.from_numpy(stored).float()
        norms = torch.linalg.vector_norm(features, dim=-1)
        longest = float(norms.max()) if norms.numel() else 0.0
        if not math.isfinite(longest):
            finite = torch.isfinite(norms).all(dim=1).numpy()
            read = reads[int(np.flatnonzero(~finite)[0])]
            reference = read.line.visual_features_path or read.line.audio_features_path
            raise FormatError(
                f"{CrossModalCode.FUSION}: {read.name}: features {reference} are not finite; "
                f"{REMEDIES[CrossModalCode.FUSION].fix}"
            )
        if self._max_norm is not None and longest > self._max_norm:
            features *= (self._max_norm / norms.clamp(min=self._max_norm)).unsqueeze(-1)
        return features
