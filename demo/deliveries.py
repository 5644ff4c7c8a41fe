"""Batches of the contract mm-batch/1: the three forms of image-caption pairs, and the faults planted in some."""

import html
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pictures import Encoded, encode_jpeg, read_picture
from PIL import Image
from scenes import Scene

_SHARDS: Final = 2
_KEPT_SHARE_OF_TRUNCATED: Final = 0.6
_COPY_SCALE: Final = 0.8
_COPY_QUALITY: Final = 60


@dataclass(frozen=True)
class Pair:
    """One image-caption record on its way into a manifest; no text or no image is a planted fault."""

    picture: str
    text: str | None
    image: Encoded | None
    suffix: str
    source_id: str
    descriptions: tuple[str, ...] = ()
    license: str | None = None


def plant(pairs: list[Pair], faults: list[Mapping[str, str]], root: Path) -> list[Pair]:
    """Plant each fault; copies go to the end.

    Raises:
        SystemExit: a fault names an unknown kind, or a picture that the batch does not hold.
    """
    for fault in faults:
        kind, picture = fault["kind"], fault["picture"]
        if kind == "reencoded":
            pairs = [*pairs, _copy_of(root, picture, fault["caption"])]
            continue
        at = next((i for i, pair in enumerate(pairs) if pair.picture == picture), None)
        if at is None:
            raise SystemExit(f"fault {kind!r}: the batch has no picture {picture!r}; fix demo/selection.toml")
        before, pair, after = pairs[:at], pairs[at], pairs[at + 1 :]
        pairs = [*pairs, pair] if kind == "repeated" else [*before, _damaged(pair, kind), *after]
    return pairs


def shift_captions(pairs: list[Pair], by: int) -> list[Pair]:
    """Give each image the caption of the row ``by`` places before it."""
    return [
        replace(pair, text=pairs[i - by].text, descriptions=pairs[i - by].descriptions) for i, pair in enumerate(pairs)
    ]


def write_image_folder(folder: Path, pairs: list[Pair]) -> None:
    """Write images and metadata.jsonl."""
    rows = []
    for number, pair in enumerate(pairs, start=1):
        name = f"{number:04d}{pair.suffix}"
        if pair.image is not None:
            (folder / name).write_bytes(pair.image.data)
        rows.append(_present({"file_name": name, "text": pair.text, **_facts(pair)}))
    write_jsonl(folder / "metadata.jsonl", rows)


def write_web_dataset(folder: Path, batch: str, pairs: list[Pair]) -> None:
    """Write tar shards of key.png, key.txt, key.json with fixed times and owners."""
    size = -(-len(pairs) // _SHARDS)
    for shard in range(_SHARDS):
        path = folder / f"{batch}-{shard:03d}.tar"
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
            for number, pair in enumerate(pairs[shard * size : (shard + 1) * size], start=shard * size):
                key = f"{number:06d}"
                if pair.image is not None:
                    _add(archive, key + pair.suffix, pair.image.data)
                if pair.text is not None:
                    _add(archive, f"{key}.txt", pair.text.encode())
                _add(archive, f"{key}.json", json.dumps(_present(_facts(pair)), ensure_ascii=False).encode())


def write_coco(folder: Path, scenes: list[Scene], license_name: str, description: str) -> None:
    """Write JPEGs and coco.json with instances (x, y, width, height in pixels) and captions."""
    nouns = sorted({noun for scene in scenes for noun in scene.nouns})
    categories = {noun: number for number, noun in enumerate(nouns, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, scene in enumerate(scenes, start=1):
        name = f"scene-{image_id:04d}.jpg"
        (folder / name).write_bytes(encode_jpeg(scene.picture, 85))
        width, height = scene.picture.size
        images.append({"id": image_id, "file_name": name, "width": width, "height": height, "license": 1})
        facts: list[dict[str, Any]] = [
            {"category_id": categories[noun], "bbox": list(box), "area": box[2] * box[3], "iscrowd": 0}
            for noun, box in zip(scene.nouns, scene.boxes, strict=True)
        ]
        facts += [{"caption": caption} for caption in scene.captions]
        annotations += [{"id": len(annotations) + i, "image_id": image_id, **fact} for i, fact in enumerate(facts, 1)]
    document = {
        "info": {"description": description},
        "licenses": [{"id": 1, "name": license_name}],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": noun} for noun, number in categories.items()],
    }
    (folder / "coco.json").write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write one JSON object a line."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def finish(folder: Path, source: str, license_name: str, box_format: str, language: str | None = "en") -> None:
    """Write batch.json and then _SUCCESS; None where the records are in several languages."""
    declaration = {
        "contract": "mm-batch/1",
        "source": source,
        "license": license_name,
        "box_format": box_format,
    } | ({} if language is None else {"language": language})
    (folder / "batch.json").write_text(json.dumps(declaration, indent=2) + "\n", encoding="utf-8")
    (folder / "_SUCCESS").touch()


def _damaged(pair: Pair, kind: str) -> Pair:
    if kind == "truncated" and pair.image is not None:
        data = pair.image.data
        cut = data[: int(len(data) * _KEPT_SHARE_OF_TRUNCATED)]
        return replace(pair, image=replace(pair.image, data=cut))
    if kind == "missing":
        return replace(pair, image=None)
    if kind == "uncaptioned":
        return replace(pair, text=None)
    if kind == "escaped" and pair.text is not None:
        return replace(pair, text=html.escape(pair.text))
    if kind == "spaced" and pair.text is not None:
        spread = pair.text.replace(" ", "\N{NO-BREAK SPACE} ")
        return replace(pair, text=f"  {spread}\N{ZERO WIDTH SPACE}")
    raise SystemExit(f"unknown fault {kind!r} on {pair.picture!r}; fix demo/selection.toml")


def _copy_of(root: Path, picture: str, caption: str) -> Pair:
    original = read_picture(root / picture)
    size = (round(original.width * _COPY_SCALE), round(original.height * _COPY_SCALE))
    copy = original.resize(size, Image.Resampling.LANCZOS)
    image = Encoded(".jpg", encode_jpeg(copy, _COPY_QUALITY), *copy.size)
    return Pair(picture, caption, image, image.suffix, source_id=f"copy-of/{picture}")


def _facts(pair: Pair) -> dict[str, Any]:
    return {"descriptions": list(pair.descriptions), "license": pair.license, "source_id": pair.source_id}


def _present(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value not in (None, [])}


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))
