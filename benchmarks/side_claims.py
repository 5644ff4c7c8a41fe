"""Captions' claims about left and right against boxes: verdicts on written captions, mirrored in part and whole.

Usage: python benchmarks/side_claims.py [--split all] [--seeds 20] [--json]

The captions were written by a person over the demo's scenes (``anchoring_captions.json``), and the boxes are anchored
to their phrases as in the asset graph, not by the labels. The same scenes with picture and boxes mirrored and captions
as they were make the other batch; per seed none, 30 % or all of the pictures are taken from it. Reported: claims by
verdict, and the share of batches that the gate holds.
"""

import argparse
import json
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parent))

import anchoring

from mm_assets.aligned.objects.orientation.orientation_checks import check_orientation
from mm_assets.aligned.objects.orientation.orientation_verdict import orientation_verdict
from mm_assets.aligned.objects.orientation.side_markers import marker_rows
from mm_assets.features.interfaces import ImageTextEncoder
from mm_assets.policy import OrientationPolicy
from resources.image_text_encoder import build_encoder

SHARES = (0.0, 0.3, 1.0)
MAX_FALSE_HOLDS, MIN_HELD = 0.01, 0.95


def read_rows(splits: tuple[str, ...], encoder: ImageTextEncoder, *, mirrored: bool) -> tuple[pl.DataFrame, float]:
    """Rows of ``orientation_checks`` of all scenes, and milliseconds of CPU per caption that the check took."""
    policy = OrientationPolicy()
    parts: list[pl.DataFrame] = []
    seconds, captions_seen = 0.0, 0
    for split in splits:
        found = anchoring.read_written(split)
        if mirrored:
            read = found.picture
            for box in found.boxes:
                box["x1"], box["x2"] = box["image_width"] - box["x2"], box["image_width"] - box["x1"]
            found.picture = lambda name, read=read: np.ascontiguousarray(read(name)[:, ::-1])
        _, _, aligned = anchoring.anchor(found, encoder, anchoring.Clock(), pl.DataFrame())
        boxes = pl.DataFrame(found.boxes)
        images = boxes.group_by("image_id").agg(
            pl.col("batch").first(), pl.col("position").first(), pl.col("image_width").first().alias("width")
        )
        images = images.with_columns(annotations_json=pl.lit(None, pl.String))
        captions = pl.DataFrame(found.captions)
        labelled = aligned.rows.join(boxes.select("box_id", "label"), on="box_id", how="left")
        started = time.process_time()
        parts.append(check_orientation(images, captions, labelled, marker_rows([]), policy))
        seconds += time.process_time() - started
        captions_seen += captions.height
    return pl.concat(parts), 1_000 * seconds / captions_seen


def measure(splits: tuple[str, ...], seeds: int) -> dict[str, Any]:
    """Verdicts of the claims, and the share of batches held at each share of mirrored pictures."""
    encoder = build_encoder("bridge-lite0-minilm")
    (given, spent), (mirrored, _) = (read_rows(splits, encoder, mirrored=flag) for flag in (False, True))
    images = sorted(set(given["image_id"]) | set(mirrored["image_id"]))
    held: dict[str, float] = {}
    for share in SHARES:
        failed = 0
        for seed in range(seeds):
            turned = random.Random(seed).sample(images, round(share * len(images)))  # noqa: S311 - a repeatable draw
            mixed = pl.concat(
                [given.filter(~pl.col("image_id").is_in(turned)), mirrored.filter(pl.col("image_id").is_in(turned))]
            )
            failed += not orientation_verdict("b", mixed, OrientationPolicy()).passed
        held[f"{share:.0%} mirrored"] = failed / seeds
    return {
        "claims as given": dict(Counter(given["verdict"])),
        "claims mirrored": dict(Counter(mirrored["verdict"])),
        "pictures with a side in their caption": len(images),
        "share of batches held": held,
        "CPU ms per caption": round(spent, 3),
    }


def main() -> int:
    """Measure and compare with the floors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("tune", "test", "all"), default="all")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(("tune", "test") if arguments.split == "all" else (arguments.split,), arguments.seeds)
    held = found["share of batches held"]
    passed = held["0% mirrored"] <= MAX_FALSE_HOLDS and held["100% mirrored"] >= MIN_HELD
    if arguments.json:
        print(json.dumps(found | {"passed": passed}))
    else:
        print(*(f"{name}: {value}" for name, value in found.items()), "passed" if passed else "failed", sep="\n")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
