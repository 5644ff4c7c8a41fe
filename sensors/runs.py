"""What the sensors ask of Dagster's run storage."""

import os

import dagster as dg
import psutil

from mm_assets.gates.guard import PROCESS_TAG
from mm_assets.jobs import BATCH_ASSETS

UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
PARTITION_TAG = "dagster/partition"
ATTEMPT_TAG = "mm/attempt_of"
INTERRUPTED_TAG = "mm/interrupted"


def unfinished_runs(instance: dg.DagsterInstance, batch: str | None = None) -> list[dg.DagsterRun]:
    """Runs that are queued or under way, of one batch if one is named."""
    tags = {} if batch is None else {PARTITION_TAG: batch}
    return list(instance.get_runs(dg.RunsFilter(statuses=list(UNFINISHED), tags=tags)))


def busy_partitions(instance: dg.DagsterInstance) -> set[str]:
    """Partitions with a run queued or under way."""
    return {run.tags[PARTITION_TAG] for run in unfinished_runs(instance) if PARTITION_TAG in run.tags}


def attempt_key(instance: dg.DagsterInstance, purpose: str) -> str:
    """A run key that is used once, plus once more for every run of this purpose that died with its process."""
    died = instance.get_runs_count(dg.RunsFilter(tags={ATTEMPT_TAG: purpose, INTERRUPTED_TAG: "true"}))
    return f"{purpose}#{died}" if died else purpose


def process_is_gone(mark: str) -> bool:
    """Whether the process that a run was marked with ran on this machine and no longer lives."""
    host, pid, started = mark.rsplit(":", 2)
    if host != os.uname().nodename:
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" != started
    except psutil.NoSuchProcess:
        return True


def fail_interrupted_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs as failed whose process was killed; returns their ids."""
    ended: list[str] = []
    for run in unfinished_runs(instance):
        mark = run.tags.get(PROCESS_TAG)
        if mark is not None and process_is_gone(mark):
            instance.add_run_tags(run.run_id, {INTERRUPTED_TAG: "true"})
            instance.report_run_failed(run, "The process of this run was killed; the batch will be run again.")
            ended.append(run.run_id)
    return ended


def runs_assets_of_batches(run: dg.DagsterRun) -> bool:
    """Whether the run works on assets of a batch (and not, say, on a release of the same name)."""
    selected = run.asset_selection
    return selected is None or any(key.to_user_string() in BATCH_ASSETS for key in selected)
