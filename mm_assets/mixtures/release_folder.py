"""Where releases lie, and how one becomes visible: whole, or not at all."""

import os
import shutil
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, Protocol

from filelock import FileLock, Timeout

from mm_assets.errors import ReleaseError
from mm_assets.fusion.release_format import MANIFEST_NAME, STAGING_MARK
from mm_assets.identifiers import BATCH_ID

_LOCK_SECONDS: Final = 1.0


class FolderStore(Protocol):
    """A place that holds one folder per release. A folder without ``manifest.json`` is not a release."""

    def staging(self, release: str) -> AbstractContextManager[Path]:
        """An empty local folder to write the release into; gone afterwards unless published.

        Raises:
            ReleaseError: another process writes this release.
        """
        ...

    def publish(self, release: str, folder: Path) -> str:
        """Make a staged folder the release, in place of an earlier one; returns its URI or path."""
        ...

    def exists(self, release: str) -> bool:
        """Whether the release is there, whole."""
        ...

    def releases(self) -> list[str]:
        """Names of the releases that are there, sorted."""
        ...

    def read_manifest(self, release: str) -> bytes:
        """Its ``manifest.json``; the release must be there."""
        ...

    def opened(self, release: str) -> AbstractContextManager[Path]:
        """Its folder on this machine, to read from while the context lasts; the release must be there."""
        ...

    def delete(self, release: str) -> None:
        """Remove the release if it is there."""
        ...


class LocalReleases:
    """Releases below a local folder.

    A release is written into ``<release>.tmp-…`` beside its place and renamed once it is whole; a crash leaves either
    the earlier release or none, and the next write clears what it left.

    Args:
        root: folder of all releases; made when first written to.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def staging(self, release: str) -> Generator[Path]:
        """An empty folder on the same file system; see `FolderStore`."""
        self._root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._root / f".{release}.lock", timeout=_LOCK_SECONDS)
        try:
            lock.acquire()
        except Timeout as error:
            raise ReleaseError(f"release {release!r} is being written by another process; wait for it") from error
        try:
            self._recover(release)
            folder = self._root / f"{release}{STAGING_MARK}{os.getpid()}"
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            lock.release()

    def publish(self, release: str, folder: Path) -> str:
        """Rename a staged folder into place; see `FolderStore`."""
        if not (folder / MANIFEST_NAME).is_file():
            raise ReleaseError(f"{folder}: has no {MANIFEST_NAME}; write it before publishing")
        _sync(folder)
        target, earlier = self.path(release), self._earlier(release)
        if target.exists():
            target.rename(earlier)
        folder.rename(target)
        _sync_folder(self._root)
        shutil.rmtree(earlier, ignore_errors=True)
        return str(target)

    def exists(self, release: str) -> bool:
        """Whether the release is there, whole."""
        return (self.path(release) / MANIFEST_NAME).is_file()

    def releases(self) -> list[str]:
        """Names of the releases that are there, sorted."""
        found = self._root.iterdir() if self._root.is_dir() else ()
        return sorted(path.name for path in found if BATCH_ID.fullmatch(path.name) and self.exists(path.name))

    def read_manifest(self, release: str) -> bytes:
        """Its ``manifest.json``."""
        return (self.path(release) / MANIFEST_NAME).read_bytes()

    @contextmanager
    def opened(self, release: str) -> Generator[Path]:
        """Its folder itself; see `FolderStore`."""
        yield self.path(release)

    def delete(self, release: str) -> None:
        """Remove the release; first its manifest, so that no half of it is ever taken for a release."""
        (self.path(release) / MANIFEST_NAME).unlink(missing_ok=True)
        shutil.rmtree(self.path(release), ignore_errors=True)

    def path(self, release: str) -> Path:
        """Folder of a release."""
        return self._root / release

    def _earlier(self, release: str) -> Path:
        return self._root / f"{release}{STAGING_MARK}earlier"

    def _recover(self, release: str) -> None:
        """Clear what a crashed writer left; put an earlier release back if the crash came between two renames."""
        if self._earlier(release).is_dir() and not self.path(release).exists():
            self._earlier(release).rename(self.path(release))
        for left_over in self._root.glob(f"{release}{STAGING_MARK}*"):
            shutil.rmtree(left_over)


def _sync(folder: Path) -> None:
    """Write everything through to the disk, readable by whoever may read the manifest (safetensors writes 0600)."""
    mode = (folder / MANIFEST_NAME).stat().st_mode
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            path.chmod(mode)
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            _sync_folder(path)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
