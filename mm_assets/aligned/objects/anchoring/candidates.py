# pyright: strict
"""Which boxes may be what which phrases name, and what words and places decide without an encoder.

Three tests, from the cheapest:

1. labels against phrases in words, and boxes against what a caption says about place and size (`find_candidates`);
2. labels against the nouns of phrases in other words, as text embeddings (`keep_plausible`);
3. crops against phrases, for what is still open (`mm_assets.aligned.objects.anchoring.anchors.anchor_boxes`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from mm_assets.aligned.objects.anchoring.caption_board import CaptionBoard
from mm_assets.aligned.objects.anchoring.caption_problem import crops_tell_apart, solve_caption, split_open
from mm_assets.aligned.objects.anchoring.cues import TRIGGER
from mm_assets.aligned.objects.anchoring.lexical import (
    EXACT,
    LEMMA,
    RELATION_WEIGHTS,
    RELATIONS,
    Synonyms,
    relate_labels,
)
from mm_assets.aligned.objects.anchoring.lexicon import read_lexicon
from mm_assets.aligned.objects.anchoring.missed_phrases import add_missed_phrases
from mm_assets.aligned.objects.anchoring.phrases import ExtractedPhrases
from mm_assets.aligned.objects.anchoring.verdicts import ANCHORED, VERDICT_SCHEMA, VerdictList
from mm_assets.errors import EmbeddingShapeError
from mm_assets.policy import AnchoringPolicy

BOX_COLUMNS: Final = (
    "batch", "box_id", "image_id", "position", "box_index", "label", "x1", "y1", "x2", "y2", "image_width",
    "image_height",
)  # fmt: skip
DECIDED: Final = pl.Schema({**VERDICT_SCHEMA, "relation": pl.Enum(RELATIONS)})
OPEN: Final = pl.Schema(
    {
        "caption": pl.UInt32,
        "box": pl.UInt32,
        "phrase": pl.UInt32,
        "relation": pl.Enum(RELATIONS),
        "weight": pl.Float64,
        "colors_clash": pl.Boolean,
    }
)
UNNAMED: Final = pl.Schema(
    {"caption": pl.UInt32, "box": pl.UInt32, "phrase": pl.UInt32, "label_similarity": pl.Float32}
)
_CLASH_WEIGHT: Final = 0.3
"""Worth of a phrase whose colour is another than the label's: below every other, so that it is the last resort."""
_BACK_REFERENCE: Final = 0.1
"""What a phrase loses that may point back to one named before: a single duck is the first "duck", not the second."""
_UNLIMITED: Final = 1_000_000
_IMAGES_AT_ONCE: Final = 4_096
_PAIRS_AT_ONCE: Final = 262_144


@dataclass(frozen=True)
class Candidates:
    """Boxes and phrases of some images, and what is known about them.

    Attributes:
        boxes: `BOX_COLUMNS` of the boxes and ``box``, their number.
        phrases: columns of `~mm_assets.aligned.objects.anchoring.phrases.PHRASE_SCHEMA`, ``image_id``, ``caption`` and
            ``phrase`` (their numbers), and ``capacity`` (boxes it takes).
        texts: text of each caption, by its number.
        decided: columns of `DECIDED`: what needs no encoder, one row per box and caption.
        open: columns of `OPEN`: pairs that agree in words but compete with others.
        unnamed: columns of `UNNAMED`: boxes and phrases of a caption that agree with nothing in words, with the cosine
            of label and noun once that is known.
    """

    boxes: pl.DataFrame
    phrases: pl.DataFrame
    texts: list[str]
    decided: pl.DataFrame
    open: pl.DataFrame
    unnamed: pl.DataFrame

    @property
    def words(self) -> list[str]:
        """Labels and nouns that `keep_plausible` compares, sorted."""
        labels = self.boxes.join(self.unnamed, on="box", how="semi")["label"].drop_nulls()
        heads = self.phrases.join(self.unnamed, on="phrase", how="semi")["head"]
        return sorted({*labels, *heads})

    @property
    def box_ids(self) -> list[str]:
        """Boxes whose crops have to be encoded, in order."""
        return self.boxes.join(self._waiting("box"), on="box", how="semi")["box_id"].to_list()

    @property
    def phrase_texts(self) -> list[str]:
        """Phrases that have to be encoded, sorted."""
        return self.phrases.join(self._waiting("phrase"), on="phrase", how="semi")["text"].unique().sort().to_list()

    @property
    def saved_crops(self) -> int:
        """Boxes whose crops need not be encoded."""
        return self.boxes.height - self._waiting("box").height

    def _waiting(self, name: str) -> pl.DataFrame:
        return pl.concat([self.open.select(name), self.unnamed.select(name)]).unique()


