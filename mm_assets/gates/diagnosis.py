# pyright: strict
"""Why the captions of a batch are not those of its pictures.

Hypotheses: captions shifted by k rows, in whole or from some row on (a line lost or inserted); reversed order; blocks
in another order; templated captions; and, when none of them restores recall, captions that are weakly related to their
pictures or dealt at random.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from mm_assets.errors import REMEDIES, CrossModalCode
from mm_assets.gates.displacement import is_displaced, measure_match
from mm_assets.gates.order_hypotheses import Evidence, Order, OrderSearch, rounded, search_orders
from mm_assets.gates.recall_input import Booleans, Floats, Integers
from mm_assets.gates.recall_pools import Retrieval
from mm_assets.gates.templates import Templates

NAMING_LEVEL: Final = 0.05
"""Significance at which an order explains a batch that has failed already; its bound is generous, so few are wrong."""
RESTORATION: Final = 2.0
"""Times the delivered recall that undoing an order must reach to explain a failure: where captions name a subject and
no more, the best of all orders gained up to 1.9 by selection alone."""


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The best explanation of a batch and everything that was considered.

    Attributes:
        best: the named hypothesis; ``as delivered`` if no other is supported.
        kind: ``in_place``, ``shift``, ``reversed``, ``shuffled_blocks``, ``templated``, ``weakly_related`` or
            ``random_pairing``.
        code: cross-modal code, None for ``in_place``.
        evidence: every hypothesis, the delivered pairing first, then by falling restored recall.
        details: what the kind has to tell: offsets and positions, block size, repeated sentences.
        partners: shape (n,), pair whose caption belongs to each image under the best hypothesis, -1 where rejected.
        displaced: shape (n,), rows that hypothesis moves.
    """

    best: Evidence
    kind: str
    code: CrossModalCode | None
    evidence: tuple[Evidence, ...]
    details: dict[str, Any]
    partners: Integers
    displaced: Booleans

    @property
    def is_displacement(self) -> bool:
        """Whether the order of the captions explains the batch."""
        return self.kind in {"shift", "reversed", "shuffled_blocks"}

    def to_json(self) -> dict[str, Any]:
        """JSON-able form for the ledger and the UI."""
        return {
            "hypothesis": self.best.hypothesis,
            "kind": self.kind,
            "code": None if self.code is None else self.code.value,
            "fix": None if self.code is None else REMEDIES[self.code].fix,
            "rows_explained": rounded(self.best.rows_explained),
            "restored_recall": rounded(self.best.recall),
            "evidence": [item.to_json() for item in self.evidence],
            **self.details,
        }


def diagnose(
    retrieval: Retrieval,
    positions: Integers,
    templates: Templates,
    *,
    failed: bool,
    at_chance: bool,
    templates_fail: bool,
    required_recall: float,
    reference_recall: float,
    null_mean: float,
    max_shift: int,
    level: float,
) -> Diagnosis:
    """Weigh the hypotheses and name the best one.

    An order is believed when it beats the captions around the proposed ones at ``level``. Where recall has failed, it
    need only beat chance, at ``NAMING_LEVEL``, but undoing it must then restore the required recall. Weakly
    related captions and random pairing only explain a batch whose recall failed.

    Args:
        retrieval: the batch's retrieval, n pairs in delivery order.
        positions: shape (n,), delivery positions.
        templates: how templated the captions are.
        failed: whether the batch's recall failed.
        at_chance: whether it is not distinguishable from random pairing.
        templates_fail: whether too many templated captions do not tell their pictures apart.
        required_recall: R@1 the batch must not be below, on the same pools.
        reference_recall: R@1 expected of a sound batch of this source, on the same pools.
        null_mean: R@1 of random pairing.
        max_shift: largest k tested as a shift.
        level: significance at which an order hypothesis is believed against a batch of good recall.
    """
    match = measure_match(retrieval.image_to_text.similarity)
    search, chosen = _choose_order(
        retrieval, positions, match, failed=failed, required_recall=required_recall, max_shift=max_shift, level=level
    )
    delivered = Evidence("as delivered", retrieval.recall_at_1, 1.0, None, None)
    template = _weigh_templates(retrieval, templates)
    best, kind, code, details = delivered, "in_place", None, dict[str, Any]()
    partners = np.arange(len(positions), dtype=np.int64)
    displaced = np.zeros(len(positions), dtype=np.bool_)
    extra: list[Evidence] = []
    if chosen is not None:
        best, kind, code, details = chosen.evidence, chosen.kind, CrossModalCode.TEMPORAL, chosen.details
        partners = chosen.displacement.partners
        displaced = is_displaced(chosen.displacement, len(positions))
    elif templates_fail:
        best, kind, code = template, "templated", CrossModalCode.FUSION
        details = {"distinct_captions": templates.distinct, "examples": [list(item) for item in templates.examples]}
    elif failed:
        lost = (reference_recall - retrieval.recall_at_1) / max(reference_recall - null_mean, 1e-9)
        name, kind = (
            ("random pairing", "random_pairing") if at_chance else ("weakly related captions", "weakly_related")
        )
        best, code = Evidence(name, None, float(np.clip(lost, 0.0, 1.0)), None, None), CrossModalCode.FUSION
        extra.append(best)
    if kind != "in_place":
        delivered = replace(delivered, rows_explained=1.0 - best.rows_explained)
    named = {order.evidence.hypothesis: order.evidence for order in search.orders}
    shifts = [item for item in search.shifts if item.hypothesis not in named]
    rest = [*shifts, *named.values(), template, *extra]
    rest.sort(key=lambda item: -(item.recall if item.recall is not None else -1.0))
    return Diagnosis(best, kind, code, (delivered, *rest), details, partners, displaced)


def _choose_order(
    retrieval: Retrieval,
    positions: Integers,
    match: Floats,
    *,
    failed: bool,
    required_recall: float,
    max_shift: int,
    level: float,
) -> tuple[OrderSearch, Order | None]:
    """The evidence to show, and the order it proves, if any."""
    delivered = retrieval.recall_at_1
    if failed:
        search = search_orders(retrieval, positions, match, max_shift=max_shift, against_neighbours=False)
        if _restores(search.best, NAMING_LEVEL, max(required_recall, RESTORATION * delivered)):
            return search, search.best
    search = search_orders(retrieval, positions, match, max_shift=max_shift, against_neighbours=True)
    return search, search.best if _restores(search.best, level, delivered) else None


def _restores(order: Order, level: float, recall: float) -> bool:
    found = order.evidence
    return found.p_value is not None and found.p_value <= level and found.recall is not None and found.recall >= recall


def _weigh_templates(retrieval: Retrieval, templates: Templates) -> Evidence:
    """Captions that say nothing about their own picture; recall is that of the others."""
    others = ~np.array(templates.templated, dtype=np.bool_)
    recall = float(retrieval.r1[others].mean()) if others.any() else None
    return Evidence("templated captions", recall, templates.share, None, None)
