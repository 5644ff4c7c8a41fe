# pyright: strict
"""What the proxy is trained on and what it is measured on: samples as tokens, held out by whole groups."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.errors import ReleaseError
from mm_assets.fusion.samples import POOLS
from mm_assets.mixtures.ablation.capabilities import CAPABILITIES, RETRIEVAL, capability_of
from mm_assets.mixtures.ablation.tokens import CompactVocabulary, tokenize
from mm_assets.policy import AblationPolicy

COLUMNS = (
    "sample_id",
    "kind",
    "text_kind",
    "pool",
    "content",
    "caption_id",
    "codes",
    "audio_codes",
)
"""Columns of ``fusion_samples`` that a corpus is made of."""


@dataclass(frozen=True)
class Corpus:
    """Samples the proxies see, and those they are measured on.

    Attributes:
        vocabulary: the tokens.
        pools: pools that have samples to train on, in their fixed order.
        tokens: tokens of every sample, training and held out, one behind the other.
        starts: int64, shape (N + 1,); sample i holds ``tokens[starts[i] : starts[i + 1]]``.
        train: samples to train on, per pool.
        held_out: samples to measure on, per capability.
        groups: group of each sample; no group has samples on both sides.
        pairs: sample -> row of the two matrices below, for samples of a picture and its caption.
        pictures: float32, shape (P, image codes): square roots of the shares of the codes, unit length.
        captions: float32, shape (P, D): frozen embeddings of the captions, unit length.
    """

    vocabulary: CompactVocabulary
    pools: tuple[str, ...]
    tokens: NDArray[np.int32]
    starts: NDArray[np.int64]
    train: Mapping[str, NDArray[np.int64]]
    held_out: Mapping[str, NDArray[np.int64]]
    groups: NDArray[np.int64]
    pairs: Mapping[int, int] = field(default_factory=dict[int, int])
    pictures: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    captions: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))

    def sample(self, index: int) -> NDArray[np.int32]:
        """Tokens of a sample."""
        return self.tokens[self.starts[index] : self.starts[index + 1]]

    @property
    def capabilities(self) -> tuple[str, ...]:
        """Capabilities that can be measured, in their fixed order."""
        return tuple(name for name in CAPABILITIES if len(self.held_out.get(name, ())))


def choose_held_out(capabilities: Sequence[str], groups: Sequence[int], share: float, seed: int) -> NDArray[np.bool_]:
    """Hold out whole groups of every capability that has two of them, the fewest that reach the share.

    Args:
        capabilities: capability of each of N samples.
        groups: group of each sample.
        share: of the samples of each capability to hold out.
        seed: of the order of the groups.

    Returns:
        shape (N,); True where a sample is held out. Every capability with two groups has some on either side.
    """
    order = {group: hashlib.sha256(f"{seed}:{group}".encode()).digest() for group in set(groups)}
    members: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for capability, group in zip(capabilities, groups, strict=True):
        members[capability][group] += 1
    chosen = set[int]()
    for capability in sorted(members, key=lambda name: (len(members[name]), name)):
        sizes = members[capability]
        wanted, taken = share * sum(sizes.values()), sum(sizes[group] for group in sizes if group in chosen)
        kept = sum(group not in chosen for group in sizes)
        for group in sorted(sizes, key=lambda name: order[name]):
            if taken >= wanted or kept <= 1:
                break
            if group not in chosen:
                chosen.add(group)
                taken, kept = taken + sizes[group], kept - 1
    return np.array([group in chosen for group in groups], dtype=np.bool_)


def build_corpus(
    frames: Iterable[pl.DataFrame], captions: Mapping[str, NDArray[np.float32]], policy: AblationPolicy
) -> Corpus:
    """Read samples as tokens and part them.

    Args:
        frames: rows of table ``fusion_samples``: `COLUMNS`, and as ``group`` the number of the group that a sample
            stays with; chunk by chunk, as many as may be held in memory.
        captions: frozen embedding of each caption by its id, float32, shape (D,); without any, retrieval is not
            measured.
        policy: sizes and shares.

    Raises:
        ReleaseError: fewer than two pools have samples to train on, so that there is nothing to weigh.
    """
    rows = sorted((row for frame in frames for row in frame.iter_rows(named=True)), key=lambda row: row["sample_id"])
    largest = [max((max(row[name]) for row in rows if row[name]), default=-1) + 1 for name in ("codes", "audio_codes")]
    vocabulary = CompactVocabulary(*largest)
    samples = [
        tokenize(
            row["content"], vocabulary, max_codes=policy.max_codes_per_span, max_tokens=policy.max_tokens_per_sample
        )
        for row in rows
    ]
    groups = [int(row["group"]) for row in rows]
    kinds = [capability_of(row["kind"], row["text_kind"]) for row in rows]
    out = choose_held_out(kinds, groups, policy.held_out_share, policy.seed)
    train = {
        pool: np.array([i for i, row in enumerate(rows) if row["pool"] == pool and not out[i]], dtype=np.int64)
        for pool in POOLS
    }
    pools = tuple(pool for pool in POOLS if len(train[pool]))
    if len(pools) < 2:  # noqa: PLR2004 - nothing to weigh against
        raise ReleaseError(
            f"an ablation weighs pools against each other, and only {list(pools)} have samples to train on; "
            "run batches of other kinds first"
        )
    held_out = {
        name: np.array([i for i, kind in enumerate(kinds) if kind == name and out[i]], dtype=np.int64)
        for name in CAPABILITIES
    }
    pairs, pictures, embedded = _pairs(rows, captions, vocabulary.image_codes)
    held_out[RETRIEVAL] = np.array([i for i in held_out["caption"] if int(i) in pairs], dtype=np.int64)
    return Corpus(
        vocabulary=vocabulary,
        pools=pools,
        tokens=np.concatenate(samples),
        starts=np.concatenate([[0], np.cumsum([len(sample) for sample in samples])]).astype(np.int64),
        train={pool: train[pool] for pool in pools},
        held_out=held_out,
        groups=np.array(groups, dtype=np.int64),
        pairs=pairs,
        pictures=pictures,
        captions=embedded,
    )


def _pairs(
    rows: Sequence[Mapping[str, Any]], captions: Mapping[str, NDArray[np.float32]], image_codes: int
) -> tuple[dict[int, int], NDArray[np.float32], NDArray[np.float32]]:
    chosen = [i for i, row in enumerate(rows) if row["codes"] and row["caption_id"] in captions]
    pictures = np.zeros((len(chosen), image_codes), dtype=np.float32)
    for place, i in enumerate(chosen):
        pictures[place] = np.bincount(rows[i]["codes"], minlength=image_codes)
    pictures = np.sqrt(pictures / np.maximum(pictures.sum(axis=1, keepdims=True), 1.0))
    embedded = [captions[rows[i]["caption_id"]] for i in chosen]
    stacked = np.stack(embedded) if embedded else np.empty((0, 0), dtype=np.float32)
    return {i: place for place, i in enumerate(chosen)}, pictures, stacked


def windows(length: int, size: int) -> Iterator[tuple[int, int]]:
    """Spans of at most ``size`` tokens that cover a sample, one behind the other.

    >>> list(windows(5, 2))
    [(0, 2), (2, 4), (4, 5)]
    """
    for start in range(0, length, size):
        yield start, min(start + size, length)
