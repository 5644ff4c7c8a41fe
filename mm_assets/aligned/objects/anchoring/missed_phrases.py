# pyright: strict
"""Labels that stand in a caption word by word, but not as the phrase that was found.

A word may have been taken for a verb or an adjective ("geese on a pond"), and a label may be more than a noun phrase
("string of garlic", "spider playing soccer").
"""

import re
from collections.abc import Iterator
from typing import Final

import polars as pl

from mm_assets.aligned.objects.anchoring.lexical import split_words, strip_measure
from mm_assets.aligned.objects.anchoring.phrases import PHRASE_SCHEMA

_Row = tuple[str, int, int, str, str, int, str, None, bool, list[str]]
_BETWEEN_WORDS: Final = r"[\s_-]+"


def add_missed_phrases(phrases: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Add a phrase where a label stands in a caption, in place of those that are a part of it.

    Args:
        phrases: columns of `PHRASE_SCHEMA`.
        labels: columns ``caption_id``, ``text`` (of the caption) and ``label``: labels to look for.

    Returns:
        Columns of `PHRASE_SCHEMA`; phrases do not overlap. A label inside a longer phrase is part of another name, as
        "lion" in "sea lion", and is not added.
    """
    hits = (
        labels.with_columns(last=pl.col("label").map_elements(_last_word, return_dtype=pl.String))
        .filter((pl.col("last") != "") & pl.col("text").str.to_lowercase().str.contains(pl.col("last"), literal=True))
        .sort(pl.col("label").str.len_chars(), "label", "caption_id", descending=[True, False, False])
    )
    spans: dict[str, set[tuple[int, int]]] = {}
    concerned = phrases.join(hits.select("caption_id").unique(), on="caption_id", how="semi")
    for caption_id, start, end in concerned.select("caption_id", "start", "end").iter_rows():
        spans.setdefault(caption_id, set()).add((start, end))
    added: list[_Row] = []
    replaced: list[tuple[str, int]] = []
    for caption_id, text, label in hits.select("caption_id", "text", "label").iter_rows():
        taken = spans.setdefault(caption_id, set())
        for row in _places(caption_id, text, strip_measure(split_words(label))):
            start, end = row[1], row[2]
            inside = {span for span in taken if span[0] < end and start < span[1]}
            if all(start <= span[0] and span[1] <= end and span != (start, end) for span in inside):
                taken -= inside
                taken.add((start, end))
                added.append(row)
                replaced += [(caption_id, span[0]) for span in inside]
    gone = pl.DataFrame(replaced, schema={"caption_id": pl.String, "start": pl.Int32}, orient="row")
    new = pl.DataFrame(added, schema=PHRASE_SCHEMA, orient="row")
    return pl.concat([phrases.join(gone, on=["caption_id", "start"], how="anti"), new])


def _last_word(label: str) -> str:
    return (split_words(label) or ("",))[-1]


def _places(caption_id: str, text: str, words: tuple[str, ...]) -> Iterator[_Row]:
    *before, last = map(re.escape, words)
    pattern = _BETWEEN_WORDS.join([*before, rf"(?P<head>{last})(?P<plural>e?s)?"])
    for match in re.finditer(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE):
        number = "plural" if match["plural"] else "singular"
        head = match["head"].lower()
        yield caption_id, *match.span(), match[0], head, match.start("head"), number, None, False, list(words[:-1])
