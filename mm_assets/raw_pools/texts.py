"""The text pool: ``text/*.jsonl`` (a record per line), ``*.parquet`` (a record per row), ``*.txt`` (a record per file).

A ``.txt`` file is one record, because nothing in it says where one text ends and the next begins; its kind is prose.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from mm_assets.errors import InputError, RecordError
from mm_assets.landing import LandedObject, Landing
from mm_assets.policy import IngestPolicy
from mm_assets.raw_pools.contract import TEXT_KINDS, BatchContract
from mm_assets.raw_pools.imagefolder import line_content
from mm_assets.raw_pools.inventory import link_outside
from mm_assets.raw_pools.lines import read_lines
from mm_assets.raw_pools.names import check_name, shown, suffix_of
from mm_assets.raw_pools.parquet_rows import read_parquet_rows
from mm_assets.raw_pools.records import Record, Rejection, TextRecord
from mm_assets.raw_pools.rows import TextRow, check_utf8, decode_json

_MAX_ORIGIN_CHARACTERS: Final = 200
DEFAULT_KIND: Final = "prose"
_DECODER: Final = msgspec.json.Decoder(TextRow)


def read_texts(landing: Landing, contract: BatchContract, policy: IngestPolicy) -> Iterator[Record]:
    """One record per text, file by file in order of key."""
    folder = f"{contract.batch}/text"
    for landed in landing.objects(f"{folder}/"):
        try:
            check_name(landed.key, folder)
            yield from _read_file(landed, landing, policy)
        except InputError as error:
            yield Rejection.of("text", landed.key, error)
    for link in landing.links(f"{folder}/"):
        yield Rejection.of("text", link, link_outside(folder, link))


def _read_file(landed: LandedObject, landing: Landing, policy: IngestPolicy) -> Iterator[Record]:
    suffix = suffix_of(landed.key)
    if suffix == ".jsonl":
        yield from _read_jsonl(landed, landing, policy)
    elif suffix == ".parquet":
        yield from _read_parquet(landed, landing, policy)
    elif suffix == ".txt":
        yield _read_txt(landed, landing, policy)
    else:
        raise unknown_form(landed.key, "text/*.jsonl, *.parquet or *.txt")


def unknown_form(key: str, known: str) -> RecordError:
    """The error of a file that no reader knows."""
    return RecordError("UNKNOWN_FORM", f"{key}: no reader for {shown(suffix_of(key))} here; deliver {known}")


def _read_jsonl(landed: LandedObject, landing: Landing, policy: IngestPolicy) -> Iterator[Record]:
    with landing.open(landed.key) as stream:
        for line in read_lines(stream, policy.max_line_bytes):
            where = f"{landed.key}:{line.number}"
            try:
                row = decode_json(line_content(line, policy, where), _DECODER, where)
                yield _record(row, landed.key, where, policy, (line.offset, line.size_bytes))
            except InputError as error:
                yield Rejection.of("text", where, error)


def _read_txt(landed: LandedObject, landing: Landing, policy: IngestPolicy) -> TextRecord:
    key = landed.key
    content = landing.read(key, 0, policy.max_text_bytes + 1)
    if len(content) > policy.max_text_bytes:
        raise RecordError(
            "TEXT_TOO_LARGE",
            f"{key}: {landed.size_bytes} bytes, more than {policy.max_text_bytes}; split it, or deliver JSON lines",
        )
    text = check_utf8(content, key).removeprefix("\ufeff")
    return _record(TextRow(text), key, key, policy, (0, len(content)))


def _read_parquet(landed: LandedObject, landing: Landing, policy: IngestPolicy) -> Iterator[Record]:
    with landing.open(landed.key) as stream:
        for index, row in read_parquet_rows(stream, landed, policy):
            where = f"{landed.key}#row/{index}"
            try:
                if isinstance(row, InputError):
                    raise row
                yield _record(row, landed.key, where, policy, (0, landed.size_bytes))
            except InputError as error:
                yield Rejection.of("text", where, error)


def _record(row: TextRow, key: str, where: str, policy: IngestPolicy, byte_range: tuple[int, int]) -> TextRecord:
    if not row.text or row.text.isspace():
        raise RecordError("MISSING_FIELD", f"{where}: 'text' is blank; write it or drop the record")
    for value in (row.text, row.kind, row.language, row.source, row.license):
        if value and "\0" in value:
            raise RecordError("NUL_BYTE", f"{where}: a value holds the NUL character; write it as plain text")
    if len(row.text) > policy.max_text_bytes or len(row.text.encode("utf-8")) > policy.max_text_bytes:
        raise RecordError(
            "TEXT_TOO_LARGE", f"{where}: the text has more than {policy.max_text_bytes} bytes; split it into records"
        )
    if row.kind is not None and row.kind not in TEXT_KINDS:
        raise RecordError(
            "UNKNOWN_KIND", f"{where}: kind {shown(row.kind)} is unknown; use one of {', '.join(TEXT_KINDS)}"
        )
    return TextRecord(
        record_ref=where,
        key=key,
        offset=byte_range[0],
        size_bytes=byte_range[1],
        text=row.text,
        kind=row.kind or DEFAULT_KIND,
        language=row.language,
        source=row.source,
        license=row.license,
        generator=_told(row.generator),
        prompt_version=_told(row.prompt_version),
        spot_check=_told(row.spot_check),
    )


def _told(value: msgspec.Raw) -> str | None:
    """What a row says of its origin, as text; anything but a string as JSON."""
    raw = bytes(value)
    try:
        told = msgspec.json.decode(raw, type=str) if raw.startswith(b'"') else raw.decode()
    except msgspec.DecodeError:
        told = raw.decode()
    return None if told in {"", "null"} else told.replace("\0", "")[:_MAX_ORIGIN_CHARACTERS]
