"""The formats a release can be exported to, and how an export becomes visible: whole, or not at all."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from mm_assets.errors import ExportError
from mm_assets.fusion.release_format import STAGING_MARK
from mm_assets.mixtures.exports.energon import write_energon
from mm_assets.mixtures.exports.hugging_face import front_matter, write_hugging_face
from mm_assets.mixtures.exports.llava import Pictures, write_llava
from mm_assets.mixtures.exports.mosaic import write_mosaic
from mm_assets.mixtures.exports.reading import ExportSample, ReleaseSamples
from mm_assets.mixtures.exports.webdataset import write_webdataset
from mm_assets.mixtures.manifest import list_files

RECORD_NAME: Final = "export.json"
CARD_NAME: Final = "README.md"


@dataclass(frozen=True)
class ExportedRelease:
    """What was written.

    Attributes:
        release: its name.
        format: name of the format.
        folder: where it lies.
        samples: samples written, copies included, by split.
        left_out: samples the format cannot hold, per reason.
        files: files written.
        size_bytes: their bytes.
    """

    release: str
    format: str
    folder: str
    samples: dict[str, int] = field(default_factory=dict[str, int])
    left_out: dict[str, int] = field(default_factory=dict[str, int])
    files: int = 0
    size_bytes: int = 0

    def to_document(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


@dataclass
class _Job:
    release: ReleaseSamples
    folder: Path
    pictures: Pictures
    card: str
    seen: Counter[str] = field(default_factory=Counter[str])

    def samples(self) -> Iterator[ExportSample]:
        """Every sample, counted as it goes by."""
        for sample in self.release:
            self.seen[sample.line.split] += 1
            yield sample


def _webdataset(job: _Job) -> dict[str, int]:
    write_webdataset(job.samples(), job.folder)
    return {}


def _energon(job: _Job) -> dict[str, int]:
    write_energon(job.samples(), job.folder, job.release.digest)
    return {}


def _mosaic(job: _Job) -> dict[str, int]:
    write_mosaic(job.samples(), job.folder)
    return {}


def _hugging_face(job: _Job) -> dict[str, int]:
    splits = write_hugging_face(job.samples(), job.folder)
    job.card = front_matter(job.release.declared.release, splits) + job.card
    return {}


def _llava(job: _Job) -> dict[str, int]:
    written, left_out = write_llava(job.release, job.folder, job.pictures)
    job.seen.update(written)
    return dict(left_out)


RELEASE_FORMATS: Final[Mapping[str, Callable[[_Job], dict[str, int]]]] = {
    "webdataset": _webdataset,
    "energon": _energon,
    "mds": _mosaic,
    "llava": _llava,
    "huggingface": _hugging_face,
}


def export_release(folder: Path, form: str, out: Path, pictures: Pictures) -> ExportedRelease:
    """Write a release in a format, below ``<out>/<release>-<format>``.

    It is written aside and renamed once it is whole; an earlier export of that name is replaced. The same release gives
    the same bytes. ``export.json`` in it names the release's manifest by its SHA-256 and lists every file with its own.

    Args:
        folder: release folder; all its bytes are compared with its manifest first.
        form: one of `RELEASE_FORMATS`.
        out: where to.
        pictures: finds pictures, for the formats that hold them.

    Raises:
        ReleaseError: the release is damaged.
        ExportError: the format cannot hold it, or the folder cannot be written.
    """
    release = ReleaseSamples(folder)
    name = f"{release.declared.release}-{form}"
    target, staged = out / name, out / f"{name}{STAGING_MARK}{os.getpid()}"
    try:
        staged.mkdir(parents=True)
    except OSError as error:
        raise ExportError(f"{staged}: {error.strerror}; choose another folder with --out") from error
    try:
        job = _Job(release, staged, pictures, (folder / CARD_NAME).read_text(encoding="utf-8"))
        left_out = RELEASE_FORMATS[form](job)
        (staged / CARD_NAME).write_text(job.card, encoding="utf-8")
        files = list_files(staged)
        record = {
            "contract": "mm-export/1",
            "release": release.declared.release,
            "format": form,
            "manifest_sha256": release.digest,
            "samples": dict(sorted(job.seen.items())),
            "left_out": left_out,
            "files": files,
        }
        (staged / RECORD_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
        _replace(staged, target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    size = sum(file.size_bytes for file in files)
    return ExportedRelease(
        release.declared.release, form, str(target), dict(sorted(job.seen.items())), left_out, len(files), size
    )


def _replace(staged: Path, target: Path) -> None:
    """Move a finished export into place; what stands there is replaced only if it is an export."""
    if target.exists():
        if not (target / RECORD_NAME).is_file():
            raise ExportError(f"{target} is there and is no export; move it away, or choose another folder with --out")
        shutil.rmtree(target)
    staged.rename(target)
