# pyright: strict
"""What a batch's region recall fails, and the verdict in a sentence or two."""

import math

from mm_assets.aligned.objects.gate.object_verdict import Diagnosis
from mm_assets.aligned.objects.gate.region_recall import RegionRecall, are_labels_similar_beyond_chance
from mm_assets.display.counts import tell_count
from mm_assets.errors import REMEDIES, CrossModalCode
from mm_assets.gates.recall_baseline import Baseline, shortfall_p_value
from mm_assets.gates.recall_input import Integers
from mm_assets.policy import ObjectGatePolicy


def measure_shortfall(recall: RegionRecall | None, required: float, baseline: Baseline) -> float:
    """P-value of a region recall below the required one; NaN where it cannot be measured."""
    if recall is None or len(recall.influence) < 2:  # noqa: PLR2004 - one image has no spread
        return math.nan
    return shortfall_p_value(recall.recall_at_1, recall.influence, required, baseline)


def list_recall_problems(
    recall: RegionRecall | None,
    label_of: Integers,
    shortfall: float,
    required: float,
    baseline: Baseline,
    policy: ObjectGatePolicy,
) -> tuple[list[str], bool]:
    """What the batch's region recall fails, in words, and whether it is that of permuted labels."""
    problems: list[str] = []
    if recall is None or len(label_of) < policy.min_boxes:
        return problems, False
    if shortfall <= policy.false_hold_rate:
        problems.append(f"significantly below {required:.3f} from {baseline.origin} (p {shortfall:.2g})")
    at_chance = recall.null.p_value > policy.max_null_p_value
    if at_chance and not are_labels_similar_beyond_chance(recall, label_of, required, policy):
        problems.append(
            f"not distinguishable from permuted labels (mean {recall.null.mean:.3f}, p {recall.null.p_value:.2g})"
        )
    return problems, at_chance


def tell_measured(recall: RegionRecall | None, boxes: int, policy: ObjectGatePolicy) -> str:
    """The region recall in words."""
    if recall is None:
        shown = tell_count(boxes, "box", "boxes")
        return f"Region R@1 cannot be measured on {shown}: it takes two labels and two crops"
    low, high = recall.interval
    return (
        f"Region R@1 {recall.recall_at_1:.3f} ({policy.confidence:.0%} interval {low:.3f} to {high:.3f}) on "
        f"{tell_count(len(recall.r1), 'box', 'boxes')} and pools of {recall.pool_size}"
    )


def tell_fault(diagnosis: Diagnosis, boxes: int) -> str:
    """A proven fault in words."""
    restored = "" if diagnosis.restored_recall is None else f"; undone, R@1 is {diagnosis.restored_recall:.3f}"
    return (
        f"{diagnosis.hypothesis} explains {diagnosis.share:.0%} of the rows "
        f"(log likelihood ratio {diagnosis.log_ratio or 0.0:.1f}) and "
        f"names {len(diagnosis.affected):,} of {tell_count(boxes, 'box', 'boxes')}{restored}"
    )


def tell_verdict(
    told: str, recall: RegionRecall | None, required: float, problems: list[str], code: CrossModalCode | None
) -> str:
    """The verdict in a sentence or two."""
    if problems:
        fix = REMEDIES[code].fix if code else ""
        return f"{told}: {'; '.join(problems)}. {fix}".strip()
    if recall is None:
        return f"{told}; no fault of their places is proven."
    meets = "meets" if recall.recall_at_1 >= required else "is not significantly below"
    return f"{told} {meets} {required:.3f}; no fault of boxes or labels is proven."
