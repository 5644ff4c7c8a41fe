"""The Dagster UI and its daemon, bound to this machine."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Final, Never

from mm_assets.commands.workspace import dagster_home

_STOP_SECONDS: Final = 30.0


def serve(port: int) -> int:
    """Run ``dagster dev`` in a session of its own until interrupted; returns its exit code.

    It stops cleanly on an interrupt only, so a termination or a closed terminal becomes one.
    """
    dagster_home()
    workspace_file = Path("workspace.yaml")
    target = ["-w", str(workspace_file)] if workspace_file.exists() else ["-m", "mm_assets.definitions"]
    command = [sys.executable, "-m", "dagster", "dev", *target, "-h", "127.0.0.1", "-p", str(port)]
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, _interrupt)
    process = subprocess.Popen(command, start_new_session=True, env=os.environ.copy())  # noqa: S603 - our own argv
    try:
        return process.wait()
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGINT)
        try:
            return process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()


def _interrupt(_number: int, _frame: FrameType | None) -> Never:
    raise KeyboardInterrupt
