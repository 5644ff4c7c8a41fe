"""Rows of a Parquet file, streamed, however hostile the file is."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import IO, BinaryIO, Final, cast

import msgspec

from mm_assets.errors import ContractError, InputError, RecordError
from mm_assets.landing import LandedObject, on_disk
from mm_assets.policy import IngestPolicy
from mm_assets.raw_pools import parquet_child
from mm_assets.raw_pools.parquet_child import PREFIX_BYTES, End, Fault, Limits, Message, Row, Rows
from mm_assets.raw_pools.rows import TextRow

_DECODER: Final = msgspec.msgpack.Decoder(Message)
_STDERR_BYTES: Final = 2_000


def read_parquet_rows(
    stream: BinaryIO, landed: LandedObject, policy: IngestPolicy
) -> Iterator[tuple[int, TextRow | InputError]]:
    """Yield each row with its number from 0, or why it cannot be used.

    A child process decodes the file by row groups and may die of it. Remote bytes pass through an unnamed temporary
    file, as Parquet starts at its end.

    Raises:
        RecordError: code ``EMPTY_FILE``, ``FILE_TOO_LARGE``, ``MISSING_FIELD``, ``WRONG_TYPE`` or ``PARQUET_CORRUPT``;
            the last one after the rows that could be read.
        ContractError: the child process could not work at all.
    """
    key = landed.key
    if landed.size_bytes == 0:
        raise RecordError("EMPTY_FILE", f"{key}: the file has no bytes; deliver it again")
    if landed.size_bytes > policy.max_text_file_bytes:
        raise RecordError(
            "FILE_TOO_LARGE", f"{key}: {landed.size_bytes} bytes, over {policy.max_text_file_bytes}; split it"
        )
    index = characters = 0
    with on_disk(stream) as file:
        for message in _decode(file, policy):
            if isinstance(message, Fault):
                raise RecordError(message.code, f"{key}: {message.reason}")
            characters += sum(len(row[0] or "") for row in message.rows)
            if characters > policy.max_text_file_bytes:
                raise RecordError(
                    "FILE_TOO_LARGE",
                    f"{key}: row {index} and those behind it decode to more than {policy.max_text_file_bytes} bytes of "
                    f"text, from a file of {landed.size_bytes}; split the file",
                )
            for row in message.rows:
                yield index, _text_row(row, f"{key}#row/{index}")
                index += 1


def _text_row(row: Row, where: str) -> TextRow | InputError:
    text, kind, language, source, license_name, *origin, too_long = row
    if too_long:
        return RecordError("TEXT_TOO_LARGE", f"{where}: a value is too long; split the text into records")
    if text is None:
        return RecordError("MISSING_FIELD", f"{where}: 'text' is null; write it or drop the row")
    return TextRow(
        text, kind, language, source, license_name, *(msgspec.Raw(msgspec.json.encode(told)) for told in origin)
    )


def _decode(file: IO[bytes], policy: IngestPolicy) -> Iterator[Rows | Fault]:
    limits = Limits(policy.max_text_bytes, policy.chunk_rows, policy.chunk_bytes, policy.parquet_memory_bytes)
    command = [sys.executable, "-m", parquet_child.__name__, msgspec.json.encode(limits).decode()]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "POLARS_MAX_THREADS": "1"}
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE, stderr=errors, env=environment) as child,  # noqa: S603 - our own module
    ):
        try:
            yield from _messages(child, errors, policy.parquet_stall_seconds)
        finally:
            child.kill()


def _messages(child: subprocess.Popen[bytes], errors: IO[bytes], stall_seconds: float) -> Iterator[Rows | Fault]:
    while (content := _receive(child, stall_seconds)) is not None:
        message = _DECODER.decode(content)
        if isinstance(message, End):
            return
        yield message
        if isinstance(message, Fault):
            return
    status = child.wait()
    if status < 0:
        cause = (
            f"decoding it stood still for {stall_seconds:g} s" if status == -signal.SIGKILL else "decoding it crashed"
        )
        yield Fault("PARQUET_CORRUPT", f"{cause} (signal {-status}); write the file again in smaller row groups")
        return
    errors.seek(0)
    said = errors.read()[-_STDERR_BYTES:].decode("utf-8", "replace")
    raise ContractError(f"the Parquet process ended with status {status} and no answer; repair it: {said}")


def _receive(child: subprocess.Popen[bytes], stall_seconds: float) -> bytes | None:
    """The next message, or None once the child is gone; a child that stands still is killed."""
    output = cast("IO[bytes]", child.stdout)
    watchdog = threading.Timer(stall_seconds, child.kill)
    watchdog.start()
    try:
        prefix = output.read(PREFIX_BYTES)
        if len(prefix) < PREFIX_BYTES:
            return None
        size_bytes = int.from_bytes(prefix, "big")
        content = output.read(size_bytes)
        return content if len(content) == size_bytes else None
    finally:
        watchdog.cancel()
