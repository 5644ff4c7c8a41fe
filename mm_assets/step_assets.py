"""What the assets of every step share: how their tables are declared, and what is shown of what was written."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import dagster as dg

from mm_assets.display.metadata import table_metadata
from mm_assets.partitions import batches
from mm_assets.schemas import TABLES
from mm_assets.steps import STEPS
from resources.delta_lake import DeltaLake, Written


def table_specs(
    step: str, group: str, kinds: Collection[str], deps: Sequence[str] | Mapping[str, Sequence[str]] = ()
) -> list[dg.AssetSpec]:
    """One asset per table of a step.

    Args:
        step: name of the step.
        group: asset group.
        kinds: what the UI marks the assets with.
        deps: assets they are made of, of all of them or by table.
    """
    return [
        dg.AssetSpec(
            table,
            group_name=group,
            partitions_def=batches,
            code_version=STEPS[step].code_version,
            description=TABLES[table].grain,
            deps=deps[table] if isinstance(deps, Mapping) else deps,
            kinds=set(kinds),
        )
        for table in STEPS[step].tables
    ]


def written_metadata(lake: DeltaLake, batch: str, written: Written) -> dict[str, Any]:
    """Row count, schema, version and first rows of what a step wrote for a batch."""
    return table_metadata(written.table, written.rows, lake.head(written.table, batch), written.version)
