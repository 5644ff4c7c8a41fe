"""Rows of a Parquet file, streamed, however hostile the file is."""

import io
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final, cast

import polars as pl

from mm_assets.errors import InputError, RecordError
from mm_assets.landing import LandedObject
from mm_assets.policy import IngestPolicy
from mm_assets.raw_pools.rows import TextRow

_COLUMNS: Final = ("text", "kind", "language", "source", "license")
_FIELD_BYTES: Final = 1_024  # longest value of a column other than text


def read_parquet_rows(
    stream: BinaryIO, landed: LandedObject, policy: IngestPolicy
) -> Iterator[tuple[int, TextRow | InputError]]:
    """Yield each row with its number from 0, or why it cannot be used.

    The file is read by row groups. Remote bytes pass through an unnamed temporary file, as Parquet starts at its end.

    Raises:
        RecordError: code ``EMPTY_FILE``, ``FILE_TOO_LARGE``, ``MISSING_FIELD``, ``WRONG_TYPE`` or ``PARQUET_CORRUPT``;
            the last one after the rows that could be read.
    """
    key = landed.key
    if landed.size_bytes == 0:
        raise RecordError("EMPTY_FILE", f"{key}: the file has no bytes; deliver it again")
    if landed.size_bytes > policy.max_text_file_bytes:
        raise RecordError(
            "FILE_TOO_LARGE",
            f"{key}: {landed.size_bytes} bytes, over {policy.max_text_file_bytes}; split it",
        )
    with _on_disk(stream) as file:
        frames = _frames(file, key, policy)
        index = 0
        while True:
            try:
                frame = next(frames, None)
            except RecordError:
                raise
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, OSError) as error:
                raise RecordError(
                    "PARQUET_CORRUPT",
                    f"{key}: row {index} and those behind it cannot be read "
                    f"({type(error).__name__}: {str(error)[:200]}); write the file again",
                ) from None
            if frame is None:
                return
            for row in _rows(frame, f"{key}#row", index, policy):
                yield index, row
                index += 1


@contextmanager
def _on_disk(stream: BinaryIO) -> Generator[BinaryIO]:
    """The stream itself if it is a file of this machine, else a copy that goes with the context."""
    try:
        stream.fileno()
    except io.UnsupportedOperation:
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(stream, copy)
            copy.seek(0)
            yield cast("BinaryIO", copy)
    else:
        yield stream


def _frames(file: BinaryIO, key: str, policy: IngestPolicy) -> Iterator[pl.DataFrame]:
    scan = pl.scan_parquet(file, glob=False, hive_partitioning=False, low_memory=True)
    schema = scan.collect_schema()
    if "text" not in schema:
        raise RecordError("MISSING_FIELD", f"{key}: no column 'text' among {list(schema)[:20]}; add it")
    present = [name for name in _COLUMNS if name in schema]
    wrong = [name for name in present if not isinstance(schema[name], (pl.String, pl.Categorical, pl.Enum, pl.Null))]
    if wrong:
        raise RecordError("WRONG_TYPE", f"{key}: columns {wrong} are not strings; write them as strings")
    limits = {name: policy.max_text_bytes if name == "text" else _FIELD_BYTES for name in present}
    columns = [
        # A dictionary can repeat one long value without bound: it must not become that many Python strings.
        pl.when(pl.col(name).cast(pl.String).str.len_bytes() <= limit).then(pl.col(name).cast(pl.String))
        for name, limit in limits.items()
    ]
    too_long = pl.any_horizontal(
        (pl.col(name).cast(pl.String).str.len_bytes() > limit).fill_null(value=False) for name, limit in limits.items()
    )
    declared, seen = scan.select(pl.len()).collect().item(), 0
    for frame in scan.select(*columns, too_long.alias("too_long")).collect_batches(chunk_size=policy.chunk_rows):
        seen += frame.height
        yield frame
    if seen != declared:  # polars takes a damaged page header for the end of the column, and says nothing
        raise RecordError(
            "PARQUET_CORRUPT", f"{key}: {seen} rows can be read of the {declared} it declares; write the file again"
        )


def _rows(frame: pl.DataFrame, where: str, start: int, policy: IngestPolicy) -> Iterator[TextRow | InputError]:
    longest = frame.select(pl.col("text").str.len_bytes().max()).item() or 1
    slice_rows = max(1, policy.chunk_bytes // longest)
    index = start
    for part in frame.iter_slices(slice_rows):
        for values in part.to_dicts():
            too_long = values.pop("too_long")
            if too_long:
                yield RecordError(
                    "TEXT_TOO_LARGE", f"{where}/{index}: a value is too long; split the text into records"
                )
            elif values["text"] is None:
                yield RecordError("MISSING_FIELD", f"{where}/{index}: 'text' is null; write it or drop the row")
            else:
                yield TextRow(**values)
            index += 1
