# pyright: strict
"""Blocks as rows of ``document_blocks``, and back."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from mm_assets.documents.blocks import Block, Picture
from mm_assets.identifiers import make_id
from mm_assets.schemas import TABLES

_TABLE: Final = TABLES["document_blocks"]
_SIDES: Final = ("x1", "y1", "x2", "y2")


@dataclass(frozen=True, slots=True)
class OwnedBlock:
    """A block and what its row says beside it.

    Attributes:
        document_id: document it is part of.
        block_id: its id.
        block: the block itself; links are not kept in a row.
    """

    document_id: str
    block_id: str
    block: Block


def block_id_of(document_id: str, block: Block) -> str:
    """Hash of document, position, type and text."""
    return make_id("blk", document_id, block.position, block.type, block.text)


def block_rows(
    blocks: Iterable[Block],
    batch: str,
    document_id: str,
    source_ref: dict[str, Any],
    text_from: Callable[[Block], str],
    rows: int = 2_048,
) -> Iterator[pl.DataFrame]:
    """Rows of ``document_blocks`` of one document, so many at a time.

    Args:
        blocks: in reading order.
        batch: their batch.
        document_id: their document.
        source_ref: where the document lies; the frame of a row is the page its block starts on, from 0.
        text_from: where a block has its text from: ``layer``, ``ocr``, ``markup`` or ``none``.
        rows: rows of a frame.
    """
    headings: list[Block] = []
    held: list[dict[str, Any]] = []
    for block in blocks:
        if block.type == "heading":
            headings = [heading for heading in headings if (heading.level or 1) < (block.level or 1)]
        held.append(_row(block, batch, document_id, source_ref, text_from(block), [one.position for one in headings]))
        if block.type == "heading":
            headings.append(block)
        if len(held) >= rows:
            yield _frame(held)
            held = []
    if held:
        yield _frame(held)


def read_blocks(frames: Iterable[pl.DataFrame]) -> Iterator[OwnedBlock]:
    """Blocks from rows of ``document_blocks``, in the order of the rows."""
    for frame in frames:
        for row in frame.iter_rows(named=True):
            yield OwnedBlock(row["document_id"], row["block_id"], _block(row))


def _row(
    block: Block, batch: str, document_id: str, source_ref: dict[str, Any], text_from: str, section: list[int]
) -> dict[str, Any]:
    box = block.box or (None, None, None, None)
    picture = block.picture
    paged = text_from != "markup"
    return {
        "batch": batch,
        "document_id": document_id,
        "block_id": block_id_of(document_id, block),
        "source_ref": {**source_ref, "frame_index": block.page - 1 if paged else None},
        "page": block.page,
        "last_page": block.page if block.last_page is None else block.last_page,
        "position": block.position,
        "type": block.type,
        "text": block.text,
        **dict(zip(_SIDES, box, strict=True)),
        "level": block.level,
        "label": block.label,
        "section": section,
        "cells_json": None if block.cells is None else json.dumps(block.cells, ensure_ascii=False),
        "picture_json": None if picture is None else json.dumps(_picture_document(picture), ensure_ascii=False),
        "anchors": list(block.anchors),
        "of": block.of,
        "figure_missing": block.figure_missing,
        "text_from": text_from,
    }


def _picture_document(picture: Picture) -> dict[str, Any]:
    return {
        "kind": picture.kind,
        "file": picture.file,
        "page": picture.page,
        "box": picture.box,
        "alt": picture.alt,
    }


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return _TABLE.conform(pl.DataFrame(rows, schema=_TABLE.schema))


def _block(row: dict[str, Any]) -> Block:
    box = None if row["x1"] is None else (row["x1"], row["y1"], row["x2"], row["y2"])
    cells: list[list[str]] | None = None if row["cells_json"] is None else json.loads(row["cells_json"])
    return Block(
        position=row["position"],
        page=row["page"],
        type=row["type"],
        text=row["text"],
        box=box,
        level=row["level"],
        cells=None if cells is None else tuple(tuple(line) for line in cells),
        picture=None if row["picture_json"] is None else _picture(row["picture_json"]),
        label=row["label"],
        anchors=tuple(row["anchors"]),
        of=row["of"],
        last_page=row["last_page"],
        figure_missing=row["figure_missing"],
    )


def _picture(document: str) -> Picture:
    found = json.loads(document)
    box = found["box"]
    return Picture(
        kind=found["kind"],
        file=found["file"],
        page=found["page"],
        box=None if box is None else (box[0], box[1], box[2], box[3]),
        alt=found["alt"],
    )
