"""Write a release: samples in release order, features and codes in shards, then what it says about itself.

Everything is written into a staging folder, linted to the last line, and published whole. Memory holds one batch's
samples, one feature shard and one samples file, however large the release is. Features are laid down in the order in
which the batches pass by, each image once; lines point to them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from mm_assets.errors import ContractError, ReleaseError
from mm_assets.fusion.linter import LintOptions, lint_paths
from mm_assets.fusion.placeholders import Vocabulary
from mm_assets.fusion.release_format import MANIFEST_NAME, VocabularyDeclaration
from mm_assets.fusion.samples import AUDIO_CODES, AUDIO_FEATURES, VISUAL_CODES, VISUAL_FEATURES
from mm_assets.fusion.sequences import SequenceFormat
from mm_assets.mixtures.croissant import write_croissant
from mm_assets.mixtures.data_card import write_data_card
from mm_assets.mixtures.manifest import (
    CONTRACT,
    EvaluationSetRecord,
    ExclusionCount,
    FeatureDeclaration,
    GateValue,
    ReleaseCounts,
    ReleaseManifest,
    SamplingRecipe,
    SegmentFeatureDeclaration,
    TextOrigin,
    list_file,
    list_files,
    placeholder_names,
)
from mm_assets.mixtures.pools import refuse_below_floor
from mm_assets.mixtures.recipes import AS_DELIVERED, Recipe
from mm_assets.mixtures.release_folder import FolderStore
from mm_assets.mixtures.sample_files import write_sample_files
from mm_assets.mixtures.segment_features import FeatureReader, SegmentFeatures, SoundReader
from mm_assets.mixtures.selection import validate_release_id
from mm_assets.mixtures.sequence_files import SequencePacking, write_sequences
from mm_assets.mixtures.shard_writer import ShardWriter
from mm_assets.policy import MixturePolicy

DATA_CARD_NAME: Final = "README.md"
CROISSANT_NAME: Final = "croissant.json"
_SHOWN_ERRORS: Final = 5


@dataclass(frozen=True)
class ReleaseRecipe:
    """What goes into the manifest beside the samples.

    Attributes:
        release: name of the release.
        vocabulary: token ids of its codes.
        placeholder_version: version of the placeholder syntax.
        code_version: version of this project's code.
        models: models used, as ``name@revision#weight-hash``.
        delta_versions: version of each table that was read.
        excluded: batches left out, and why.
        gates: verdicts on the batches drawn from.
        shares: what was asked of each pool, and by whom.
        exclusions: samples of usable batches that were left out.
        evaluation_sets: sets the samples were compared with.
        text_origins: what deliveries say of who wrote texts.
    """

    release: str
    vocabulary: Vocabulary
    placeholder_version: str
    code_version: str
    models: Sequence[str] = ()
    delta_versions: Mapping[str, int] = field(default_factory=dict[str, int])
    excluded: Mapping[str, str] = field(default_factory=dict[str, str])
    gates: Sequence[GateValue] = ()
    shares: Recipe = AS_DELIVERED
    exclusions: Sequence[ExclusionCount] = ()
    evaluation_sets: Sequence[EvaluationSetRecord] = ()
    text_origins: Sequence[TextOrigin] = ()


def write_release(
    store: FolderStore,
    recipe: ReleaseRecipe,
    drawn: Iterable[pl.DataFrame],
    features: FeatureReader,
    policy: MixturePolicy,
    sounds: SoundReader | None = None,
    packing: SequencePacking | None = None,
) -> ReleaseManifest:
    """Write and publish a release; an earlier one of that name is replaced.

    Args:
        store: where it goes.
        recipe: what its manifest says.
        drawn: one frame per batch, batches ascending: rows of ``fusion_samples`` with ``position``, ``weight``
            and ``split`` of ``mixtures`` (and ``review_status``, if any sample was reviewed).
        features: reads the features of the samples.
        policy: layout, floor and seed.
        sounds: reads the features of their sound.
        packing: how samples share windows; None writes no sequences.

    Returns:
        The manifest as written.

    Raises:
        ReleaseError: nothing was drawn, the text floor is not met, codes of several codebooks or features of several
            shapes meet, a feature is not finite, or the linter finds a fault. Nothing is published then.
        ContractError: batches do not ascend, or positions are not 0 to N - 1.
    """
    validate_release_id(recipe.release)
    with store.staging(recipe.release) as folder:
        counts = ReleaseCounts()
        shards = ShardWriter(folder, policy.feature_rows_per_file)
        segments = SegmentFeatures(folder, features, sounds, policy.feature_rows_per_file)
        frames = _count(counts, _ascending(drawn), recipe.release)
        write_sample_files(folder, frames, features, shards, segments, policy, recipe.placeholder_version)
        refuse_below_floor(recipe.release, counts.pools(), policy)
        for versions in (counts.codebooks, counts.audio_codebooks):
            if len(versions) > 1:
                raise ReleaseError(
                    f"release {recipe.release!r}: codes of codebooks {sorted(versions)} meet; "
                    "encode all its batches with one codebook"
                )
        sequences = None
        if packing is not None:
            sequences = write_sequences(folder, packing.counter, packing.policy, policy.samples_per_file)
        _lint(folder, recipe, sequences)
        manifest = _describe(folder, recipe, counts, shards, segments, policy, sequences)
        (folder / MANIFEST_NAME).write_bytes(manifest.encode())
        store.publish(recipe.release, folder)
    return manifest


def _ascending(drawn: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    previous = ""
    for frame in drawn:
        batches = frame["batch"].unique().to_list()
        if len(batches) > 1 or (batches and batches[0] <= previous):
            raise ContractError(f"batches {batches} follow {previous!r}; pass one frame per batch, ascending")
        if batches:
            previous = batches[0]
            yield frame


def _count(counts: ReleaseCounts, drawn: Iterable[pl.DataFrame], release: str) -> Iterator[pl.DataFrame]:
    for frame in drawn:
        counts.add(frame)
        yield frame
    if not counts.samples:
        raise ReleaseError(f"release {release!r}: nothing was drawn; release a hold or add data")


def _lint(folder: Path, recipe: ReleaseRecipe, sequences: SequenceFormat | None) -> None:
    options = LintOptions(
        vocabulary=recipe.vocabulary, placeholder_version=recipe.placeholder_version, sequences=sequences
    )
    report = lint_paths([folder], options)
    if not report.clean:
        shown = "; ".join(
            f"{Path(error.file).name}:{error.line} {error.id} {error.code}: {error.message}"
            for error in report.errors[:_SHOWN_ERRORS]
        )
        remedy = f" {report.cross_modal_code}: {report.fix}" if report.fix else ""
        raise ReleaseError(
            f"release {recipe.release!r} is not clean ({sum(report.counts.values())} faults: {shown});{remedy}"
        )


def _describe(
    folder: Path,
    recipe: ReleaseRecipe,
    counts: ReleaseCounts,
    shards: ShardWriter,
    segments: SegmentFeatures,
    policy: MixturePolicy,
    sequences: SequenceFormat | None,
) -> ReleaseManifest:
    """Write data card and Croissant metadata; give the manifest, which lists the hash of every other file."""
    features = None
    if shards.shape is not None:
        vectors, channels = shards.shape
        features = FeatureDeclaration(VISUAL_FEATURES, "float16", vectors, channels, VISUAL_CODES)
    manifest = ReleaseManifest(
        contract=CONTRACT,
        release=recipe.release,
        samples=counts.samples,
        seed=policy.seed,
        recipe=SamplingRecipe.of(policy, recipe.shares),
        text_retention_share=counts.retention,
        counts=counts.as_document(),
        excluded_batches=dict(sorted(recipe.excluded.items())),
        exclusions=sorted(recipe.exclusions, key=lambda one: (one.code, one.evaluation_set or "")),
        evaluation_sets=sorted(recipe.evaluation_sets, key=lambda one: one.name),
        text_origins=list(recipe.text_origins),
        gates=sorted(recipe.gates, key=lambda gate: (gate.batch, gate.gate)),
        placeholder_version=recipe.placeholder_version,
        placeholders=placeholder_names(),
        vocabulary=VocabularyDeclaration.of(recipe.vocabulary),
        codebook_versions=sorted(counts.codebooks),
        audio_codebook_versions=sorted(counts.audio_codebooks),
        features=features,
        segment_features=_describe_segments(segments),
        delta_versions=dict(sorted(recipe.delta_versions.items())),
        code_version=recipe.code_version,
        models=sorted(recipe.models),
        files=[],
        sequences=sequences,
    )
    (folder / DATA_CARD_NAME).write_text(write_data_card(manifest), encoding="utf-8")
    described = list_files(folder)
    kinds = ", ".join(sorted(counts.by["kinds"]))
    card = f"{counts.samples} verified samples ({kinds}) with placeholders, features and codes."
    croissant = write_croissant(recipe.release, card, counts.by["licenses"], recipe.code_version, described)
    (folder / CROISSANT_NAME).write_bytes(croissant)
    own = list_file(folder, folder / CROISSANT_NAME)
    return msgspec.structs.replace(manifest, files=sorted([*described, own], key=lambda record: record.path))


def _describe_segments(segments: SegmentFeatures) -> list[SegmentFeatureDeclaration]:
    """What the shards of segments hold, of each medium that occurs."""
    media = (
        ("video", segments.video, VISUAL_FEATURES, VISUAL_CODES),
        ("audio", segments.audio, AUDIO_FEATURES, AUDIO_CODES),
    )
    return [
        SegmentFeatureDeclaration(
            medium, tensor, "float16", writer.channels, codes, min(writer.lengths), max(writer.lengths)
        )
        for medium, writer, tensor, codes in media
        if writer.channels is not None
    ]
