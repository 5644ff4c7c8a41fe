# pyright: strict
"""Kinds of faults of a document's order: their codes, and what to do about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mm_assets.errors import CrossModalCode

_CODES: Final[Mapping[str, CrossModalCode]] = {
    "captions_shifted": CrossModalCode.FUSION,
    "figures_lost": CrossModalCode.FUSION,
}
_FIXES: Final[Mapping[str, str]] = {
    "pages_reversed": "Reverse the pages of the named documents and deliver them again.",
    "pages_swapped": "Put the named pages back in order and deliver the documents again.",
    "pages_duplicated": "Remove the repeated pages.",
    "pages_missing": "Deliver the documents with all their pages.",
    "blocks_out_of_order": "Deliver the parts of the documents in the order of their numbers.",
    "columns_interleaved": "Read column after column: deliver the original file, not text taken from it line by line.",
    "captions_shifted": "Move every caption back to its own figure; see the examples.",
    "figures_lost": "Deliver the pictures that are missing, or the original document.",
    "text_layer_differs": "Remove the text layer, or deliver a file whose text layer is what its pages show.",
    "windows_cut_spans": "Build the windows of the named documents again.",
}


@dataclass(frozen=True)
class Fault:
    """One explanation of what is wrong.

    Attributes:
        kind: name, such as ``pages_swapped``.
        evidence: log-likelihood ratio against a sound document.
        told: what gave it away, in words.
        pages: pages it concerns.
        positions: blocks it concerns.
        parameters: what would undo it, such as the shift.
    """

    kind: str
    evidence: float
    told: str
    pages: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()
    parameters: tuple[tuple[str, int], ...] = ()

    @property
    def code(self) -> CrossModalCode:
        """Cross-modal code: pictures beside the wrong text, else order that was lost."""
        return _CODES.get(self.kind, CrossModalCode.TEMPORAL)

    @property
    def fix(self) -> str:
        """What to do about it."""
        return _FIXES[self.kind]

    @property
    def hypothesis(self) -> str:
        """Name with its parameters, such as ``captions_shifted(+1)``."""
        told = ", ".join(f"{value:+d}" for _, value in self.parameters)
        return f"{self.kind}({told})" if told else self.kind

    def to_json(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "kind": self.kind,
            "hypothesis": self.hypothesis,
            "evidence": round(self.evidence, 3),
            "told": self.told,
            "pages": list(self.pages[:50]),
            "positions": list(self.positions[:50]),
        }
