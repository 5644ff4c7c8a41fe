"""The side that asks: a child process whose death or standstill is an answer like any other."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from typing import IO, Final

from mm_assets.confinement.serving import PREFIX_BYTES
from mm_assets.errors import ContractError

_STDERR_BYTES: Final = 2_000


class ProcessCrashedError(Exception):
    """The process died of what it read; the message names the signal, or says that memory ran out."""


class ProcessStalledError(Exception):
    """The process has stood still for too long."""


class ConfinedProcess:
    """A process that serves as `mm_assets.confinement.serving` does; started on first use, and anew once it ended.

    Args:
        module: its main module.
        memory_bytes: bound on its address space.
        stall_seconds: how long a message may take.
    """

    def __init__(self, module: str, memory_bytes: int, stall_seconds: float) -> None:
        self._module = module
        self._memory_bytes = memory_bytes
        self._stall_seconds = stall_seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._errors: IO[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and not ended since; it may have died unnoticed."""
        return self._channel is not None

    def send(self, content: bytes, file: IO[bytes] | None = None) -> None:
        """Send a request, with an open file if there is one. Raises as `receive`."""
        try:
            socket.send_fds(self._start(), [content], [] if file is None else [file.fileno()])
        except ConnectionError as error:
            raise self._death() from error

    def receive(self) -> bytes:
        """The next message.

        Raises:
            ProcessCrashedError: it died.
            ProcessStalledError: nothing came in time.
            ContractError: it ended by itself.
        """
        try:
            return self._receive_exactly(int.from_bytes(self._receive_exactly(PREFIX_BYTES), "big"))
        except TimeoutError as error:
            self.stop()
            raise ProcessStalledError(f"it stood still for {self._stall_seconds:g} s") from error
        except (EOFError, ConnectionError) as error:
            raise self._death() from error

    def stop(self) -> None:
        """End it, whatever it does; the next request starts another."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
        for held in (self._channel, self._errors):
            if held is not None:
                held.close()
        self._child = self._channel = self._errors = None

    def _start(self) -> socket.socket:
        if self._channel is not None:
            return self._channel
        ours, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        # Each of their threads would reserve address space.
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with theirs:
            self._child = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", self._module, str(theirs.fileno()), str(self._memory_bytes)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                env=environment,
                pass_fds=[theirs.fileno()],
            )
        ours.settimeout(self._stall_seconds)
        self._channel = ours
        return ours

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

    def _death(self) -> ProcessCrashedError | ContractError:
        if self._child is None or self._errors is None:
            return ContractError(f"{self._module} was not running; repair what asked it")
        status = self._child.wait()
        self._errors.seek(0)
        told = self._errors.read()[-_STDERR_BYTES:].decode("utf-8", "replace")
        self.stop()
        if status < 0:
            return ProcessCrashedError(signal.Signals(-status).name)
        if "MemoryError" in told:
            return ProcessCrashedError("out of memory")
        return ContractError(f"{self._module} ended with status {status} and no answer; repair it: {told}")
