"""What Dagster remembers of a batch: its runs, whose events show first rows, pictures and reasons."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import dagster as dg

PARTITION_TAG: Final = "dagster/partition"
_UNDER_WAY: Final = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def runs_under_way(instance: dg.DagsterInstance, partitions: Sequence[str]) -> list[str]:
    """Runs of some batches and releases that have not ended."""
    filters = (dg.RunsFilter(tags={PARTITION_TAG: name}, statuses=_UNDER_WAY) for name in partitions)
    return [run.run_id for chosen in filters for run in instance.get_runs(chosen)]


def forget_history(instance: dg.DagsterInstance, partitions: Sequence[str]) -> int:
    """Delete the runs of some batches and releases with all they logged, and say again that their assets were made.

    Args:
        instance: the instance.
        partitions: names of batches and releases.

    Returns:
        How many runs were deleted.
    """
    deleted = 0
    for partition in partitions:
        made: set[dg.AssetKey] = set()
        for run in instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: partition})):
            events = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
            made.update(record.asset_key for record in events if record.asset_key is not None)
            instance.delete_run(run.run_id)
            deleted += 1
        for key in sorted(made):
            instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition))
    if deleted:
        _release_pages(Path(instance.root_directory))
    return deleted


def _release_pages(home: Path) -> None:
    """Have SQLite write its databases again without the pages that deleted rows stood in.

    Raises:
        sqlite3.OperationalError: another process writes to one of them.
    """
    for path in sorted(home.rglob("*.db")):
        connection = sqlite3.connect(path)
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()
