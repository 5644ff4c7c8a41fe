"""Rebuild the demo's landing folder from unpacked packages: ``python demo/rebuild.py --packages DIR [--check]``.

DIR holds one folder per package named in demo/README.md. Needs rsvg-convert, and the project's environment for Pillow,
PyAV, polars and PyYAML. With the versions of demo/README.md the result is the same to the byte; ``--check`` compares.
"""

import argparse
import filecmp
import json
import shutil
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl
from clips import write_clips
from deliveries import (
    Pair,
    finish,
    plant,
    shift_captions,
    write_coco,
    write_image_folder,
    write_jsonl,
    write_web_dataset,
)
from documents import write_documents
from pictures import encode, picture_root, read_caption, read_picture
from scenes import compose_scenes, mirror_boxes
from texts import Row, read_code, read_dialogues, read_prose, read_theorems

DEMO: Final = Path(__file__).resolve().parent
_TEXT_SOURCE: Final = "text-packages"
_TEXT_COLUMNS: Final = ("text", "kind", "language", "source", "license")
_PLAIN_FILES: Final = 4
_SCENES_DESCRIPTION: Final = (
    "Constructed scenes: cut-out photo stamps placed on a plain background, so boxes and captions are exact. "
    "Not photographs of real arrangements."
)

Counts = dict[str, Any]


def build(packages: Path, demo: Path) -> None:
    """Write every batch below ``demo/data/landing``, and ``demo/expected.json``."""
    selection = tomllib.loads((DEMO / "selection.toml").read_text(encoding="utf-8"))
    texts = selection.pop("texts")
    landing = demo / "data" / "landing"
    if landing.exists():
        shutil.rmtree(landing)
    batches: dict[str, Counts] = {}
    for batch, choice in selection.items():
        if "objects_of" in choice:
            choice["objects"] = selection[choice["objects_of"]]["objects"]
        build_batch = _BUILDERS.get(choice["form"], _build_images)
        batches[batch] = build_batch(packages, landing / batch, choice)
        print(batch, json.dumps(batches[batch]))
    for batch, rows in _texts(packages, texts).items():
        batches[batch] = _build_texts(landing / batch, rows)
        print(batch, json.dumps(batches[batch]))
    spoiled = [batch for batch, choice in selection.items() if _is_spoiled(choice)]
    expected = {"spoiled": spoiled, "batches": batches}
    (demo / "expected.json").write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")


def _build_images(packages: Path, folder: Path, choice: Mapping[str, Any]) -> Counts:
    images = folder / "images"
    images.mkdir(parents=True)
    root = picture_root(packages, choice["package"])
    planted = Counter(fault["kind"] for fault in choice.get("faults", []))
    if choice["form"] == "coco":
        scenes = compose_scenes(root, choice["objects"], choice["scenes"], choice["seed"])
        if choice.get("mirror_boxes"):
            scenes = [mirror_boxes(scene) for scene in scenes]
        write_coco(images, scenes, choice["license"], _SCENES_DESCRIPTION)
        records = len(scenes)
    else:
        pairs = plant(_pairs(root, choice), choice.get("faults", []), root)
        pairs = shift_captions(pairs, choice.get("shift_captions", 0))
        if choice["form"] == "imagefolder":
            write_image_folder(images, pairs)
        else:
            write_web_dataset(images, folder.name, pairs)
        records = len(pairs)
    box_format = "xywh_pixels" if choice["form"] == "coco" else "xyxy_pixels"
    finish(folder, choice["source"], choice["license"], box_format)
    return {"form": choice["form"], "images": records, "texts": {}, "planted": dict(planted)}


def _is_spoiled(choice: Mapping[str, Any]) -> bool:
    is_late = any("late_ms" in clip for clip in choice.get("clips", []))
    return is_late or bool(choice.keys() & {"shift_captions", "mirror_boxes", "reverse_pages"})


