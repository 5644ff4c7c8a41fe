"""SIGKILL in the middle of a run: the rerun leaves the tables of an undisturbed one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_killed_run_leaves_the_tables_of_an_undisturbed_one():
    """Three moments here; ``make faults`` takes fifty."""
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "kill_and_rerun.py"),
        "--trials",
        "3",
        "--seed",
        "11",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=580)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["killed"] == 3
    assert report["faulty"] == []
