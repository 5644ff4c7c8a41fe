"""Read a release window by window: whole samples, and the boundaries that attention may not cross. Needs torch."""

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TypedDict

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from mm_assets.errors import REMEDIES, CrossModalCode, FormatError, ReleaseError
from mm_assets.fusion.findings import LintCode
from mm_assets.fusion.release_format import FileRecord, read_release_format
from mm_assets.fusion.samples import TRAIN
from mm_assets.fusion.sequences import SEQUENCES_FOLDER, TOO_LONG_NAME, SequenceFormat, SequenceLine
from mm_assets.fusion.training_reader import MAX_FEATURE_NORM, ReleaseDataset
from mm_assets.fusion.training_sample import TrainingSample

_NO_WINDOWS: Final = "release its samples again with packing.window_tokens above 0"


class TrainingWindow(TypedDict):
    """Whole samples of one window.

    ``boundaries``: int32, shape (N + 1,), first token of each of the N samples and the end of the last, as kernels for
    sequences of several lengths take them. They hold for the counter that the manifest names, with one separator token
    behind every sample; the tokens of another tokenizer are to be counted anew.
    """

    samples: list[TrainingSample]
    boundaries: torch.Tensor


class WindowDataset(Dataset[TrainingWindow]):
    """The windows of a release as a map-style PyTorch dataset, in their order; 16 bytes of memory for each sample.

    Give a ``DataLoader`` the built-in ``list`` as ``collate_fn``. It can be pickled; each process opens its own files.

    Args:
        path: release folder.
        split: windows of this split alone; None takes all.
        verify_checksums: as `ReleaseDataset` takes it.
        max_norm: as `ReleaseDataset` takes it.

    Raises:
        ReleaseError: the folder is no release, has no windows, or its bytes are not those that were released.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        split: str | None = TRAIN,
        verify_checksums: bool = True,
        max_norm: float | None = MAX_FEATURE_NORM,
    ) -> None:
        folder = Path(path)
        self._samples = ReleaseDataset(folder, verify_checksums=verify_checksums, max_norm=max_norm)
        declared = read_release_format(folder)
        if declared is None or declared.sequences is None:
            raise ReleaseError(f"{folder} has no windows; {_NO_WINDOWS}")
        self.format: SequenceFormat = declared.sequences
        positions, ends, starts = array("q"), array("i"), array("q", [0])
        decode = msgspec.json.Decoder(SequenceLine).decode
        for raw in _read_lines(folder, declared.files, verify=verify_checksums):
            window = decode(raw)
            if split is None or window.split == split:
                positions.extend(window.positions)
                ends.extend(window.boundaries[1:])
                starts.append(len(positions))
        self._positions: NDArray[np.int64] = np.frombuffer(positions, np.int64)
        self._ends: NDArray[np.int32] = np.frombuffer(ends, np.int32)
        self._starts: NDArray[np.int64] = np.frombuffer(starts, np.int64)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, index: int) -> TrainingWindow:
        """Read and check the samples of one window.

        Raises:
            IndexError: there is no such window.
            FormatError: a sample breaks the format, or takes more placeholders than it has tokens in the window.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        own = slice(*self._starts[index % len(self) :][:2].tolist())
        boundaries = np.concatenate([np.zeros(1, np.int32), self._ends[own]])
        samples = [self._samples[position] for position in self._positions[own].tolist()]
        for sample, tokens in zip(samples, np.diff(boundaries).tolist(), strict=True):
            placeholders = len(sample["codes"]) + len(sample["audio_codes"])
            if placeholders > tokens:
                code = CrossModalCode.TOKEN_FMT
                raise FormatError(
                    f"{code}: window {index}: {LintCode.SEQUENCE_MISMATCH}: sample {sample['id']} has {placeholders} "
                    f"placeholders, but {tokens} tokens; {REMEDIES[code].fix}"
                )
        return TrainingWindow(samples=samples, boundaries=torch.from_numpy(boundaries))


def _read_lines(folder: Path, records: Sequence[FileRecord], *, verify: bool) -> Iterator[bytes]:
    """Lines of all windows; a file is compared with its SHA-256 before its first line is given."""
    for record in records:
        if not record.path.startswith(f"{SEQUENCES_FOLDER}/") or record.path.endswith(f"/{TOO_LONG_NAME}"):
            continue
        with (folder / record.path).open("rb") as lines:
            if verify and hashlib.file_digest(lines, "sha256").hexdigest() != record.sha256:
                raise ReleaseError(f"{folder / record.path}: its bytes are not those released; copy the release again")
            lines.seek(0)
            yield from lines
