"""How far transcripts agree with what was delivered as said."""

import re
from typing import Final

import jiwer
import polars as pl

_NO_WORD: Final = re.compile(r"[^\w' ]+")


def plain_words(text: str) -> str:
    """Lower case, without punctuation, one space between words.

    >>> plain_words("Well-known: it's  HERE.")
    "well known it's here"
    """
    return " ".join(_NO_WORD.sub(" ", text.lower().replace("\u2019", "'")).split())


def word_error_rate(delivered: pl.DataFrame) -> float | None:
    """Word error rate of recognised texts against delivered ones; None where nothing was delivered.

    Args:
        delivered: columns ``transcription`` and ``text``.
    """
    pairs = [
        (plain_words(said), plain_words(heard))
        for said, heard in delivered.select("transcription", "text").drop_nulls("transcription").iter_rows()
    ]
    pairs = [(said, heard) for said, heard in pairs if said]
    if not pairs:
        return None
    return float(jiwer.wer([said for said, _ in pairs], [heard for _, heard in pairs]))
