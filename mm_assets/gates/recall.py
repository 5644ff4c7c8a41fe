# pyright: strict
"""The recall gate: are a batch's captions those of its pictures?

A batch fails when

- its R@1 is significantly below what its source reaches (or the policy's floor), or
- its R@1 is not distinguishable from random pairing, or
- a significant share of its rows provably belongs to captions delivered at other rows, even if recall is still good, or
- many of its captions are made from a template and do not tell their pictures apart.

The diagnosis says why. Nothing here knows Dagster or a model.
"""

import hashlib
import math
from dataclasses import asdict
from typing import Final

import numpy as np

from mm_assets.display.counts import tell_count
from mm_assets.errors import REMEDIES
from mm_assets.gates.diagnosis import Diagnosis, diagnose
from mm_assets.gates.recall_baseline import Baseline, convert_recall, shortfall_p_value
from mm_assets.gates.recall_evidence import restored_similarities, sample_mismatched, show_pairs
from mm_assets.gates.recall_input import RecallInput, select_pairs
from mm_assets.gates.recall_null import (
    Null,
    bootstrap_interval,
    is_similar_beyond_chance,
    measure_influence,
    permute_pairs,
)
from mm_assets.gates.recall_pools import Direction, Retrieval, measure_retrieval
from mm_assets.gates.recall_verdict import DirectionScores, RecallVerdict
from mm_assets.gates.templates import Templates, find_templates
from mm_assets.policy import CaptionPolicy, RecallGatePolicy

GATE_VERSION: Final = "1"
"""Raised when the statistics change: a verdict's id depends on it."""
_SMALLEST_P_VALUE_TOLD: Final = 1e-6


def evaluate_recall(
    batch: RecallInput, baseline: Baseline, policy: RecallGatePolicy, captions: CaptionPolicy
) -> RecallVerdict:
    """Measure, compare and explain.

    Args:
        batch: embeddings and claims.
        baseline: from ``trusted_baseline`` or ``floor_baseline``.
        policy: thresholds, sample sizes and seed.
        captions: when a repeated sentence is a template.
    """
    pairs = select_pairs(batch, max_pairs=policy.max_pairs, seed=policy.seed)
    digest = _digest(batch, baseline, policy, captions)
    if len(pairs) < 2:  # noqa: PLR2004 - a query needs a wrong candidate
        return _unmeasured(digest, len(pairs), baseline, policy)
    retrieval = measure_retrieval(batch, pairs, policy.pool_size)
    measured = retrieval.recall_at_1
    influence = measure_influence(retrieval)
    interval = bootstrap_interval(
        measured, influence, samples=policy.bootstrap_samples, confidence=policy.confidence, seed=policy.seed
    )
    null = permute_pairs(
        retrieval.hits,
        measured,
        permutations=policy.permutations,
        level=policy.max_null_p_value,
        seed=policy.seed,
    )
    required = baseline.required_recall(retrieval.pool_size)
    shortfall = shortfall_p_value(measured, influence, required, baseline)
    judged = len(pairs) >= policy.min_pairs
    spread = f"{policy.confidence:.0%} interval {interval[0]:.3f} to {interval[1]:.3f}"
    told = f"R@1 {measured:.3f} ({spread}) on {tell_count(len(pairs), 'pair')} and pools of {retrieval.pool_size}"
    diagnosis, code, reason, problems = None, None, _tell_unjudged(told, len(pairs), policy), list[str]()
    if judged:
        chosen: list[int] = pairs.caption_rows.tolist()
        templates = find_templates(
            [batch.texts[row] for row in chosen],
            min_images=captions.template_min_images,
            min_share=captions.template_min_share,
        )
        problems = _list_recall_problems(shortfall, required, baseline, policy)
        at_chance = null.p_value > policy.max_null_p_value
        if at_chance and not is_similar_beyond_chance(
            retrieval.image_to_text.similarity,
            null,
            required,
            permutations=policy.permutations,
            level=policy.max_null_p_value,
            seed=policy.seed,
        ):
            problems.append(
                f"not distinguishable from random pairing (mean {null.mean:.3f}, {_tell_p_value(null.p_value)})"
            )
        templates_fail = _templates_fail(templates, retrieval, policy)
        diagnosis = diagnose(
            retrieval,
            pairs.positions,
            templates,
            failed=bool(problems),
            at_chance=at_chance,
            templates_fail=templates_fail,
            required_recall=required,
            reference_recall=convert_recall(baseline.recall, baseline.pool_size, retrieval.pool_size),
            null_mean=null.mean,
            max_shift=policy.max_shift,
            level=policy.false_hold_rate,
        )
        problems += _list_caption_problems(diagnosis, templates, policy, templates_fail=templates_fail)
        code = diagnosis.code if problems else None
        reason = _tell(told, measured, required, problems, diagnosis)
    return RecallVerdict(
        digest=digest,
        pairs=len(pairs),
        available_pairs=pairs.available,
        pool_size=retrieval.pool_size,
        image_to_text=_average(retrieval.image_to_text),
        text_to_image=_average(retrieval.text_to_image),
        recall_at_1=measured,
        interval=interval,
        null=null,
        baseline=baseline,
        required=required,
        shortfall_p_value=shortfall,
        judged=judged,
        passed=not problems,
        code=code,
        reason=reason,
        diagnosis=diagnosis,
        examples=show_pairs(batch, pairs, retrieval, diagnosis),
        matched=np.diagonal(retrieval.image_to_text.similarity).astype(np.float64),
        mismatched=sample_mismatched(retrieval, policy.seed),
        restored=restored_similarities(retrieval, diagnosis),
    )


