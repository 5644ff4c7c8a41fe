"""Small batches, packed for real and written as real releases."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest

from mm_assets.fusion.packing import PackedSamples, pack_image_text, pack_texts
from mm_assets.fusion.placeholders import Vocabulary
from mm_assets.identifiers import make_id
from mm_assets.mixtures.manifest import GateValue, ReleaseManifest
from mm_assets.mixtures.package import ReleaseRecipe, write_release
from mm_assets.mixtures.release_folder import FolderStore, LocalReleases
from mm_assets.mixtures.selection import Draw, draw_release
from mm_assets.policy import FusionPolicy, MixturePolicy, Policy
from mm_assets.schemas import TABLES

CODES = 64
VECTORS = 6
CHANNELS = 8
CAPTIONS = (
    "A duck on a pond.",
    "بطة على بحيرة، صورة من الجانب الآخر",
    "池の上のアヒル 🦆👨‍👩‍👧‍👦 — naïve café",
    'She said "quack" \\ and left\tat 5 < 6 & 7 > 3; a box of 100 % <b>wood</b>',
    "e\u0301 \u202ebackwards\u202c \U0001f1f3\U0001f1f4",
)


@dataclass
class Material:
    """Tables of one batch, and the features that its references lead to."""

    images: pl.DataFrame
    captions: pl.DataFrame
    texts: pl.DataFrame
    visual_codes: pl.DataFrame
    image_embeddings: pl.DataFrame
    features: dict[str, np.ndarray]


@dataclass
class MemoryFeatures:
    """Features by reference."""

    rows: dict[str, np.ndarray] = field(default_factory=dict)
    largest_read: int = 0

    def read(self, references: Sequence[str]) -> np.ndarray:
        self.largest_read = max(self.largest_read, len(references))
        return np.stack([self.rows[reference] for reference in references])


def frame(table: str, rows: list[dict]) -> pl.DataFrame:
    schema = TABLES[table].schema
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def make_batch(
    batch: str, captions: Sequence[Sequence[str]], texts: Sequence[tuple[str, str]] = (), *, vectors: int = VECTORS
) -> Material:
    """One image per entry of captions, with that entry's captions; texts as (kind, text)."""
    generator = np.random.default_rng(sum(batch.encode()))
    ids = [make_id("img", batch, i) for i in range(len(captions))]
    references = [f"features/{batch}/0a-{i // 4:04d}.safetensors#{i % 4}" for i in range(len(ids))]
    codes = generator.integers(0, CODES, (len(ids), vectors))
    features = generator.normal(size=(len(ids), vectors, CHANNELS)).astype(np.float16)
    common = {"batch": batch, "source": "vendor-a", "license": "CC-BY-4.0"}
    return Material(
        frame(
            "images", [common | {"image_id": i, "record_ref": f"images/metadata.jsonl:{n}"} for n, i in enumerate(ids)]
        ),
        frame(
            "captions",
            [
                {
                    "batch": batch,
                    "caption_id": make_id("cap", ids[n], k),
                    "image_id": ids[n],
                    "record_ref": f"images/metadata.jsonl:{n}",
                    "text": text,
                    "language": "en",
                }
                for n, own in enumerate(captions)
                for k, text in enumerate(own)
            ],
        ),
        frame(
            "texts",
            [
                common
                | {
                    "text_id": make_id("txt", batch, n),
                    "record_ref": f"text/a.jsonl:{n}",
                    "kind": kind,
                    "text": text,
                    "language": "en" if n % 2 else None,
                }
                for n, (kind, text) in enumerate(texts)
            ],
        ),
        frame(
            "visual_codes",
            [
                {"batch": batch, "image_id": i, "codes": row.tolist(), "codebook_version": "cb-1"}
                for i, row in zip(ids, codes, strict=True)
            ],
        ),
        frame(
            "image_embeddings",
            [{"batch": batch, "image_id": i, "spatial_features": r} for i, r in zip(ids, references, strict=True)],
        ),
        dict(zip(references, features, strict=True)),
    )


def pack(material: Material, policy: FusionPolicy | None = None) -> tuple[PackedSamples, PackedSamples]:
    policy = policy or Policy().fusion
    checks = {"recall_at_1": 0.42}
    return (
        pack_image_text(
            material.images,
            material.captions,
            material.visual_codes,
            material.image_embeddings,
            checks,
            policy,
            codebook_size=CODES,
        ),
        pack_texts(material.texts, policy, checks),
    )


@dataclass
class ReleaseMaker:
    """Packs batches, draws from them and writes the release."""

    root: Path
    policy: MixturePolicy = field(
        default_factory=lambda: MixturePolicy(samples_per_file=7, feature_rows_per_file=5, min_text_retention=0.1)
    )
    features: MemoryFeatures = field(default_factory=MemoryFeatures)
    samples: list[pl.DataFrame] = field(default_factory=list)

    def add(self, material: Material) -> None:
        self.features.rows.update(material.features)
        self.samples.append(pl.concat([packed.samples for packed in pack(material)]))

    def draw(self, release: str = "r1", excluded: dict[str, str] | None = None) -> Draw:
        return draw_release(self.samples, self.policy, release, excluded or {})

    def drawn(self, draw: Draw) -> list[pl.DataFrame]:
        places = draw.mixtures.select("sample_id", "position", "weight")
        return [samples.join(places, on="sample_id") for samples in self.samples]

    def recipe(self, release: str = "r1", excluded: dict[str, str] | None = None) -> ReleaseRecipe:
        return ReleaseRecipe(
            release=release,
            vocabulary=Vocabulary.of(Policy().fusion, CODES),
            placeholder_version="1",
            code_version="0.1.0",
            models=["bridge-lite0-minilm@1#abcd"],
            delta_versions={"fusion_samples": 3, "mixtures": 1},
            excluded=excluded or {},
            gates=[GateValue("b1", "recall", 0.42, 0.12, passed=True)],
        )

    def write(self, release: str = "r1", store: FolderStore | None = None) -> ReleaseManifest:
        draw = self.draw(release)
        recipe = self.recipe(release)
        return write_release(store or LocalReleases(self.root), recipe, self.drawn(draw), self.features, self.policy)


@pytest.fixture(scope="session")
def kit() -> ModuleType:
    """This module: what tests need to make and pack batches."""
    return sys.modules[__name__]


@pytest.fixture
def release_maker(tmp_path: Path) -> ReleaseMaker:
    return ReleaseMaker(tmp_path / "releases")


@pytest.fixture
def release(release_maker: ReleaseMaker) -> Path:
    """A release of two batches: 10 images (one of them with two captions), 6 texts; 17 samples in three files."""
    captions = [[caption] for caption in CAPTIONS]
    texts = [("math", "1 + 1 = 2, as is well known."), ("code", "if a < b && c: print('<div>&amp;</div>')")]
    release_maker.add(make_batch("b1", captions, [*texts, ("dialogue", "A: Hello.\nB: Hello, how are you?")]))
    release_maker.add(make_batch("b2", [["two", "captions"], *captions[1:]], [*texts, ("prose", "Once upon a time.")]))
    release_maker.write()
    return release_maker.root / "r1"
