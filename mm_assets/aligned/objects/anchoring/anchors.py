# pyright: strict
"""Anchor boxes to the phrases that name them.

Used in three steps, each of which looks only at what the cheaper ones before it left open::

    candidates = find_candidates(boxes, extract_phrases(captions, extractor), policy)
    candidates = keep_plausible(candidates, encoder.encode_texts(candidates.words), policy)
    alignments = anchor_boxes(candidates, regions, encoder.encode_texts(candidates.phrase_texts), policy)

where ``regions`` holds the embeddings of the crops of ``candidates.box_ids``.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from mm_assets.aligned.objects.anchoring.candidates import DECIDED, OPEN, Candidates, find_candidates, keep_plausible
from mm_assets.aligned.objects.anchoring.caption_board import CaptionBoard
from mm_assets.aligned.objects.anchoring.caption_problem import solve_caption, split_open
from mm_assets.aligned.objects.anchoring.lexical import NONE, RELATIONS
from mm_assets.aligned.objects.anchoring.verdicts import LABEL_ONLY, VERDICT_SCHEMA, VerdictList
from mm_assets.errors import EmbeddingShapeError
from mm_assets.identifiers import make_id
from mm_assets.policy import AnchoringPolicy
from mm_assets.schemas import TABLES

__all__ = ["Alignments", "anchor_boxes", "find_candidates", "keep_plausible"]

_TABLE: Final = TABLES["object_alignments"]
_AS_GIVEN: Final = "as_given"
_PAIRS_AT_ONCE: Final = 262_144


@dataclass(frozen=True)
class Alignments:
    """Anchored boxes, and what it took.

    Attributes:
        rows: rows of table ``object_alignments``: one per box and caption that names it, and one per box that no
            caption names.
        boxes: boxes looked at.
        verdicts: rows per verdict.
        crops_encoded: boxes whose crops were needed.
        crops_saved: boxes that were decided without.
    """

    rows: pl.DataFrame
    boxes: int
    verdicts: dict[str, int]
    crops_encoded: int
    crops_saved: int


def anchor_boxes(
    candidates: Candidates, regions: pl.DataFrame, phrases: npt.NDArray[np.float32], policy: AnchoringPolicy
) -> Alignments:
    """Decide what is open by the likeness of crops and phrases, one box to a phrase unless it is plural.

    Args:
        candidates: from `find_candidates`, or better `keep_plausible`.
        regions: ``box_id``, ``reading`` and ``embedding`` as in table ``region_embeddings``; other readings than
            ``as_given`` are ignored. A box without a row was not encoded, and what only its crop could decide is
            ambiguous.
        phrases: float32, shape (N, D), unit length: embeddings of ``candidates.phrase_texts``, in that order.
        policy: thresholds.

    Returns:
        Rows in the table's order.

    Raises:
        EmbeddingShapeError: there is not one vector for each phrase, or crops and phrases differ in length.
    """
    texts = candidates.phrase_texts
    if phrases.ndim != 2 or len(phrases) != len(texts):  # noqa: PLR2004 - a row per phrase
        raise EmbeddingShapeError(
            f"{phrases.shape} vectors for {len(texts)} phrases; encode Candidates.phrase_texts in order"
        )
    scored = _Similarities(candidates, regions, texts, phrases)
    settled = _settle(candidates, scored, policy)
    by_words = candidates.decided.with_columns(score=pl.lit(None, pl.Float32))
    rows = _rows(candidates, pl.concat([by_words, settled.with_columns(score=scored.of(settled))]))
    counts = dict(rows.group_by("verdict").len().sort("verdict").iter_rows())
    encoded = len(candidates.box_ids)
    return Alignments(rows, candidates.boxes.height, counts, encoded, candidates.boxes.height - encoded)


class _Similarities:
    """Cosines of crops and phrases, where both were encoded."""

    def __init__(
        self, candidates: Candidates, regions: pl.DataFrame, texts: list[str], phrases: npt.NDArray[np.float32]
    ) -> None:
        known = regions.filter(
            (pl.col("reading") == _AS_GIVEN) & pl.col("box_id").is_in(candidates.boxes["box_id"].implode())
        )
        known = known.unique("box_id", keep="first", maintain_order=True).with_row_index("crop")
        lengths = known["embedding"].list.len().unique()
        if known.height and texts and lengths.to_list() != [phrases.shape[1]]:
            raise EmbeddingShapeError(
                f"crops of lengths {lengths.to_list()} and phrases of {phrases.shape[1]}; encode both with one encoder"
            )
        flat = known["embedding"].explode().to_numpy().astype(np.float32)
        self._crops = flat.reshape(known.height, -1) if known.height else np.zeros((0, 0), np.float32)
        self._phrases = phrases
        crop_of = candidates.boxes.select("box", "box_id").join(known.select("box_id", "crop"), on="box_id")
        numbers = pl.DataFrame({"text": texts}, schema={"text": pl.String}).with_row_index("vector")
        self._crop_of = crop_of.select("box", "crop")
        self._vector_of = (
            candidates.phrases.select("phrase", "text").join(numbers, on="text").select("phrase", "vector")
        )

    def of(self, pairs: pl.DataFrame) -> pl.Series:
        """Of each pair ``box``, ``phrase``; null where crop or phrase was not encoded."""
        placed = pairs.select("box", "phrase").join(self._crop_of, on="box", how="left", maintain_order="left")
        placed = placed.join(self._vector_of, on="phrase", how="left", maintain_order="left").with_row_index("row")
        both = placed.drop_nulls()
        crop, vector = both["crop"].to_numpy(), both["vector"].to_numpy()
        cosine = np.zeros(len(crop), dtype=np.float32)
        for start in range(0, len(crop), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            cosine[part] = np.einsum("ij,ij->i", self._crops[crop[part]], self._phrases[vector[part]])
        found = both.select("row", score=pl.Series(cosine, dtype=pl.Float32))
        return placed.select("row").join(found, on="row", how="left", maintain_order="left")["score"]


def _settle(candidates: Candidates, scored: _Similarities, policy: AnchoringPolicy) -> pl.DataFrame:
    """Rows of `DECIDED` for what is open."""
    tied = candidates.open.with_columns(score=scored.of(candidates.open))
    seen = pl.col("score").is_not_null().all().over("caption")
    tied = tied.with_columns(weight=pl.col("weight") + pl.when(seen).then(pl.col("score")).otherwise(0.0))
    score = pl.col("score").cast(pl.Float64)
    other = (
        candidates.unnamed.with_columns(score=scored.of(candidates.unnamed))
        .with_columns(evidence=score + pl.col("label_similarity").fill_null(score))
        .filter(pl.col("evidence") >= policy.min_evidence)
    )
    pairs = pl.concat(
        [
            tied.select(OPEN.names()),
            other.select(
                "caption",
                "box",
                "phrase",
                relation=pl.lit(NONE, pl.Enum(RELATIONS)),
                weight=pl.col("evidence") / 2,
                colors_clash=pl.lit(value=False),
            ),
        ]
    )
    board = CaptionBoard(candidates.boxes, candidates.phrases, candidates.texts)
    verdicts = VerdictList()
    for laid in board.lay_out(pairs, taken=candidates.decided):
        if len(laid.boxes) > policy.max_tied_boxes:
            verdicts.add_crowd(laid)
            continue
        outcome = solve_caption(laid.problem, policy)
        verdicts.add_decided(laid, outcome)
        for boxes, _ in split_open(outcome.near):
            verdicts.add_ambiguous(laid, outcome, boxes)
    relations = pairs.select("box", "phrase", "relation")
    return (
        verdicts.frame()
        .join(relations, on=["box", "phrase"], how="left", maintain_order="left")
        .select(DECIDED.names())
    )


def _rows(candidates: Candidates, chosen: pl.DataFrame) -> pl.DataFrame:
    phrases = candidates.phrases.select(
        "phrase", "caption_id", phrase_text="text", phrase_start="start", phrase_end="end"
    )
    named = candidates.boxes.join(chosen, on="box").join(phrases, on="phrase").drop("phrase")
    bare = candidates.boxes.join(chosen, on="box", how="anti").with_columns(
        phrase_text=pl.col("label").fill_null(""),
        verdict=pl.lit(LABEL_ONLY, VERDICT_SCHEMA["verdict"]),
        relation=pl.lit(NONE, pl.Enum(RELATIONS)),
    )
    rows = pl.concat([named, bare], how="diagonal").rename({"phrase_text": "phrase", "relation": "lexical"})
    keys = rows.select("box_id", "caption_id", "phrase_start").iter_rows()
    ids = [make_id("obj", box, caption or "", "" if start is None else start) for box, caption, start in keys]
    rows = rows.with_columns(sample_id=pl.Series(ids, dtype=pl.String)).select(_TABLE.schema.names())
    return _TABLE.conform(rows).sort(*_TABLE.order_by, nulls_last=True)
