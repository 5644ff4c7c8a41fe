# pyright: strict
"""Where a sample stands in a release's files."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import polars as pl

_SAMPLES: Final = "samples/"


class _Identity(msgspec.Struct):
    id: str


class _File(msgspec.Struct):
    path: str


class _Manifest(msgspec.Struct):
    files: list[_File]


@dataclass(frozen=True)
class ReleaseLine:
    """A line of a release.

    Attributes:
        release: the release.
        file: below the release's folder.
        line: number of the line, from 1.
        fields: what it says, without its content.
        features: shards and rows it points to, below the release's folder.
    """

    release: str
    file: str
    line: int
    fields: dict[str, Any]
    features: list[str]


def list_sample_files(manifest: bytes) -> list[str]:
    """Paths of the files of samples that a manifest names, in order."""
    files = msgspec.json.decode(manifest, type=_Manifest).files
    return sorted(file.path for file in files if file.path.startswith(_SAMPLES) and file.path.endswith(".jsonl"))


def find_line(release: str, manifest: bytes, read: Callable[[str], bytes], sample_id: str) -> ReleaseLine | None:
    """The line of a sample, or None if the release does not hold it.

    Args:
        release: the release.
        manifest: its ``manifest.json``.
        read: gives the bytes of a file below the release's folder.
        sample_id: the sample.
    """
    wanted = sample_id.encode()
    for path in list_sample_files(manifest):
        for number, line in _lines(read(path)):
            if wanted in line and msgspec.json.decode(line, type=_Identity).id == sample_id:
                fields = msgspec.json.decode(line, type=dict[str, Any])
                features = [fields[name] for name in ("visual_features_path", "audio_features_path") if fields[name]]
                shown = {
                    name: value for name, value in fields.items() if name not in {"content", "segment", "document"}
                }
                return ReleaseLine(release, path, number, shown, features)
    return None


def holds_any(data: bytes, tokens: Sequence[str]) -> bool:
    """Whether any line of a file of samples names one of the ids or words, as JSON writes them."""
    escaped = [msgspec.json.encode(token)[1:-1].decode() for token in tokens]
    lines = pl.Series("line", data.decode("utf-8").split("\n"))
    return bool(lines.str.contains_any(escaped).any()) if escaped else False


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(data.split(b"\n"), start=1):
        if line:
            yield number, line
