import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

# Stands in for `dagster dev`: a parent and a child that stop on an interrupt only, or not even then.
STACK = """#!/bin/bash
trap '' TERM HUP
{trap}
sleep 300 & child=$!
echo $$ $child > {pids}
while true; do wait $child && break; done
"""
SERVE = "import sys; sys.executable = {stack!r}; from mm_assets.commands import ui; ui._STOP_SECONDS = 2.0; ui.serve(0)"


@pytest.mark.parametrize(
    ("ended_by", "trap"),
    [
        (signal.SIGINT, "trap 'kill -9 $child; exit 0' INT"),
        (signal.SIGTERM, "trap 'kill -9 $child; exit 0' INT"),
        (signal.SIGHUP, "trap '' INT"),
    ],
    ids=["interrupted", "terminated", "terminal closed, stack stubborn"],
)
def test_nothing_runs_on_when_the_ui_is_ended(tmp_path, ended_by, trap):
    stack, pids = tmp_path / "stack", tmp_path / "pids"
    stack.write_text(STACK.format(trap=trap, pids=pids), encoding="utf-8")
    stack.chmod(0o755)
    environment = os.environ | {"DAGSTER_HOME": str(tmp_path)}
    (tmp_path / "dagster.yaml").touch()
    command = [sys.executable, "-c", SERVE.format(stack=str(stack))]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as served:
        deadline = time.monotonic() + 240
        while not (pids.exists() and pids.read_text().strip()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        family = [int(pid) for pid in pids.read_text().split()]
        assert all(psutil.pid_exists(pid) for pid in family)
        served.send_signal(ended_by)
        try:
            served.wait(60)
        finally:
            served.kill()
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in family if psutil.pid_exists(pid)], timeout=10)
    assert alive == []
