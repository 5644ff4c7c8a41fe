import multiprocessing
import os
import random
import signal
import time

import dagster as dg
import pytest

from mm_assets.commands import workspace
from mm_assets.commands.workspace import DAGSTER_YAML, SETTINGS, dagster_home

KILLS = 4
fork = multiprocessing.get_context("fork")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A place for a home that does not exist yet."""
    place = tmp_path / "deep" / "home"
    monkeypatch.setenv("DAGSTER_HOME", str(place))
    return place


def is_whole(home):
    """Whether a batch can be registered and run from this home, and nothing of its making is left."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.add_dynamic_partitions("batches", ["b"])
        registered = list(instance.get_dynamic_partitions("batches")) == ["b"]
        versions = [
            storage.alembic_version()
            for storage in (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
        ]
        migrated = instance.event_log_storage.has_secondary_index("asset_key_table")
    return registered and migrated and all(found == newest for found, newest in versions)


def test_a_new_home_has_its_settings_and_whole_storages(home):
    assert dagster_home() == home
    assert (home / SETTINGS).read_text(encoding="utf-8") == DAGSTER_YAML
    made = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    assert made == {SETTINGS, ".making.lock", "history/runs.db", "history/runs/index.db", "schedules/schedules.db"}
    assert is_whole(home)


def test_a_home_that_stands_is_left_alone(home):
    home.mkdir(parents=True)
    (home / SETTINGS).write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    dagster_home()
    assert [path.name for path in home.iterdir()] == [SETTINGS]


def test_history_that_stood_there_before_the_settings_is_kept(home):
    home.mkdir(parents=True)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.add_dynamic_partitions("batches", ["earlier"])
    (home / "schedules" / "schedules.db").unlink()  # an empty folder is no history
    dagster_home()
    with dg.DagsterInstance.get() as instance:
        assert list(instance.get_dynamic_partitions("batches")) == ["earlier"]
    assert (home / SETTINGS).read_text(encoding="utf-8") == DAGSTER_YAML
    assert (home / "schedules" / "schedules.db").is_file()
    assert not (home / ".making").exists()


def test_a_move_that_fails_is_not_taken_for_a_home(home, monkeypatch):
    def no_space(_path, _target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workspace.Path, "rename", no_space)
    with pytest.raises(OSError, match="No space"):
        dagster_home()
    assert not (home / SETTINGS).exists()


@pytest.mark.slow
def test_whenever_its_making_is_killed_two_processes_at_once_then_succeed(home):
    dagster_home()  # imports are done before the first fork
    random_moment = random.Random(5)  # noqa: S311 - moments, not secrets
    killed = 0
    while killed < KILLS:
        place = home.with_name(f"home-{random_moment.random()}")
        os.environ["DAGSTER_HOME"] = str(place)
        victim = fork.Process(target=dagster_home)
        victim.start()
        time.sleep(random_moment.uniform(0.0, 0.6))
        os.kill(victim.pid, signal.SIGKILL)
        victim.join()
        if victim.exitcode != -signal.SIGKILL:
            continue
        killed += 1
        both = [fork.Process(target=dagster_home) for _ in range(2)]
        for process in both:
            process.start()
        for process in both:
            process.join()
        assert [process.exitcode for process in both] == [0, 0]
        assert not (place / ".making").exists()
        assert is_whole(place)


def test_dagster_quirk_an_event_log_whose_making_was_cut_short_is_never_mended(tmp_path):
    """Dagster 1.13 takes an index.db that exists for a complete one; that is why the home is built aside."""
    (tmp_path / "history" / "runs").mkdir(parents=True)
    (tmp_path / "history" / "runs" / "index.db").touch()
    with (
        dg.DagsterInstance.from_config(str(tmp_path)) as instance,
        pytest.raises(dg.DagsterInvalidInvocationError, match="dynamic partitions table"),
    ):
        instance.add_dynamic_partitions("batches", ["b"])
