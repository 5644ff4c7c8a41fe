"""Rows as suppliers write them, and the one place where JSON becomes typed."""

import re
from typing import Annotated, Final, Never, TypeVar

import msgspec

from mm_assets.errors import RecordError

T = TypeVar("T")
RowT = TypeVar("RowT", bound="RowFields")
Box = tuple[float, float, float, float]
DeclaredBox = list[float | None]
ShortId = int | Annotated[str, msgspec.Meta(max_length=200)]

# A whole string, so that a NaN inside one is left alone, or a number JSON does not have. Possessive: linear time.
_STRING_OR_NAN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|-?(?:NaN|Infinity)\b', re.DOTALL)
_OUT_OF_RANGE: Final = b"1e999"  # legal JSON that no float can hold


class Objects(msgspec.Struct):
    """Boxes in the batch's convention, with one category each; boxes are decoded apart, see `decode_boxes`."""

    bbox: msgspec.Raw
    categories: list[str | int] | None = None
    annotators: list[str | None] | None = None


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
    annotator: str | None = None


class ImageRow(RowFields):
    """A line of ``images/metadata.jsonl``."""

    file_name: str


class SampleRow(RowFields):
    """The ``.json`` member of a WebDataset sample; ``caption`` is how common downloaders spell ``text``."""

    caption: str | None = None


_NOTHING: Final = msgspec.Raw()


class TextRow(msgspec.Struct):
    """A line of ``text/*.jsonl``; who wrote the text may be told in any form."""

    text: str
    kind: str | None = None
    language: str | None = None
    source: str | None = None
    license: str | None = None
    generator: msgspec.Raw = _NOTHING
    prompt_version: msgspec.Raw = _NOTHING
    spot_check: msgspec.Raw = _NOTHING


_BOXES: Final = msgspec.json.Decoder(list[DeclaredBox])
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_NUMBER: Final = msgspec.json.Decoder(float)


def decode_row(content: bytes, decoder: msgspec.json.Decoder[RowT], where: str) -> RowT:
    """Decode the row of an image; a NaN inside a box is that box's fault, not the row's.

    Raises:
        RecordError: as `decode_json`.
    """
    try:
        return decode_json(content, decoder, where)
    except RecordError as error:
        masked = mask_nan(content) if error.code == "NAN_VALUE" else None
        if masked is None:
            raise
        row = decode_json(masked, decoder, where)
        in_boxes = 0 if row.objects is None else bytes(row.objects.bbox).count(_OUT_OF_RANGE)
        if in_boxes < masked.count(_OUT_OF_RANGE):
            raise
        return row


def decode_boxes(raw: msgspec.Raw, where: str) -> list[DeclaredBox]:
    """Numbers of every box, as many as it has; null for what is no finite number, none for what is no list.

    Raises:
        RecordError: code ``WRONG_TYPE``, the boxes are no list.

    >>> decode_boxes(msgspec.Raw(b'[[1, 2, 3, 4], [5, "6", 1e999], 7]'), "row")
    [[1.0, 2.0, 3.0, 4.0], [5.0, None, None], []]
    """
    try:
        return _BOXES.decode(raw)
    except msgspec.DecodeError:
        pass
    try:
        boxes = _ITEMS.decode(raw)
    except msgspec.DecodeError as error:
        raise RecordError("WRONG_TYPE", f"{where}: objects.bbox: {error}; write a list of boxes") from None
    return [_decode_box(box) for box in boxes]


def _decode_box(raw: msgspec.Raw) -> DeclaredBox:
    try:
        return [_decode_number(item) for item in _ITEMS.decode(raw)]
    except msgspec.DecodeError:
        return []


def _decode_number(raw: msgspec.Raw) -> float | None:
    try:
        return _NUMBER.decode(raw)
    except msgspec.DecodeError:
        return None


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
