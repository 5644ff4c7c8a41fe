"""Rows as suppliers write them, and the one place where JSON becomes typed."""

import re
from typing import Annotated, Final, Never, TypeVar

import msgspec

from mm_assets.errors import RecordError

T = TypeVar("T")
Box = tuple[float, float, float, float]
ShortId = int | Annotated[str, msgspec.Meta(max_length=200)]

# A whole string, so that a NaN inside one is left alone, or a number JSON does not have. Possessive: linear time.
_STRING_OR_NAN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|-?(?:NaN|Infinity)\b', re.DOTALL)
_OUT_OF_RANGE: Final = b"1e999"  # legal JSON that no float can hold


class Objects(msgspec.Struct, omit_defaults=True):
    """Boxes in the batch's convention, with one category each."""

    bbox: list[Box]
    categories: list[str | int] | None = None


class RowFields(msgspec.Struct, kw_only=True):
    """What every image record may declare, whatever its form."""

    text: str | None = None
    descriptions: list[str] | None = None
    objects: Objects | None = None
    orientation: dict[str, object] | None = None
    width: int | None = None
    height: int | None = None
    license: str | None = None
    source: str | None = None
    source_id: ShortId | None = None
    language: str | None = None


class ImageRow(RowFields):
    """A line of ``images/metadata.jsonl``."""

    file_name: str


class SampleRow(RowFields):
    """The ``.json`` member of a WebDataset sample; ``caption`` is how common downloaders spell ``text``."""

    caption: str | None = None


class TextRow(msgspec.Struct):
    """A line of ``text/*.jsonl``."""

    text: str
    kind: str | None = None
    language: str | None = None
    source: str | None = None
    license: str | None = None


def decode_json(content: bytes | memoryview | msgspec.Raw, decoder: msgspec.json.Decoder[T], where: str) -> T:
    """Decode one typed JSON document that somebody else wrote.

    Args:
        content: the document.
        decoder: decoder of the wanted type.
        where: file and line, or archive and member; opens every message.

    Raises:
        RecordError: code ``NUL_BYTE``, ``INVALID_UTF8``, ``INVALID_JSON``, ``NAN_VALUE``, ``MISSING_FIELD`` or
            ``WRONG_TYPE``.
    """
    raw = bytes(content)
    if b"\0" in raw:
        raise RecordError("NUL_BYTE", f"{where}: NUL byte at byte {raw.index(0)}; write the file as UTF-8 text")
    if not raw.isascii():
        check_utf8(raw, where)
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        _refuse_shape(error, where)
    except msgspec.DecodeError as error:
        if mask_nan(raw) is not None:
            raise RecordError(
                "NAN_VALUE", f"{where}: NaN or Infinity, which JSON does not have; write the number or leave it out"
            ) from None
        raise RecordError("INVALID_JSON", f"{where}: {error}; write one JSON object") from None
    except RecursionError:
        raise RecordError("INVALID_JSON", f"{where}: nested too deeply; flatten the object") from None


def _refuse_shape(error: msgspec.ValidationError, where: str) -> Never:
    message = str(error)
    if "missing required field" in message:
        code, fix = "MISSING_FIELD", "add the field"
    elif message.startswith("Number out of range"):
        code, fix = "NAN_VALUE", "write a finite number"
    else:
        code, fix = "WRONG_TYPE", "write the type of the batch contract"
    raise RecordError(code, f"{where}: {message}; {fix}") from None


def check_utf8(content: bytes, where: str) -> str:
    """Decode as UTF-8.

    Raises:
        RecordError: code ``INVALID_UTF8``.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecordError(
            "INVALID_UTF8", f"{where}: byte {error.start} is not valid UTF-8; save the file as UTF-8"
        ) from None


def mask_nan(content: bytes) -> bytes | None:
    """Write NaN and Infinity as a number out of range, which is JSON; None if there is neither.

    >>> mask_nan(b'{"a": NaN, "b": "NaN"}')
    b'{"a": 1e999, "b": "NaN"}'
    """
    found = False

    def replace(match: re.Match[bytes]) -> bytes:
        nonlocal found
        token = match[0]
        if token.startswith(b'"'):
            return token
        found = True
        return _OUT_OF_RANGE

    if b"NaN" not in content and b"Infinity" not in content:
        return None
    masked = _STRING_OR_NAN.sub(replace, content)
    return masked if found else None
