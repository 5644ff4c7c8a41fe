# pyright: strict
"""What the order gate found, and the forms in which it is stored."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from mm_assets.aligned.documents.order_gate.document_findings import DocumentCheck
from mm_assets.aligned.documents.order_gate.faults import Fault
from mm_assets.errors import REMEDIES, CrossModalCode
from mm_assets.gates.verdicts import GateVerdict, stored_verdict
from mm_assets.identifiers import make_id
from mm_assets.policy.order import OrderGatePolicy
from mm_assets.schemas import TABLES

GATE: Final = "order"
_CHECKS: Final = TABLES["document_checks"]


@dataclass(frozen=True, eq=False)
class OrderVerdict:
    """What the gate found.

    Attributes:
        digest: hash of everything the verdict depends on.
        checks: what was found in each document.
        affected: documents with a proven fault, and their faults.
        affected_share: their share: the gated value; NaN without documents.
        allowed_share: share a sound batch may have; NaN without documents.
        judged: whether there was any document.
        passed: whether the batch meets the gate.
        fault: commonest fault of a failure.
        reason: the verdict in a sentence or two.
        max_examples: documents told in the diagnosis with their evidence.
    """

    digest: str
    checks: tuple[DocumentCheck, ...]
    affected: tuple[tuple[DocumentCheck, tuple[Fault, ...]], ...]
    affected_share: float
    allowed_share: float
    judged: bool
    passed: bool
    fault: Fault | None
    reason: str
    max_examples: int

    @property
    def code(self) -> CrossModalCode | None:
        """Cross-modal code of a failure."""
        return None if self.fault is None else self.fault.code

    def evaluation_id(self, batch: str) -> str:
        """Id of this verdict on this batch."""
        return make_id("eval", GATE, batch, self.digest)

    def to_json(self) -> dict[str, Any]:
        """Diagnosis with its evidence, JSON-able."""
        told = self.affected[: self.max_examples]
        return {
            "hypothesis": "in_place" if self.fault is None else self.fault.hypothesis,
            "kind": "in_place" if self.fault is None else self.fault.kind,
            "parameters": {} if self.fault is None else dict(self.fault.parameters),
            "code": None if self.code is None else self.code.value,
            "cause": None if self.code is None else REMEDIES[self.code].cause,
            "fix": None if self.fault is None else self.fault.fix,
            "repairable": False,
            "judged": self.judged,
            "documents": len(self.checks),
            "documents_by_fault": dict(
                sorted(Counter(fault.hypothesis for _, faults in self.affected for fault in faults).items())
            ),
            "affected_documents": [check.document_id for check, _ in self.affected],
            "document_examples": [
                {
                    "document_id": check.document_id,
                    "file_name": check.file_name,
                    "faults": [fault.to_json() for fault in faults],
                }
                for check, faults in told
            ],
        }

    def to_row(self, batch: str, source: str) -> dict[str, Any]:
        """The batch's row of ``document_order``."""
        checks = self.checks
        captioned = sum(check.captioned for check in checks)
        references = sum(check.references for check in checks)
        pages = [check.pages for check in checks if check.pages is not None]
        printed = sum(len(order.printed) for order in pages)
        displaced = sum(len(order.printed) if order.numbers.is_reversed else len(order.displaced) for order in pages)
        columns = sum(check.columns.pages_with_columns for check in checks)
        ranked = [(c.pairing.recall_at_1, c.pairing.figures) for c in checks if c.pairing.recall_at_1 is not None]
        sampled = [check.ocr_disagreement for check in checks if check.ocr_disagreement is not None]
        return {
            "batch": batch,
            "evaluation_id": self.evaluation_id(batch),
            "source": source,
            "documents": len(checks),
            "figures": sum(check.figures for check in checks),
            "captioned_figures": captioned,
            "adjacent_share": _share(sum(check.adjacent for check in checks), captioned),
            "caption_recall_at_1": _share(sum(r * n for r, n in ranked), sum(n for _, n in ranked)),
            "references": references,
            "unresolved_share": _share(sum(check.unresolved for check in checks), references),
            "page_monotonicity": _share(printed - displaced, printed),
            "column_monotonicity": _share(columns - sum(len(c.columns.interleaved) for c in checks), columns),
            "duplicated_pages": sum(len(order.duplicated) for order in pages),
            "missing_pages": sum(len(order.missing) for order in pages),
            "ocr_disagreement": max(sampled, default=math.nan),
            "window_cuts": sum(check.window_cuts for check in checks),
            "affected_share": self.affected_share,
            "allowed_share": self.allowed_share,
            "judged": self.judged,
            "passed": self.passed,
            "code": None if self.code is None else self.code.value,
            "reason": self.reason,
            "hypothesis": None if self.fault is None else self.fault.hypothesis,
            "affected_documents": [check.document_id for check, _ in self.affected],
            "diagnosis_json": json.dumps(self.to_json(), ensure_ascii=False, sort_keys=True),
        }

    def to_frame(self, batch: str, policy: OrderGatePolicy) -> pl.DataFrame:
        """Rows of ``document_checks``: one per document."""
        return _frame([check_row(batch, check, policy) for check in self.checks])


def check_row(batch: str, check: DocumentCheck, policy: OrderGatePolicy) -> dict[str, Any]:
    """A document's row of ``document_checks``."""
    pages, columns = check.pages, check.columns
    return {
        "batch": batch,
        "document_id": check.document_id,
        "file_name": check.file_name,
        "figures": check.figures,
        "captioned_figures": check.captioned,
        "adjacent_captions": check.adjacent,
        "caption_recall_at_1": check.pairing.recall_at_1,
        "caption_shift": check.pairing.shift,
        "caption_evidence": check.pairing.log_ratio,
        "lost_captions": len(check.lost_captions),
        "lost_pictures": len(check.lost_pictures),
        "missing_figures": list(check.missing_figures),
        "references": check.references,
        "unresolved_references": check.unresolved,
        "pages": 0 if pages is None else pages.pages,
        "printed_pages": 0 if pages is None else len(pages.printed),
        "displaced_pages": [] if pages is None else list(pages.displaced),
        "duplicated_pages": [] if pages is None else list(pages.duplicated),
        "missing_pages": [] if pages is None else list(pages.missing),
        "pages_with_columns": columns.pages_with_columns,
        "interleaved_pages": list(columns.interleaved),
        "broken_joins": columns.joins.broken,
        "told_joins": columns.joins.told,
        "ocr_disagreement": check.ocr_disagreement,
        "window_cuts": check.window_cuts,
        "faults": [fault.hypothesis for fault in check.proven(policy)],
        "evidence": max((fault.evidence for fault in check.faults), default=0.0),
        "faults_json": json.dumps([fault.to_json() for fault in check.faults], ensure_ascii=False),
    }


def verdict_of_row(row: Mapping[str, Any]) -> GateVerdict:
    """The verdict that a row of ``document_order`` states."""
    return stored_verdict(row, GATE, measured=row["affected_share"], threshold=row["allowed_share"])


def _frame(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    return _CHECKS.conform(pl.DataFrame(rows, schema=_CHECKS.schema, orient="row"))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
