"""A gate but the offset gate failed: place the hold and cancel what runs downstream of it."""

import dagster as dg

from mm_assets.jobs import refresh_views
from mm_assets.steps import GATE_STEPS
from resources.holds import Holds
from sensors.halting import halt
from sensors.offset_halt import OFFSET_GATES

_GATES = tuple(gate for gate in GATE_STEPS if gate not in OFFSET_GATES)


@dg.sensor(
    job=refresh_views,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Places a hold for every failed verdict on pictures, captions, boxes, documents or the budget, and "
    "cancels queued and started runs downstream of the gate.",
)
def recall_halt(context: dg.SensorEvaluationContext, holds: Holds) -> list[dg.RunRequest] | dg.SkipReason:
    """Hold what failed a gate other than the offset gate."""
    return halt(context, holds, _GATES, by="recall_halt")
