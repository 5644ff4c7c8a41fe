# pyright: strict
"""Whether prose is fit to train on, as polars expressions.

Source: Rae et al. 2021 (Gopher), table A1; Raffel et al. 2020 (C4).
"""

from collections.abc import Mapping
from typing import Final

import polars as pl

from mm_assets.policy.text_quality import TextQualityPolicy

REASONS: Final[Mapping[str, str]] = {
    "WORD_LENGTH": "its words are too short or too long on average to be prose; deliver it as code or mathematics",
    "TOO_MANY_SYMBOLS": "it has too many hash signs and ellipses for its words; deliver the text itself",
    "TOO_MANY_BULLETS": "nearly all its lines are bullets; deliver the text around them",
    "TOO_MANY_ELLIPSES": "too many of its lines are cut off with an ellipsis; deliver them whole",
    "NOT_WORDS": "too few of its words have a letter; deliver it as mathematics or code",
    "NO_STOP_WORDS": "it has hardly any of the commonest words of its language; deliver sentences, not lists of words",
    "REPEATED_LINES": "too many of its lines repeat another; remove the boilerplate",
    "REPEATED_WORDS": "one pair of words makes up too much of it; remove the repetition",
}
STOP_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "en": ("the", "be", "to", "of", "and", "that", "have", "with", "is", "in", "a"),
    "de": ("der", "die", "das", "und", "ist", "von", "nicht", "mit", "zu", "den", "ein"),
    "fr": ("le", "la", "les", "de", "et", "des", "est", "que", "dans", "un", "une"),
    "es": ("el", "la", "los", "de", "que", "y", "en", "un", "una", "es", "por"),
    "it": ("il", "la", "di", "che", "e", "un", "una", "per", "non", "del", "è"),
    "pt": ("o", "a", "de", "que", "e", "um", "uma", "para", "não", "do", "da"),
    "nl": ("de", "het", "een", "en", "van", "is", "dat", "niet", "op", "met", "te"),
    "ru": ("и", "в", "не", "на", "что", "с", "по", "как", "это", "из", "для"),  # noqa: RUF001 - Cyrillic
}
_BULLET: Final = r"(?m)^\s*[•‣◦▪\-*–]\s"  # noqa: RUF001 - marks of lists
_ELLIPSIS: Final = r"(?m)(\.\.\.|…)\s*$"


def quality_code(text: pl.Expr, language: pl.Expr, policy: TextQualityPolicy) -> pl.Expr:
    """Expression for the first rule a prose text breaks, a key of `REASONS`; null if it breaks none.

    Texts of fewer than ``min_words`` words are not judged; stop words are asked of the languages of `STOP_WORDS`; texts
    without blanks between words (Chinese, Japanese, Thai) are not judged by words.

    Args:
        text: the repaired text, line breaks kept.
        language: ISO 639-1 code or null.
        policy: bounds.
    """
    words = text.str.extract_all(r"\S+")
    count = words.list.len()
    characters = text.str.len_chars()
    lines = (
        text.str.split("\n")
        .list.eval(pl.element().str.strip_chars())
        .list.eval(pl.element().filter(pl.element() != ""))
    )
    line_count = lines.list.len()
    mean = words.list.eval(pl.element().str.len_chars()).list.mean()
    symbols = text.str.count_matches(r"#|\.\.\.|…")
    alphabetic = words.list.eval(pl.element().str.contains(r"\p{L}")).list.sum()
    repeated = lines.list.eval(~pl.element().is_first_distinct())
    repeated_characters = lines.list.eval(
        pl.when(~pl.element().is_first_distinct()).then(pl.element().str.len_chars()).otherwise(0)
    ).list.sum()
    pair = pl.element().str.to_lowercase() + " " + pl.element().shift(-1).str.to_lowercase()
    commonest = words.list.eval(
        pair.drop_nulls().unique_counts().max() * pair.drop_nulls().str.len_chars().mode().first()
    )
    low, high = policy.mean_word_characters
    spaced = ~text.str.contains(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
    judged = (count >= policy.min_words) & spaced
    bullets = text.str.count_matches(_BULLET) > policy.max_bullet_share * line_count
    ellipses = text.str.count_matches(_ELLIPSIS) > policy.max_ellipsis_share * line_count
    rules = (
        ("WORD_LENGTH", ~mean.is_between(low, high)),
        ("TOO_MANY_SYMBOLS", symbols > policy.max_symbol_share * count),
        ("TOO_MANY_BULLETS", bullets & (line_count > 1)),
        ("TOO_MANY_ELLIPSES", ellipses & (line_count > 1)),
        ("NOT_WORDS", alphabetic < policy.min_alphabetic_share * count),
        ("NO_STOP_WORDS", _stop_words(text, language) < policy.min_stop_words),
        (
            "REPEATED_LINES",
            (repeated.list.sum() > policy.max_repeated_line_share * line_count)
            | (repeated_characters > policy.max_repeated_line_characters * characters),
        ),
        ("REPEATED_WORDS", commonest.list.first() > policy.max_top_word_pair * characters),
    )  # fmt: skip
    return pl.coalesce(*(pl.when(judged & broken.fill_null(False)).then(pl.lit(code)) for code, broken in rules))


def _stop_words(text: pl.Expr, language: pl.Expr) -> pl.Expr:
    """How many different stop words of its language a text has; null of other languages."""
    lower = text.str.to_lowercase()
    found: pl.Expr = pl.lit(None, pl.UInt32)
    for code, words in STOP_WORDS.items():
        present = pl.sum_horizontal(lower.str.contains(rf"\b{word}\b").cast(pl.UInt32) for word in words)
        found = pl.when(language == code).then(present).otherwise(found)
    return found
