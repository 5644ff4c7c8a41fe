import os

import dagster as dg

from mm_assets.commands.databases import databases_kept_open


@dg.op
def work():
    return 1


@dg.job
def nothing_much():
    work()


def logs(folder):
    return sorted(path.name for path in folder.rglob("index.db-wal"))


def test_the_write_ahead_log_lives_from_event_to_event(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"telemetry": {"enabled": False}}) as instance:
        assert nothing_much.execute_in_process(instance=instance).success
        assert logs(tmp_path) == []  # dagster 1.13 closes its only connection after every event
        with databases_kept_open(instance) as opened:
            assert opened >= 2
            assert nothing_much.execute_in_process(instance=instance).success
            assert logs(tmp_path) == ["index.db-wal"]
        assert logs(tmp_path) == []
        assert len(instance.get_runs()) == 2


def test_an_instance_without_databases_has_none_to_keep_open(tmp_path):
    with dg.DagsterInstance.ephemeral(tempdir=os.fspath(tmp_path)) as instance, databases_kept_open(instance) as opened:
        assert opened == 0
