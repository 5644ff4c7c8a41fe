"""Small deliveries, cut from those of the demo."""

import json
import shutil
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
TEXTS = 20
MEDIA_BATCH = "clips-animals-11"


def write_delivery(folder: Path, batch: str, images: int, skip: int) -> None:
    """A delivery of the first records of a demo batch but for some, a box around the middle of each, a few texts."""
    source = ROOT / "demo" / "data" / "landing" / batch
    target = folder / batch
    shutil.rmtree(target, ignore_errors=True)
    (target / "images").mkdir(parents=True)
    (target / "text").mkdir()
    shutil.copy(source / "batch.json", target / "batch.json")
    lines = (source / "images" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()[skip : skip + images]
    rows: list[str] = []
    for record in map(json.loads, lines):
        file = source / "images" / record["file_name"]
        if file.is_file():
            shutil.copy(file, target / "images" / file.name)
            with Image.open(file) as picture:
                width, height = picture.size
            middle = [width * 0.1, height * 0.1, width * 0.9, height * 0.9]
            record["objects"] = {"bbox": [middle], "categories": [record["text"].split()[-1].strip(".()").lower()]}
        rows.append(json.dumps(record) + "\n")
    (target / "images" / "metadata.jsonl").write_text("".join(rows), encoding="utf-8")
    numbers = range(skip, skip + TEXTS)
    records = [{"text": f"A lemma about the number {number} and its divisors.", "kind": "math"} for number in numbers]
    text = "".join(json.dumps(record) + "\n" for record in records)
    (target / "text" / "lemmas.jsonl").write_text(text, encoding="utf-8")
    (target / "_SUCCESS").touch()


def add_media(folder: Path, batch: str, clips: int, skip: int) -> None:
    """The first clips of the demo but for some, with cues and separate sound."""
    source = ROOT / "demo" / "data" / "landing" / MEDIA_BATCH / "video"
    target = folder / batch / "video"
    target.mkdir()
    rows = [json.loads(line) for line in (source / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in rows[skip : skip + clips]:
        for name in filter(None, (row["file_name"], row.get("subtitles"), row.get("audio"))):
            shutil.copy(source / name, target / name)
    text = "".join(json.dumps(row) + "\n" for row in rows[skip : skip + clips])
    (target / "metadata.jsonl").write_text(text, encoding="utf-8")


def first_clean_batch() -> str:
    """A demo batch in the ImageFolder form that nobody spoiled."""
    expected = json.loads((ROOT / "demo" / "expected.json").read_text(encoding="utf-8"))
    landing = ROOT / "demo" / "data" / "landing"
    clean = sorted(expected["batches"].keys() - set(expected["spoiled"]))
    return next(name for name in clean if (landing / name / "images" / "metadata.jsonl").is_file())
