"""A delivery with planted faults, made of a folder's pictures and, when these are too few, of parts of them."""

import hashlib
import json
import random
import shutil
from pathlib import Path

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
BATCH = "benchmark"
CORNERS, PART_OF_SIDE = ((0, 0), (1, 0), (0, 1), (1, 1)), 0.75
TRUNCATED_ROW = 60
SYLLABLES = ("ba", "den", "ri", "mo", "lun", "ska", "te", "vor", "ni", "pel", "gu", "sha")


def build(folder: Path, landing: Path, records: int) -> dict[str, int]:
    """Write one delivery; gives the number of records and of planted faults."""
    from PIL import Image  # the parent only

    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    distinct = {path.read_bytes(): path for path in sorted(found, reverse=True)}  # only planted repeats repeat
    sources = sorted(distinct.values(), key=lambda path: hashlib.sha256(path.name.encode()).digest())
    if not sources:
        raise SystemExit(f"{folder} holds no pictures; name a folder with {', '.join(sorted(SUFFIXES))} files")
    images, parts = landing / BATCH / "images", landing / "parts"
    images.mkdir(parents=True)
    parts.mkdir()

    def source_of(row: int) -> Path:
        turn, place = divmod(row, len(sources))
        return sources[place] if turn == 0 else part_of(sources[place], turn - 1, parts / f"{row}")

    generator = random.Random(7)  # noqa: S311 - a benchmark
    planted = {"repeats": 0, "tiny": 0, "truncated": 0, "overlong captions": 0}
    lines = []
    for row in range(min(records, len(sources) * (1 + len(CORNERS)))):
        source = source_of(row)
        name = f"{row:05d}{source.suffix.lower()}"
        words = ("".join(generator.choices(SYLLABLES, k=3)) for _ in range(9))
        caption = " ".join(words).capitalize() + "."
        if row % 50 == 49:
            shutil.copy(source_of(row - 1), images / name)
            planted["repeats"] += 1
        elif row % 100 == 20:
            name = f"{row:05d}.png"
            Image.new("RGB", (16, 16), "teal").save(images / name)
            planted["tiny"] += 1
        elif row % 100 == TRUNCATED_ROW:
            data = source.read_bytes()
            (images / name).write_bytes(data[: len(data) * 2 // 3])
            planted["truncated"] += 1
        else:
            shutil.copy(source, images / name)
        if row % 100 == 80:
            caption = (caption + " ") * 60
            planted["overlong captions"] += 1
        lines.append(json.dumps({"file_name": name, "text": caption}))
    shutil.rmtree(parts)
    (images / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    contract = {"contract": "mm-batch/1", "source": "benchmark", "license": "CC0-1.0", "box_format": "xyxy_pixels"}
    (landing / BATCH / "batch.json").write_text(json.dumps(contract | {"language": "en"}), encoding="utf-8")
    (landing / BATCH / "_SUCCESS").touch()
    return {"records": len(lines), **planted}


def part_of(source: Path, corner: int, stem: Path) -> Path:
    """A corner of a picture, in its format; of one that does not decode, all of it."""
    from PIL import Image  # the parent only

    written = stem.with_suffix(source.suffix)
    if not written.exists():
        with Image.open(source) as whole:
            width, height = (max(1, round(PART_OF_SIDE * side)) for side in whole.size)
            left, top = CORNERS[corner][0] * (whole.width - width), CORNERS[corner][1] * (whole.height - height)
            try:
                part = whole.crop((left, top, left + width, top + height))
            except OSError:
                return source
            part.save(written, format=whole.format, quality=90)
    return written


def is_truncated(path: Path) -> bool:
    """Whether the file was written as a truncated one."""
    return int(path.stem) % 100 == TRUNCATED_ROW
