"""Boxes anchored to phrases: how often the right one, how often without an encoder, and how fast.

Three sets, none of which the thresholds were tuned on:

- written: captions that a person wrote over the demo's scenes, in ``anchoring_captions.json`` (split ``test``);
- templates: scenes of three photo stamps composed by seed, with captions made from templates: lists, places, twins told
  apart by place, plurals, kinds of thing ("a bird"), and captions that name what is not there;
- growth: the rows of the templates repeated to 200 and to 20,000 boxes.

A box counts as right if it is anchored to exactly the characters the label says. Stamps with an even hash were used for
tuning and are left out. Times are CPU time of one thread, start-up of the models apart.

Usage: python benchmarks/anchoring.py [--packages DIR] [--scenes 240] [--seed 11] [--split test] [--json]

DIR holds the unpacked package tuxpaint-stamps-default (see demo/README.md); without it only the written set is there.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.anchoring_scenes import STAMPS, Anchored, Pictures, compose, read_stamps, read_written, repeat
from mm_assets.aligned.objects.anchoring.anchors import anchor_boxes, find_candidates, keep_plausible
from mm_assets.aligned.objects.anchoring.phrases import extract_phrases
from mm_assets.aligned.objects.boxes.regions import crop_region
from mm_assets.features.interfaces import ImageTextEncoder
from mm_assets.policy import Policy
from resources.image_text_encoder import build_encoder
from resources.phrase_extractor import SpacyPhrases

GROWTH = (200, 20_000)
PHRASES = SpacyPhrases()


def embed_crops(
    boxes: pl.DataFrame, wanted: Sequence[str], picture: Pictures, encoder: ImageTextEncoder
) -> pl.DataFrame:
    """Rows of ``region_embeddings`` for some boxes."""
    margin = Policy().object_gate.context_margin
    rows: list[tuple[str, str, list[float]]] = []
    for box_id, image, *corners in (
        boxes.filter(pl.col("box_id").is_in(list(wanted)))
        .select("box_id", "image_id", "x1", "y1", "x2", "y2")
        .iter_rows()
    ):
        crop = crop_region(picture(image), np.array(corners), margin, encoder)
        rows.append((box_id, "as_given", encoder.encode_images(crop[None]).embedding[0].tolist()))
    schema = {"box_id": pl.String, "reading": pl.String, "embedding": pl.List(pl.Float32)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def encode(encoder: ImageTextEncoder, texts: list[str]) -> NDArray[np.float32]:
    """Embeddings of texts, also of none."""
    return encoder.encode_texts(texts) if texts else np.zeros((0, encoder.dimension), np.float32)


@dataclass
class Clock:
    """CPU seconds per part."""

    seconds: dict[str, float] = field(default_factory=dict)

    def time(self, part: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the work gives
        """Do the work and count its time."""
        start = time.process_time()
        result = work()
        self.seconds[part] = self.seconds.get(part, 0.0) + time.process_time() - start
        return result


def anchor(found: Anchored, encoder: ImageTextEncoder, clock: Clock, crops: pl.DataFrame) -> Any:  # noqa: ANN401
    """All steps, timed; the crops given count where there are no pictures."""
    policy = Policy().anchoring
    boxes = pl.DataFrame(found.boxes).with_columns(pl.col("x1", "y1", "x2", "y2").cast(pl.Float32))
    captions = pl.DataFrame(found.captions)
    extracted = clock.time("phrases", lambda: extract_phrases(captions, PHRASES))
    first = clock.time("words", lambda: find_candidates(boxes, extracted, policy))
    words = clock.time("text encoder", lambda: encode(encoder, first.words))
    left = clock.time("words", lambda: keep_plausible(first, words, policy))
    texts = clock.time("text encoder", lambda: encode(encoder, left.phrase_texts))
    picture = found.picture
    if picture is not None:
        crops = clock.time("image encoder", lambda: embed_crops(boxes, left.box_ids, picture, encoder))
    aligned = clock.time("words", lambda: anchor_boxes(left, crops, texts, policy))
    return first, left, aligned


def score(found: Anchored, encoder: ImageTextEncoder, *, show: bool = False) -> dict[str, Any]:
    """Accuracy of a set, and what it took."""
    clock = Clock()
    first, left, aligned = anchor(found, encoder, clock, pl.DataFrame())
    text_of = {row["caption_id"]: row["text"] for row in found.captions}
    named = aligned.rows.filter(pl.col("caption_id").is_not_null())
    shifted = sum(
        text_of[caption][start:end] != phrase
        for caption, start, end, phrase in named.select(
            "caption_id", "phrase_start", "phrase_end", "phrase"
        ).iter_rows()
    )
    anchored = {
        (caption, box): (start, end)
        for caption, box, start, end, verdict in named.select(
            "caption_id", "box_id", "phrase_start", "phrase_end", "verdict"
        ).iter_rows()
        if verdict == "anchored"
    }
    right = sum(anchored.get(key) == span for key, span in found.truth.items())
    wrong = {key: span for key, span in anchored.items() if found.truth.get(key) != span}
    if show:
        label_of = {row["box_id"]: row["label"] for row in found.boxes}
        for key in sorted(found.truth.keys() | wrong.keys()):
            if anchored.get(key) != found.truth.get(key):
                text = text_of[key[0]]
                told = [text[slice(*span)] if span else None for span in (found.truth.get(key), anchored.get(key))]
                print(f"{text!r}: {label_of[key[1]]} is {told[0]!r}, anchored to {told[1]!r}", file=sys.stderr)
    twins = [key for key in anchored if key[0] in found.undecidable and key not in found.truth]
    count = len(found.boxes)
    return {
        "boxes": count,
        "captions": len(found.captions),
        "box_phrase_pairs": len(found.truth),
        "right": right,
        "recall": round(right / len(found.truth), 4),
        "anchored": len(anchored),
        "precision": round(right / len(anchored), 4),
        "twins_anchored_by_chance": len(twins),
        "undecidable_captions": len(found.undecidable),
        "offsets_that_do_not_hold_their_phrase": shifted,
        "verdicts": aligned.verdicts,
        "decided_without_crops": round(1 - aligned.crops_encoded / count, 4),
        "crops_before_text_test": len(first.box_ids),
        "crops_encoded": aligned.crops_encoded,
        "crops_saved": aligned.crops_saved,
        "texts_encoded": len(first.words) + len(left.phrase_texts),
        "cpu_ms_per_box": {part: round(1e3 * spent / count, 3) for part, spent in clock.seconds.items()},
    }


def measure_growth(found: Anchored, encoder: ImageTextEncoder) -> Iterator[tuple[int, dict[str, Any]]]:
    """CPU time per box without the image encoder, whose calls are counted; crops are random vectors."""
    for count in GROWTH:
        grown = repeat(found, count)
        vectors = np.random.default_rng(0).normal(size=(count, encoder.dimension)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        crops = pl.DataFrame(
            {
                "box_id": [row["box_id"] for row in grown.boxes],
                "reading": "as_given",
                "embedding": pl.Series(vectors).cast(pl.List(pl.Float32)),
            }
        )
        clock = Clock()
        first, left, aligned = anchor(grown, encoder, clock, crops)
        yield (
            count,
            {
                "cpu_ms_per_box": {part: round(1e3 * spent / count, 4) for part, spent in clock.seconds.items()},
                "crops_encoded": aligned.crops_encoded,
                "texts_encoded": len(first.words) + len(left.phrase_texts),
                "rows": aligned.rows.height,
            },
        )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path)
    parser.add_argument("--scenes", type=int, default=240)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--split", choices=("tune", "test"), default="test")
    parser.add_argument("--show", action="store_true", help="print what went wrong")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    encoder = build_encoder("bridge-lite0-minilm")
    encoder.encode_texts(["start"])
    PHRASES.extract(["start"])
    document: dict[str, Any] = {"written": score(read_written(options.split), encoder, show=options.show)}
    if options.packages is not None:
        stamps = read_stamps(options.packages / STAMPS, options.split)
        scenes = compose(stamps, options.scenes, options.seed)
        document["stamps"] = len(stamps)
        document["templates"] = score(scenes, encoder, show=options.show)
        document["growth"] = dict(measure_growth(scenes, encoder))
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        _tell(document)
    return 0


def _tell(document: Mapping[str, Any], indent: int = 0) -> None:
    for name, value in document.items():
        if isinstance(value, Mapping):
            print(f"{'  ' * indent}{name}")
            _tell(value, indent + 1)
        else:
            print(f"{'  ' * indent}{name:40} {value}")


if __name__ == "__main__":
    raise SystemExit(main())
