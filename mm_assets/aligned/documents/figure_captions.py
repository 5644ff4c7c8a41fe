# pyright: strict
"""Captions of a batch's figures and tables as rows: bound document by document, embedded batch by batch."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.aligned.documents.structure.caption_evidence import Similarity, without_text
from mm_assets.aligned.documents.structure.captions import CaptionBinding, bind_captions
from mm_assets.documents.block_rows import OwnedBlock
from mm_assets.documents.blocks import Block
from mm_assets.policy import Policy
from mm_assets.schemas import TABLES

_TABLE: Final = TABLES["caption_bindings"]
_BOUND: Final = frozenset({"figure", "table", "caption"})
Floats = NDArray[np.float32]


class TextEncoder(Protocol):
    """What puts captions into the space of the figures' embeddings."""

    def encode_texts(self, texts: list[str]) -> Floats:
        """Unit-length embeddings, float32, shape (B, D)."""
        ...


def bind_batch(
    blocks: Iterable[OwnedBlock], figures: pl.DataFrame, batch: str, encoder: TextEncoder, policy: Policy
) -> Iterator[pl.DataFrame]:
    """Rows of ``caption_bindings``, one frame for each document with figures or captioned tables.

    Memory is that of one document's figures, tables, captions and what stands beside them without its text.

    Args:
        blocks: of all documents, one document behind the other, each in reading order.
        figures: document_id, position and embedding of the figures that could be read.
        batch: their batch.
        encoder: embeds captions.
        policy: how captions are bound.
    """
    seen = {str(key[0]): part for key, part in figures.partition_by("document_id", as_dict=True).items()}
    for document, owned in groupby(blocks, key=attrgetter("document_id")):
        kept, ids = _keep(owned, policy.document_captions.reach_blocks)
        rows = _bind(kept, seen.get(str(document)), encoder, policy)
        if rows:
            yield _frame(rows, ids, batch, str(document))


def _keep(owned: Iterable[OwnedBlock], reach: int) -> tuple[list[Block], dict[int, str]]:
    """Blocks that bear on captions, and the ids of those that can be bound."""
    kept: list[Block] = []
    ids: dict[int, str] = {}
    before: deque[Block] = deque(maxlen=reach + 1)
    behind = 0
    for one in owned:
        block = one.block
        if block.type in _BOUND:
            kept += [*before, block if block.type != "table" else without_text(block)]
            before.clear()
            ids[block.position] = one.block_id
            behind = reach + 1
        elif behind:
            kept.append(block)
            ids[block.position] = one.block_id
            behind -= 1
        else:
            before.append(block)
    return kept, ids


def _bind(
    blocks: list[Block], figures: pl.DataFrame | None, encoder: TextEncoder, policy: Policy
) -> list[tuple[CaptionBinding, Floats | None]]:
    own = policy.document_captions
    captions = [block for block in blocks if block.type == "caption" and block.text]
    embedded = _embed(captions, encoder, own.batch_texts) if figures is not None and figures.height else {}
    pictures: dict[int, Floats] = {}
    if figures is not None:
        places, embeddings = figures["position"].to_list(), figures["embedding"].to_list()
        pictures = {place: np.asarray(one, np.float32) for place, one in zip(places, embeddings, strict=True) if one}
    bindings = bind_captions(blocks, _cosine(pictures, embedded), own)
    texts = {block.position: block for block in blocks}
    missing = [
        texts[one.caption_position]
        for one in bindings
        if one.type == "figure" and one.caption_position is not None and one.caption_position not in embedded
    ]
    embedded |= _embed([block for block in missing if block.text], encoder, own.batch_texts)
    return [
        (one, embedded.get(one.caption_position) if one.type == "figure" and one.caption_position is not None else None)
        for one in bindings
    ]


def _cosine(pictures: dict[int, Floats], captions: dict[int, Floats]) -> Similarity:
    def cosine(figure: Block, caption: Block) -> float | None:
        one, other = pictures.get(figure.position), captions.get(caption.position)
        return None if one is None or other is None else float(one @ other)

    return cosine


def _embed(captions: Sequence[Block], encoder: TextEncoder, at_once: int) -> dict[int, Floats]:
    found: dict[int, Floats] = {}
    for start in range(0, len(captions), at_once):
        some = captions[start : start + at_once]
        embedded = encoder.encode_texts([block.text for block in some])
        found |= {block.position: row for block, row in zip(some, embedded, strict=True)}
    return found


def _frame(
    bound: list[tuple[CaptionBinding, Floats | None]], ids: dict[int, str], batch: str, document: str
) -> pl.DataFrame:
    rows = [
        {
            "batch": batch,
            "document_id": document,
            "block_id": ids[one.position],
            "position": one.position,
            "type": one.type,
            "caption_id": None if one.caption_position is None else ids[one.caption_position],
            "caption_position": one.caption_position,
            "bound_by": one.bound_by,
            "score": one.score,
            "embedding": None if embedding is None else embedding.tolist(),
        }
        for one, embedding in bound
    ]
    return _TABLE.conform(pl.DataFrame(rows, schema=_TABLE.schema))
