"""Tables of documents: files, pages, blocks in reading order, what captions and references lead to, and windows.

Boxes are ``x1 y1 x2 y2``, origin top left, in points (1/72 inch) for PDF and in pixels for pictures of pages.
"""

from typing import Final

import polars as pl

from mm_assets.schemas.columns import BATCH, LANGUAGE, LICENSE, RECORD_REF, SHA256, SOURCE, SOURCE_REF, SPATIAL
from mm_assets.schemas.table import Column, Table

DOCUMENT_ID: Final = Column(pl.String, "Hash of content and place; the same on every rerun.")
BLOCK_ID: Final = Column(pl.String, "Hash of document, position, type and text.")
BLOCK_POSITION: Final = Column(pl.Int64, "Place in the document's reading order, from 0.")
_REFERENCE: Final = Column(SOURCE_REF, "Where the bytes lie: uri, byte range; frame is the page, from 0.")
_BOX: Final[dict[str, Column]] = {
    name: Column(pl.Float32, f"{told}, points or pixels; null without pages.", nullable=True)
    for name, told in (("x1", "Left"), ("y1", "Top"), ("x2", "Right"), ("y2", "Bottom"))
}

_RAW_DOCUMENT: Final[dict[str, Column]] = {
    "batch": BATCH,
    "document_id": DOCUMENT_ID,
    "position": Column(pl.Int64, "Place of the record in its delivery, from 0, rejected records counted."),
    "record_ref": RECORD_REF,
    "source_ref": _REFERENCE,
    "file_name": Column(pl.String, "Name in the delivery, relative to documents/; of pages in a folder, the folder."),
    "form": Column(pl.String, "pdf, html or page_image."),
    "sha256": SHA256,
    "size_bytes": Column(pl.Int64, "Encoded size in bytes."),
    "source": SOURCE,
    "source_id": Column(pl.String, "The supplier's own id of the record.", nullable=True),
    "license": LICENSE,
    "language": LANGUAGE,
    "title": Column(pl.String, "Title as the record declares it.", nullable=True),
}

