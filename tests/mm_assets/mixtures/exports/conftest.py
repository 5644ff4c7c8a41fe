"""A release of four kinds and three splits, and pictures for it."""

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from mm_assets.mixtures.exports.formats import ExportedRelease, export_release

SPLITS = ("train", "train", "train", "validation", "test")


class MadePictures:
    """A small picture for every sample, the same for the same sample."""

    def read(self, sample_ids: Sequence[str]):
        for sample_id in sample_ids:
            shade = hashlib.sha256(sample_id.encode()).digest()[:3]
            data = io.BytesIO()
            Image.new("RGB", (20, 12), tuple(shade)).save(data, "PNG")
            yield sample_id, f"{sample_id}.png", data.getvalue()


@pytest.fixture
def split_release(release_maker, kit, edit_lines) -> Path:
    """16 samples: 5 images with captions, 5 texts, a dialogue, 5 segments; the second one is drawn twice."""
    texts = [("math", "1 + 1 = 2, as is well known."), ("code", "if a < b && c: print('<div>&amp;</div>')")]
    texts += [("prose", "Once upon a time."), ("logic", "p and not p"), ("prose", "She said: no.")]
    texts += [("dialogue", "A: Hello.\nB: Hello: how are you?\nA: Fine.")]
    release_maker.add(kit.make_batch("b1", [[caption] for caption in kit.CAPTIONS], texts))
    said = [("trimodal", "A duck quacks."), ("audio_text", "池 5 < 6"), ("video_text", "A pond.")]
    release_maker.add_segments(kit.make_segments("b2", [*said, ("trimodal", "Two."), ("audio_text", "Three.")]))
    release_maker.write()
    release = release_maker.root / "r1"
    edit_lines(
        release, lambda number, line: line | {"split": SPLITS[number % 5], "weight": 2.0 if number == 1 else 1.0}
    )
    return release


@pytest.fixture
def lines(split_release) -> list[dict]:
    """Lines as they are to be exported: the second twice, the copy behind it."""
    found = [
        json.loads(raw)
        for path in sorted((split_release / "samples").glob("*.jsonl"))
        for raw in path.read_bytes().splitlines()
    ]
    return [*found[:2], found[1], *found[2:]]


@pytest.fixture
def exported(split_release, tmp_path):
    """Exports the release."""

    def export(form: str, out: str = "out") -> tuple[Path, ExportedRelease]:
        done = export_release(split_release, form, tmp_path / out, MadePictures())
        return Path(done.folder), done

    return export


@pytest.fixture
def stored(release_maker):
    """Features of a line as they were made, before any release: what an export must still hold."""

    def find(line: dict):
        (row,) = [
            row
            for frame in release_maker.samples
            for row in frame.filter(frame["sample_id"] == line["id"]).iter_rows(named=True)
        ]
        return row

    return find
