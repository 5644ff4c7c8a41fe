# pyright: strict
"""Labels that stand in a caption where no phrase was found, because a word was taken for a verb or an adjective."""

import re
from collections.abc import Iterator
from typing import Final

import polars as pl

from mm_assets.aligned.objects.anchoring.phrases import PHRASE_SCHEMA
from mm_assets.aligned.objects.lexical import split_words

_Row = tuple[str, int, int, str, str, int, str, None, bool, list[str]]
_BETWEEN_WORDS: Final = r"[\s_-]+"


def find_missed_phrases(unnamed: pl.DataFrame, phrases: pl.DataFrame) -> pl.DataFrame:
    """Look for labels word by word.

    Args:
        unnamed: columns ``caption_id``, ``text`` and ``label``: labels that no phrase of the caption agrees with.
        phrases: columns of `PHRASE_SCHEMA`; what stands in one of them is part of another thing's name.

    Returns:
        Columns of `PHRASE_SCHEMA`: one row per place where a label stands, none overlapping another or ``phrases``.
    """
    hits = (
        unnamed.with_columns(last=pl.col("label").map_elements(_last_word, return_dtype=pl.String))
        .filter((pl.col("last") != "") & pl.col("text").str.to_lowercase().str.contains(pl.col("last"), literal=True))
        .sort(pl.col("label").str.len_chars(), "label", "caption_id", descending=[True, False, False])
    )
    spans: dict[str, list[tuple[int, int]]] = {}
    concerned = phrases.join(hits.select("caption_id").unique(), on="caption_id", how="semi")
    for caption_id, start, end in concerned.select("caption_id", "start", "end").iter_rows():
        spans.setdefault(caption_id, []).append((start, end))
    rows: list[_Row] = []
    for caption_id, text, label in hits.select("caption_id", "text", "label").iter_rows():
        taken = spans.setdefault(caption_id, [])
        for row in _places(caption_id, text, split_words(label)):
            if all(row[2] <= start or end <= row[1] for start, end in taken):
                taken.append((row[1], row[2]))
                rows.append(row)
    return pl.DataFrame(rows, schema=PHRASE_SCHEMA, orient="row")


def _last_word(label: str) -> str:
    return (split_words(label) or ("",))[-1]


def _places(caption_id: str, text: str, words: tuple[str, ...]) -> Iterator[_Row]:
    *before, last = map(re.escape, words)
    pattern = _BETWEEN_WORDS.join([*before, rf"(?P<head>{last})(?P<plural>e?s)?"])
    for match in re.finditer(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE):
        number = "plural" if match["plural"] else "singular"
        head = match["head"].lower()
        yield caption_id, *match.span(), match[0], head, match.start("head"), number, None, False, list(words[:-1])