def find_candidates(
    boxes: pl.DataFrame, extracted: ExtractedPhrases, policy: AnchoringPolicy, synonyms: Synonyms | None = None
) -> Candidates:
    """Compare boxes and phrases in words, and decide what words, place and size decide.

    Args:
        boxes: rows of table ``boxes``; all of an image belong together.
        extracted: phrases of the captions of these images.
        policy: thresholds.
        synonyms: what counts as a synonym; by default the built-in sets only.

    Returns:
        Decided and open pairs. Images do not depend on each other.
    """
    synonyms = synonyms or Synonyms()
    placed = boxes.select(BOX_COLUMNS).sort("position", "box_index", "box_id").with_row_index("box")
    read = extracted.read.join(placed, on="image_id", how="semi").select("caption_id", "image_id", "text")
    captions = read.with_row_index("caption")
    phrases = _number(extracted.rows, captions)
    relations = _relate(placed, phrases, synonyms)
    completed = add_missed_phrases(extracted.rows, _unmatched_labels(placed, captions, phrases, relations))
    if not completed.equals(extracted.rows):
        phrases = _number(completed, captions)
        relations = _relate(placed, phrases, synonyms)
    board = CaptionBoard(placed, phrases, captions["text"].to_list())
    decided: list[pl.DataFrame] = [pl.DataFrame(schema=DECIDED)]
    waiting: list[pl.DataFrame] = [pl.DataFrame(schema=OPEN)]
    unnamed: list[pl.DataFrame] = [pl.DataFrame(schema=UNNAMED)]
    for pairs in _pairs(placed, phrases, relations):
        edges = pairs.filter(pl.col("relation").is_not_null())
        easy = _easy_captions(edges, captions)
        simple = edges.join(easy, on="caption", how="semi")
        anchored = pl.lit(ANCHORED, VERDICT_SCHEMA["verdict"])
        decided.append(simple.select("box", "phrase", anchored.alias("verdict"), "relation"))
        settled, left = _settle(edges.join(easy, on="caption", how="anti"), board, policy)
        decided.append(settled)
        waiting.append(left)
        unnamed.append(_unnamed(pairs, edges, synonyms))
    return Candidates(
        boxes=placed,
        phrases=phrases,
        texts=captions["text"].to_list(),
        decided=pl.concat(decided).sort("box", "phrase"),
        open=pl.concat(waiting).sort("box", "phrase"),
        unnamed=pl.concat(unnamed).sort("box", "phrase"),
    )


