"""Releases in an object store: files first, ``manifest.json`` last, so that no half release is ever seen."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from mm_assets.errors import ReleaseError
from mm_assets.fusion.release_format import MANIFEST_NAME
from mm_assets.identifiers import BATCH_ID
from mm_assets.mixtures.release_folder import FolderStore, LocalReleases

_SCHEME: Final = "s3://"
_DELETE_AT_ONCE: Final = 1_000
_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound"})


class S3Releases:
    """Releases below a bucket prefix. Object stores have no rename: the manifest makes a release.

    Replacing a release first takes its manifest away, so a crash in between leaves no release of that name.

    Args:
        client: boto3 S3 client.
        bucket: bucket.
        prefix: key prefix of all releases, without slashes at its ends; may be empty.
        scratch: local folder to stage in; the system's temporary folder if None.
    """

    def __init__(self, client: Any, bucket: str, prefix: str, scratch: Path | None = None) -> None:  # noqa: ANN401 - boto3
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._scratch = scratch

    @contextmanager
    def staging(self, release: str) -> Iterator[Path]:
        """A local temporary folder; see `FolderStore`."""
        with tempfile.TemporaryDirectory(prefix=f"{release}.tmp-", dir=self._scratch) as folder:
            yield Path(folder)

    def publish(self, release: str, folder: Path) -> str:
        """Upload a staged folder, the manifest last; see `FolderStore`."""
        manifest = folder / MANIFEST_NAME
        if not manifest.is_file():
            raise ReleaseError(f"{folder}: has no {MANIFEST_NAME}; write it before publishing")
        self.delete(release)
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path != manifest:
                self._client.upload_file(str(path), self._bucket, self._key(release, path.relative_to(folder)))
        self._client.put_object(
            Bucket=self._bucket, Key=self._key(release, Path(MANIFEST_NAME)), Body=manifest.read_bytes()
        )
        return f"{_SCHEME}{self._bucket}/{self._prefix}{release}"

    def exists(self, release: str) -> bool:
        """Whether the release is there, whole."""
        try:
            self._client.head_object(Bucket=self._bucket, Key=self._key(release, Path(MANIFEST_NAME)))
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _ABSENT:
                return False
            raise ReleaseError(f"{_SCHEME}{self._bucket}/{self._prefix}{release}: {error}") from error
        return True

    def releases(self) -> list[str]:
        """Names of the releases that are there, sorted."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix, Delimiter="/"
        )
        found = (entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", ()))
        names = (prefix.removeprefix(self._prefix).rstrip("/") for prefix in found)
        return sorted(name for name in names if BATCH_ID.fullmatch(name) and self.exists(name))

    def read_manifest(self, release: str) -> bytes:
        """Its ``manifest.json``."""
        key = self._key(release, Path(MANIFEST_NAME))
        return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()

    @contextmanager
    def opened(self, release: str) -> Iterator[Path]:
        """A local copy, gone afterwards; see `FolderStore`."""
        with tempfile.TemporaryDirectory(prefix=f"{release}.tmp-", dir=self._scratch) as name:
            folder, prefix = Path(name), self._key(release, Path())
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=f"{prefix}/")
            for key in (entry["Key"] for page in pages for entry in page.get("Contents", ())):
                path = folder / key.removeprefix(f"{prefix}/")
                path.parent.mkdir(parents=True, exist_ok=True)
                self._client.download_file(self._bucket, key, str(path))
            yield folder

    def delete(self, release: str) -> None:
        """Remove the release; first its manifest, so that no half of it is ever taken for a release."""
        self._client.delete_object(Bucket=self._bucket, Key=self._key(release, Path(MANIFEST_NAME)))
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=f"{self._prefix}{release}/"
        )
        keys = [{"Key": entry["Key"]} for page in pages for entry in page.get("Contents", ())]
        for start in range(0, len(keys), _DELETE_AT_ONCE):
            self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": keys[start : start + _DELETE_AT_ONCE]})

    def _key(self, release: str, path: Path) -> str:
        return f"{self._prefix}{(Path(release) / path).as_posix()}"


def releases_of_lake(lake_root: str) -> FolderStore:
    """The releases of a lake: ``<lake>/releases``, on a folder or on S3."""
    root = f"{lake_root.rstrip('/')}/releases"
    if not root.startswith(_SCHEME):
        return open_release_store(root)
    return open_release_store(root, boto3.client("s3", config=Config(retries={"mode": "standard", "max_attempts": 5})))


def open_release_store(root: str, s3_client: Any = None) -> FolderStore:  # noqa: ANN401 - boto3
    """The store of releases at a folder or ``s3://bucket/prefix``.

    Raises:
        ReleaseError: an ``s3://`` root without a client or a bucket.
    """
    if not root.startswith(_SCHEME):
        return LocalReleases(Path(root))
    bucket, _, prefix = root.removeprefix(_SCHEME).partition("/")
    if s3_client is None or not bucket:
        raise ReleaseError(f"release root {root!r} needs a bucket and an S3 client; configure the object store")
    return S3Releases(s3_client, bucket, prefix)
