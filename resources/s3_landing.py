"""The landing area as a prefix of an S3 bucket."""

import errno
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, Final, cast

from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from mm_assets.errors import RecordError, UnsafePathError
from mm_assets.landing import LandedObject
from mm_assets.raw_pools.names import SUCCESS, check_name, missing_file, shown

S3_SCHEME: Final = "s3://"
_MISSING: Final = {"404", "NoSuchKey", "NotFound", "KeyTooLongError"}
_CHANGED: Final = {"412", "PreconditionFailed"}
_BUFFER_BYTES: Final = 1_048_576
_SKIP_BYTES: Final = 1_048_576  # reading on is cheaper than a new request up to about here
_BEYOND_END: Final = {"416", "InvalidRange"}
_ATTEMPTS: Final = 5
# boto3 retries requests; a body that breaks off is ours to ask for again.
_RETRY: Final = retry(
    retry=retry_if_exception_type((HTTPClientError, IncompleteReadError)),
    stop=stop_after_attempt(_ATTEMPTS),
    wait=wait_random_exponential(multiplier=0.1, max=5.0),
    reraise=True,
)


class S3Landing:
    """A prefix of a bucket with one folder per batch. S3 has no links."""

    def __init__(self, client: Any, bucket: str, prefix: str = "") -> None:  # noqa: ANN401 - boto3 has no types
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._root_uri = f"{S3_SCHEME}{bucket}/{self._prefix}"

    def batches(self) -> list[str]:
        """Names of the finished batches, sorted."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix, Delimiter="/"
        )
        folders = [
            folder["Prefix"][len(self._prefix) : -1] for page in pages for folder in page.get("CommonPrefixes", ())
        ]
        with ThreadPoolExecutor(8, thread_name_prefix="batches") as pool:
            finished = pool.map(self._is_finished, folders)
            return sorted(name for name, done in zip(folders, finished, strict=True) if done)

    def objects(self, prefix: str) -> Iterator[LandedObject]:
        """Files below the prefix, in order of key."""
        folder = prefix.strip("/")
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + (f"{folder}/" if folder else "")
        )
        for page in pages:
            for entry in page.get("Contents", ()):
                key = entry["Key"][len(self._prefix) :]
                if key and not (key.endswith("/") and entry["Size"] == 0):  # the console's folder markers
                    yield LandedObject(key, entry["Size"], entry["ETag"].strip('"'))

    def links(self, prefix: str) -> list[str]:  # noqa: ARG002 - the landing's face
        """None: S3 has no links."""
        return []

    def find(self, key: str) -> LandedObject | None:
        """The file at this key, or None."""
        try:
            found = self._client.head_object(Bucket=self._bucket, Key=self._full_key(key))
        except ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                return None
            raise
        return LandedObject(key, found["ContentLength"], found["ETag"].strip('"'))

    def open(self, key: str) -> BinaryIO:
        """Open for streaming, seekable reads."""
        stream = _S3Stream(self._client, self._bucket, self._full_key(key), key)
        return cast("BinaryIO", io.BufferedReader(stream, _BUFFER_BYTES))

    def read(self, key: str, offset: int = 0, size: int | None = None) -> bytes:
        """A byte range, or the whole file."""
        if size is not None and size <= 0:  # S3 has no empty range
            return b""
        last = "" if size is None else offset + size - 1
        return self._read_range(key, f"bytes={offset}-{last}")

    def uri(self, key: str) -> str:
        """URI of a key."""
        return self._root_uri + key

    def key(self, uri: str) -> str:
        """Key of a URI that `uri` made."""
        if not uri.startswith(self._root_uri):
            raise UnsafePathError(
                "UNSAFE_PATH", f"{shown(uri)} lies outside {self._root_uri}; set MM_LANDING to its root"
            )
        return check_name(uri[len(self._root_uri) :], self._root_uri)

    @_RETRY
    def _read_range(self, key: str, byte_range: str) -> bytes:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._full_key(key), Range=byte_range)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _MISSING:
                raise missing_file(key) from error
            if code in _BEYOND_END:
                return b""
            raise
        return answer["Body"].read()

    def _full_key(self, key: str) -> str:
        return self._prefix + check_name(key, "landing")

    def _is_finished(self, name: str) -> bool:
        try:
            return self.find(f"{name}/{SUCCESS}") is not None
        except UnsafePathError:
            return False


class _S3Stream(io.RawIOBase):
    """One object as a seekable stream: reading on costs no request, a jump costs one.

    The ETag of the first answer is asked for again, so that a reader never sees two versions of an object.
    """

    def __init__(self, client: Any, bucket: str, full_key: str, key: str) -> None:  # noqa: ANN401 - boto3 has no types
        self._client = client
        self._request = {"Bucket": bucket, "Key": full_key}
        self._key = key
        self._position = 0
        self._body: Any = None
        answer = self._get({})
        self._size, self._body = answer["ContentLength"], answer["Body"]
        self._request["IfMatch"] = answer["ETag"]

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Position of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; a short way ahead by reading on."""
        target = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if target < 0:
            raise OSError(errno.EINVAL, "negative position")
        ahead = target - self._position
        while 0 < ahead <= _SKIP_BYTES and target <= self._size and self._body is not None:
            ahead -= len(self._fetch(ahead))
        if target != self._position:
            self._drop()
            self._position = target
        return target

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        """Read at most the buffer's length."""
        view = memoryview(buffer).cast("B")
        content = self._fetch(min(len(view), max(0, self._size - self._position)))
        view[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Close the answer under way."""
        self._drop()
        super().close()

    @_RETRY
    def _fetch(self, size: int) -> bytes:
        if size == 0:
            return b""
        if self._body is None:
            self._body = self._get({"Range": f"bytes={self._position}-"})["Body"]
        try:
            content = self._body.read(size)
        except (HTTPClientError, IncompleteReadError):
            self._drop()
            raise
        self._position += len(content)
        return content

    def _get(self, more: dict[str, str]) -> dict[str, Any]:
        try:
            return self._client.get_object(**self._request, **more)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _MISSING:
                raise missing_file(self._key) from error
            if code in _CHANGED:
                raise RecordError(
                    "FILE_CHANGED",
                    f"{shown(self._key)} changed while it was read; deliver the batch again, _SUCCESS last",
                ) from error
            raise

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
