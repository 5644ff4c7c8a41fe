# pyright: strict
"""What a proxy is asked to train and what it has to tell, whatever library runs behind it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mm_assets.mixtures.ablation.corpus import Corpus

Role = Literal["design", "held_out", "text_only", "as_delivered", "chosen", "by_hand"]


@dataclass(frozen=True)
class RunPlan:
    """One proxy to train.

    Attributes:
        name: unique among the runs of an ablation.
        role: what the run is for; only ``design`` runs are fitted.
        weights: share of the drawn samples per pool, in the corpus's order; they sum to 1.
        seed: of what is drawn. Every run starts from the same proxy.
    """

    name: str
    role: Role
    weights: tuple[float, ...]
    seed: int


@dataclass(frozen=True)
class Checkpoint:
    """Losses after a number of tokens.

    Attributes:
        tokens: tokens trained on.
        capabilities: mean loss per token of text, nats, by capability.
        modalities: mean loss per token, nats, by modality of the token.
    """

    tokens: int
    capabilities: Mapping[str, float]
    modalities: Mapping[str, float]


@dataclass(frozen=True)
class HeldOut:
    """What was measured on the held-out samples of a capability.

    Attributes:
        loss: float64, shape (N,), one per sample: nats summed over its text, or one less the reciprocal rank.
        tokens: float64, shape (N,): tokens of text, or 1.
        groups: int64, shape (N,): group of each sample; samples of a group are not independent.
    """

    loss: NDArray[np.float64]
    tokens: NDArray[np.float64]
    groups: NDArray[np.int64]

    @property
    def mean(self) -> float:
        """Loss per token."""
        return float(self.loss.sum() / self.tokens.sum())


@dataclass(frozen=True)
class RunResult:
    """A trained and measured proxy.

    Attributes:
        plan: what was asked for.
        curve: losses on the way; the last is that of the finished proxy.
        held_out: per capability.
        drawn: samples drawn per pool, in the corpus's order.
        tokens: tokens trained on.
        recall_at_1: share of held-out pictures and captions that find each other first; None if not measured.
        seconds: CPU or GPU seconds it took.
    """

    plan: RunPlan
    curve: tuple[Checkpoint, ...]
    held_out: Mapping[str, HeldOut]
    drawn: tuple[int, ...]
    tokens: int
    recall_at_1: float | None
    seconds: float


class ProxyTrainer(Protocol):
    """Trains proxies."""

    @property
    def identity(self) -> str:
        """Architecture, size and library."""
        ...

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""
        ...

    def train(self, corpus: Corpus, plans: Sequence[RunPlan]) -> Iterator[RunResult]:
        """Train and measure every proxy; results come in the order of the plans.

        Raises:
            InferenceError: a loss is not finite.
        """
        ...
