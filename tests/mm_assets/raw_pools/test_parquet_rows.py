import base64
import io
import random
import sys
import zlib

import polars as pl
import pytest

from mm_assets.errors import ContractError
from mm_assets.landing import LandedObject
from mm_assets.policy import IngestPolicy
from mm_assets.raw_pools.parquet_child import End, Fault, Limits, Rows, read_rows
from mm_assets.raw_pools.parquet_rows import read_parquet_rows

LIMITS = Limits(max_text_bytes=1_000, chunk_rows=64, chunk_bytes=100_000, memory_bytes=2**33)
# A Parquet file of nine rows with one byte changed, which makes polars 2.1.0 allocate 2**61 bytes and abort.
ABORTING = zlib.decompress(
    base64.b64decode(
        "eNp9kc9OwkAQxreAhBhiCGE2bdJDD9KAEiwrpC23rSFCJFqaGBNvxXaFpFBDK3+8+CI+hQefz93VgyfnMF+++X0zh12fBj0ogQ7GlAtC6KRf5D1d"
        "x0LyXQoIGqB24B1qUIYyQsenghytFKV4BlVtgMo1TS3l8T6HAq7jBOemZ1aQpmMPhphHoaB1xqVNmvIAgmqz8JNuoqnOKa5ruqabX4r+zzH8qUAD"
        "cVs3KzhvIH5drdIguHsYZk+LeBWqH8qFKGJRXiPRnC33+9mvl6MbSjN6JXVGz33Odzsxn1D6/Dcnmy34QXIJr6lE91QsexPqSR2Je7xkjlL/jS85"
        "I4mEHwdJPJ5RpN76aRJuMqP1csgX6bptbONNtkzXBun2upbRmr8uk8iwmWuReXTJWERsxhwS9frEdkLLDYk7YIwwO4wjl7Q1Xbzdo4KQzz/wGzzY"
        "YwE="
    )
)


def parquet(row_group_size: int = 2, **columns: object) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_parquet(buffer, row_group_size=row_group_size)
    return buffer.getvalue()


def decode(content: bytes) -> tuple[list[tuple], Fault | End]:
    *messages, last = read_rows(io.BytesIO(content), LIMITS)
    assert all(isinstance(message, Rows) for message in messages)
    assert not isinstance(last, Rows)
    return [row for message in messages for row in message.rows], last


def test_columns_are_found_by_name_and_others_are_left() -> None:
    content = parquet(x=[1, 2], license=["MIT", None], text=["a", "b"])
    rows, last = decode(content)
    assert [(row[:5], row[-1]) for row in rows] == [
        (("a", None, None, None, "MIT"), False),
        (("b", None, None, None, None), False),
    ]
    assert last == End()


def test_categories_and_nulls_are_strings() -> None:
    content = parquet(text=["a", None], kind=pl.Series(["code", "code"], dtype=pl.Categorical), source=[None, None])
    assert [row[:2] for row in decode(content)[0]] == [("a", "code"), (None, "code")]


def test_value_that_is_too_long_is_left_out_and_said_so() -> None:
    rows, last = decode(parquet(text=["x" * 1_001, "x" * 1_000, "a"], license=[None, None, "y" * 1_025]))
    assert [(row[0] is None, row[-1]) for row in rows] == [(True, True), (False, False), (False, True)]
    assert last == End()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"PAR1 nothing PAR1", "PARQUET_CORRUPT"),
        (b"\0" * 100, "PARQUET_CORRUPT"),
        (parquet(body=["x"]), "MISSING_FIELD"),
        (parquet(text=[1]), "WRONG_TYPE"),
        (parquet(text=["x"], kind=[1]), "WRONG_TYPE"),
        (parquet(text=[["x"]]), "WRONG_TYPE"),
    ],
)
def test_file_that_cannot_be_used_is_one_fault(content: bytes, code: str) -> None:
    rows, last = decode(content)
    assert isinstance(last, Fault)
    assert (rows, last.code) == ([], code)
    assert ";" in last.reason


