"""Captions over the demo's pictures with what is false in them, as the pipeline takes them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mm_assets.cleaned.decoding import decode_image
from mm_assets.policy import Policy
from mm_assets.raw_pools.contract import read_contract
from mm_assets.raw_pools.reading import read_batch
from resources.object_store import open_landing

POLICY = Policy()
ROOT = Path(__file__).resolve().parents[1]
LABELS = Path(__file__).resolve().parent / "labels"


@dataclass(frozen=True)
class Material:
    """Labelled captions as the pipeline takes them, and what is true of them."""

    captions: pl.DataFrame
    boxes: pl.DataFrame
    labels: list[str]
    pixels: dict[str, np.ndarray]
    invents: dict[str, list[str]]
    conflicts: dict[tuple[str, str], bool]


def read_material(file: Path) -> Material:
    """Captions of a label file, their pictures and boxes."""
    documents = json.loads(file.read_text(encoding="utf-8"))
    wanted = {(document["batch"], document["position"]): document for document in documents}
    rows: list[dict[str, Any]] = []
    boxes: list[tuple[str, str]] = []
    labels: set[str] = set()
    pixels: dict[str, np.ndarray] = {}
    invents: dict[str, list[str]] = {}
    conflicts: dict[tuple[str, str], bool] = {}
    for image, encoded in read_images(sorted({batch for batch, _ in wanted})):
        categories = json.loads(image["annotations_json"] or "{}").get("objects", {}).get("categories", [])
        labels.update(categories)
        document = wanted.get((image["batch"], image["position"]))
        if document is None:
            continue
        boxes += [(image["image_id"], label) for label in categories]
        pixels[image["image_id"]] = decode_image(encoded, image["file_name"], POLICY.images).pixels
        ids = [f"{image['image_id']}-{index}" for index in range(len(document["captions"]))]
        for index, (caption_id, caption) in enumerate(zip(ids, document["captions"], strict=True)):
            invents[caption_id] = caption["invents"]
            rows.append(
                {
                    "batch": image["batch"],
                    "caption_id": caption_id,
                    "image_id": image["image_id"],
                    "position": len(pixels),
                    "caption_index": index,
                    "text": caption["text"],
                    "language": "en",
                    "source": image["source"],
                    "annotator": None,
                }
            )
        true = {tuple(pair) for pair in document["conflicts"]}
        for first, second in combinations(range(len(ids)), 2):
            conflicts[ids[first], ids[second]] = (first, second) in true
    schema = {"annotator": pl.String, "position": pl.Int64, "caption_index": pl.Int32}
    frame = pl.DataFrame(rows, schema_overrides=schema)
    boxed = pl.DataFrame(boxes, schema={"image_id": pl.String, "label": pl.String}, orient="row")
    return Material(frame, boxed, sorted(labels), pixels, invents, conflicts)


def read_images(batches: Sequence[str]) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Image rows of the demo's deliveries and their encoded bytes."""
    landing = open_landing(str(ROOT / "demo" / "data" / "landing"))
    for batch in batches:
        for chunk in read_batch(landing, read_contract(landing, batch, POLICY.ingest), POLICY.ingest):
            for image in chunk.images.iter_rows(named=True):
                reference = image["source_ref"]
                key = landing.key(reference["uri"])
                yield image, landing.read(key, reference["byte_offset"], reference["byte_size"])
