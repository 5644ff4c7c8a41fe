"""What the sensors ask of Dagster's run storage."""

import json
import os
import socket
import time

import dagster as dg
import psutil
from dagster._core.events import EngineEventData  # names the process of a run; no public home in dagster 1.13
from dagster._core.storage.tags import GRPC_INFO_TAG  # names the server that launches it; likewise

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
_HAS_PROCESS = (
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
_LAUNCH_SECONDS = 90.0
_ORPHAN_SECONDS = 15.0


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


def was_killed(instance: dg.DagsterInstance, purpose: str) -> bool:
    """Whether the newest run of this purpose died with its process."""
    newest = instance.get_runs(dg.RunsFilter(tags={ATTEMPT_TAG: purpose}), limit=1)
    return bool(newest) and newest[0].tags.get(INTERRUPTED_TAG) == "true"


def process_is_gone(mark: str) -> bool:
    """Whether the process that a run was marked with ran on this machine and no longer lives."""
    host, pid, started = mark.rsplit(":", 2)
    if host != os.uname().nodename:
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" != started
    except psutil.NoSuchProcess:
        return True


def launching_server_is_gone(run: dg.DagsterRun) -> bool:
    """Whether nobody listens any more on the local socket that the run was to be launched through."""
    path = json.loads(run.tags.get(GRPC_INFO_TAG, "{}")).get("socket")
    if path is None:
        return False
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1.0)
        try:
            client.connect(path)
        except OSError as error:  # a server that is merely slow is not gone
            return isinstance(error, FileNotFoundError | ConnectionRefusedError)
    return False


def launched_process_is_gone(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a run that was never marked lost the process that its own log names.

    A run without even such a line was being launched. It is given up ninety seconds after its last sign of life, or
    fifteen if the server that was launching it is gone too.
    """
    started: tuple[int, float] | None = None
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        data = entry.get_dagster_event().event_specific_data
        pid = data.metadata.get("pid") if isinstance(data, EngineEventData) else None
        if pid is not None:
            started = (int(str(pid.value)), entry.timestamp)
    if started is None:
        record = instance.get_run_record_by_id(run.run_id)
        patience = _ORPHAN_SECONDS if launching_server_is_gone(run) else _LAUNCH_SECONDS
        return record is not None and time.time() - record.update_timestamp.timestamp() > patience
    try:
        return psutil.Process(started[0]).create_time() > started[1]
    except psutil.NoSuchProcess:
        return True


def fail_interrupted_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs as failed whose process was killed; returns their ids."""
    ended: list[str] = []
    for run in unfinished_runs(instance):
        if run.status not in _HAS_PROCESS:
            continue
        mark = run.tags.get(PROCESS_TAG)
        if process_is_gone(mark) if mark else launched_process_is_gone(instance, run):
            instance.add_run_tags(run.run_id, {INTERRUPTED_TAG: "true"})
            instance.report_run_failed(run, "The process of this run was killed; the batch will be run again.")
            ended.append(run.run_id)
    return ended


def runs_assets_of_batches(run: dg.DagsterRun) -> bool:
    """Whether the run works on assets of a batch (and not, say, on a release of the same name)."""
    selected = run.asset_selection
    return selected is None or any(key.to_user_string() in BATCH_ASSETS for key in selected)
