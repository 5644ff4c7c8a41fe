"""What a release says about itself."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from mm_assets.fusion.placeholders import CODE_NAMES, Modality
from mm_assets.fusion.release_format import FileRecord, VocabularyDeclaration
from mm_assets.fusion.samples import TRAIN, TimeSpan
from mm_assets.fusion.sequences import SequenceFormat
from mm_assets.mixtures.pools import TEXT_RETENTION, text_retention_share
from mm_assets.mixtures.recipes import AS_DELIVERED, Recipe
from mm_assets.policy import MixturePolicy

CONTRACT: Final = "mm-release/1"
UNKNOWN_LANGUAGE: Final = "und"
COUNTED: Final = {
    "pools": "pool",
    "kinds": "kind",
    "batches": "batch",
    "sources": "source",
    "licenses": "license",
    "languages": "language",
    "text_kinds": "text_kind",
}


class _Spans(msgspec.Struct):
    times: list[TimeSpan]


_SPANS: Final = msgspec.json.Decoder(_Spans)


class GateValue(msgspec.Struct, frozen=True):
    """A gate's verdict on a batch of the release."""

    batch: str
    gate: str
    measured: float | None
    threshold: float | None
    passed: bool


class SplitRecipe(msgspec.Struct, frozen=True):
    """How whole groups were kept from training."""

    validation: float
    test: float
    min_groups: int
    seed: int


class SamplingRecipe(msgspec.Struct, frozen=True):
    """How samples were drawn, ordered and laid out.

    Attributes:
        selection: in words.
        origin: as_delivered, by_hand or ablation.
        shares: share of the draws asked for, per pool; empty as delivered.
        floors: least share of the draws, per pool that has samples.
        min_text_retention: floor of the text pool.
        allow_no_text_retention: why it may be missed; empty if it may not.
        max_repeats: most draws of one sample.
        balance: exponents and caps on languages, sources and licences of a pool.
        splits: what is kept from training.
        curriculum: shuffled or staged.
        order: in words.
        samples_per_file: lines.
        feature_rows_per_file: rows.
    """

    selection: str
    origin: str
    shares: dict[str, float]
    floors: dict[str, float]
    min_text_retention: float
    allow_no_text_retention: str
    max_repeats: int
    balance: dict[str, float]
    splits: SplitRecipe
    curriculum: str
    order: str
    samples_per_file: int
    feature_rows_per_file: int

    @classmethod
    def of(cls, policy: MixturePolicy, recipe: Recipe = AS_DELIVERED) -> "SamplingRecipe":
        """What a policy and a recipe ask for."""
        splits = policy.splits
        return cls(
            selection="samples of every batch that is not held; weight is how often one is drawn in a pass",
            origin=recipe.origin,
            shares=dict(sorted(recipe.shares.items())),
            floors=dict(sorted(policy.floors.items())),
            min_text_retention=policy.min_text_retention,
            allow_no_text_retention=policy.allow_no_text_retention.strip(),
            max_repeats=policy.max_repeats,
            balance=policy.balance.model_dump(),
            splits=SplitRecipe(splits.validation, splits.test, splits.min_groups, splits.seed),
            curriculum=policy.curriculum,
            order="splitmix64 of sample id and seed",
            samples_per_file=policy.samples_per_file,
            feature_rows_per_file=policy.feature_rows_per_file,
        )


class ExclusionCount(msgspec.Struct, frozen=True):
    """How many samples of usable batches were left out for one reason."""

    code: str
    evaluation_set: str | None
    samples: int


class TextOrigin(msgspec.Struct, frozen=True):
    """What deliveries say of who wrote texts of the release.

    Attributes:
        generator: model or tool; None where only the prompt or a spot check was told.
        prompt_version: prompt it was given.
        spot_check: a person's verdict.
        samples: samples of that origin.
    """

    generator: str | None
    prompt_version: str | None
    spot_check: str | None
    samples: int


class EvaluationSetRecord(msgspec.Struct, frozen=True):
    """An evaluation set that no sample repeats, and the hash of its files."""

    name: str
    digest: str


class FeatureDeclaration(msgspec.Struct, frozen=True):
    """Shape of the features of every image: rows are codes, in the same order."""

    tensor: str
    dtype: str
    vectors: int
    channels: int
    codes_tensor: str


class SegmentFeatureDeclaration(msgspec.Struct, frozen=True):
    """Shape of the features of one medium of segments: rows are codes, in the same order, as many as each has."""

    medium: str
    tensor: str
    dtype: str
    channels: int
    codes_tensor: str
    min_vectors: int
    max_vectors: int


