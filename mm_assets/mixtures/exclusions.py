"""Which batches a release leaves out, and why."""

from resources.holds import Holds


def exclusions(holds: Holds) -> dict[str, str]:
    """Batches that are held, or failed a gate and are about to be; the text starts with the gate's name."""
    reasons = {row["batch"]: row["reason"] for row in holds.active().to_dicts()}
    excluded: dict[str, str] = {}
    for batch, gate in sorted(holds.held_batches().items()):
        newest = holds.latest(batch, gate)
        reason = reasons.get(batch) or (newest["reason"] if newest else "held")
        excluded[batch] = f"{gate}: {reason}"
    return excluded
