# pyright: strict
"""Whether each caption stands at its own figure, or at the one before or behind it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from mm_assets.aligned.documents.order_gate.caption_words import CaptionWords, Floats, name_of, stage_of
from mm_assets.policy.order import OrderGatePolicy


@dataclass(frozen=True)
class FigureWords:
    """What is known of a figure with a caption.

    Attributes:
        position: of the figure.
        alt: its alternative text.
        file: the file of its picture; empty for a region of a page.
        context: text around it.
        caption: its caption.
    """

    position: int
    alt: str
    file: str
    context: str
    caption: str


@dataclass(frozen=True)
class Pairing:
    """What the figures of a document and their captions tell together.

    Attributes:
        figures: figures with a caption.
        recall_at_1: share of figures whose own caption is the likeliest among the document's; None without two.
        shift: the shift that explains the captions best: figure i has the caption of figure i + shift; 0 for none.
        log_ratio: its log-likelihood ratio against captions in place, less the logarithm of the shifts tried.
        misplaced: positions of the figures for which another caption of the shift is likelier than their own.
    """

    figures: int
    recall_at_1: float | None
    shift: int
    log_ratio: float
    misplaced: tuple[int, ...]


def judge_pairing(
    figures: Sequence[FigureWords], similarity: NDArray[np.float32] | None, policy: OrderGatePolicy
) -> Pairing:
    """Compare captions in place with captions shifted by one, either way, around the end or not.

    Words of a caption speak for the figure whose alternative text, file name or surroundings have them. Around the end
    two more things count: a picture shown twice has the same caption twice, and what goes into a step is shown before
    what comes out of it.

    Args:
        figures: figures with captions, in reading order.
        similarity: likeness of the embeddings of each figure (row) and each caption (column), shape (F, F); None
            without any.
        policy: weights.
    """
    count = len(figures)
    if count < 2:  # noqa: PLR2004 - one caption has nowhere to go
        return Pairing(count, None, 0, 0.0, ())
    total = _evidence(figures, similarity, policy)
    own = np.diag(total)
    best, shift, misplaced = 0.0, 0, np.zeros(0, np.int64)
    for step in (1, -1):
        # The caption that figure i has belongs to figure i + step: that figure's row is where it fits.
        rows = (np.arange(count) + step) % count
        gain = np.clip(
            total[rows, np.arange(count)] - own[rows], -policy.max_figure_evidence, policy.max_figure_evidence
        )
        whole = float(gain.sum()) + _order_gain(figures, step, policy)
        inner = whole if count == 2 else float((gain[:-1] if step > 0 else gain[1:]).sum())  # noqa: PLR2004
        if max(whole, inner) > best:
            best, shift = max(whole, inner), step
            misplaced = np.flatnonzero(gain > 0.0) if gain.max() > 0.0 else np.arange(count)
    tried = 1 if count == 2 else 4  # noqa: PLR2004 - two captions can only be exchanged
    ranks = (total > own[:, None]).sum(axis=1) + 0.5 * ((total == own[:, None]).sum(axis=1) - 1)
    return Pairing(
        figures=count,
        recall_at_1=float((ranks < 0.75).mean()),  # noqa: PLR2004 - a tie of two is half right
        shift=shift,
        log_ratio=best - math.log(tried) if shift else 0.0,
        misplaced=tuple(figures[int(at)].position for at in misplaced),
    )


def _evidence(
    figures: Sequence[FigureWords], similarity: NDArray[np.float32] | None, policy: OrderGatePolicy
) -> Floats:
    """What speaks for each figure (row) having each caption (column), nats, shape (F, F)."""
    captions = CaptionWords([figure.caption for figure in figures])
    total = policy.alt_weight * captions.shared([figure.alt for figure in figures], in_parts=True)
    total += policy.file_weight * captions.shared([name_of(figure.file) for figure in figures], in_parts=True)
    total += policy.context_weight * captions.covered([figure.context for figure in figures])
    if similarity is not None:
        total += similarity.astype(np.float64) / policy.similarity_temperature
    return total


def _order_gain(figures: Sequence[FigureWords], step: int, policy: OrderGatePolicy) -> float:
    """What the captions' order and pictures shown twice say for a shift around the end."""
    captions = [figure.caption for figure in figures]
    moved = [captions[(at - step) % len(captions)] for at in range(len(captions))]
    same: dict[str, list[int]] = {}
    for at, figure in enumerate(figures):
        if figure.file:
            same.setdefault(figure.file, []).append(at)
    twice = [pair for places in same.values() for pair in combinations(places[: policy.max_examples], 2)]
    differ, inverted = (
        [sum(told[a] != told[b] for a, b in twice) for told in (captions, moved)],
        [sum(a > 0 > b for a, b in pairwise(map(stage_of, told))) for told in (captions, moved)],
    )
    return policy.repeated_evidence * max(min(differ[0] - differ[1], 2), -2) + policy.stage_evidence * (
        inverted[0] - inverted[1]
    )
