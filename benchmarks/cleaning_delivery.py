"""A delivery with planted faults, made of a folder's pictures."""

import hashlib
import json
import random
import shutil
from pathlib import Path

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
BATCH = "benchmark"
SYLLABLES = ("ba", "den", "ri", "mo", "lun", "ska", "te", "vor", "ni", "pel", "gu", "sha")


def build(folder: Path, landing: Path, records: int) -> dict[str, int]:
    """Write one delivery; gives the number of records and of planted faults."""
    from PIL import Image  # the parent only

    sources = sorted(
        (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES),
        key=lambda path: hashlib.sha256(path.name.encode()).digest(),
    )
    if not sources:
        raise SystemExit(f"{folder} holds no pictures; name a folder with {', '.join(sorted(SUFFIXES))} files")
    images = landing / BATCH / "images"
    images.mkdir(parents=True)
    generator = random.Random(7)  # noqa: S311 - a benchmark
    planted = {"repeats": 0, "tiny": 0, "truncated": 0, "overlong captions": 0}
    lines = []
    for row, source in enumerate(sources[:records]):
        name = f"{row:05d}{source.suffix.lower()}"
        words = ("".join(generator.choices(SYLLABLES, k=3)) for _ in range(9))
        caption = " ".join(words).capitalize() + "."
        if row % 50 == 49:
            shutil.copy(sources[row - 1], images / name)
            planted["repeats"] += 1
        elif row % 100 == 20:
            name = f"{row:05d}.png"
            Image.new("RGB", (16, 16), "teal").save(images / name)
            planted["tiny"] += 1
        elif row % 100 == 60:
            data = source.read_bytes()
            (images / name).write_bytes(data[: len(data) * 2 // 3])
            planted["truncated"] += 1
        else:
            shutil.copy(source, images / name)
        if row % 100 == 80:
            caption = (caption + " ") * 60
            planted["overlong captions"] += 1
        lines.append(json.dumps({"file_name": name, "text": caption}))
    (images / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    contract = {"contract": "mm-batch/1", "source": "benchmark", "license": "CC0-1.0", "box_format": "xyxy_pixels"}
    (landing / BATCH / "batch.json").write_text(json.dumps(contract | {"language": "en"}), encoding="utf-8")
    (landing / BATCH / "_SUCCESS").touch()
    return {"records": len(lines), **planted}


def int_row(path: Path) -> int:
    """The record a file was written for."""
    return int(path.stem) if path.stem.isdigit() else 0
