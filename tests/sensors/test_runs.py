"""Which unfinished runs are given up: those that nothing on this machine works on or launches any more."""

import json
import socket
import time

import dagster as dg
import pytest

from sensors import runs
from sensors.runs import fail_interrupted_runs


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


@pytest.fixture
def server(tmp_path):
    """A socket that somebody listens on, as a code server does."""
    path = str(tmp_path / "server.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(4)
        yield path, listener


@pytest.fixture
def later(monkeypatch):
    """Move the clock that the sensors read."""
    now = time.time()

    def move(seconds):
        monkeypatch.setattr(runs.time, "time", lambda: now + seconds)

    return move


@pytest.fixture
def launching(instance):
    """A run that was handed to a code server and has not said a word since."""

    def add(address):
        tags = {} if address is None else {".dagster/grpc_info": json.dumps({"host": "localhost", **address})}
        run = dg.DagsterRun(job_name="ingest_batch", status=dg.DagsterRunStatus.STARTING, tags=tags)
        return instance.add_run(run).run_id

    return add


def test_a_run_is_given_up_soon_after_the_server_that_was_launching_it_has_gone(instance, server, later, launching):
    path, listener = server
    run_id = launching({"socket": path})
    later(60)
    assert fail_interrupted_runs(instance) == []
    listener.close()  # the file of the socket stays, as it does after SIGKILL
    later(10)
    assert fail_interrupted_runs(instance) == []
    later(20)
    assert fail_interrupted_runs(instance) == [run_id]
    assert instance.get_run_by_id(run_id).status == dg.DagsterRunStatus.FAILURE
    assert instance.get_run_by_id(run_id).tags[runs.INTERRUPTED_TAG] == "true"


def test_a_socket_that_was_removed_counts_as_gone(instance, tmp_path, later, launching):
    run_id = launching({"socket": str(tmp_path / "nowhere.sock")})
    later(20)
    assert fail_interrupted_runs(instance) == [run_id]


@pytest.mark.parametrize("address", [None, {"port": 1}])
def test_without_a_socket_to_ask_a_launch_has_ninety_seconds(instance, later, launching, address):
    run_id = launching(address)
    later(80)
    assert fail_interrupted_runs(instance) == []
    later(100)
    assert fail_interrupted_runs(instance) == [run_id]
