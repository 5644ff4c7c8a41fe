"""Small batches, packed for real and written as real releases."""

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest

from mm_assets.aligned.documents.windows.token_counts import EstimatedTokens
from mm_assets.fusion.packing import PackedSamples, pack_image_text, pack_texts
from mm_assets.fusion.placeholders import Vocabulary
from mm_assets.fusion.segment_packing import join_frames, join_sounds, pack_segments
from mm_assets.identifiers import make_id
from mm_assets.mixtures.manifest import GateValue, ReleaseManifest
from mm_assets.mixtures.package import ReleaseRecipe, write_release
from mm_assets.mixtures.release_folder import FolderStore, LocalReleases
from mm_assets.mixtures.selection import Draw, draw_release
from mm_assets.mixtures.sequence_files import SequencePacking
from mm_assets.policy import FusionPolicy, MixturePolicy, PackingPolicy, Policy
from mm_assets.schemas import TABLES

CODES = 64
VECTORS = 6
CHANNELS = 8
AUDIO_CODES = 32
AUDIO_CHANNELS = 5
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


@dataclass
class MemorySounds:
    """Features of sounds by reference."""

    rows: dict[str, np.ndarray] = field(default_factory=dict)

    def read(self, references: Sequence[str]) -> list[np.ndarray]:
        return [self.rows[reference] for reference in references]


@dataclass
class Segments:
    """Tables of one batch's segments, and the features that its references lead to."""

    clips: pl.DataFrame
    segments: pl.DataFrame
    audio_embeddings: pl.DataFrame
    audio_codes: pl.DataFrame
    key_frames: pl.DataFrame
    key_frame_codes: pl.DataFrame
    features: dict[str, np.ndarray] = field(default_factory=dict)
    sounds: dict[str, np.ndarray] = field(default_factory=dict)

    def pack(self, policy: FusionPolicy | None = None) -> PackedSamples:
        return pack_segments(
            self.segments,
            self.clips,
            join_sounds(self.audio_embeddings, self.audio_codes, AUDIO_CODES),
            join_frames(self.key_frames, self.key_frame_codes, CODES),
            {"offset": 0.0},
            policy or Policy().fusion,
        )


VERDICTS = {
    "trimodal": ["audio", "text", "video"],
    "audio_text": ["audio", "text"],
    "video_text": ["text", "video"],
}


def make_segments(batch: str, texts: Sequence[tuple[str, str]]) -> Segments:
    """One segment per (verdict, text), of one to three key frames and two to nine tokens of sound."""
    generator = np.random.default_rng(sum(batch.encode()))
    made = {name: [] for name in ("clips", "segments", "embeddings", "codes", "frames", "frame_codes")}
    features, sounds = {}, {}
    for n, (verdict, text) in enumerate(texts):
        clip, piece = make_id("clp", batch, n), make_id("pce", batch, n)
        start = 1_000_000 * n
        made["clips"].append((clip, "vendor-a", "CC-BY-4.0", f"{batch}/video/metadata.jsonl:{n + 1}"))
        word = {"word": "duck", "start_us": start, "end_us": start + 300_000, "confidence": 0.5, "method": "recogniser"}
        made["segments"].append(
            {
                "batch": batch, "sample_id": make_id("seg", piece), "clip_id": clip, "piece_id": piece, "position": n,
                "medium": "video", "start_us": start, "end_us": start + 900_000, "text": text, "text_origin": "cue",
                "words": [word | {"speaker": "S0"}], "speakers": ["S0"], "verdict": verdict,
                "modalities": VERDICTS[verdict], "score": 0.5, "language": "en", "offset_us": 40_000, "drift_ppm": 1.0,
            }
        )  # fmt: skip
        tokens = 2 + n % 8
        reference = f"features/{batch}/0b-sound-0000.safetensors#{n}"
        sounds[reference] = generator.normal(size=(tokens, AUDIO_CHANNELS)).astype(np.float16)
        made["embeddings"].append({"piece_id": piece, "features": reference, "tokens": tokens})
        codes = generator.integers(0, AUDIO_CODES, tokens).tolist()
        made["codes"].append({"piece_id": piece, "codes": codes, "codebook_version": "acb-1"})
        for k in range(1 + n % 3):
            name = make_id("frm", piece, k)
            reference = f"features/{batch}/0c-0000.safetensors#{3 * n + k}"
            features[reference] = generator.normal(size=(VECTORS, CHANNELS)).astype(np.float16)
            place = {"piece_id": piece, "frame_id": name, "time_us": start + 100_000 * k}
            made["frames"].append(place | {"spatial_features": reference})
            codes = generator.integers(0, CODES, VECTORS).tolist()
            made["frame_codes"].append({"frame_id": name, "codes": codes, "codebook_version": "cb-1"})
    return Segments(
        pl.DataFrame(
            made["clips"],
            schema=dict.fromkeys(("clip_id", "source", "license", "record_ref"), pl.String),
            orient="row",
        ),
        frame("segment_alignments", made["segments"]),
        frame("audio_embeddings", made["embeddings"]),
        frame("audio_codes", made["codes"]),
        frame("key_frames", made["frames"]),
        frame("key_frame_codes", made["frame_codes"]),
        features,
        sounds,
    )


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
    packing: PackingPolicy = field(default_factory=lambda: PackingPolicy(window_tokens=64))
    features: MemoryFeatures = field(default_factory=MemoryFeatures)
    sounds: MemorySounds = field(default_factory=MemorySounds)
    samples: list[pl.DataFrame] = field(default_factory=list)

    def add_segments(self, made: Segments) -> None:
        self.features.rows.update(made.features)
        self.sounds.rows.update(made.sounds)
        self.samples.append(made.pack().samples)

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
            vocabulary=Vocabulary.of(Policy().fusion, CODES, AUDIO_CODES if self.sounds.rows else 0),
            placeholder_version="1",
            code_version="0.1.0",
            models=["bridge-lite0-minilm@1#abcd"],
            delta_versions={"fusion_samples": 3, "mixtures": 1},
            excluded=excluded or {},
            gates=[GateValue("b1", "recall", 0.42, 0.12, passed=True)],
        )

    def write(self, release: str = "r1", store: FolderStore | None = None) -> ReleaseManifest:
        draw = self.draw(release)
        recipe, packing = self.recipe(release), SequencePacking(self.packing, EstimatedTokens())
        store = store or LocalReleases(self.root)
        return write_release(store, recipe, self.drawn(draw), self.features, self.policy, self.sounds, packing)


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


def edit_all_lines(release: Path, change: Callable[[int, dict], dict]) -> None:
    """Change every line, and the manifest with them, as the writer of the release would have."""
    number = 0
    for path in sorted((release / "samples").glob("*.jsonl")):
        lines = []
        for raw in path.read_bytes().splitlines():
            lines.append(json.dumps(change(number, json.loads(raw)), ensure_ascii=False).encode())
            number += 1
        path.write_bytes(b"\n".join(lines) + b"\n")
    manifest = json.loads((release / "manifest.json").read_text())
    for record in manifest["files"]:
        data = (release / record["path"]).read_bytes()
        record |= {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (release / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture(scope="session")
def edit_lines() -> Callable[[Path, Callable[[int, dict], dict]], None]:
    """Changes every line of a release."""
    return edit_all_lines
