"""Names inside a delivery: which are safe to open, and how hostile ones are shown."""

from pathlib import PurePosixPath
from typing import Final

from mm_assets.errors import RecordError, UnsafePathError

SUCCESS: Final = "_SUCCESS"
DICOM_SUFFIXES: Final = frozenset({".dcm", ".dicom"})
IMAGE_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}) | DICOM_SUFFIXES
_DICOM_MAGIC: Final = (128, b"DICM")  # after a preamble of any bytes, PS3.10
MAX_NAME_BYTES: Final = 1_024  # the longest key S3 accepts
_SHOWN_CHARACTERS: Final = 120


def shown(name: str) -> str:
    r"""The name as it may stand in a message: quoted, escaped and cut.

    >>> shown("a\udcffb")
    "'a\\udcffb'"
    """
    return repr(name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}…")


def storable(text: str) -> str:
    r"""The text with lone surrogates written as escapes, so that UTF-8 storage accepts it.

    >>> storable("a\udcffb")
    'a\\udcffb'
    """
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def suffix_of(name: str) -> str:
    """The last suffix in lower case, with its dot; empty if there is none.

    >>> suffix_of("sub/A.PNG")
    '.png'
    """
    return PurePosixPath(name).suffix.lower()


def is_dicom(data: bytes) -> bool:
    """Whether the bytes start as a DICOM file does.

    >>> is_dicom(bytes(128) + b"DICM"), is_dicom(b"DICM")
    (True, False)
    """
    start, magic = _DICOM_MAGIC
    return data[start : start + len(magic)] == magic


def check_name(name: str, where: str) -> str:
    """Return the name unchanged if it is a plain relative path that cannot lead out of its folder.

    Args:
        name: ``/`` separated path as somebody else wrote it.
        where: what holds the name, such as ``b1/images/metadata.jsonl:12``; opens the message.

    Raises:
        UnsafePathError: code ``UNSAFE_PATH``, ``NAME_TOO_LONG`` or ``INVALID_UTF8``.

    >>> check_name("sub/0001.png", "manifest:1")
    'sub/0001.png'
    >>> check_name("../0001.png", "manifest:1")
    Traceback (most recent call last):
    mm_assets.errors.UnsafePathError: UNSAFE_PATH: manifest:1: name '../0001.png' is not a plain relative path ...
    """
    if not name.isascii():
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise UnsafePathError(
                "INVALID_UTF8", f"{where}: name {shown(name)} is not valid UTF-8; rename the file and its record"
            ) from None
    if len(name) > MAX_NAME_BYTES or len(name.encode("utf-8")) > MAX_NAME_BYTES:
        raise UnsafePathError(
            "NAME_TOO_LONG", f"{where}: name {shown(name)} is longer than {MAX_NAME_BYTES} bytes; rename the file"
        )
    if "\\" in name or "\0" in name or any(segment in {"", ".", ".."} for segment in name.split("/")):
        raise UnsafePathError(
            "UNSAFE_PATH",
            f"{where}: name {shown(name)} is not a plain relative path (no '..', '.', leading or double '/', "
            "backslash or NUL); name the file relative to its folder",
        )
    return name


def missing_file(key: str) -> RecordError:
    """The error of a key with nothing behind it."""
    return RecordError("MISSING_FILE", f"{shown(key)} is no file of the landing area; deliver it or drop its record")
