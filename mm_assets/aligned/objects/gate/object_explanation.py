# pyright: strict
"""Why the boxes of a batch do not hold what their labels name: the named fault, its rows, and what to look at."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from mm_assets.aligned.objects.boxes.readings import AS_GIVEN
from mm_assets.aligned.objects.gate.affected_rows import Affected
from mm_assets.aligned.objects.gate.gate_boxes import GateBoxes
from mm_assets.aligned.objects.gate.object_verdict import rounded
from mm_assets.aligned.objects.gate.region_recall import measure_region_recall
from mm_assets.aligned.objects.gate.study import Study
from mm_assets.errors import CrossModalCode
from mm_assets.gates.recall_input import Floats, Integers, Singles
from mm_assets.policy import ObjectGatePolicy

_WORST: Final = 8
_RANDOM: Final = 8
_MIRRORS: Final = frozenset({"mirror_x", "mirror_y"})
_HALF: Final = 0.5


def tell_code(affected: Affected, boxes: GateBoxes) -> CrossModalCode:
    """Mirrored boxes of images that declare an orientation are a matter of orientation; all else of the boxes."""
    rows = affected.rows
    medical = bool(len(rows)) and float(boxes.is_medical[rows].mean()) > _HALF
    return CrossModalCode.MIRROR if medical and affected.hypothesis.kind in _MIRRORS else CrossModalCode.OBJ_FLIP


def tabulate_evidence(study: Study) -> tuple[Mapping[str, Any], ...]:
    """Every hypothesis with what was measured of it, by falling evidence; the boxes as given come first."""
    evidence, hypotheses = study.evidence, study.hypotheses
    encoded, _ = study.regions.embeddings(AS_GIVEN)
    given = {
        "hypothesis": AS_GIVEN,
        "likelihood_ratio": 0.0,
        "p_value": None,
        "boxes_inside": rounded(float(evidence.usable.mean())),
        "fit_surprise": _mean(evidence.fit),
        "match_surprise": _mean(evidence.match),
        "crops_encoded": len(encoded),
    }
    rows: list[Mapping[str, Any]] = []
    order: list[int] = np.argsort(-study.scores, kind="stable").tolist()
    for place in order:
        score = float(study.scores[place])
        found: dict[str, Any] = {
            "hypothesis": hypotheses.every[place].name,
            "likelihood_ratio": rounded(float(study.ratios[place])),
            "p_value": float(f"{min(1.0, float(np.exp(-score))):.3g}"),
        }
        if place < len(hypotheses.readings):
            moved = evidence.read_moved[place]
            found |= {
                "boxes_inside": rounded(float(evidence.read_usable[place][moved].mean())),
                "fit_surprise": _mean(evidence.read_fit[place][moved]),
                "match_surprise": _mean(evidence.read_match[place]),
                "crops_encoded": int(np.count_nonzero(~np.isnan(evidence.read_match[place]))),
            }
        else:
            shifted = evidence.shift_match[place - len(hypotheses.readings)]
            found |= {
                "boxes_inside": given["boxes_inside"],
                "fit_surprise": given["fit_surprise"],
                "match_surprise": _mean(shifted),
                "crops_encoded": 0,
            }
        rows.append(found)
    return (given, *rows)


def measure_restored(
    boxes: GateBoxes,
    affected: Affected,
    rows: Integers,
    crops: Mapping[str, tuple[Integers, Singles]],
    labels: Singles,
    policy: ObjectGatePolicy,
) -> float | None:
    """Region R@1 of some boxes once the named ones are corrected; None if it cannot be measured.

    Args:
        boxes: all boxes.
        affected: the fault.
        rows: judged rows.
        crops: rows and embeddings by reading.
        labels: embeddings of all labels.
        policy: pool size.
    """
    named = np.zeros(len(boxes), dtype=np.bool_)
    named[affected.rows] = True
    reading = affected.hypothesis.reading
    as_given = dict(zip(crops[AS_GIVEN][0].tolist(), crops[AS_GIVEN][1], strict=True))
    found = as_given
    if reading is not None:
        restored = dict(zip(crops[reading.name][0].tolist(), crops[reading.name][1], strict=True))
        found = {row: vector for row, vector in as_given.items() if not named[row]}
        found |= {row: vector for row, vector in restored.items() if named[row]}
    label_of = np.where(named, affected.label_of, boxes.label_of)
    chosen = [row for row in rows.tolist() if row in found and label_of[row] >= 0]
    if not chosen:
        return None
    picked = np.array(chosen, dtype=np.int64)
    measured = measure_region_recall(
        np.stack([found[row] for row in chosen]), labels, label_of[picked], boxes.image_of[picked], policy
    )
    return None if measured is None else measured.recall_at_1


def show_affected(boxes: GateBoxes, affected: Affected, seed: int) -> tuple[Mapping[str, Any], ...]:
    """The boxes that gain most from the correction, then random ones of those it moves."""
    rows = affected.rows
    gain = np.nan_to_num(affected.restored_similarity[rows]) - np.nan_to_num(affected.given_similarity[rows])
    worst = rows[np.argsort(-gain, kind="stable")][:_WORST]
    rest = np.setdiff1d(rows, worst)
    drawn = np.random.default_rng(seed).permutation(rest)[:_RANDOM]
    told = [(row, "worst") for row in worst.tolist()] + [(row, "random") for row in drawn.tolist()]
    return tuple(_show(boxes, row, chosen, affected) for row, chosen in told)


def show_given(
    boxes: GateBoxes, rows: Integers, similarity: Floats, corners: Singles, seed: int
) -> tuple[Mapping[str, Any], ...]:
    """The boxes whose crop is least like its label, then random ones.

    Args:
        boxes: the judged boxes.
        rows: those whose crop was encoded.
        similarity: of crop and label, row by row.
        corners: boxes as given, shape (n, 4).
        seed: seed of the draw.
    """
    order = rows[np.argsort(similarity, kind="stable")]
    score = np.full(len(boxes), np.nan)
    score[rows] = similarity
    drawn = np.random.default_rng(seed).permutation(order[_WORST:])[:_RANDOM]
    told = [(row, "worst") for row in order[:_WORST].tolist()] + [(row, "random") for row in drawn.tolist()]
    return tuple(
        _identify(boxes, row, chosen)
        | {
            "score": rounded(float(score[row])),
            "score_restored": None,
            "xyxy": _corners(corners[row]),
            "xyxy_restored": None,
            "label_restored": None,
            "confidence": None,
        }
        for row, chosen in told
    )


def _show(boxes: GateBoxes, row: int, chosen: str, affected: Affected) -> dict[str, Any]:
    restored = int(affected.label_of[row])
    return _identify(boxes, row, chosen) | {
        "score": rounded(float(affected.given_similarity[row])),
        "score_restored": rounded(float(affected.restored_similarity[row])),
        "xyxy": _corners(affected.given.corners[row]) if affected.given.usable[row] else None,
        "xyxy_restored": _corners(affected.placed.corners[row]),
        "label_restored": boxes.labels[restored] if restored >= 0 else None,
        "confidence": rounded(float(affected.support.posterior[row])),
    }


def _identify(boxes: GateBoxes, row: int, chosen: str) -> dict[str, Any]:
    found = boxes.frame.row(row, named=True)
    return {
        "box_id": found["box_id"],
        "image_id": found["image_id"],
        "phrase": found["label"],
        "chosen": chosen,
        "declared": found["declared"],
    }


def _corners(corners: Singles) -> list[float]:
    return [round(float(value), 2) for value in corners]


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return rounded(float(known.mean())) if len(known) else None
