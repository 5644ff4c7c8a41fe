"""The offset gate failed: place the hold and cancel what runs downstream of it."""

from typing import Final

import dagster as dg

from mm_assets.jobs import refresh_views
from resources.holds import Holds
from sensors.halting import halt

OFFSET_GATES: Final = ("offset",)


@dg.sensor(
    job=refresh_views,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Places a hold for every failed verdict on offset, drift, order and pointers in time, and cancels "
    "queued and started runs downstream of the gate.",
)
def offset_halt(context: dg.SensorEvaluationContext, holds: Holds) -> list[dg.RunRequest] | dg.SkipReason:
    """Hold what failed the offset gate."""
    return halt(context, holds, OFFSET_GATES, by="offset_halt")
