# pyright: strict
"""What was found in one document."""

from collections.abc import Mapping
from dataclasses import dataclass

from mm_assets.aligned.documents.order_gate.caption_pairing import Pairing
from mm_assets.aligned.documents.order_gate.columns import ColumnOrder
from mm_assets.aligned.documents.order_gate.faults import Fault
from mm_assets.aligned.documents.order_gate.number_series import SeriesFinding
from mm_assets.aligned.documents.order_gate.page_order import PageOrder
from mm_assets.policy.order import OrderGatePolicy


@dataclass(frozen=True, eq=False)
class DocumentCheck:
    """What was found in one document.

    Attributes:
        document_id: its id.
        file_name: its name.
        figures: figures in it.
        captioned: figures with a caption.
        adjacent: those of them whose caption stands next to them.
        pairing: whether captions stand at their own figures.
        lost_captions: positions of captions of figures whose figure is not there.
        lost_pictures: positions of figures whose picture could not be read.
        missing_figures: numbers that are missing in the series of figures.
        series: by kind, what the numbers of headings, figures and tables tell.
        references: references in the text.
        unresolved: those that lead nowhere.
        unknown_figures: figure numbers that are referred to and not there.
        pages: order of the pages; None without pages.
        columns: order of the columns.
        ocr_disagreement: largest disagreement of a sampled page; None without any.
        window_cuts: figures, tables and captions that windows cut or part.
        faults: what is proven or suspected, the gravest first.
    """

    document_id: str
    file_name: str
    figures: int
    captioned: int
    adjacent: int
    pairing: Pairing
    lost_captions: tuple[int, ...]
    lost_pictures: tuple[int, ...]
    missing_figures: tuple[str, ...]
    series: Mapping[str, SeriesFinding]
    references: int
    unresolved: int
    unknown_figures: tuple[str, ...]
    pages: PageOrder | None
    columns: ColumnOrder
    ocr_disagreement: float | None
    window_cuts: int
    faults: tuple[Fault, ...] = ()

    def proven(self, policy: OrderGatePolicy) -> tuple[Fault, ...]:
        """Faults whose evidence suffices, the gravest first."""
        return tuple(fault for fault in self.faults if fault.evidence >= policy.min_evidence)
