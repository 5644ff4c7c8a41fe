import hashlib
import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from threading import get_ident
from time import sleep

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import Image

from mm_assets.cleaned.duplicates import find_duplicates
from mm_assets.cleaned.fingerprint_spool import reader_of
from mm_assets.cleaned.fingerprints import detail_of
from mm_assets.cleaned.images import STAGE, InspectedChunk, clean_images, reject_duplicates
from mm_assets.errors import InferenceError
from mm_assets.models import ModelIdentity
from mm_assets.policy import DuplicatePolicy, ImagePolicy
from mm_assets.schemas import TABLES
from resources.object_store import LocalLanding

BATCH = "batch-1"


class MeanRedness:
    """A safety model whose answer is known: how red the picture is."""

    identity = ModelIdentity("redness", "1", "0" * 64)
    device = "cpu"

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.prepared_by: set[int] = set()

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.prepared_by.add(get_ident())
        return pixels.mean(axis=(0, 1), dtype=np.float32)

    def score(self, prepared: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        self.calls.append(len(prepared))
        means = np.stack(prepared)
        return (means[:, 0] / np.maximum(means.sum(axis=1), 1.0)).astype(np.float32)


class BrokenModel(MeanRedness):
    def score(self, prepared: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        raise InferenceError("the accelerator is gone")


def _png(seed: int, width: int = 48, height: int = 40, tint: tuple[float, float, float] = (0.5, 1.0, 1.0)) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    image = Image.fromarray((noise * np.array(tint)).astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _deliver(root: Path, files: dict[str, bytes]) -> tuple[LocalLanding, pl.DataFrame]:
    """Files of one batch and their rows of raw_images."""
    folder = root / BATCH / "images"
    folder.mkdir(parents=True)
    landing = LocalLanding(root)
    rows = []
    for position, (name, data) in enumerate(files.items()):
        (folder / name).write_bytes(data)
        rows.append(
            {
                "batch": BATCH,
                "image_id": f"img_{position:04d}",
                "position": position,
                "form": "imagefolder",
                "record_ref": f"images/metadata.jsonl:{position + 1}",
                "source_ref": {
                    "uri": landing.uri(f"{BATCH}/images/{name}"),
                    "member": None,
                    "byte_offset": 0,
                    "byte_size": len(data),
                    "frame_index": None,
                },
                "file_name": name,
                "sha256": hashlib.sha256(data).hexdigest(),
                "size_bytes": len(data),
                "source": "vendor-a",
                "source_id": None,
                "license": "CC0-1.0",
                "annotations_json": None,
            }
        )
    return landing, pl.DataFrame(rows, schema=TABLES["raw_images"].schema)


def _joined(chunks: Sequence[InspectedChunk]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    return (
        pl.concat([chunk.kept for chunk in chunks]),
        pl.concat([chunk.fingerprints for chunk in chunks]),
        pl.concat([chunk.rejected for chunk in chunks]),
    )


def _hostile_files() -> dict[str, bytes]:
    good = _png(1)
    return {
        "good.png": good,
        "cut.png": good[: len(good) // 2],
        "empty.png": b"",
        "really-a-png.jpg": _png(2),
        "text.png": b"not a picture at all",
        "tiny.png": _png(3, 16, 16),
        "ruler.png": _png(4, 400, 40),
        "good again.png": good,
        "other.png": _png(5),
    }


def test_every_record_is_kept_or_rejected_with_a_code(tmp_path: Path) -> None:
    landing, raw = _deliver(tmp_path, _hostile_files())
    chunks = list(clean_images(raw.iter_slices(4), landing, MeanRedness(), ImagePolicy()))
    kept, fingerprints, rejected = _joined(chunks)
    assert len(chunks) == 3
    assert kept.height + rejected.height == raw.height
    assert set(kept["image_id"]) | set(rejected["record_id"]) == set(raw["image_id"])
    assert dict(zip(rejected["record_id"], rejected["code"], strict=True)) == {
        "img_0001": "TRUNCATED_IMAGE",
        "img_0002": "EMPTY_FILE",
        "img_0004": "NOT_AN_IMAGE",
        "img_0005": "TOO_SMALL",
        "img_0006": "EXTREME_ASPECT",
    }
    assert set(rejected["stage"]) == {STAGE}
    assert rejected["reason"].str.starts_with("images/metadata.jsonl:").all()
    TABLES["images"].conform(kept)
    TABLES["image_fingerprints"].conform(fingerprints)
    TABLES["rejected"].conform(rejected)
    assert kept["image_id"].to_list() == ["img_0000", "img_0003", "img_0007", "img_0008"]
    assert kept["format"].to_list() == ["PNG"] * 4
    assert kept.select("width", "height").unique().rows() == [(48, 40)]
    assert fingerprints["image_id"].to_list() == kept["image_id"].to_list()
    assert fingerprints["coarse"].bin.size().unique().to_list() == [16 * 16 * 3]
    assert fingerprints["thumbnail"].bin.size().unique().to_list() == [64 * 64 * 3]
    assert detail_of(fingerprints["detail"][0]).shape == (192, 192)


def test_the_answer_does_not_depend_on_chunks_or_threads(tmp_path: Path) -> None:
    landing, raw = _deliver(tmp_path, _hostile_files())
    one = _joined(list(clean_images([raw], landing, MeanRedness(), ImagePolicy(), threads=1)))
    other = _joined(list(clean_images(raw.iter_slices(2), landing, MeanRedness(), ImagePolicy(), threads=4)))
    for first, second in zip(one, other, strict=True):
        assert first.equals(second)


def test_unsafe_pictures_are_rejected_and_scores_recorded(tmp_path: Path) -> None:
    files = {"calm.png": _png(1, tint=(0.2, 1.0, 1.0)), "red.png": _png(2, tint=(1.0, 0.02, 0.02))}
    landing, raw = _deliver(tmp_path, files)
    model = MeanRedness()
    (chunk,) = clean_images([raw], landing, model, ImagePolicy(max_nsfw=0.9))
    assert chunk.kept["image_id"].to_list() == ["img_0000"]
    assert 0.0 < chunk.kept["nsfw_score"].item() < 0.5
    assert chunk.fingerprints.height == 1
    assert chunk.rejected["code"].to_list() == ["NSFW"]
    assert "max_nsfw" in chunk.rejected["reason"].item()
    assert chunk.scored == 2
    assert chunk.model_seconds >= 0.0


def test_only_pictures_that_pass_the_cheap_tests_cost_a_model_call(tmp_path: Path) -> None:
    landing, raw = _deliver(tmp_path, _hostile_files())
    model = MeanRedness()
    (chunk,) = clean_images([raw], landing, model, ImagePolicy())
    assert sum(model.calls) == chunk.scored == chunk.kept.height == 4


def test_pictures_are_scored_together_and_prepared_by_the_decoding_threads(tmp_path: Path) -> None:
    landing, raw = _deliver(tmp_path, {f"{seed}.png": _png(seed) for seed in range(40)})
    model = MeanRedness()
    (chunk,) = clean_images([raw], landing, model, ImagePolicy(), threads=2)
    assert model.calls == [16, 16, 8]
    assert get_ident() not in model.prepared_by
    assert chunk.kept["position"].to_list() == list(range(40))


def test_few_prepared_pictures_wait_for_a_slow_model(tmp_path: Path) -> None:
    waiting = []

    class SlowModel(MeanRedness):
        prepared = scored = 0

        def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
            self.prepared += 1
            return super().prepare(pixels)

        def score(self, prepared: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
            sleep(0.05)
            waiting.append(self.prepared - self.scored)
            self.scored += len(prepared)
            return super().score(prepared)

    landing, raw = _deliver(tmp_path, {f"{seed}.png": _png(seed) for seed in range(120)})
    (chunk,) = clean_images([raw], landing, SlowModel(), ImagePolicy())
    assert chunk.scored == 120
    assert 16 < max(waiting) <= 64, "decoding runs ahead, but not far"


def test_without_a_model_the_score_is_null(tmp_path: Path) -> None:
    landing, raw = _deliver(tmp_path, {"a.png": _png(1)})
    (chunk,) = clean_images([raw], landing, None, ImagePolicy(nsfw_enabled=False))
    assert chunk.kept["nsfw_score"].to_list() == [None]
    assert (chunk.scored, chunk.model_seconds) == (0, 0.0)


def test_a_failing_model_fails_the_run(tmp_path: Path) -> None:
    landing, raw = _deliver(tmp_path, {"a.png": _png(1)})
    with pytest.raises(InferenceError, match="accelerator"):
        list(clean_images([raw], landing, BrokenModel(), ImagePolicy()))


def test_a_file_that_vanished_or_leads_outside_is_a_rejected_row(tmp_path: Path) -> None:
    landing, raw = _deliver(tmp_path / "landing", {"gone.png": _png(1), "linked.png": _png(2), "there.png": _png(3)})
    folder = tmp_path / "landing" / BATCH / "images"
    (folder / "gone.png").unlink()
    secret = tmp_path / "secret.png"
    secret.write_bytes(_png(9))
    (folder / "linked.png").unlink()
    (folder / "linked.png").symlink_to(secret)
    (chunk,) = clean_images([raw], landing, None, ImagePolicy())
    assert chunk.kept["image_id"].to_list() == ["img_0002"]
    assert dict(zip(chunk.rejected["record_id"], chunk.rejected["code"], strict=True)) == {
        "img_0000": "MISSING_FILE",
        "img_0001": "LINK_OUTSIDE",
    }


def test_filters_of_warnings_are_left_as_they_were(tmp_path: Path) -> None:
    landing, raw = _deliver(tmp_path, {f"{seed}.png": _png(seed) for seed in range(30)})
    before = list(warnings.filters)
    for _ in clean_images(raw.iter_slices(7), landing, None, ImagePolicy(), threads=4):
        assert list(warnings.filters) == before


def test_an_empty_chunk_gives_empty_tables(tmp_path: Path) -> None:
    landing, raw = _deliver(tmp_path, {"a.png": _png(1)})
    (chunk,) = clean_images([raw.clear()], landing, None, ImagePolicy())
    assert chunk.kept.schema == TABLES["images"].schema
    assert chunk.kept.height == chunk.fingerprints.height == chunk.rejected.height == 0


def test_duplicates_become_rejected_rows_that_name_the_first(tmp_path: Path) -> None:
    landing, raw = _deliver(tmp_path, _hostile_files())
    (chunk,) = clean_images([raw], landing, None, ImagePolicy())
    duplicates = find_duplicates(chunk.fingerprints, [], reader_of(chunk.fingerprints), DuplicatePolicy())
    rejected = reject_duplicates(chunk.kept, duplicates)
    assert rejected.rows(named=True) == [
        {
            "batch": BATCH,
            "stage": STAGE,
            "record_kind": "image",
            "record_ref": "images/metadata.jsonl:8",
            "record_id": "img_0007",
            "code": "EXACT_DUPLICATE",
            "reason": "images/metadata.jsonl:8: the same picture as img_0000 of batch batch-1 (similarity 1.0); "
            "deliver each picture once",
        }
    ]
    TABLES["rejected"].conform(rejected)
