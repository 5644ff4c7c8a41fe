# pyright: strict
"""Whether each caption stands at its own figure, or at the one before or behind it."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.policy.order import OrderGatePolicy

Floats = NDArray[np.float64]
_WORD: Final = re.compile(r"[^\W_]{2,}")
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SUFFIX: Final = re.compile(r"\.[a-z]{2,5}$", re.IGNORECASE)


@dataclass(frozen=True)
class FigureWords:
    """What is known of a figure with a caption.

    Attributes:
        position: of the figure.
        own: its alt text and the name of its file.
        context: text around it.
        caption: its caption.
    """

    position: int
    own: str
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

    Args:
        figures: figures with captions, in reading order.
        similarity: likeness of the embeddings of each figure (row) and each caption (column), shape (F, F); None
            without any.
        policy: temperatures of the channels.
    """
    count = len(figures)
    if count < 2:  # noqa: PLR2004 - one caption has nowhere to go
        return Pairing(count, None, 0, 0.0, ())
    captions = [_words(figure.caption) for figure in figures]
    channels = [
        (_likeness([_words(_named(f.own)) for f in figures], captions), policy.own_temperature),
        (_likeness([_words(f.context) for f in figures], captions), policy.context_temperature),
    ]
    if similarity is not None:
        channels.append((similarity.astype(np.float64), policy.similarity_temperature))
    total = np.zeros((count, count))
    for likeness, temperature in channels:
        total += np.clip(_log_softmax(likeness, temperature), -policy.max_figure_evidence - math.log(count), 0.0)
    own = np.diag(total)
    best, shift, misplaced = 0.0, 0, np.zeros(0, np.int64)
    for step in (1, -1):
        # The caption that figure i has belongs to figure i + step: that figure's row is where it fits.
        rows = (np.arange(count) + step) % count
        gain = np.clip(
            total[rows, np.arange(count)] - own[rows], -policy.max_figure_evidence, policy.max_figure_evidence
        )
        inner = gain if count == 2 else gain[:-1] if step > 0 else gain[1:]  # noqa: PLR2004 - two are exchanged
        for part in (gain, inner):
            if float(part.sum()) > best:
                best, shift = float(part.sum()), step
                misplaced = np.flatnonzero(gain > 0.0)
    ranks = (total > own[:, None]).sum(axis=1) + 0.5 * ((total == own[:, None]).sum(axis=1) - 1)
    return Pairing(
        figures=count,
        recall_at_1=float((ranks < 0.75).mean()),  # noqa: PLR2004 - a tie of two is half right
        shift=shift,
        log_ratio=best - math.log(4.0) if shift else 0.0,
        misplaced=tuple(figures[int(at)].position for at in misplaced),
    )


def _named(own: str) -> str:
    return _SUFFIX.sub("", own)


def _words(text: str) -> Counter[str]:
    split = _CAMEL.sub(" ", text).casefold()
    return Counter(word for word in _WORD.findall(split) if not word.isdigit())


def _likeness(ours: Sequence[Counter[str]], captions: Sequence[Counter[str]]) -> Floats:
    """Cosine of words, rare ones among the captions counting more; those that all captions have count nothing."""
    frequency = Counter(word for caption in captions for word in caption)
    weight = {word: math.log((1 + len(captions)) / n) for word, n in frequency.items() if n < len(captions)}
    index = {word: at for at, word in enumerate(weight)}

    def matrix(rows: Sequence[Counter[str]]) -> Floats:
        filled = np.zeros((len(rows), max(len(index), 1)))
        for at, row in enumerate(rows):
            for word in row:
                if word in index:
                    filled[at, index[word]] = weight[word]
        norms = np.linalg.norm(filled, axis=1, keepdims=True)
        return filled / np.maximum(norms, 1e-9)

    return matrix(ours) @ matrix(captions).T


def _log_softmax(likeness: Floats, temperature: float) -> Floats:
    scaled = likeness / temperature
    top = scaled.max(axis=1, keepdims=True)
    return scaled - top - np.log(np.exp(scaled - top).sum(axis=1, keepdims=True))
