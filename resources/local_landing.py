"""The landing area as a folder of this machine."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote, unquote

from mm_assets.errors import RecordError, UnsafePathError
from mm_assets.landing import LandedObject
from mm_assets.raw_pools.names import SUCCESS, check_name, missing_file, shown

_MISSING: Final = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ENXIO}
_FORBIDDEN: Final = {errno.EACCES, errno.EPERM}
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def _link_outside(key: str) -> UnsafePathError:
    return UnsafePathError(
        "LINK_OUTSIDE", f"{shown(key)} is a symbolic link out of its batch and is never opened; deliver the file itself"
    )


class LocalLanding:
    """A folder with one folder per batch."""

    def __init__(self, root: Path) -> None:
        self._root = os.path.realpath(root)
        self._root_uri = f"file://{quote(os.fsencode(self._root)).rstrip('/')}/"

    def batches(self) -> list[str]:
        """Names of the finished batches, sorted."""
        try:
            with os.scandir(self._root) as entries:
                folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        return sorted(name for name in folders if self._is_openable(f"{name}/{SUCCESS}"))

    def objects(self, prefix: str) -> Iterator[LandedObject]:
        """Files below the prefix, in order of key."""
        for key, openable in self._entries(prefix):
            if openable:
                try:
                    status = os.stat(f"{self._root}/{key}")  # noqa: PTH116 - a Path per file costs more than the call
                except FileNotFoundError:  # taken away since it was listed
                    continue
                yield LandedObject(key, status.st_size, str(status.st_mtime_ns))

    def links(self, prefix: str) -> list[str]:
        """Also FIFOs, devices and links to folders or to nothing: whatever is there and never opened."""
        return [key for key, openable in self._entries(prefix) if not openable]

    def find(self, key: str) -> LandedObject | None:
        """The file at this key, or None."""
        try:
            status = os.lstat(self._resolve(key))
        except OSError as error:
            if error.errno in _MISSING:
                return None
            raise
        return LandedObject(key, status.st_size, str(status.st_mtime_ns)) if stat.S_ISREG(status.st_mode) else None

    def open(self, key: str) -> BinaryIO:
        """Open for streaming, seekable reads."""
        return os.fdopen(self._descriptor(key), "rb")

    def read(self, key: str, offset: int = 0, size: int | None = None) -> bytes:
        """A byte range, or the whole file."""
        with os.fdopen(self._descriptor(key), "rb", buffering=0) as raw:
            if offset:
                raw.seek(offset)
            if size is None:
                return raw.readall()
            content = raw.read(size)
            while len(content) < size and (more := raw.read(size - len(content))):
                content += more
            return content

    def uri(self, key: str) -> str:
        """URI of a key."""
        return self._root_uri + quote(key.encode("utf-8", "surrogateescape"))

    def key(self, uri: str) -> str:
        """Key of a URI that `uri` made."""
        if not uri.startswith(self._root_uri):
            raise UnsafePathError(
                "UNSAFE_PATH", f"{shown(uri)} lies outside {self._root_uri}; set MM_LANDING to its root"
            )
        return check_name(unquote(uri[len(self._root_uri) :]), self._root_uri)

    def _resolve(self, key: str) -> str:
        """Absolute path of the key, links inside its batch followed; OSError if there is nothing."""
        path = self._root
        for depth, segment in enumerate(check_name(key, "landing").split("/")):
            path = f"{path}/{segment}"
            if stat.S_ISLNK(os.lstat(path).st_mode):
                return self._follow(key, batch_is_a_link=depth == 0)
        return path

    def _follow(self, key: str, *, batch_is_a_link: bool) -> str:
        try:
            target = os.path.realpath(f"{self._root}/{key}", strict=True)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _link_outside(key) from error
            raise
        if batch_is_a_link or not target.startswith(f"{self._root}/{key.partition('/')[0]}/"):
            raise _link_outside(key)
        return target

    def _descriptor(self, key: str) -> int:
        try:
            descriptor = os.open(self._resolve(key), _OPEN_FLAGS)
        except OSError as error:
            if error.errno in _MISSING:
                raise missing_file(key) from error
            if error.errno == errno.ELOOP:  # a link took the place of the file since it was resolved
                raise _link_outside(key) from error
            if error.errno in _FORBIDDEN:
                raise RecordError(
                    "UNREADABLE_FILE", f"{shown(key)} may not be read ({error.strerror}); give read permission"
                ) from error
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise missing_file(key)
        return descriptor

    def _is_openable(self, key: str) -> bool:
        try:
            return stat.S_ISREG(os.lstat(self._resolve(key)).st_mode)
        except (OSError, UnsafePathError):
            return False

    def _entries(self, prefix: str) -> Iterator[tuple[str, bool]]:
        """Keys below the prefix in order of key, and whether each may be opened."""
        folder = prefix.strip("/")
        parts = check_name(folder, "landing").split("/") if folder else []
        for depth in range(1, len(parts) + 1):
            ancestor = "/".join(parts[:depth])
            try:
                mode = os.lstat(f"{self._root}/{ancestor}").st_mode
            except OSError as error:
                if error.errno in _MISSING:
                    return
                raise
            if not stat.S_ISDIR(mode):
                if stat.S_ISLNK(mode):
                    yield ancestor, False
                return
        stack = [self._scan(f"{folder}/" if folder else "")]
        while stack:
            key, kind = next(stack[-1], (None, None))
            if key is None:
                stack.pop()
            elif kind == stat.S_IFDIR:
                stack.append(self._scan(key))
            else:
                yield key, kind == stat.S_IFREG or (kind == stat.S_IFLNK and self._is_openable(key))

    def _scan(self, folder: str) -> Iterator[tuple[str, int]]:
        """Keys of one folder with their kinds; folders end in ``/``, which puts them in order of key."""
        found: list[tuple[str, int]] = []
        try:
            entries = os.scandir(f"{self._root}/{folder}")
        except FileNotFoundError:  # taken away since it was listed, or no landing area yet
            return
        with entries:
            for entry in entries:
                if entry.is_symlink():
                    found.append((entry.name, stat.S_IFLNK))
                elif entry.is_dir(follow_symlinks=False):
                    found.append((f"{entry.name}/", stat.S_IFDIR))
                else:
                    kind = stat.S_IFREG if entry.is_file(follow_symlinks=False) else stat.S_IFIFO
                    found.append((entry.name, kind))
        found.sort()
        for name, kind in found:
            yield folder + name, kind