def keep_plausible(candidates: Candidates, vectors: npt.NDArray[np.float32], policy: AnchoringPolicy) -> Candidates:
    """Drop pairs in other words whose label and noun mean different things; a box without a label keeps its pairs.

    The cosines of the others are kept as evidence.

    Args:
        candidates: from `find_candidates`.
        vectors: float32, shape (N, D), unit length: embeddings of ``candidates.words``, in that order.
        policy: thresholds.

    Raises:
        EmbeddingShapeError: there is not one vector for each word.
    """
    words = candidates.words
    if vectors.ndim != 2 or len(vectors) != len(words):  # noqa: PLR2004 - a row per word
        raise EmbeddingShapeError(f"{vectors.shape} vectors for {len(words)} words; encode Candidates.words in order")
    number = pl.DataFrame({"word": words}, schema={"word": pl.String}).with_row_index("number")
    pairs = (
        candidates.unnamed.join(candidates.boxes.select("box", "label"), on="box", maintain_order="left")
        .join(candidates.phrases.select("phrase", "head"), on="phrase", maintain_order="left")
        .join(number.rename({"word": "label", "number": "one"}), on="label", how="left", maintain_order="left")
        .join(number.rename({"word": "head", "number": "other"}), on="head", how="left", maintain_order="left")
    )
    labelled = pairs.filter(pl.col("one").is_not_null())
    one, other = labelled["one"].to_numpy(), labelled["other"].to_numpy()
    cosine = np.zeros(len(one), dtype=np.float32)
    for start in range(0, len(one), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        cosine[part] = np.einsum("ij,ij->i", vectors[one[part]], vectors[other[part]])
    close = labelled.with_columns(label_similarity=pl.Series(cosine)).filter(
        pl.col("label_similarity") >= policy.min_label_similarity
    )
    kept = pl.concat([close, pairs.filter(pl.col("one").is_null())])
    return replace(candidates, unnamed=kept.select(UNNAMED.names()).sort("box", "phrase"))


def _number(rows: pl.DataFrame, captions: pl.DataFrame) -> pl.DataFrame:
    """Phrases in order of caption and place, with their numbers and capacities."""
    earlier = pl.int_range(pl.len()).over("caption", "head") > 0
    return (
        rows.join(captions.select("caption", "caption_id", "image_id"), on="caption_id")
        .sort("caption", "start")
        .with_row_index("phrase")
        .with_columns(
            capacity=pl.when(pl.col("number") == "singular").then(1).otherwise(pl.col("count").fill_null(_UNLIMITED)),
            points_back=pl.col("definite") & earlier,
        )
    )


def _relate(boxes: pl.DataFrame, phrases: pl.DataFrame, synonyms: Synonyms) -> pl.DataFrame:
    distinct = phrases.select("text", "head").unique(["text"], keep="any").sort("text")
    labels = boxes["label"].drop_nulls().unique().sort().to_list()
    return relate_labels(labels, distinct, synonyms).rename({"phrase": "text"})


def _unmatched_labels(
    boxes: pl.DataFrame, captions: pl.DataFrame, phrases: pl.DataFrame, relations: pl.DataFrame
) -> pl.DataFrame:
    """Columns ``caption_id``, ``text`` and ``label``: labels that are no phrase of a caption of their image."""
    labels = boxes.select("image_id", "label").drop_nulls().unique().join(captions, on="image_id")
    same = relations.filter(pl.col("relation").is_in([EXACT, LEMMA]))
    named = phrases.select("caption", "text").join(same.select("text", "label"), on="text")
    return labels.join(named, on=["caption", "label"], how="anti").select("caption_id", "text", "label")


def _pairs(boxes: pl.DataFrame, phrases: pl.DataFrame, relations: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Every box with every phrase of its image, with relation and weight where they agree; some images at a time."""
    worth = pl.col("relation").cast(pl.String).replace_strict(RELATION_WEIGHTS, default=None, return_dtype=pl.Float64)
    images = boxes["image_id"].unique(maintain_order=True)
    for start in range(0, len(images), _IMAGES_AT_ONCE):
        some = images.slice(start, _IMAGES_AT_ONCE).to_frame()
        own = boxes.join(some, on="image_id", how="semi").select("box", "image_id", "label")
        named = phrases.join(some, on="image_id", how="semi").select(
            "phrase", "caption", "image_id", "text", "head", "capacity", "points_back"
        )
        yield (
            own.join(named, on="image_id")
            .join(relations, on=["label", "text"], how="left")
            .with_columns(
                weight=pl.when("colors_clash").then(_CLASH_WEIGHT).otherwise(worth)
                - pl.when("points_back").then(_BACK_REFERENCE).otherwise(0.0)
            )
            .sort("caption", "box", "phrase")
        )


def _easy_captions(edges: pl.DataFrame, captions: pl.DataFrame) -> pl.DataFrame:
    """Captions whose boxes agree with one phrase each, no phrase with more than it takes, and that tell no place."""
    crowded = pl.len().over("caption", "phrase") > pl.col("capacity")
    torn = pl.len().over("caption", "box") > 1
    hard = edges.filter(crowded | torn | pl.col("colors_clash"))
    silent = captions.filter(~pl.col("text").str.contains(TRIGGER)).select("caption")
    return silent.join(hard, on="caption", how="anti")


def _unnamed(pairs: pl.DataFrame, edges: pl.DataFrame, synonyms: Synonyms) -> pl.DataFrame:
    """Pairs of boxes and phrases of a caption that agree with nothing, unless they are known to be different things."""
    left = (
        pairs.filter(pl.col("relation").is_null() & ~pl.col("head").is_in(read_lexicon().not_boxed))
        .join(edges, on=["caption", "box"], how="anti")
        .join(edges, on="phrase", how="anti")
    )
    labels = synonyms.classify(left["label"].drop_nulls().unique().sort().to_list()).rename({"term": "label"})
    texts = synonyms.classify(left["text"].unique().sort().to_list()).rename({"term": "text"})
    rivals = (
        left.select("label", "text")
        .unique()
        .join(labels, on="label", how="semi")
        .join(texts, on="text", how="semi")
        .join(labels.join(texts, on="class"), on=["label", "text"], how="anti")
    )
    return (
        left.join(rivals, on=["label", "text"], how="anti")
        .with_columns(label_similarity=pl.lit(None, pl.Float32))
        .select(UNNAMED.names())
    )


def _settle(edges: pl.DataFrame, board: CaptionBoard, policy: AnchoringPolicy) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Decide caption by caption; gives rows of `DECIDED` and of `OPEN`."""
    verdicts = VerdictList()
    waiting: list[tuple[int, int]] = []
    for pairs in board.lay_out(edges):
        if len(pairs.boxes) > policy.max_tied_boxes:
            verdicts.add_crowd(pairs)
            continue
        outcome = solve_caption(pairs.problem, policy)
        verdicts.add_decided(pairs, outcome)
        for boxes, phrases in split_open(outcome.near):
            if crops_tell_apart(pairs.labels_of(boxes), pairs.descriptions_of(phrases)):
                near = np.argwhere(outcome.near[np.ix_(boxes, phrases)])
                tied = zip(pairs.boxes[boxes[near[:, 0]]], pairs.phrases[phrases[near[:, 1]]], strict=True)
                waiting += [(int(box), int(phrase)) for box, phrase in tied]
            else:
                verdicts.add_ambiguous(pairs, outcome, boxes)
    decided = verdicts.frame().join(edges, on=["box", "phrase"], how="left", maintain_order="left")
    left = pl.DataFrame(waiting, schema={"box": pl.UInt32, "phrase": pl.UInt32}, orient="row")
    return decided.select(DECIDED.names()), left.join(edges, on=["box", "phrase"]).select(OPEN.names())
