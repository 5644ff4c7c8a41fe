# pyright: strict
"""What windows ask of a tokenizer."""

from collections.abc import Sequence
from typing import Protocol


class TokenCounter(Protocol):
    """Counts the tokens of texts."""

    @property
    def identity(self) -> str:
        """Which counter, for provenance: equal identities count alike."""
        ...

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, at least 1 for one that is not empty."""
        ...
