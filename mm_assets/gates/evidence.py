"""Pictures of what gave a batch away, drawn from the examples in its diagnosis."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from mm_assets.display.box_sheet import BoxedPicture, box_sheet
from mm_assets.display.contact_sheet import Tile, contact_sheet
from mm_assets.display.waveform import CLIP_COLOURS
from mm_assets.gates.segment_evidence import clip_sheet
from mm_assets.landing import Landing
from resources.delta_lake import DeltaLake

_PICTURES = 12
_FINDING_SIDE_PX = 256  # a side marker is a twentieth of the picture and must be seen


def read_picture(landing: Landing, source_ref: Mapping[str, Any]) -> bytes:
    """Encoded bytes of an image row."""
    return landing.read(landing.key(source_ref["uri"]), source_ref["byte_offset"], source_ref["byte_size"])


def evidence_sheet(lake: DeltaLake, landing: Landing, batch: str, diagnosis: Mapping[str, Any]) -> bytes | None:
    """A PNG of the examples: pairs, boxes or clips, as given and as restored; None without any."""
    examples: list[dict[str, Any]] = diagnosis.get("examples", [])[:_PICTURES]
    clips: list[dict[str, Any]] = diagnosis.get("clip_examples", [])
    if clips:
        return clip_sheet(lake, landing, batch, clips, diagnosis.get("corrections", []))
    ids = [example["image_id"] for example in examples]
    images = lake.scan("images", batch).filter(pl.col("image_id").is_in(ids)).select("image_id", "source_ref").collect()
    references = dict(images.iter_rows())
    shown = [example for example in examples if example["image_id"] in references]
    if not shown:
        return None
    encoded = {name: read_picture(landing, reference) for name, reference in references.items()}
    if "xyxy" in shown[0]:
        hypothesis = str(diagnosis["hypothesis"])
        return box_sheet([_boxed(example, hypothesis, encoded[example["image_id"]]) for example in shown])
    if "subject" in shown[0]:
        tiles = [_finding(example, encoded[example["image_id"]]) for example in shown]
        return contact_sheet(tiles, columns=4, side=_FINDING_SIDE_PX)
    return contact_sheet([_pair(example, encoded[example["image_id"]]) for example in shown], columns=6)


def tell_sheet(diagnosis: Mapping[str, Any]) -> str:
    """What the sheet of a diagnosis shows, in words."""
    if diagnosis.get("clip_examples"):
        return CLIP_COLOURS
    examples: list[dict[str, Any]] = diagnosis.get("examples", [])
    contrasts = examples[0].keys() & {"restored_text", "xyxy_restored"} if examples else ()
    return "as given, and as restored" if contrasts else "as given"


def _pair(example: Mapping[str, Any], encoded: bytes) -> Tile:
    lines = [f"given: {example['text']}"]
    if example.get("restored_text") is not None:
        lines.append(f"restored: {example['restored_text']}")
    return Tile(encoded, tuple(lines), mark="crimson")


def _finding(example: Mapping[str, Any], encoded: bytes) -> Tile:
    return Tile(encoded, (str(example["file_name"]), str(example["text"])), mark="crimson")


def _boxed(example: Mapping[str, Any], hypothesis: str, encoded: bytes) -> BoxedPicture:
    label, restored = example["phrase"], example.get("label_restored")
    named = str(label) if restored in (None, label) else f"{label}, restored: {restored}"
    scores = [
        f"{told} {example[key]:.2f}"
        for told, key in (("given", "score"), ("restored", "score_restored"))
        if example.get(key) is not None
    ]
    sure = example.get("confidence")
    why = f"{example['chosen']}: {hypothesis}" + ("" if sure is None else f", sure {sure:.2f}")
    lines = (named, f"similarity {', '.join(scores)}" if scores else "not encoded", why)
    return BoxedPicture(encoded, example["xyxy"], example.get("xyxy_restored"), lines)
