"""The Dagster UI and its daemon, bound to this machine."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from mm_assets.commands.workspace import dagster_home


def serve(port: int) -> int:
    """Run ``dagster dev`` in a session of its own until interrupted; returns its exit code."""
    dagster_home()
    workspace_file = Path("workspace.yaml")
    target = ["-w", str(workspace_file)] if workspace_file.exists() else ["-m", "mm_assets.definitions"]
    command = [sys.executable, "-m", "dagster", "dev", *target, "-h", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, start_new_session=True, env=os.environ.copy())  # noqa: S603 - our own argv
    try:
        return process.wait()
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGINT)
        return process.wait()
