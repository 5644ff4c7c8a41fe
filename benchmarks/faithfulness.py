"""How well invented objects and contradictions are found in 200 labelled captions over the demo's pictures.

``labels/caption_claims.json`` was written by hand, looking at the pictures, before the rules were: about half of the
captions invent an object or contradict a sibling. ``labels/caption_claims_development.json`` holds others, over other
pictures, which the rules were developed on. Inventions are looked for with the annotated boxes, with the embedded
detector alone, and with both; *within reach* are those of objects that annotators label or the detector can see. Then
the gate judges batches drawn from the honest captions, and from all.

Usage: python benchmarks/faithfulness.py [--labels development] [--batches 200] [--entailment FOLDER] [--show] [--json]

FOLDER holds an NLI model as ``faithfulness.entailment`` takes it; without one the rules alone compare captions.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.labelled_captions import LABELS, Material, read_material
from mm_assets.aligned.objects.claims.caption_claims import (
    DETECTION_SCHEMA,
    CaptionChecker,
    detect_objects,
)
from mm_assets.aligned.objects.claims.chair import DetectorKnowledge, is_closed
from mm_assets.aligned.objects.claims.faithfulness import evaluate_faithfulness
from mm_assets.aligned.objects.claims.faithfulness_baseline import ceiling_baseline
from mm_assets.aligned.objects.claims.interfaces import Entailment, ObjectDetector
from mm_assets.policy import Policy
from resources.entailment import build_entailment
from resources.object_detector import build_detector

POLICY = Policy()
WITHIN_REACH = "within reach"
FILES = {"test": "caption_claims.json", "development": "caption_claims_development.json"}


@dataclass(frozen=True)
class Run:
    """Claims of one way to know the pictures, and what they cost in CPU milliseconds."""

    checker: CaptionChecker
    claims: pl.DataFrame
    detections: pl.DataFrame
    caption_ms: float
    picture_ms: float
    looked_at: int


def run_pipeline(
    material: Material, *, annotated: bool, detector: ObjectDetector | None, entailment: Entailment | None = None
) -> Run:
    """Check all captions."""
    boxes = material.boxes if annotated else material.boxes.clear()
    vocabulary = detector.vocabulary if detector is not None else ()
    checker = CaptionChecker(material.labels if annotated else (), POLICY.faithfulness, vocabulary, entailment)
    detections, picture_ms = pl.DataFrame(schema=DETECTION_SCHEMA), 0.0
    if detector is not None:
        wanted = checker.wanted(material.captions, boxes)
        started = time.process_time()
        detections = detect_objects(((name, material.pixels[name]) for name in wanted), wanted, detector)
        picture_ms = 1e3 * (time.process_time() - started) / max(1, len(wanted))
    started = time.process_time()
    claims = checker.claim(material.captions, boxes, detections)
    caption_ms = 1e3 * (time.process_time() - started) / claims.height
    return Run(checker, claims, detections, caption_ms, picture_ms, detections.height)


@dataclass(frozen=True)
class Score:
    """Counts of a detector, and the shares that follow."""

    name: str
    right: int
    wrong: int
    missed: int

    def to_json(self) -> dict[str, Any]:
        """Precision and recall with 95 % Wilson intervals."""
        return {
            "name": self.name,
            "right": self.right,
            "wrong": self.wrong,
            "missed": self.missed,
            "precision": None if WITHIN_REACH in self.name else share(self.right, self.right + self.wrong),
            "recall": share(self.right, self.right + self.missed),
        }


def share(part: int, whole: int) -> list[float] | None:
    """A share and its Wilson interval."""
    if whole == 0:
        return None
    z, p = 1.96, part / whole
    middle, half = p + z * z / (2 * whole), z * (p * (1 - p) / whole + z * z / (4 * whole * whole)) ** 0.5
    scale = 1 + z * z / whole
    return [round(value, 3) for value in (p, (middle - half) / scale, (middle + half) / scale)]


def score_inventions(name: str, claims: pl.DataFrame, invents: Mapping[str, list[str]], *, rejected: bool) -> Score:
    """Captions taken to invent an object, or rejected for it, against those that do."""
    right = wrong = missed = 0
    for caption_id, weight in claims.select("caption_id", "evidence_weight").iter_rows():
        found = weight >= (POLICY.faithfulness.reject_evidence if rejected else POLICY.faithfulness.min_evidence)
        right += found and bool(invents[caption_id])
        wrong += found and not invents[caption_id]
        missed += not found and bool(invents[caption_id])
    return Score(name, right, wrong, missed)


def find_reachable(
    material: Material, run: Run, *, annotated: bool, detector: ObjectDetector | None
) -> dict[str, bool]:
    """By inventing caption, whether somebody could know that an object of it is not there."""
    words = run.checker.words
    sight = None if detector is None else DetectorKnowledge.of(detector.vocabulary, words)
    boxed = set(material.boxes["image_id"].to_list()) if annotated else set[str]()
    found: dict[str, bool] = {}
    for caption_id, image_id in material.captions.select("caption_id", "image_id").iter_rows():
        terms = [term for name in material.invents[caption_id] if (term := words.label(name)) is not None]
        if terms:
            found[caption_id] = any(
                (image_id in boxed and is_closed(term, words))
                or (sight is not None and sight.visible(term) is not None and not term.homonym)
                for term in terms
            )
    return found


def judge_batches(material: Material, run: Run, batches: int, *, honest: bool) -> dict[str, Any]:
    """Batches of 60 pictures drawn with replacement; captions with a planted fault left out of the honest ones."""
    captions = material.captions
    if honest:
        later = {second for (_, second), true in material.conflicts.items() if true}
        bad = later | {caption_id for caption_id, objects in material.invents.items() if objects}
        captions = captions.filter(~pl.col("caption_id").is_in(sorted(bad)))
    claims = run.checker.claim(captions, material.boxes, run.detections)
    pictures = claims.partition_by("image_id", maintain_order=True)
    held = 0
    shares: list[tuple[float, float]] = []
    for seed in range(batches):
        drawn = np.random.default_rng(seed).integers(0, len(pictures), size=60)
        batch = pl.concat(
            [
                pictures[place].with_columns(image_id=pl.format("{}-{}", "image_id", pl.lit(copy)))
                for copy, place in enumerate(drawn.tolist())
            ]
        )
        verdict = evaluate_faithfulness(batch, ceiling_baseline(POLICY.faithfulness), POLICY.faithfulness)
        held += not verdict.passed
        shares.append((verdict.invention.value, verdict.conflict.value))
    invention, conflict = np.median(np.array(shares), axis=0).tolist()
    return {
        "captions": "honest" if honest else "all",
        "batches": batches,
        "held": held,
        "median_invention": round(invention, 3),
        "median_conflict": round(conflict, 3),
    }


def score_conflicts(name: str, claims: pl.DataFrame, conflicts: Mapping[tuple[str, str], bool]) -> Score:
    """Pairs of captions taken to contradict each other against those that do."""
    against = dict(claims.select("caption_id", "conflicts_with").iter_rows())
    found = {pair: pair[1] in against[pair[0]] for pair in conflicts}
    return Score(
        name,
        sum(found[pair] and true for pair, true in conflicts.items()),
        sum(found[pair] and not true for pair, true in conflicts.items()),
        sum(not found[pair] and true for pair, true in conflicts.items()),
    )


def show_errors(material: Material, name: str, claims: pl.DataFrame) -> None:
    """Print the captions that were judged wrongly."""
    texts = dict(material.captions.select("caption_id", "text").iter_rows())
    for row in claims.iter_rows(named=True):
        true, found = material.invents[row["caption_id"]], row["invented"]
        if bool(true) != bool(found):
            kind = "missed" if true else "wrong"
            print(f"  [{name}] {kind}: {texts[row['caption_id']]}")
            print(f"      true {true}, found {found}, checked {row['checked']}, known {row['known']}")
    if name.startswith("annotated"):
        against = {row["caption_id"]: row for row in claims.iter_rows(named=True)}
        for (first, second), true in material.conflicts.items():
            found = second in against[first]["conflicts_with"]
            if true != found:
                print(f"  [conflict] {'missed' if true else 'wrong'}: {texts[first]} | {texts[second]}")
                print(f"      {against[first]['conflicts']}")


def measure(
    material: Material, batches: int, entailment: Entailment | None, *, show: bool
) -> dict[str, list[dict[str, Any]]]:
    """Scores, costs and verdicts of the gate."""
    settings = POLICY.faithfulness
    detector = build_detector(
        "imagenet-lite0-tiles", threshold=settings.detector_threshold, certainty=settings.detector_certainty
    )
    boxed = material.captions["image_id"].is_in(material.boxes["image_id"].unique().implode())
    scenes = material.captions.filter(boxed)["caption_id"].implode()
    scores: list[Score] = []
    costs: list[dict[str, Any]] = []
    gate: list[dict[str, Any]] = []
    for name, annotated, used in (
        ("annotated labels", True, None),
        ("embedded detector", False, detector),
        ("both", True, detector),
    ):
        run = run_pipeline(material, annotated=annotated, detector=used)
        costs.append(
            {
                "name": name,
                "caption_ms": round(run.caption_ms, 2),
                "picture_ms": round(run.picture_ms, 1),
                "pictures_looked_at": run.looked_at,
            }
        )
        scores += score_run(material, name, run, scenes, annotated=annotated, detector=used)
        if name == "both":
            scores.append(score_conflicts("conflicts, by rules", run.claims, material.conflicts))
            gate = [judge_batches(material, run, batches, honest=honest) for honest in (True, False)]
        if show:
            show_errors(material, name, run.claims)
    if entailment is not None:
        run = run_pipeline(material, annotated=True, detector=None, entailment=entailment)
        scores.append(score_conflicts("conflicts, by rules and NLI", run.claims, material.conflicts))
        costs.append(
            {"name": str(entailment.identity), "caption_ms": round(run.caption_ms, 1), "pairs": run.checker.pairs.asked}
        )
        if show:
            show_errors(material, "annotated labels and NLI", run.claims)
    return {"scores": [score.to_json() for score in scores], "costs": costs, "gate": gate}


def score_run(
    material: Material, name: str, run: Run, scenes: pl.Series, *, annotated: bool, detector: ObjectDetector | None
) -> list[Score]:
    """Inventions found over all pictures, over those with boxes and over the others."""
    parts = {"annotated scenes": run.claims.filter(pl.col("caption_id").is_in(scenes))}
    if detector is not None:
        rest = run.claims.filter(~pl.col("caption_id").is_in(scenes))
        parts |= {"other pictures": rest, "all pictures": run.claims}
    scores = [
        score_inventions(f"inventions, {name}, {part}", claims, material.invents, rejected=False)
        for part, claims in parts.items()
    ]
    reachable = find_reachable(material, run, annotated=annotated, detector=detector)
    near = run.claims.filter(pl.col("caption_id").is_in([caption for caption, close in reachable.items() if close]))
    scores.append(score_inventions(f"inventions, {name}, {WITHIN_REACH}", near, material.invents, rejected=False))
    if annotated and detector is not None:
        outright = score_inventions("inventions, both, rejected outright", run.claims, material.invents, rejected=True)
        scores.append(outright)
    return scores


def main() -> None:
    """Print precision and recall of both detectors."""
    parser = argparse.ArgumentParser(description="Precision and recall of the checks on captions")
    parser.add_argument("--labels", choices=list(FILES), default="test")
    parser.add_argument("--batches", type=int, default=200, help="batches the gate judges, of each kind")
    parser.add_argument("--entailment", default="", help="folder of an NLI model that reads what the rules leave open")
    parser.add_argument("--show", action="store_true", help="print what was judged wrongly")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    material = read_material(LABELS / FILES[arguments.labels])
    report = measure(material, arguments.batches, build_entailment(arguments.entailment), show=arguments.show)
    if arguments.json:
        print(json.dumps(report))
        return
    print(f"{material.captions.height} captions, {len(material.pixels)} pictures, {len(material.conflicts)} pairs")
    for row in report["scores"]:
        print(
            f"{row['name']:49} right {row['right']:3} wrong {row['wrong']:3} missed {row['missed']:3}"
            f"  precision {row['precision']}  recall {row['recall']}"
        )
    for cost in report["costs"]:
        print(cost)
    for row in report["gate"]:
        print(
            f"gate, {row['captions']} captions: {row['held']} of {row['batches']} batches of 60 pictures held; "
            f"medians {row['median_invention']} inventing, {row['median_conflict']} contradicting"
        )


if __name__ == "__main__":
    main()