def _build_clips(packages: Path, folder: Path, choice: Mapping[str, Any]) -> Counts:
    planted = Counter(clip["fault"] for clip in choice["clips"] if "fault" in clip)
    written = write_clips(packages, picture_root(packages, choice["package"]), folder, choice)
    finish(folder, choice["source"], choice["license"], "xyxy_pixels")
    return {"form": "clips", "images": 0, "texts": {}, **written, "planted": dict(planted)}


def _build_documents(packages: Path, folder: Path, choice: Mapping[str, Any]) -> Counts:
    written = write_documents(packages, folder, choice)
    finish(folder, choice["source"], choice["license"], "xyxy_pixels", choice.get("language"))
    return {"form": "documents", "images": 0, "texts": {}, **written, "planted": {}}


_BUILDERS: Final = {"clips": _build_clips, "documents": _build_documents}


def _pairs(root: Path, choice: Mapping[str, Any]) -> list[Pair]:
    pairs = []
    for position, picture in enumerate(choice["pictures"]):
        caption = read_caption(root / picture)
        image = encode(read_picture(root / picture), position)
        pairs.append(
            Pair(
                picture,
                caption.text,
                image,
                image.suffix,
                source_id=f"{choice['package']}/{picture}",
                descriptions=caption.descriptions,
                license=choice["license"] if choice["source"] == "openclipart" else None,
            )
        )
    return pairs


def _texts(packages: Path, choice: Mapping[str, Any]) -> dict[str, list[Row]]:
    seed = choice["seed"]
    return {
        "text-prose-code-08": read_prose(packages, choice["headwords"]) + read_code(packages, choice["code"], seed),
        "text-math-dialogue-09": read_theorems(packages, choice["math"], choice["logic"], seed)
        + read_dialogues(packages, choice["dialogue"], seed),
    }


def _build_texts(folder: Path, rows: list[Row]) -> Counts:
    """Write one file per kind: prose as lines and a few plain files, logic as Parquet, the rest as lines.

    A plain file cannot name its own source and licence, so a batch that holds some declares theirs.
    """
    (folder / "text").mkdir(parents=True)
    kinds = Counter(row["kind"] for row in rows)
    for kind in kinds:
        chosen = [{**row, "language": "en"} for row in rows if row["kind"] == kind]
        if kind == "prose":
            for number, row in enumerate(chosen[:_PLAIN_FILES], start=1):
                (folder / "text" / f"jargon-{number}.txt").write_text(row["text"] + "\n", encoding="utf-8")
            chosen = chosen[_PLAIN_FILES:]
        if kind == "logic":
            pl.DataFrame(chosen).select(_TEXT_COLUMNS).write_parquet(folder / "text" / "logic.parquet")
        else:
            ordered = [{name: row[name] for name in _TEXT_COLUMNS} for row in chosen]
            write_jsonl(folder / "text" / f"{kind}.jsonl", ordered)
    plain = [row for row in rows if row["kind"] == "prose"]
    licenses = " AND ".join(dict.fromkeys(row["license"] for row in plain or rows))
    finish(folder, plain[0]["source"] if plain else _TEXT_SOURCE, licenses, "xyxy_pixels")
    return {"form": "text", "images": 0, "texts": dict(kinds), "planted": {}}


def _differences(one: Path, other: Path) -> list[str]:
    names = sorted({str(path.relative_to(root)) for root in (one, other) for path in root.rglob("*") if path.is_file()})
    _, mismatch, errors = filecmp.cmpfiles(one, other, names, shallow=False)
    return sorted(mismatch + errors)


def main() -> int:
    """Rebuild in place, or with ``--check`` compare a fresh build with what is vendored."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, required=True, help="folder with one unpacked folder per package")
    parser.add_argument("--check", action="store_true", help="build elsewhere and compare")
    arguments = parser.parse_args()
    if not arguments.check:
        build(arguments.packages, DEMO)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        fresh = Path(temporary)
        build(arguments.packages, fresh)
        different = _differences(DEMO / "data", fresh / "data")
        if (DEMO / "expected.json").read_bytes() != (fresh / "expected.json").read_bytes():
            different.append("expected.json")
    print(f"{len(different)} files differ", *different, sep="\n")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
