# pyright: strict
"""Noun phrases of captions: what a box can be anchored to.

A phrase leaves out what does not describe the thing itself: articles, possessives and counts. In "the boy's two red
kites" the phrases are "boy" and "red kites". Phrases of one caption never overlap.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal, Protocol

import polars as pl

from mm_assets.errors import InferenceError
from mm_assets.models import ModelIdentity

Number = Literal["singular", "plural"]

PHRASE_SCHEMA: Final = pl.Schema(
    {
        "caption_id": pl.String,
        "start": pl.Int32,
        "end": pl.Int32,
        "text": pl.String,
        "head": pl.String,
        "head_start": pl.Int32,
        "number": pl.String,
        "count": pl.Int32,
        "definite": pl.Boolean,
        "modifiers": pl.List(pl.String),
    }
)
_UNDETERMINED: Final = "und"


@dataclass(frozen=True, slots=True)
class Phrase:
    """A noun phrase of a caption.

    Attributes:
        start: first character in the caption.
        end: character after the last.
        text: the caption between them.
        head: lemma of the noun that says what the thing is, lower case.
        head_start: first character of that noun.
        number: whether it names one thing or several.
        count: how many, where the caption says.
        definite: whether it may point back to a thing named before: "the duck".
        modifiers: the words before the head, lower case, in order.
    """

    start: int
    end: int
    text: str
    head: str
    head_start: int
    number: Number
    count: int | None
    definite: bool
    modifiers: tuple[str, ...]


class PhraseExtractor(Protocol):
    """Finds the noun phrases of captions in one language."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model and which weights; known without loading them."""
        ...

    @property
    def language(self) -> str:
        """ISO 639-1 code of the language it reads."""
        ...

    def extract(self, texts: Sequence[str]) -> list[list[Phrase]]:
        """The phrases of each text, in order of their start, none overlapping.

        Raises:
            WeightsMissingError: the weights are not on this machine.
            WeightsHashError: the weights are not the pinned ones.
        """
        ...


@dataclass(frozen=True)
class ExtractedPhrases:
    """Phrases of many captions.

    Attributes:
        rows: one row per phrase, columns of `PHRASE_SCHEMA`, in the order of the captions.
        read: the captions that were read.
        skipped: captions not read because of their language, per language code.
    """

    rows: pl.DataFrame
    read: pl.DataFrame
    skipped: dict[str, int]


def extract_phrases(
    captions: pl.DataFrame, extractor: PhraseExtractor, *, read_undetermined: bool = True
) -> ExtractedPhrases:
    """Find the phrases of all captions in the extractor's language; the others have none.

    Args:
        captions: rows of table ``captions``; ``caption_id``, ``text`` and ``language`` are read.
        extractor: reads one language.
        read_undetermined: whether a caption without a language is taken to be in that language.

    Raises:
        InferenceError: the extractor returned phrases that do not stand in the text.
    """
    language = pl.col("language").fill_null(_UNDETERMINED)
    readable = (language == extractor.language) | ((language == _UNDETERMINED) & read_undetermined)
    read = captions.filter(readable)
    skipped = captions.filter(~readable).group_by(language.alias("code")).len().sort("code")
    columns: dict[str, list[object]] = {name: [] for name in PHRASE_SCHEMA}
    found = extractor.extract(read["text"].to_list())
    if len(found) != read.height:
        raise InferenceError(f"{extractor.identity} gave phrases of {len(found)} texts for {read.height}; reinstall it")
    for caption_id, text, phrases in zip(read["caption_id"], read["text"], found, strict=True):
        _check(phrases, text, extractor.identity)
        for phrase in phrases:
            columns["caption_id"].append(caption_id)
            for name, value in asdict(phrase).items():
                columns[name].append(value)
    return ExtractedPhrases(pl.DataFrame(columns, schema=PHRASE_SCHEMA), read, dict(skipped.iter_rows()))


def _check(phrases: Sequence[Phrase], text: str, identity: ModelIdentity) -> None:
    behind = 0
    for phrase in phrases:
        inside = behind <= phrase.start <= phrase.head_start < phrase.end <= len(text)
        if not inside or text[phrase.start : phrase.end] != phrase.text:
            raise InferenceError(f"{identity} gave phrase {phrase} which does not stand in {text[:80]!r}; reinstall it")
        behind = phrase.end