def test_damage_anywhere_is_a_fault_or_leaves_every_row() -> None:
    # polars 2.1.0 takes a damaged page header for the end of the column and gives fewer rows without an error.
    whole = parquet(text=[f"row {n} " + "x" * 50 for n in range(20)])
    short = 0
    for start in range(4, len(whole) - 40, 7):
        damaged = bytearray(whole)
        damaged[start : start + 40] = b"\xff" * 40
        rows, last = decode(bytes(damaged))
        assert isinstance(last, Fault) or len(rows) == 20
        short += isinstance(last, Fault) and "it declares" in last.reason
    assert short > 0


def test_messages_are_bounded_in_bytes() -> None:
    # One long value in a dictionary decodes to as many references; each would become a Python string.
    limits = Limits(max_text_bytes=1_000_000, chunk_rows=512, chunk_bytes=2_000_000, memory_bytes=2**33)
    content = parquet(300, text=["x" * 900_000] * 300)
    assert len(content) < 1_000_000
    sizes = [len(message.rows) for message in read_rows(io.BytesIO(content), limits) if isinstance(message, Rows)]
    assert sum(sizes) == 300
    assert max(sizes) == 2


def test_file_that_aborts_its_process_costs_one_record(read, jsonl) -> None:
    outcome = read({"text/a.parquet": ABORTING, "text/b.jsonl": jsonl({"text": "Other file."})})
    assert [row["text"] for row in outcome.texts] == ["Other file."]
    assert "crashed (signal 6)" in outcome.reason("PARQUET_CORRUPT")


def test_decompression_bomb_ends_in_its_own_process(read_local) -> None:
    bomb = parquet(300, text=[f"{n} " + "x" * 2_000_000 for n in range(150)])
    assert len(bomb) < 200_000
    outcome = read_local(
        {"text/a.parquet": bomb, "text/b.txt": b"Other."}, IngestPolicy(parquet_memory_bytes=900_000_000)
    )
    assert [row["text"] for row in outcome.texts] == ["Other."]
    assert "crashed" in outcome.reason("PARQUET_CORRUPT")


def test_rows_beyond_the_text_a_file_may_decode_to_are_one_rejected_record(read_local) -> None:
    many = parquet(300, text=["x" * 1_000] * 300)
    policy = IngestPolicy(max_text_file_bytes=20_500, chunk_rows=10)
    outcome = read_local({"text/a.parquet": many, "text/b.txt": b"Other."}, policy)
    assert [row["record_ref"] for row in outcome.texts][-2:] == ["b1/text/a.parquet#row/19", "b1/text/b.txt"]
    assert "row 20 and those behind it" in outcome.reason("FILE_TOO_LARGE")


def test_process_that_stands_still_is_ended(read_local) -> None:
    outcome = read_local({"text/a.parquet": parquet(text=["a"])}, IngestPolicy(parquet_stall_seconds=0.01))
    assert "stood still for 0.01 s" in outcome.reason("PARQUET_CORRUPT")


def test_rows_before_the_damage_are_kept(read_local) -> None:
    generator = random.Random(1)  # noqa: S311 - content, no secret
    texts = [generator.randbytes(100).hex() for _ in range(4_000)]
    buffer = io.BytesIO()
    pl.DataFrame({"text": texts}).write_parquet(buffer, row_group_size=1_000, compression="zstd")
    content = bytearray(buffer.getvalue())
    page = content.index(b"\x28\xb5\x2f\xfd", len(content) // 2)  # a zstd frame in the second half
    content[page : page + 4] = b"\0" * 4
    outcome = read_local({"text/a.parquet": bytes(content)})
    assert 0 < len(outcome.texts) < 4_000
    assert [row["text"] for row in outcome.texts] == texts[: len(outcome.texts)]
    assert outcome.codes == ["PARQUET_CORRUPT"]


def test_process_that_cannot_work_is_no_fault_of_the_file(monkeypatch) -> None:
    content = parquet(text=["a"])
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ContractError, match="status 1"):
        list(read_parquet_rows(io.BytesIO(content), LandedObject("k", len(content), "v"), IngestPolicy()))


def test_reader_that_stops_early_leaves_no_process() -> None:
    content = parquet(100, text=["a"] * 1_000)
    rows = read_parquet_rows(io.BytesIO(content), LandedObject("k", len(content), "v"), IngestPolicy(chunk_rows=10))
    assert next(rows)[0] == 0
    rows.close()