def _list_recall_problems(shortfall: float, required: float, baseline: Baseline, policy: RecallGatePolicy) -> list[str]:
    """What the batch's recall fails, in words."""
    if shortfall > policy.false_hold_rate:
        return []
    return [f"significantly below {required:.3f} from {baseline.origin} ({_tell_p_value(shortfall)})"]


def _templates_fail(templates: Templates, retrieval: Retrieval, policy: RecallGatePolicy) -> bool:
    """Whether too many captions are templated and, dealt among themselves at random, would do as well."""
    if templates.share <= policy.max_template_share:
        return False
    rows = np.flatnonzero(np.array(templates.templated))
    hits = retrieval.hits[np.ix_(rows, rows)]
    null = permute_pairs(
        hits,
        float(np.diagonal(hits).mean()),
        permutations=policy.permutations,
        level=policy.max_null_p_value,
        seed=policy.seed,
    )
    return null.p_value > policy.max_null_p_value


def _list_caption_problems(
    diagnosis: Diagnosis, templates: Templates, policy: RecallGatePolicy, *, templates_fail: bool
) -> list[str]:
    """What the captions fail whatever the recall, in words."""
    problems: list[str] = []
    if templates_fail:
        sentence = templates.examples[0][0]
        problems.append(
            f"templated captions stand on {templates.share:.0%} of the pictures and do not tell them apart, "
            f"as {sentence[:80]!r}"
        )
    if diagnosis.is_displacement and diagnosis.best.rows_explained >= policy.min_displaced_share:
        problems.append("captions stand at other rows than their pictures")
    return problems


def _tell(told: str, measured: float, required: float, problems: list[str], diagnosis: Diagnosis) -> str:
    """The verdict in a sentence or two."""
    best = diagnosis.best
    found = f"{best.hypothesis} explains {best.rows_explained:.0%} of the rows"
    if diagnosis.is_displacement and best.p_value is not None and best.recall is not None:
        found += f" ({_tell_p_value(best.p_value)}) and restores R@1 to {best.recall:.3f}"
    elif best.recall is not None:
        found += f"; the others reach R@1 {best.recall:.3f}"
    if not problems:
        note = f"; {found}, too few to hold the batch" if diagnosis.is_displacement else ""
        meets = "meets" if measured >= required else "is not significantly below"
        return f"{told} {meets} {required:.3f} and differs from random pairing{note}."
    fix = REMEDIES[diagnosis.code].fix if diagnosis.code else ""
    return f"{told}: {'; '.join(problems)}. {found[0].upper()}{found[1:]}. {fix}".strip()


def _tell_p_value(value: float) -> str:
    return f"p {value:.2g}" if value >= _SMALLEST_P_VALUE_TOLD else f"p < {_SMALLEST_P_VALUE_TOLD:g}"


def _tell_unjudged(told: str, pairs: int, policy: RecallGatePolicy) -> str:
    return (
        f"Not judged, passed: {tell_count(pairs, 'pair')}, fewer than the {policy.min_pairs} a verdict needs; {told}."
    )


def _average(direction: Direction) -> DirectionScores:
    return DirectionScores(float(direction.r1.mean()), float(direction.r5.mean()), float(direction.mrr.mean()))


def _unmeasured(digest: str, count: int, baseline: Baseline, policy: RecallGatePolicy) -> RecallVerdict:
    """The verdict on a batch without anything to retrieve."""
    nothing = DirectionScores(math.nan, math.nan, math.nan)
    empty = np.zeros(0)
    return RecallVerdict(
        digest=digest,
        pairs=count,
        available_pairs=count,
        pool_size=count,
        image_to_text=nothing,
        text_to_image=nothing,
        recall_at_1=math.nan,
        interval=(math.nan, math.nan),
        null=Null(math.nan, math.nan, math.nan),
        baseline=baseline,
        required=baseline.required_recall(policy.pool_size),
        shortfall_p_value=math.nan,
        judged=False,
        passed=True,
        code=None,
        reason=(
            f"Not judged, passed: {tell_count(count, 'image-caption pair')}, fewer than the {policy.min_pairs} a "
            "verdict needs."
        ),
        diagnosis=None,
        examples=(),
        matched=empty,
        mismatched=empty,
        restored=empty,
    )


def _digest(batch: RecallInput, baseline: Baseline, policy: RecallGatePolicy, captions: CaptionPolicy) -> str:
    """Hash of everything the verdict depends on."""
    digest = hashlib.sha256(GATE_VERSION.encode())
    for values in (batch.images, batch.captions, batch.positions, batch.caption_images, batch.caption_index):
        digest.update(f"{values.shape}{values.dtype}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    for texts in (batch.texts, batch.image_ids, batch.caption_ids):
        digest.update("\0".join(texts).encode("utf-8", "surrogatepass"))
    for settings in (str(sorted(asdict(baseline).items())), policy.model_dump_json(), captions.model_dump_json()):
        digest.update(settings.encode())
    return digest.hexdigest()
