# pyright: strict
"""The verdict on a batch of documents: whether more of them are out of order than a sound batch has."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence

from mm_assets.aligned.documents.order_gate.document_check import ObservedDocument, check_document
from mm_assets.aligned.documents.order_gate.document_findings import DocumentCheck
from mm_assets.aligned.documents.order_gate.faults import Fault
from mm_assets.aligned.documents.order_gate.order_verdict import OrderVerdict, check_row
from mm_assets.policy.order import OrderGatePolicy


def judge_order(documents: Iterable[ObservedDocument], policy: OrderGatePolicy) -> OrderVerdict:
    """Judge the order of a batch's documents.

    Args:
        documents: read one by one; of each only its check is kept.
        policy: evidence and shares.
    """
    return judge_checks([check_document(document, policy) for document in documents], policy)


def judge_checks(checks: Sequence[DocumentCheck], policy: OrderGatePolicy) -> OrderVerdict:
    """The verdict on checked documents.

    A batch fails if more documents are proven faulty than chance makes of sound ones, at ``false_hold_rate``, and more
    than ``max_affected_share``. A window that cuts a figure or a table fails it at once.

    Args:
        checks: one per document.
        policy: evidence and shares.
    """
    proven = [(check, faults) for check in checks if (faults := check.proven(policy))]
    allowed = _allowed(len(checks), policy)
    share = len(proven) / len(checks) if checks else math.nan
    cuts = sum(check.window_cuts for check in checks)
    passed = not checks or (share <= allowed and not cuts)
    first = _commonest(proven)
    return OrderVerdict(
        digest=_digest(checks, policy),
        checks=tuple(checks),
        affected=tuple(proven),
        affected_share=share,
        allowed_share=allowed,
        judged=bool(checks),
        passed=passed,
        fault=None if passed else first,
        reason=_tell(len(checks), proven, allowed, passed, first),
        max_examples=policy.max_examples,
    )


def _allowed(documents: int, policy: OrderGatePolicy) -> float:
    """Largest share of faulty documents that chance, or the policy, allows."""
    if not documents:
        return math.nan
    rate, tail, count = policy.document_false_rate, 1.0, 0
    mass = (1.0 - rate) ** documents
    while count < documents:
        tail -= mass
        if tail <= policy.false_hold_rate:
            break
        mass *= (documents - count) / (count + 1) * rate / (1.0 - rate)
        count += 1
    return max(policy.max_affected_share, count / documents)


def _commonest(proven: Sequence[tuple[DocumentCheck, tuple[Fault, ...]]]) -> Fault | None:
    """The gravest fault of a document, of the hypothesis that explains most documents."""
    if not proven:
        return None
    gravest = [faults[0] for _, faults in proven]
    counts = Counter(fault.hypothesis for fault in gravest)
    return max(gravest, key=lambda fault: (counts[fault.hypothesis], fault.evidence))


def _tell(
    documents: int,
    proven: Sequence[tuple[DocumentCheck, tuple[Fault, ...]]],
    allowed: float,
    passed: bool,
    first: Fault | None,
) -> str:
    if not documents:
        return "There are no documents to judge."
    if not proven or first is None:
        return f"None of {documents} documents shows a broken order."
    alike = sum(faults[0].hypothesis == first.hypothesis for _, faults in proven)
    named = ", ".join(check.file_name for check, _ in proven[:3]) + (", …" if len(proven) > 3 else "")  # noqa: PLR2004
    told = f"{len(proven)} of {documents} documents are out of order ({named}), allowed are {allowed:.1%}"
    if passed:
        return f"{told}; they are named, the batch passes."
    return f"{told}; {alike} by {first.hypothesis}: {first.told}. {first.fix}"


def _digest(checks: Sequence[DocumentCheck], policy: OrderGatePolicy) -> str:
    hashed = hashlib.sha256(policy.model_dump_json().encode())
    for check in sorted(checks, key=lambda check: check.document_id):
        hashed.update(json.dumps(check_row("", check, policy), sort_keys=True).encode())
    return hashed.hexdigest()
