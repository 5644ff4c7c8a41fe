"""Pictures and captions of the demo that benchmarks build deliveries from."""

import json
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]


def demo_pairs(side_px: int) -> list[tuple[Image.Image, str]]:
    """Every demo picture delivered as a file, small, with its caption; a spoiled batch is no pair."""
    expected = json.loads((ROOT / "demo" / "expected.json").read_text(encoding="utf-8"))
    pairs: list[tuple[Image.Image, str]] = []
    for manifest in sorted((ROOT / "demo" / "data" / "landing").glob("*/images/metadata.jsonl")):
        if manifest.parents[1].name in expected["spoiled"]:
            continue
        for line in manifest.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
                with Image.open(manifest.parent / record["file_name"]) as picture:
                    pairs.append((picture.convert("RGB").resize((side_px, side_px)), record["text"].rstrip(".")))
            except (ValueError, KeyError, OSError):  # the demo carries broken records on purpose
                continue
    return pairs
