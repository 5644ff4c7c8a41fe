"""Plain files beside the Delta tables: sharded features, written whole or not at all."""

import os
import uuid
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import urlsplit

from mm_assets.errors import UnsafePathError


def _safe(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path or not pure.parts:
        raise UnsafePathError("UNSAFE_PATH", f"lake path {path[:120]!r} leads out of the lake")
    return str(pure)


class LakeFiles(Protocol):
    """Files of the lake, by path relative to its root."""

    def put_bytes(self, path: str, data: bytes) -> None:
        """Write the file; readers see the old content or the new, never a part."""
        ...

    def get_bytes(self, path: str) -> bytes:
        """The whole file."""
        ...

    def local_path(self, path: str) -> Path | None:
        """The file's local path for memory mapping, or None in an object store."""
        ...

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        ...

    def names(self, prefix: str) -> list[str]:
        """Paths of the files below a folder, at any depth, sorted."""
        ...

    def remove(self, path: str) -> None:
        """Delete the file if it is there."""
        ...

    def remove_prefix(self, prefix: str, keep: set[str]) -> int:
        """Delete the files below a folder that are not kept; returns how many."""
        ...


class LocalLakeFiles:
    """Files below a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put_bytes(self, path: str, data: bytes) -> None:
        """Write to a temporary file and rename."""
        target = self._root / _safe(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".tmp-{uuid.uuid4().hex}")
        try:
            with temporary.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def get_bytes(self, path: str) -> bytes:
        """The whole file."""
        return (self._root / _safe(path)).read_bytes()

    def local_path(self, path: str) -> Path | None:
        """The file's path."""
        return self._root / _safe(path)

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return (self._root / _safe(path)).is_file()

    def names(self, prefix: str) -> list[str]:
        """Paths of the files below a folder, those being written included."""
        files = (path for path in (self._root / _safe(prefix)).rglob("*") if path.is_file())
        return sorted(path.relative_to(self._root).as_posix() for path in files)

    def remove(self, path: str) -> None:
        """Delete the file if it is there."""
        (self._root / _safe(path)).unlink(missing_ok=True)

    def remove_prefix(self, prefix: str, keep: set[str]) -> int:
        """Delete the files directly below the folder that are not kept."""
        folder = self._root / _safe(prefix)
        if not folder.is_dir():
            return 0
        doomed = [file for file in folder.iterdir() if file.relative_to(self._root).as_posix() not in keep]
        for file in doomed:
            file.unlink(missing_ok=True)
        return len(doomed)


class S3LakeFiles:
    """Files below a bucket prefix."""

    def __init__(self, bucket: str, prefix: str) -> None:
        import boto3  # noqa: PLC0415 - only when the lake lies in S3
        from botocore.config import Config  # noqa: PLC0415

        self._client = boto3.client("s3", config=Config(retries={"mode": "standard", "max_attempts": 5}))
        self._bucket = bucket
        self._prefix = prefix.strip("/")

    def _key(self, path: str) -> str:
        return f"{self._prefix}/{_safe(path)}" if self._prefix else _safe(path)

    def put_bytes(self, path: str, data: bytes) -> None:
        """One PUT: atomic in S3."""
        self._client.put_object(Bucket=self._bucket, Key=self._key(path), Body=data)

    def get_bytes(self, path: str) -> bytes:
        """The whole object."""
        return self._client.get_object(Bucket=self._bucket, Key=self._key(path))["Body"].read()

    def local_path(self, path: str) -> Path | None:  # noqa: ARG002 - part of the protocol
        """None: there is no local file."""
        return None

    def exists(self, path: str) -> bool:
        """Whether there is such an object."""
        found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._key(path), MaxKeys=1)
        return any(item["Key"] == self._key(path) for item in found.get("Contents", ()))

    def names(self, prefix: str) -> list[str]:
        """Paths of the objects below a folder."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=f"{self._key(prefix)}/"
        )
        start = len(self._prefix) + 1 if self._prefix else 0
        return sorted(item["Key"][start:] for page in pages for item in page.get("Contents", ()))

    def remove(self, path: str) -> None:
        """Delete the object if it is there."""
        self._client.delete_object(Bucket=self._bucket, Key=self._key(path))

    def remove_prefix(self, prefix: str, keep: set[str]) -> int:
        """Delete the objects below the folder that are not kept."""
        kept = {self._key(path) for path in keep}
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=f"{self._key(prefix)}/"
        )
        doomed = [item["Key"] for page in pages for item in page.get("Contents", []) if item["Key"] not in kept]
        for key in doomed:
            self._client.delete_object(Bucket=self._bucket, Key=key)
        return len(doomed)


def open_lake_files(root: str) -> LakeFiles:
    """The files of a lake root: a folder, or ``s3://bucket/prefix``."""
    if root.startswith("s3://"):
        parts = urlsplit(root)
        return S3LakeFiles(parts.netloc, parts.path)
    return LocalLakeFiles(Path(root))
