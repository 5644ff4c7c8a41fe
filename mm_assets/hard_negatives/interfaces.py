# pyright: strict
"""What making and judging hard negatives asks of models and word nets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mm_assets.models import ModelIdentity


@dataclass(frozen=True, slots=True)
class Sense:
    """One meaning of a noun.

    Attributes:
        key: its name in the net.
        category: broad class, such as ``animal`` or ``artifact``.
        path: keys from the root down to itself, along its first hypernyms.
        broader: keys of everything it is a kind of, itself included.
        words: its synonyms, lower case, blanks between words.
        gloss: its definition, without examples.
    """

    key: str
    category: str
    path: tuple[str, ...]
    broader: frozenset[str]
    words: tuple[str, ...]
    gloss: str


class WordNet(Protocol):
    """Knows how words relate."""

    @property
    def identity(self) -> ModelIdentity:
        """Which net and which files."""
        ...

    def nouns(self, term: str) -> tuple[Sense, ...]:
        """Meanings of a noun, singular and lower case, the commonest first; empty if it is unknown."""
        ...

    def siblings(self, sense: Sense) -> tuple[str, ...]:
        """Words for the other kinds of what the sense is a kind of, lower case; proper names left out."""
        ...

    def antonyms(self, adjective: str) -> tuple[str, ...]:
        """Opposites of an adjective."""
        ...

    def usage(self, term: str) -> int:
        """How often a noun's first meaning was tagged in running text: 0 for rare and unknown words."""
        ...


class TextScorer(Protocol):
    """Places texts beside pictures; the encoder of the lake, seen from here."""

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit embeddings, float32, shape (B, D)."""
        ...


class NeighbourSearch(Protocol):
    """Finds the nearest rows of a corpus for each query, exactly."""

    def __call__(
        self, queries: NDArray[np.float32], corpus: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Inner products and rows, both of shape (N, min(k, M)), the nearest first."""
        ...


class LanguageModel(Protocol):
    """Answers a prompt in words."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model, where."""
        ...

    def ask(self, prompt: str) -> str:
        """The model's answer.

        Raises:
            InferenceError: the endpoint did not answer, or not in its protocol.
        """
        ...


@runtime_checkable
class TextRater(Protocol):
    """Tells how likely texts are: a language model too small to be told what to do."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model and which weights."""
        ...

    def rate(self, lead: str, texts: Sequence[str]) -> NDArray[np.float64]:
        """Log-likelihood of each text as what follows the lead, its end included, nats, shape (B,).

        Args:
            lead: text that comes before each; read once.
            texts: texts to rate.

        Raises:
            InferenceError: a text cannot be read.
        """
        ...
