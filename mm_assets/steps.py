"""The steps a batch goes through, and the digests that tell whether a step is up to date.

A step's digest covers its code version, the policy sections and models it uses, and the digests of the steps before
it, down to the delivery's signature. Equal digests mean equal rows, so a step with the recorded digest need not run.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mm_assets.policy import Policy

LANDING: Final = "landing"
RAW_POOLS: Final = "raw_pools"
CODEBOOK: Final = "codebook"
AUDIO_CODEBOOK: Final = "audio_codebook"
CODEBOOKS: Final = (CODEBOOK, AUDIO_CODEBOOK)
BOX_CORRECTIONS: Final = "box_corrections"
CUE_CORRECTIONS: Final = "cue_corrections"
SOUND_CORRECTIONS: Final = "sound_corrections"
CORRECTIONS: Final = (BOX_CORRECTIONS, CUE_CORRECTIONS, SOUND_CORRECTIONS)
"""Parts of the correction layer: correcting cues must not have the sound recognised again."""

IMAGES: Final = ("images",)
TEXTS: Final = ("text",)
MEDIA: Final = ("audio", "video")


@dataclass(frozen=True)
class Step:
    """One step of the batch graph: one Dagster op, one or more assets.

    Attributes:
        name: step name; equal to the asset's where there is only one.
        assets: asset keys it materializes.
        tables: tables it writes, parents before children.
        upstream: steps it reads, or ``landing``, codebooks and parts of the correction layer.
        parts: folders of a delivery it works on; without them in a delivery it has nothing to do. Empty: any.
        policy: policy sections, or ``section.field``, its rows depend on.
        models: models its rows depend on.
        code_version: raised whenever the same inputs would give other rows.
    """

    name: str
    assets: tuple[str, ...]
    tables: tuple[str, ...]
    upstream: tuple[str, ...]
    parts: tuple[str, ...] = ()
    policy: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    code_version: str = "1"


BATCH_STEPS: Final[tuple[Step, ...]] = (
    Step(
        name=RAW_POOLS,
        assets=("raw_images", "raw_captions", "raw_texts"),
        tables=("raw_images", "raw_captions", "raw_texts"),
        upstream=(LANDING,),
        policy=("ingest",),
        code_version="2",
    ),
    Step(
        name="cleaned_images",
        assets=("image_fingerprints", "images", "captions"),
        tables=("image_fingerprints", "images", "captions"),
        upstream=("raw_pools",),
        parts=IMAGES,
        policy=("images", "duplicates", "captions", "recall_gate.max_template_share"),
        models=("safety", "language"),
        code_version="2",
    ),
    Step(
        name="texts",
        assets=("texts",),
        tables=("texts",),
        upstream=("raw_pools",),
        parts=TEXTS,
        policy=("texts",),
        models=("language",),
    ),
    Step(
        name="raw_media",
        assets=("raw_audio", "raw_videos", "raw_subtitles", "raw_cues"),
        tables=("raw_audio", "raw_videos", "raw_subtitles", "raw_cues"),
        upstream=("raw_pools",),
        parts=MEDIA,
        policy=("ingest", "media"),
    ),
    Step(
        name="cleaned_media",
        assets=("audio_clips", "video_clips", "shots", "clip_tracks", "pauses"),
        tables=("audio_clips", "video_clips", "shots", "clip_tracks", "pauses"),
        upstream=("raw_media", SOUND_CORRECTIONS),
        parts=MEDIA,
        policy=("media", "sounds", "videos"),
        models=("voice", "sound_events"),
    ),
    Step(
        name="transcripts",
        assets=("transcripts", "utterances"),
        tables=("transcripts", "utterances"),
        upstream=("cleaned_media",),
        parts=MEDIA,
        policy=("media", "speech"),
        models=("speech", "word_aligner", "speakers"),
    ),
    Step(
        name="cues",
        assets=("cues", "clip_pieces"),
        tables=("cues", "clip_pieces"),
        upstream=("raw_media", "cleaned_media", "transcripts", CUE_CORRECTIONS),
        parts=MEDIA,
        policy=("cues", "slicing"),
    ),
    Step(
        name="segment_offsets",
        assets=("segment_offsets", "clip_offsets"),
        tables=("segment_offsets", "clip_offsets"),
        upstream=("raw_media", "cleaned_media", "transcripts", "cues", CUE_CORRECTIONS),
        parts=MEDIA,
        policy=("offset_gate", "warping"),
        models=("encoder",),
    ),
    Step(
        name="clip_features",
        assets=("audio_embeddings", "key_frames"),
        tables=("audio_embeddings", "key_frames"),
        upstream=("cleaned_media", "cues"),
        parts=MEDIA,
        policy=("audio_features", "features", "media"),
        models=("encoder",),
    ),
    Step(
        name="segment_alignments",
        assets=("segment_alignments",),
        tables=("segment_alignments",),
        upstream=("cleaned_media", "cues", "transcripts", "segment_offsets", "clip_features"),
        parts=MEDIA,
        policy=("segments", "warping"),
        models=("encoder",),
    ),
    Step(
        name="rejected",
        assets=("rejected",),
        tables=(),
        upstream=("cleaned_images", "texts", "cues", "transcripts"),
    ),
    Step(
        name="image_embeddings",
        assets=("image_embeddings",),
        tables=("image_embeddings",),
        upstream=("cleaned_images",),
        parts=IMAGES,
        policy=("features",),
        models=("encoder",),
    ),
    Step(
        name="caption_embeddings",
        assets=("caption_embeddings",),
        tables=("caption_embeddings",),
        upstream=("cleaned_images",),
        parts=IMAGES,
        policy=("features",),
        models=("encoder",),
    ),
    Step(
        name="image_text_recall",
        assets=("image_text_recall",),
        tables=("image_text_recall",),
        upstream=("image_embeddings", "caption_embeddings"),
        parts=IMAGES,
        policy=("recall_gate", "captions"),
    ),
    Step(
        name="boxes",
        assets=("boxes",),
        tables=("boxes",),
        upstream=("cleaned_images", BOX_CORRECTIONS),
        parts=IMAGES,
        policy=("objects",),
    ),
    Step(
        name="object_recall",
        assets=("region_embeddings", "object_recall"),
        tables=("region_embeddings", "object_recall"),
        upstream=("boxes",),
        parts=IMAGES,
        policy=("object_gate", "objects", "images", "features"),
        models=("encoder",),
    ),
    Step(
        name="object_alignments",
        assets=("object_alignments",),
        tables=("object_alignments",),
        upstream=("object_recall", "cleaned_images"),
        parts=IMAGES,
        policy=("anchoring", "object_gate.context_margin", "features"),
        models=("encoder", "phrases"),
    ),
    Step(
        name="orientation_checks",
        assets=("orientation_checks", "orientation_agreement"),
        tables=("orientation_checks", "orientation_agreement"),
        upstream=("object_alignments", "boxes", "cleaned_images", "image_text_recall"),
        parts=IMAGES,
        policy=("orientation", "images"),
        models=("ocr",),
    ),
    Step(
        name="caption_claims",
        assets=("caption_claims", "caption_faithfulness", "caption_rewrites"),
        tables=("caption_claims", "caption_faithfulness", "caption_rewrites"),
        upstream=("boxes", "cleaned_images", "image_text_recall"),
        parts=IMAGES,
        policy=("faithfulness", "captions"),
        models=("detector", "entailment", "vision_language"),
        code_version="2",
    ),
    Step(
        name="visual_codes",
        assets=("visual_codes",),
        tables=("visual_codes",),
        upstream=("image_embeddings", CODEBOOK),
        parts=IMAGES,
        policy=("codebook",),
    ),
    Step(
        name="audio_codes",
        assets=("audio_codes", "key_frame_codes"),
        tables=("audio_codes", "key_frame_codes"),
        upstream=("clip_features", CODEBOOK, AUDIO_CODEBOOK),
        parts=MEDIA,
        policy=("codebook", "audio_codebook"),
    ),
    Step(
        name="fusion_samples",
        assets=("fusion_samples",),
        tables=("fusion_samples",),
        upstream=(
            "visual_codes",
            "texts",
            "image_text_recall",
            "object_alignments",
            "orientation_checks",
            "caption_claims",
            "segment_offsets",
            "segment_alignments",
            "audio_codes",
        ),
        policy=("fusion",),
        code_version="3",
    ),
)
STEPS: Final[dict[str, Step]] = {step.name: step for step in BATCH_STEPS}
INGEST_STEPS: Final = (
    "raw_pools",
    "cleaned_images",
    "texts",
    "raw_media",
    "cleaned_media",
    "cues",
    "transcripts",
    "rejected",
    "image_embeddings",
    "caption_embeddings",
    "image_text_recall",
    "boxes",
    "object_recall",
    "object_alignments",
    "orientation_checks",
    "caption_claims",
    "segment_offsets",
    "clip_features",
    "segment_alignments",
)
ASSEMBLY_STEPS: Final = ("visual_codes", "audio_codes", "fusion_samples")
GATE_STEPS: Final[dict[str, str]] = {
    "recall": "image_text_recall",
    "objects": "object_recall",
    "orientation": "orientation_checks",
    "faithfulness": "caption_claims",
    "offset": "segment_offsets",
    "budget": RAW_POOLS,
}
"""The step that measures each gate; what stands on the step waits for the gate."""
GATES: Final = tuple(gate for gate in GATE_STEPS if gate != "budget")
"""Gates that must have passed, or been waived, before a batch is assembled, as far as its parts have them."""


def has_work(step: Step, parts: Collection[str]) -> bool:
    """Whether a step has anything to do on a delivery with these parts.

    >>> has_work(STEPS["texts"], {"images"}), has_work(STEPS["rejected"], {"images"})
    (False, True)
    """
    return not step.parts or any(part in parts for part in step.parts)


def steps_of(parts: Collection[str], among: Iterable[str]) -> tuple[str, ...]:
    """Those of the named steps that have something to do on a delivery with these parts."""
    return tuple(name for name in among if has_work(STEPS[name], parts))


def gates_of(parts: Collection[str]) -> tuple[str, ...]:
    """Gates that judge a delivery with these parts.

    >>> gates_of({"text"})
    ()
    """
    return tuple(gate for gate in GATES if has_work(STEPS[GATE_STEPS[gate]], parts))


def step_digest(step: Step, policy: Policy, models: Mapping[str, str], upstream: Mapping[str, str]) -> str:
    """Hash everything the step's rows depend on.

    Args:
        step: the step.
        policy: the policy in force.
        models: identity of each model the step names.
        upstream: digest of each upstream step, the landing signature and the codebook version among them.
    """
    document = {
        "step": step.name,
        "code_version": step.code_version,
        "policy": {name: _settings(policy, name) for name in step.policy},
        "models": {name: models[name] for name in step.models},
        "upstream": {name: upstream[name] for name in step.upstream},
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


def _settings(policy: Policy, name: str) -> object:
    section, _, field = name.partition(".")
    settings = getattr(policy, section).model_dump(mode="json")
    return settings[field] if field else settings


def expected_digests(
    policy: Policy, models: Mapping[str, str], beside: Mapping[str, str], parts: Collection[str]
) -> dict[str, str]:
    """The digest each step has once it is up to date, without running anything.

    Args:
        policy: the policy in force.
        models: identity of each model.
        beside: the delivery's signature, the codebooks' versions and the digest of each part of the correction layer,
            by their names in ``upstream``.
        parts: parts of the delivery; a step without work has no digest.
    """
    digests = dict(beside)
    for step in BATCH_STEPS:
        digests[step.name] = step_digest(step, policy, models, digests) if has_work(step, parts) else ""
    return {step.name: digests[step.name] for step in BATCH_STEPS if digests[step.name]}


def stale_steps(expected: Mapping[str, str], recorded: Mapping[str, str], among: Iterable[str]) -> list[str]:
    """Steps whose recorded digest is not the expected one, in graph order; only steps with work are expected.

    >>> stale_steps({"raw_pools": "1", "texts": "2"}, {"raw_pools": "1"}, ["raw_pools", "texts"])
    ['texts']
    """
    wanted = set(among)
    return [name for name, digest in expected.items() if name in wanted and recorded.get(name) != digest]


def downstream_steps(name: str) -> list[Step]:
    """Every step that stands, directly or not, on the named one, in graph order."""
    reached = {name}
    found: list[Step] = []
    for step in BATCH_STEPS:
        if step.name not in reached and reached.intersection(step.upstream):
            reached.add(step.name)
            found.append(step)
    return found


def upstream_steps(name: str) -> list[Step]:
    """The named step and every step it stands on, directly or not, in graph order."""
    needed = {name}
    for step in reversed(BATCH_STEPS):
        if step.name in needed:
            needed.update(step.upstream)
    return [step for step in BATCH_STEPS if step.name in needed]