class ReleaseManifest(msgspec.Struct, frozen=True):
    """``manifest.json``; equal inputs, seed and code give equal bytes, so it holds no time and no path of a machine."""

    contract: str
    release: str
    samples: int
    seed: int
    recipe: SamplingRecipe
    text_retention_share: float
    counts: dict[str, dict[str, int]]
    excluded_batches: dict[str, str]
    exclusions: list[ExclusionCount]
    evaluation_sets: list[EvaluationSetRecord]
    text_origins: list[TextOrigin]
    gates: list[GateValue]
    placeholder_version: str
    placeholders: list[str]
    vocabulary: VocabularyDeclaration
    codebook_versions: list[str]
    audio_codebook_versions: list[str]
    features: FeatureDeclaration | None
    segment_features: list[SegmentFeatureDeclaration]
    delta_versions: dict[str, int]
    code_version: str
    models: list[str]
    files: list[FileRecord]
    sequences: SequenceFormat | None = None

    def encode(self) -> bytes:
        """The bytes of ``manifest.json``."""
        return msgspec.json.format(msgspec.json.encode(self, order="deterministic"), indent=2) + b"\n"


@dataclass
class ReleaseCounts:
    """Counts samples as they go by."""

    samples: int = 0
    by: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter[str]() for name in COUNTED})
    modalities: Counter[str] = field(default_factory=Counter[str])
    combinations: Counter[str] = field(default_factory=Counter[str])
    milliseconds: Counter[str] = field(default_factory=Counter[str])
    draws: Counter[str] = field(default_factory=Counter[str])
    splits: Counter[str] = field(default_factory=Counter[str])
    codebooks: set[str] = field(default_factory=set[str])
    audio_codebooks: set[str] = field(default_factory=set[str])

    def add(self, frame: pl.DataFrame) -> None:
        """Count the rows of a frame with the columns of ``fusion_samples`` and ``mixtures``.

        Without column ``split`` all of them are trained on; without column ``weight`` each is drawn once.
        """
        self.samples += frame.height
        split = pl.col("split") if "split" in frame.columns else pl.lit(TRAIN)
        weight = pl.col("weight") if "weight" in frame.columns else pl.lit(1.0)
        placed = frame.select("pool", split=split.fill_null(TRAIN), weight=weight)
        self.splits.update(dict(placed["split"].value_counts().iter_rows()))
        drawn = placed.filter(pl.col("split") == TRAIN).group_by("pool").agg(pl.col("weight").sum().round().cast(int))
        self.draws.update(dict(drawn.iter_rows()))
        for name, column in COUNTED.items():
            known = frame[column].fill_null(UNKNOWN_LANGUAGE) if column == "language" else frame[column].drop_nulls()
            self.by[name].update(dict(known.value_counts().iter_rows()))
        self.modalities.update(dict(frame["modalities"].explode().value_counts().iter_rows()))
        self.combinations.update(dict(frame["modalities"].list.join("+").value_counts().iter_rows()))
        self.codebooks.update(frame["codebook_version"].drop_nulls().unique())
        self.audio_codebooks.update(frame["audio_codebook_version"].drop_nulls().unique())
        spans = frame.select("modalities", "segment_json").drop_nulls("segment_json")
        for modalities, text in spans.iter_rows():
            (span,) = _SPANS.decode(text).times
            for medium in modalities:
                self.milliseconds[medium] += (span.end_us - span.start_us) // 1_000

    def as_document(self) -> dict[str, dict[str, int]]:
        """Counts per pool, kind, batch, source, licence, language, text kind, split, modality and combination of them.

        ``draws`` counts what a pass through the training split draws of each pool, repeats included;
        ``segment_seconds`` is not a count of samples but the time that segments hold of each modality.
        """
        counters = {
            **self.by,
            "draws": self.draws,
            "splits": self.splits,
            "modalities": self.modalities,
            "modality_combinations": self.combinations,
        }
        if self.milliseconds:
            counters["segment_seconds"] = Counter({name: ms // 1_000 for name, ms in self.milliseconds.items()})
        return {name: dict(sorted(counter.items())) for name, counter in sorted(counters.items())}

    @property
    def retention(self) -> float:
        """Share of the text retention pool in the draws."""
        return text_retention_share(self.draws)

    def pools(self) -> Mapping[str, int]:
        """Draws per pool; the text pool is named even when it is empty."""
        return {TEXT_RETENTION: 0, **self.draws}


def placeholder_names() -> list[str]:
    """Every sentinel, and the pattern of every code, as the vocabulary has to know them."""
    sentinels = [f"<|{medium}_{edge}|>" for medium in Modality for edge in ("start", "end")]
    return [*sentinels, *(f"<{name}_n>" for name in sorted(set(CODE_NAMES.values()))), "<box>", "</box>"]


def list_file(folder: Path, path: Path) -> FileRecord:
    """Size and SHA-256 of one file below the folder."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileRecord(path.relative_to(folder).as_posix(), path.stat().st_size, digest)


def list_files(folder: Path) -> list[FileRecord]:
    """Size and SHA-256 of every file below the folder, sorted by path."""
    return [list_file(folder, path) for path in sorted(folder.rglob("*")) if path.is_file()]
