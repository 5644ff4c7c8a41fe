"""The offset gate's check: its verdict is recorded and blocks."""

import dagster as dg

from mm_assets.aligned.segments.offsets.offset_verdict import verdict_of_row
from mm_assets.gates.check_results import batch_check
from mm_assets.gates.gate_check import gate_check
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.object_store import LandingStore

_SHOWN = (
    "clips",
    "cue_clips",
    "cue_offset_us",
    "cue_offset_low_us",
    "cue_offset_high_us",
    "sound_clips",
    "sound_offset_us",
    "sound_offset_low_us",
    "sound_offset_high_us",
)


@batch_check("segment_offsets")
def cues_and_sound_start_where_they_belong(
    context: dg.AssetCheckExecutionContext, lake: DeltaLake, landing: LandingStore, holds: Holds
) -> dg.AssetCheckResult:
    """Cues, speech, sound and pictures are on one clock, in order and each other's; otherwise the batch is held."""
    row = lake.read("segment_offsets", context.partition_key).row(0, named=True)
    return gate_check(holds, lake, landing, verdict_of_row(row), {name: row[name] for name in _SHOWN})


CHECKS = (cues_and_sound_start_where_they_belong,)
