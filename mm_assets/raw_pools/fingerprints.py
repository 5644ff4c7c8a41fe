"""Hash the files that records declare, as a stream, some at once where the store is far away.

What a DICOM file says of orientation joins its record here, where the bytes are at hand.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from mm_assets.errors import InputError, RecordError
from mm_assets.landing import LandedObject, Landing
from mm_assets.policy import IngestPolicy
from mm_assets.raw_pools.names import DICOM_SUFFIXES, suffix_of
from mm_assets.raw_pools.records import Bytes, DeclaredImage, ImageRecord, Record, Rejection

_WHOLE_BYTES: Final = 1_048_576
_WAITING_PER_THREAD: Final = 4

Declared = tuple[DeclaredImage, LandedObject]
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def hash_files(declared: Iterator[Declared | Rejection], landing: Landing, policy: IngestPolicy) -> Iterator[Record]:
    """Hash the file of every declared image, in order; rejections pass through."""
    return run_ahead(declared, lambda item: _hash(item, landing, policy), landing, policy)


def run_ahead(
    items: Iterable[ItemT], work: Callable[[ItemT], list[ResultT]], landing: Landing, policy: IngestPolicy
) -> Iterator[ResultT]:
    """Results of every item, in order.

    Local files are read one after the other. From an object store ``policy.remote_read_threads`` are on their way
    at once, with four records per thread waiting.
    """
    if landing.uri("").startswith("file:"):
        for item in items:
            yield from work(item)
        return
    waiting: deque[Future[list[ResultT]]] = deque()
    with ThreadPoolExecutor(policy.remote_read_threads, thread_name_prefix="run_ahead") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= policy.remote_read_threads * _WAITING_PER_THREAD:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _hash(item: Declared | Rejection, landing: Landing, policy: IngestPolicy) -> list[Record]:
    if isinstance(item, Rejection):
        return [item]
    image, landed = item
    try:
        at = hash_file(landing, landed, policy, image.record_ref)
        return [describe_file(image, at, lambda size: landing.read(landed.key, 0, size))]
    except InputError as error:
        return [*image.reject(error)]


def describe_file(image: DeclaredImage, at: Bytes, read: Callable[[int], bytes]) -> ImageRecord:
    """The record with its bytes, and with what a DICOM file says of its orientation.

    Args:
        image: the record as declared.
        at: where its file lies.
        read: the first so many bytes of the file.

    Raises:
        DecodeError: the file is named as DICOM and is none that can be read.
        RecordError, UnsafePathError: the file is gone since it was hashed.
    """
    if suffix_of(image.file_name) not in DICOM_SUFFIXES:
        return ImageRecord(image, at)
    from mm_assets.raw_pools.dicom import add_orientation  # noqa: PLC0415 - pydicom takes a second to load

    return ImageRecord(add_orientation(image, read, at.size_bytes), at)


def check_size(size_bytes: int, policy: IngestPolicy, where: str) -> None:
    """Refuse an image that is empty or too large to be read.

    Raises:
        RecordError: code ``EMPTY_FILE`` or ``FILE_TOO_LARGE``.
    """
    if size_bytes == 0:
        raise RecordError("EMPTY_FILE", f"{where}: the image file has no bytes; deliver it again")
    if size_bytes > policy.max_image_bytes:
        raise RecordError(
            "FILE_TOO_LARGE",
            f"{where}: {size_bytes} bytes of image, more than {policy.max_image_bytes}; deliver a smaller one",
        )


def hash_file(landing: Landing, landed: LandedObject, policy: IngestPolicy, where: str) -> Bytes:
    """SHA-256 of a whole image file.

    Raises:
        RecordError: as `check_size` and `hash_content`.
        UnsafePathError: the file was replaced by a link out of its batch.
    """
    check_size(landed.size_bytes, policy, where)
    return hash_content(landing, landed, where)


def hash_content(landing: Landing, landed: LandedObject, where: str) -> Bytes:
    """SHA-256 of a whole file of any size, read as a stream.

    Raises:
        RecordError: code ``MISSING_FILE``, ``UNREADABLE_FILE`` or ``FILE_CHANGED``.
        UnsafePathError: the file was replaced by a link out of its batch.
    """
    if landed.size_bytes <= _WHOLE_BYTES:
        content = landing.read(landed.key, 0, landed.size_bytes + 1)
        digest, size_bytes = hashlib.sha256(content), len(content)
    else:
        digest, size_bytes = hashlib.sha256(), 0
        with landing.open(landed.key) as stream:
            while (block := stream.read(_WHOLE_BYTES)) and size_bytes <= landed.size_bytes:
                digest.update(block)
                size_bytes += len(block)
    if size_bytes != landed.size_bytes:
        raise RecordError(
            "FILE_CHANGED", f"{where}: {landed.key} changed while it was read; deliver the batch again, _SUCCESS last"
        )
    return Bytes(landed.key, None, 0, size_bytes, digest.hexdigest())
