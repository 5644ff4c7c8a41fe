# pyright: strict
"""Faults that explain what was found, each with its evidence: a log-likelihood ratio against a sound document."""

import math
from collections.abc import Mapping
from typing import Final

from mm_assets.aligned.documents.order_gate.document_findings import DocumentCheck
from mm_assets.aligned.documents.order_gate.faults import Fault
from mm_assets.aligned.documents.order_gate.number_series import SeriesFinding
from mm_assets.aligned.documents.order_gate.page_order import PageOrder
from mm_assets.policy.order import OrderGatePolicy

_CERTAIN: Final = 50.0


def explain(found: DocumentCheck, series: Mapping[str, SeriesFinding], policy: OrderGatePolicy) -> tuple[Fault, ...]:
    """Faults with any evidence for them, the gravest first.

    Args:
        found: what was found.
        series: what the numbers of headings, figures and tables tell, short series included.
        policy: rates and weights.
    """
    faults = [*_of_pages(found.pages, policy), *_of_numbers(found, policy), *_of_figures(found, series, policy)]
    if (columns := found.columns.evidence()) > 0.0:
        joins = found.columns.joins
        told = (
            f"columns are returned to on {len(found.columns.interleaved)} of {found.columns.pages_with_columns} pages "
            f"with columns; {joins.broken} of {joins.told} joins between words are none of a sentence"
        )
        faults.append(Fault("columns_interleaved", columns, told, tuple(found.columns.interleaved)))
    if found.ocr_disagreement is not None and found.ocr_disagreement > policy.max_ocr_disagreement:
        told = f"recognition does not find {found.ocr_disagreement:.0%} of a sampled page's words in its text layer"
        faults.append(Fault("text_layer_differs", _CERTAIN, told))
    if found.window_cuts:
        faults.append(Fault("windows_cut_spans", _CERTAIN, f"windows cut {found.window_cuts} figures or tables"))
    return tuple(
        sorted(_merge([f for f in faults if f.evidence > 0.0]), key=lambda fault: (-fault.evidence, fault.kind))
    )


def _merge(faults: list[Fault]) -> list[Fault]:
    """One fault of each kind: what pages and numbers tell of it adds up."""
    merged: dict[str, Fault] = {}
    for fault in faults:
        other = merged.get(fault.kind)
        merged[fault.kind] = (
            fault
            if other is None
            else Fault(
                fault.kind,
                other.evidence + fault.evidence,
                f"{other.told}; {fault.told}",
                tuple(dict.fromkeys((*other.pages, *fault.pages))),
                (*other.positions, *fault.positions),
                other.parameters or fault.parameters,
            )
        )
    return list(merged.values())


def _of_pages(pages: PageOrder | None, policy: OrderGatePolicy) -> list[Fault]:
    if pages is None:
        return []
    faults: list[Fault] = []
    surprise = -math.log(policy.misread_number)
    steps = len(pages.printed) - 1
    descents, links = pages.link_disorder
    is_long = pages.steady >= policy.min_numbered - 1
    by_numbers = surprise * min(steps, 5) if pages.numbers.is_reversed else 0.0
    against = surprise * min(pages.steady, 5) if is_long and not pages.numbers.is_reversed else 0.0
    turned = by_numbers - against + max(pages.reversed_gain, -2.0)
    if turned > 0.0 and pages.pages > 2:  # noqa: PLR2004 - two pages are reversed by a swap
        told = (
            f"{steps} steps of printed numbers descend" if by_numbers else "sentences go on from page to page backward"
        )
        faults.append(Fault("pages_reversed", turned, told))
    if not pages.numbers.is_reversed:
        # In a long steady series a number that is one of the others' neighbours and stands elsewhere was not misread.
        each = surprise * (2.0 if is_long else 1.0)
        swapped = each * min(len(pages.displaced), 5) + max(pages.swap_gain, 0.0)
        if is_long and not pages.displaced:
            swapped -= surprise
        if links and 0 < descents <= links // 4:
            swapped += surprise * min(descents, 2) / 2
        where = pages.displaced or (pages.swap or ())
        told = (
            f"{len(pages.displaced)} printed page numbers stand elsewhere; exchanging pages {pages.swap} mends "
            f"sentences by {max(pages.swap_gain, 0.0):.1f}; links of the contents descend {descents} times in {links}"
        )
        faults.append(Fault("pages_swapped", swapped, told, where))
    if pages.duplicated:
        told = f"{len(pages.duplicated)} pages repeat the words of an earlier one"
        faults.append(Fault("pages_duplicated", surprise * (1 + len(pages.duplicated)), told, pages.duplicated))
    if pages.missing and not pages.displaced:
        told = f"printed page numbers {', '.join(map(str, pages.missing[:8]))} are missing"
        faults.append(Fault("pages_missing", surprise * (1 + min(len(pages.missing), 3)), told))
    return faults


def _of_numbers(found: DocumentCheck, policy: OrderGatePolicy) -> list[Fault]:
    """Headings, figures and tables whose numbers do not ascend."""
    surprise = -math.log(policy.misread_number)
    evidence, told = 0.0, list[str]()
    for kind, finding in found.series.items():
        if kind == "figure" and finding.rotation:
            continue
        if finding.is_reversed:
            evidence += surprise * 3
            told.append(f"the numbers of {finding.count} {kind}s descend")
        elif finding.displaced:
            evidence += surprise * min(len(finding.displaced), 5)
            told.append(f"{len(finding.displaced)} of {finding.count} {kind} numbers stand elsewhere")
    paged = found.pages is not None
    kind = "pages_swapped" if paged and evidence else "blocks_out_of_order"
    return [Fault(kind, evidence, "; ".join(told))] if evidence else []


def _of_figures(found: DocumentCheck, series: Mapping[str, SeriesFinding], policy: OrderGatePolicy) -> list[Fault]:
    faults: list[Fault] = []
    pairing, numbers = found.pairing, series.get("figure")
    shifted = max(pairing.log_ratio, 0.0)
    shift = pairing.shift
    if numbers is not None and abs(numbers.rotation) == 1:
        # Of two an author may have exchanged the numbers; of more, the last one never stands first by accident.
        shifted += -math.log(policy.misread_number) * (1.0 if numbers.count == 2 else 1.5)  # noqa: PLR2004
        shift = shift or numbers.rotation
    if shifted > 0.0 and shift:
        told = (
            f"captions fit the figure {'behind' if shift > 0 else 'before'} theirs better; of {pairing.figures} "
            f"figures {len(pairing.misplaced)} have the caption of a neighbour"
        )
        faults.append(
            Fault("captions_shifted", shifted, told, positions=pairing.misplaced, parameters=(("shift", shift),))
        )
    lost = len(found.lost_captions) + len(found.lost_pictures)
    evidence = (
        policy.lost_evidence * min(lost, 3)
        + policy.gap_evidence * min(len(found.missing_figures), 3)
        + policy.reference_evidence * min(len(found.unknown_figures), 3)
    )
    if evidence:
        told = (
            f"{len(found.lost_captions)} captions without a figure, {len(found.lost_pictures)} pictures that cannot "
            f"be read, {len(found.missing_figures)} missing numbers, {len(found.unknown_figures)} referred to in vain"
        )
        faults.append(Fault("figures_lost", evidence, told, positions=(*found.lost_captions, *found.lost_pictures)))
    return faults