TABLES: Final[tuple[Table, ...]] = (
    Table(
        name="raw_documents",
        grain="One row per delivered document that keeps the batch contract.",
        columns=_RAW_DOCUMENT,
        order_by=("position",),
    ),
    Table(
        name="documents",
        grain="One row per document that could be read, near-duplicates left out.",
        columns=_RAW_DOCUMENT
        | {
            "title": Column(pl.String, "Title, as the file or its first heading states it.", nullable=True),
            "pages": Column(pl.Int32, "Pages; 1 for HTML."),
            "pages_by_ocr": Column(pl.Int32, "Pages whose text was recognised from pixels."),
            "words": Column(pl.Int64, "Words of all blocks."),
            "figures": Column(pl.Int32, "Figures."),
            "image_text_share": Column(
                pl.Float64, "Share of the characters that stand in pictures, 0 to 1.", nullable=True
            ),
        },
        order_by=("position",),
    ),
    Table(
        name="document_blocks",
        grain="One row per block of a document, in reading order.",
        columns={
            "batch": BATCH,
            "document_id": DOCUMENT_ID,
            "block_id": BLOCK_ID,
            "source_ref": _REFERENCE,
            "page": Column(pl.Int32, "Page it starts on, from 1."),
            "last_page": Column(pl.Int32, "Page it ends on, from 1."),
            "position": BLOCK_POSITION,
            "type": Column(pl.String, "heading, paragraph, list, table, figure, caption, formula, code or footnote."),
            "text": Column(pl.String, "Its text; a table's cells by tabs and newlines, a figure's alt text."),
            **_BOX,
            "level": Column(pl.Int32, "Depth of a heading, from 1.", nullable=True),
            "label": Column(pl.String, "Number it is known by, such as Figure 3.", nullable=True),
            "section": Column(pl.List(pl.Int64), "Positions of the headings it stands under, outermost first."),
            "cells_json": Column(pl.String, "Rows of a table, JSON.", nullable=True),
            "picture_json": Column(pl.String, "Where a figure's pixels lie, JSON.", nullable=True),
            "anchors": Column(pl.List(pl.String), "Names under which links reach it."),
            "of": Column(
                pl.Int64, "Position of the figure or table the source says this caption belongs to.", nullable=True
            ),
            "figure_missing": Column(
                pl.Boolean,
                "Of a caption: whether the source gives it an element of a figure with nothing else in it; null: the "
                "source does not say.",
                nullable=True,
            ),
            "text_from": Column(pl.String, "layer, ocr, markup or none."),
        },
        order_by=("document_id", "position"),
    ),
    Table(
        name="document_pages",
        grain="One row per page of a document: what tells its place among the others.",
        columns={
            "batch": BATCH,
            "document_id": DOCUMENT_ID,
            "page": Column(pl.Int32, "Page, from 1."),
            "label": Column(pl.String, "Page number as the file states it.", nullable=True),
            "words": Column(pl.Int32, "Words on it."),
            "digest": Column(pl.String, "Hash of its words in order, without case and marks."),
            "top": Column(pl.List(pl.String), "Its first lines, from the edge inward, at most four."),
            "bottom": Column(pl.List(pl.String), "Its last lines, from the edge inward, at most four."),
            "links": Column(pl.List(pl.Int64), "Pages its links lead to, in their order."),
            "ocr_disagreement": Column(
                pl.Float64,
                "Share of words that text layer and recognition do not share; null: the page was not sampled.",
                nullable=True,
            ),
        },
        order_by=("document_id", "page"),
    ),
    Table(
        name="document_figures",
        grain="One row per figure of a document: its picture, what an encoder sees in it, and the caption it is like.",
        columns={
            "batch": BATCH,
            "document_id": DOCUMENT_ID,
            "block_id": Column(pl.String, "The figure."),
            "position": BLOCK_POSITION,
            "page": Column(pl.Int32, "Page it stands on, from 1."),
            "kind": Column(pl.String, "raster or vector: a region of a page; file: a file of its own."),
            "picture": Column(pl.String, "File beside the document, or region of a page as page=N&box=x1,y1,x2,y2."),
            "width_px": Column(pl.Int32, "Width of the picture, of a region as rendered, pixels."),
            "height_px": Column(pl.Int32, "Height of the picture, pixels."),
            "embedding": Column(pl.List(pl.Float32), "Unit-length joint-space embedding, shape (D,)."),
            "spatial_features": SPATIAL,
            "model": Column(pl.String, "Encoder name and revision."),
        },
        order_by=("document_id", "position"),
    ),
    Table(
        name="figure_codes",
        grain="One row per figure of a document: its spatial features as codebook indices.",
        columns={
            "batch": BATCH,
            "document_id": DOCUMENT_ID,
            "block_id": Column(pl.String, "The figure."),
            "position": BLOCK_POSITION,
            "codes": Column(pl.List(pl.Int32), "Codebook index of each spatial feature, row major."),
            "codebook_version": Column(pl.String, "Codebook the indices refer to."),
        },
        order_by=("document_id", "position"),
    ),
    Table(
        name="caption_bindings",
        grain="One row per figure, and per table with a caption: the caption bound to it and how surely.",
        columns={
            "batch": BATCH,
            "document_id": DOCUMENT_ID,
            "block_id": Column(pl.String, "The figure or table."),
            "position": BLOCK_POSITION,
            "type": Column(pl.String, "figure or table."),
            "caption_id": Column(pl.String, "Block id of its caption; null without one.", nullable=True),
            "caption_position": Column(pl.Int64, "Position of the caption.", nullable=True),
            "bound_by": Column(pl.String, "markup, number, place, similarity or none."),
            "score": Column(pl.Float64, "How surely they belong together, 0 to 1.", nullable=True),
            "embedding": Column(
                pl.List(pl.Float32),
                "Unit-length joint-space embedding of a figure's caption, shape (D,).",
                nullable=True,
            ),
        },
        order_by=("document_id", "position"),
    ),
    Table(
        name="document_references",
        grain="One row per reference in a document's text: what it names and the block it leads to.",
        columns={
            "batch": BATCH,
            "document_id": DOCUMENT_ID,
            "position": Column(pl.Int64, "Position of the block that refers."),
            "start": Column(pl.Int64, "First character of the reference in the block's text."),
            "end": Column(pl.Int64, "Character behind it."),
            "kind": Column(pl.String, "figure, table, section, equation, page, relative or anchor."),
            "text": Column(pl.String, "The reference as written."),
            "refers_to": Column(pl.Int64, "Position of the block it leads to; null: unresolved.", nullable=True),
            "reason": Column(pl.String, "Why it could not be resolved.", nullable=True),
        },
        order_by=("document_id", "position", "start"),
    ),
    Table(
        name="document_windows",
        grain="One row per element of a window, in the order in which a model reads it.",
        columns={
            "batch": BATCH,
            "window_id": Column(pl.String, "Hash of document, first element and budget."),
            "document_id": DOCUMENT_ID,
            "window_index": Column(pl.Int32, "Place of the window in its document, from 0."),
            "position": Column(pl.Int64, "Place of the element in its window, from 0."),
            "block_position": Column(pl.Int64, "Position of its block in the document."),
            "modality": Column(pl.String, "text or image."),
            "role": Column(pl.String, "body, or context: a heading repeated from before the window."),
            "type": Column(pl.String, "Type of the block."),
            "text": Column(pl.String, "Its text; null for an image.", nullable=True),
            "start": Column(pl.Int64, "First character of the block that it holds; over 0 in a block cut in pieces."),
            "image_ref": Column(pl.String, "Block id of the figure; null for text.", nullable=True),
            "page": Column(pl.Int32, "Page, from 1."),
            "tokens": Column(pl.Int64, "Tokens it takes."),
            "refers_to": Column(pl.List(pl.Int64), "Positions in this window it refers to."),
        },
        order_by=("document_id", "window_index", "position"),
    ),
)
