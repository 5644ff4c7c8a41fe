"""The steps a batch goes through, and the digests that tell whether a step is up to date.

A step's digest covers its code version, the policy sections and models it uses, and the digests of the steps before
it, down to the delivery's signature. Equal digests mean equal rows, so a step with the recorded digest need not run.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from mm_assets.batch_graph import (
    AUDIO_CODEBOOK,
    BATCH_STEPS,
    BOX_CORRECTIONS,
    CODEBOOK,
    CODEBOOKS,
    CORRECTIONS,
    CUE_CORRECTIONS,
    LANDING,
    RAW_POOLS,
    REVIEWS,
    SOUND_CORRECTIONS,
    Step,
)
from mm_assets.policy import Policy

__all__ = [
    "AUDIO_CODEBOOK",
    "BATCH_STEPS",
    "BOX_CORRECTIONS",
    "CODEBOOK",
    "CODEBOOKS",
    "CORRECTIONS",
    "CUE_CORRECTIONS",
    "LANDING",
    "RAW_POOLS",
    "REVIEWS",
    "SOUND_CORRECTIONS",
    "Step",
]

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
    "raw_documents",
    "documents",
    "document_figures",
    "document_windows",
    "document_order",
    "hard_negatives",
)
ASSEMBLY_STEPS: Final = ("visual_codes", "audio_codes", "figure_codes", "fusion_samples")
GATE_STEPS: Final[dict[str, str]] = {
    "recall": "image_text_recall",
    "objects": "object_recall",
    "orientation": "orientation_checks",
    "faithfulness": "caption_claims",
    "offset": "segment_offsets",
    "order": "document_order",
    "hard_negatives": "hard_negatives",
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
