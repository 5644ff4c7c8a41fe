"""Decode media, however hostile, as bounded blocks on the presentation clock."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, BinaryIO, Final, Self

import msgspec

from mm_assets.errors import ContractError, DecodeError
from mm_assets.landing import Landing, on_disk
from mm_assets.media import decoding_child
from mm_assets.media.decoding_child import PREFIX_BYTES
from mm_assets.media.messages import AudioBlock, End, Fault, FrameBlock, Limits, MediaInfo, Message, Request, Wanted
from mm_assets.policy import MediaPolicy

_DECODER: Final = msgspec.msgpack.Decoder(Message)
_STDERR_BYTES: Final = 2_000


class MediaDecoder:
    """A process that decodes one file after the other; started on first use, anew when a file has killed it.

    Use it in a ``with`` statement, from one thread.
    """

    def __init__(self, policy: MediaPolicy) -> None:
        self._policy = policy
        self._limits = limits_of(policy)
        self._child: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._errors: IO[bytes] | None = None
        self._reading: object | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def decode(
        self, stream: BinaryIO, name: str, wanted: Wanted
    ) -> Iterator[MediaInfo | AudioBlock | FrameBlock | End]:
        """Yield what the file declares, then its blocks, then its end; of nothing wanted, the declaration only.

        Sound and pictures interleave as in the container. Whoever stops early, or starts on another file
        before the end, costs the next file a new process.

        Args:
            stream: the encoded file, seekable; remote bytes pass through an unnamed temporary file.
            name: the record, for messages.
            wanted: what to decode.

        Raises:
            DecodeError: what `mm_assets.media.reading` names, and MEDIA_CRASHED or MEDIA_STALLED.
            ContractError: the process could not work at all.
        """
        if self._reading is not None:
            self._stop()  # nobody waits for the rest of the file before
        ended, mine = False, object()
        self._reading = mine
        try:
            with on_disk(stream) as file:
                for message in self._ask(file, Request(wanted, self._limits), name):
                    if isinstance(message, Fault):
                        ended = self._receive(name) == decoding_child.DONE
                        raise DecodeError(message.code, f"{name}: {message.reason}")
                    yield message
            ended = True
        finally:
            if self._reading is mine:
                self._reading = None
                if not ended:
                    self._stop()

    def probe(self, stream: BinaryIO, name: str) -> MediaInfo:
        """What the file declares. Raises as `decode`."""
        messages = list(self.decode(stream, name, Wanted()))
        if len(messages) != 1 or not isinstance(messages[0], MediaInfo):
            raise ContractError(f"{name}: the decoding process did not declare the file; repair it")
        return messages[0]

    def _ask(self, file: IO[bytes], request: Request, name: str) -> Iterator[Message]:
        channel = self._start()
        socket.send_fds(channel, [msgspec.json.encode(request)], [file.fileno()])
        while (content := self._receive(name)) != decoding_child.DONE:
            yield _DECODER.decode(content)

    def _start(self) -> socket.socket:
        if self._channel is not None:
            return self._channel
        ours, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _stop
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
        with theirs:
            self._child = subprocess.Popen(  # noqa: S603 - our own module
                [
                    sys.executable,
                    "-m",
                    decoding_child.__name__,
                    str(theirs.fileno()),
                    str(self._limits.memory_bytes),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                env=environment,
                pass_fds=[theirs.fileno()],
            )
        ours.settimeout(self._policy.stall_seconds)
        self._channel = ours
        return ours

    def _receive(self, name: str) -> bytes:
        """The next message; a process that stands still is ended.

        Raises:
            DecodeError: code ``MEDIA_CRASHED`` or ``MEDIA_STALLED``.
            ContractError: the process ended by itself.
        """
        try:
            return self._receive_exactly(int.from_bytes(self._receive_exactly(PREFIX_BYTES), "big"))
        except TimeoutError as error:
            raise DecodeError(
                "MEDIA_STALLED",
                f"{name}: decoding it stood still for {self._policy.stall_seconds:g} s; deliver the file again, "
                "encoded by another program",
            ) from error
        except (EOFError, ConnectionError) as error:
            raise self._death(name) from error

    def _receive_exactly(self, count: int) -> bytes:
        if self._channel is None:
            raise EOFError
        content = bytearray(count)
        view, got = memoryview(content), 0
        while got < count:
            received = self._channel.recv_into(view[got:])
            if not received:
                raise EOFError
            got += received
        return bytes(content)

    def _death(self, name: str) -> DecodeError | ContractError:
        if self._child is None or self._errors is None:
            return ContractError(f"{name}: the decoding process was not there; repair it")
        status = self._child.wait()
        self._errors.seek(0)
        told = self._errors.read()[-_STDERR_BYTES:].decode("utf-8", "replace")
        if status < 0 or "MemoryError" in told:
            cause = signal.Signals(-status).name if status < 0 else "out of memory"
            return DecodeError(
                "MEDIA_CRASHED",
                f"{name}: decoding it crashed ({cause}); deliver the file again, encoded by another program",
            )
        return ContractError(f"the decoding process ended with status {status} and no answer; repair it: {told}")

    def _stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
        for held in (self._channel, self._errors):
            if held is not None:
                held.close()
        self._child = self._channel = self._errors = None


def limits_of(policy: MediaPolicy) -> Limits:
    """The limits the policy sets, in the units of media."""
    return Limits(
        max_duration_us=round(policy.max_seconds * 1_000_000),
        max_pixels=policy.max_pixels,
        max_streams=policy.max_streams,
        max_channels=policy.max_channels,
        max_sample_rate=policy.max_sample_rate,
        max_decoded_bytes=policy.max_decoded_bytes,
        max_damaged_share=policy.max_damaged_share,
        min_missing_us=round(policy.min_missing_seconds * 1_000_000),
        max_missing_share=policy.max_missing_share,
        block_us=round(policy.block_seconds * 1_000_000),
        block_bytes=policy.block_bytes,
        memory_bytes=policy.memory_bytes,
    )


@contextmanager
def open_landed(landing: Landing, uri: str) -> Generator[BinaryIO]:
    """Open the object a ``source_ref`` names. Raises as `mm_assets.landing.Landing.open`."""
    with landing.open(landing.key(uri)) as stream:
        yield stream
