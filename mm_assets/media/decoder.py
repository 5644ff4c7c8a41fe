"""Decode media, however hostile, as bounded blocks on the presentation clock."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, BinaryIO, Final, Self

import msgspec

from mm_assets.confinement.confined_process import ConfinedProcess, ProcessCrashedError, ProcessStalledError
from mm_assets.errors import ContractError, DecodeError
from mm_assets.landing import Landing, on_disk
from mm_assets.media import decoding_child
from mm_assets.media.messages import AudioBlock, End, Fault, FrameBlock, Limits, MediaInfo, Message, Request, Wanted
from mm_assets.policy import MediaPolicy

_DECODER: Final = msgspec.msgpack.Decoder(Message)


class MediaDecoder:
    """A process that decodes one file after the other; started on first use, anew when a file has killed it.

    Use it in a ``with`` statement, from one thread.
    """

    def __init__(self, policy: MediaPolicy) -> None:
        self._limits = limits_of(policy)
        self._process = ConfinedProcess(decoding_child.__name__, self._limits.memory_bytes, policy.stall_seconds)
        self._reading: object | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()

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
            self._process.stop()  # nobody waits for the rest of the file before
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
                    self._process.stop()

    def probe(self, stream: BinaryIO, name: str) -> MediaInfo:
        """What the file declares. Raises as `decode`."""
        messages = list(self.decode(stream, name, Wanted()))
        if len(messages) != 1 or not isinstance(messages[0], MediaInfo):
            raise ContractError(f"{name}: the decoding process did not declare the file; repair it")
        return messages[0]

    def _ask(self, file: IO[bytes], request: Request, name: str) -> Iterator[Message]:
        with _told_of(name):
            self._process.send(msgspec.json.encode(request), file)
        while (content := self._receive(name)) != decoding_child.DONE:
            yield _DECODER.decode(content)

    def _receive(self, name: str) -> bytes:
        with _told_of(name):
            return self._process.receive()


@contextmanager
def _told_of(name: str) -> Generator[None]:
    """Say of which file the process died or stood still."""
    try:
        yield
    except ProcessStalledError as error:
        raise DecodeError(
            "MEDIA_STALLED", f"{name}: decoding {error}; deliver the file again, encoded by another program"
        ) from error
    except ProcessCrashedError as error:
        raise DecodeError(
            "MEDIA_CRASHED",
            f"{name}: decoding it crashed ({error}); deliver the file again, encoded by another program",
        ) from error


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
