"""The samples of a finished release as an exporter takes them: whole lines with their features and codes."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from mm_assets.errors import ReleaseError
from mm_assets.fusion.release_files import OpenFiles, check_files
from mm_assets.fusion.release_format import MANIFEST_NAME, SAMPLES_FOLDER, ReleaseFormat, read_release_format
from mm_assets.fusion.samples import (
    AUDIO_CODES,
    AUDIO_FEATURES,
    VISUAL_CODES,
    VISUAL_FEATURES,
    SplitLine,
)
from mm_assets.fusion.shard_index import CODES_FOLDER, FEATURES_FOLDER, split_reference

ARRAYS: Final = (VISUAL_FEATURES, VISUAL_CODES, AUDIO_FEATURES, AUDIO_CODES)


@dataclass(frozen=True, slots=True)
class ExportSample:
    """One sample to write.

    Attributes:
        key: its id, with ``-N`` behind it for the further copies of a sample that is drawn N + 1 times.
        raw: its line, UTF-8 JSON without the line feed.
        line: the same, decoded.
        arrays: features, float16, shape (T, C), and codes, int32, shape (T,), of what it has, by tensor.
    """

    key: str
    raw: bytes
    line: SplitLine
    arrays: Mapping[str, NDArray[Any]]


@dataclass
class ReleaseSamples:
    """A release, compared with its manifest byte by byte, then read in release order.

    Args:
        folder: release folder.

    Attributes:
        declared: what its manifest says of the format.
        digest: SHA-256 of the manifest, which names the release's bytes.

    Raises:
        ReleaseError: it is no release, or its bytes are not those that were released.
    """

    folder: Path
    declared: ReleaseFormat = field(init=False)
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        declared = read_release_format(self.folder)
        if declared is None:
            raise ReleaseError(f"{self.folder} has no {MANIFEST_NAME}; give the folder of a finished release")
        check_files(self.folder, declared, verify=True)
        self.declared = declared
        self.digest = hashlib.sha256((self.folder / MANIFEST_NAME).read_bytes()).hexdigest()

    def __iter__(self) -> Iterator[ExportSample]:
        """Every sample, as often as its weight says: a weight of 2 is two copies, one below 1 is still one.

        Raises:
            ReleaseError: a line or a reference breaks the format.
        """
        decoder, files = msgspec.json.Decoder(SplitLine), OpenFiles(self.folder)
        for record in sorted(self.declared.files, key=lambda record: record.path):
            if not record.path.startswith(f"{SAMPLES_FOLDER}/"):
                continue
            with (self.folder / record.path).open("rb") as lines:
                for number, raw in enumerate(lines, start=1):
                    try:
                        line = decoder.decode(raw)
                    except msgspec.DecodeError as error:
                        where = f"{record.path} line {number}"
                        raise ReleaseError(f"{where}: {error}; see mm lint, then rebuild the release") from error
                    arrays = _arrays(line, files)
                    for copy in range(max(1, round(line.weight))):
                        key = f"{line.id}-{copy}" if copy else line.id
                        yield ExportSample(key, raw.rstrip(b"\n"), line, arrays)


def _arrays(line: SplitLine, files: OpenFiles) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    for reference, features, codes in (
        (line.visual_features_path, VISUAL_FEATURES, VISUAL_CODES),
        (line.audio_features_path, AUDIO_FEATURES, AUDIO_CODES),
    ):
        if reference is None:
            continue
        path, row = split_reference(reference)
        found[features] = np.ascontiguousarray(files.row(path, features, row))
        found[codes] = np.ascontiguousarray(files.row(path.replace(FEATURES_FOLDER, CODES_FOLDER, 1), codes, row))
        if len(found[features]) != len(found[codes]):
            raise ReleaseError(
                f"sample {line.id}: {len(found[features])} features and {len(found[codes])} codes of {reference}; "
                "rebuild the release"
            )
    return found
