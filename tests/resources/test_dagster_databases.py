import contextlib
import sqlite3
import threading
import uuid

import dagster as dg
import pytest

from mm_assets.commands.workspace import dagster_home
from resources.dagster_databases import EventDatabases, RunDatabase, ScheduleDatabase


@dg.op
def work():
    return 1


@dg.job
def nothing_much():
    work()


@pytest.fixture
def home(tmp_path, monkeypatch):
    place = tmp_path / "home"
    monkeypatch.setenv("DAGSTER_HOME", str(place))
    dagster_home()
    return place


def logs(folder):
    return sorted(path.name for path in folder.rglob("index.db-wal"))


def test_a_home_keeps_its_databases_open_and_folds_their_logs_once_at_the_end(home):
    with dg.DagsterInstance.get() as instance:
        assert isinstance(instance.event_log_storage, EventDatabases)
        assert isinstance(instance.run_storage, RunDatabase)
        assert isinstance(instance.schedule_storage, ScheduleDatabase)
        assert nothing_much.execute_in_process(instance=instance).success
        assert logs(home) == ["index.db-wal"]
    assert logs(home) == []


def test_what_one_process_writes_dagsters_own_storages_read(home):
    with dg.DagsterInstance.get() as instance:
        run_id = nothing_much.execute_in_process(instance=instance).run_id
        with dg.DagsterInstance.local_temp(str(home), overrides={"telemetry": {"enabled": False}}) as plain:
            assert [run.run_id for run in plain.get_runs()] == [run_id]
            assert len(plain.all_logs(run_id)) == len(instance.all_logs(run_id)) > 5
            later = nothing_much.execute_in_process(instance=plain).run_id
        assert {run.run_id for run in instance.get_runs()} == {run_id, later}


def test_more_runs_than_stay_open_are_all_there(home):
    with dg.DagsterInstance.get() as instance:
        ran = [nothing_much.execute_in_process(instance=instance).run_id for _ in range(12)]
        assert all(len(instance.all_logs(run_id)) > 5 for run_id in ran)
        instance.wipe()
        assert instance.get_runs() == []
        assert nothing_much.execute_in_process(instance=instance).success


def test_threads_read_while_a_run_writes(home):
    counted, ended = [], threading.Event()
    chosen = [str(uuid.uuid4()) for _ in range(3)]

    def follow(instance, run_id):
        while not ended.is_set():
            if instance.has_run(run_id):
                counted.append(instance.get_run_stats(run_id).steps_succeeded)

    with dg.DagsterInstance.get() as instance:
        threads = [threading.Thread(target=follow, args=(instance, run_id)) for run_id in chosen]
        for thread in threads:
            thread.start()
        try:
            ran = [nothing_much.execute_in_process(instance=instance, run_id=run_id) for run_id in chosen]
        finally:
            ended.set()
            for thread in threads:
                thread.join()
    assert all(result.success for result in ran)
    assert max(counted) == 1


def test_the_database_of_a_later_run_is_made_as_dagster_makes_one(home):
    with dg.DagsterInstance.get() as instance:
        first, later = (nothing_much.execute_in_process(instance=instance).run_id for _ in range(2))
    runs = home / "history" / "runs"
    made = []
    for run_id in (first, later):
        with contextlib.closing(sqlite3.connect(runs / f"{run_id}.db")) as connection:
            made.append(
                (
                    sorted(connection.execute("SELECT type, name, tbl_name FROM sqlite_master")),
                    connection.execute("SELECT version_num FROM alembic_version").fetchall(),
                    connection.execute("PRAGMA journal_mode").fetchone(),
                )
            )
    assert made[0] == made[1]
    assert len(made[1][1]) == 1
