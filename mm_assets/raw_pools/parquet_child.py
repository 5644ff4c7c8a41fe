"""Decode one Parquet file in a process of its own: the file on standard input, messages on standard output.

polars aborts the whole process on some damaged files (a flipped bit can ask for 2**61 bytes), and a small file can
decompress without bound. Neither may take a run with it, so the decoding has its own process and address space.
Run by `mm_assets.raw_pools.parquet_rows`; imports nothing that takes long.
"""

import os
import resource
import sys
from collections.abc import Iterator
from typing import BinaryIO, Final

import msgspec
import polars as pl

COLUMNS: Final = ("text", "kind", "language", "source", "license")
ORIGIN_COLUMNS: Final = ("generator", "prompt_version", "spot_check")
"""Read where they are strings, passed over where they are not."""
PREFIX_BYTES: Final = 8
_FIELD_BYTES: Final = 1_024  # longest value of a column other than text

Text = str | None
Row = tuple[Text, Text, Text, Text, Text, Text, Text, Text, bool]


class Limits(msgspec.Struct):
    """Bounds the parent sets."""

    max_text_bytes: int
    chunk_rows: int
    chunk_bytes: int
    memory_bytes: int


class Rows(msgspec.Struct, tag=True):
    """Rows in order: the columns of `COLUMNS` and `ORIGIN_COLUMNS`, and whether a value was too long and left out."""

    rows: list[Row]


class Fault(msgspec.Struct, tag=True):
    """Why nothing more follows."""

    code: str
    reason: str


class End(msgspec.Struct, tag=True):
    """All rows were sent."""


Message = Rows | Fault | End


def read_rows(file: BinaryIO, limits: Limits) -> Iterator[Message]:
    """Yield the rows in messages bounded in rows and bytes; an end or a fault comes last."""
    index = 0
    try:
        for frame in _frames(file, limits):
            if isinstance(frame, Fault):
                yield frame
                return
            longest = frame.select(pl.col("text").str.len_bytes().max()).item() or 1
            for part in frame.iter_slices(max(1, limits.chunk_bytes // longest)):
                yield Rows(part.rows())
                index += part.height
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, OSError, MemoryError) as error:
        cause = f"{type(error).__name__}: {str(error)[:200]}"
        yield Fault(
            "PARQUET_CORRUPT", f"row {index} and those behind it cannot be read ({cause}); write the file again"
        )
    else:
        yield End()


_STRINGS: Final = (pl.String, pl.Categorical, pl.Enum, pl.Null)


def _frames(file: BinaryIO, limits: Limits) -> Iterator[pl.DataFrame | Fault]:
    scan = pl.scan_parquet(file, glob=False, hive_partitioning=False, low_memory=True)
    schema = scan.collect_schema()
    if "text" not in schema:
        yield Fault("MISSING_FIELD", f"no column 'text' among {list(schema)[:20]}; add it")
        return
    present = [name for name in COLUMNS if name in schema]
    wrong = [name for name in present if not isinstance(schema[name], _STRINGS)]
    if wrong:
        yield Fault("WRONG_TYPE", f"columns {wrong} are not strings; write them as strings")
        return
    columns: list[pl.Expr] = []
    too_long = pl.lit(value=False)
    for name in (*COLUMNS, *ORIGIN_COLUMNS):
        if name not in schema or not isinstance(schema[name], _STRINGS):
            columns.append(pl.lit(None, pl.String).alias(name))
            continue
        # A dictionary can repeat one long value without bound: it must not become that many Python strings.
        value = pl.col(name).cast(pl.String)
        short = value.str.len_bytes() <= (limits.max_text_bytes if name == "text" else _FIELD_BYTES)
        if name in ORIGIN_COLUMNS:
            columns.append(value.str.slice(0, _FIELD_BYTES).alias(name))
            continue
        columns.append(pl.when(short).then(value).alias(name))
        too_long = too_long | ~short.fill_null(value=True)
    declared, seen = scan.select(pl.len()).collect().item(), 0
    rows = scan.select(*columns, too_long.alias("too_long"))
    for frame in rows.collect_batches(chunk_size=limits.chunk_rows):
        seen += frame.height
        yield frame
    if seen != declared:  # polars takes a damaged page header for the end of the column, and says nothing
        yield Fault("PARQUET_CORRUPT", f"{seen} rows can be read of the {declared} it declares; write the file again")


def main() -> None:
    """Serve the file on standard input under the limits of the first argument, JSON."""
    limits = msgspec.json.decode(sys.argv[1], type=Limits)
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.lseek(0, 0, os.SEEK_SET)
    encoder = msgspec.msgpack.Encoder()
    with open(0, "rb", closefd=False) as file:
        for message in read_rows(file, limits):
            content = encoder.encode(message)
            sys.stdout.buffer.write(len(content).to_bytes(PREFIX_BYTES, "big") + content)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
