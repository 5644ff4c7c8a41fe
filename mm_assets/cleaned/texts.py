"""Clean the text pool: repair, length, language, quality of prose, exact and near-duplicates."""

from typing import Final

import polars as pl

from mm_assets.cleaned.dialogue_quality import REASONS as DIALOGUE_REASONS
from mm_assets.cleaned.dialogue_quality import dialogue_codes
from mm_assets.cleaned.interfaces import LanguageIdentifier
from mm_assets.cleaned.languages import fill_languages
from mm_assets.cleaned.repair import repair_texts
from mm_assets.cleaned.text_quality import REASONS, quality_code
from mm_assets.policy import DialoguePolicy, TextPolicy, TextQualityPolicy
from mm_assets.schemas import TABLES

STAGE: Final = "texts"
_FORMAL_KINDS: Final = ("code", "math", "logic")
_PROSE: Final = "prose"
_DIALOGUE: Final = "dialogue"
_FAILED: Final = ("failed", "fail", "rejected", "bad", "false")
_REASONS: Final = {
    "EMPTY_TEXT": "nothing is left after repair; remove the record",
    "TOO_SHORT": "the text is shorter than [texts] min_characters; join it with others or remove it",
    "TOO_LONG": "the text is longer than [texts] max_characters; split it",
    "SPOT_CHECK_FAILED": "a person turned it down, as its row says in spot_check; correct it or remove it",
    "EXACT_DUPLICATE": "the batch has the same text already; deliver each text once",
    **REASONS,
    **DIALOGUE_REASONS,
}


class TextCleaner:
    """Cleans the texts of one batch, chunk by chunk; remembers hashes to find repeats."""

    def __init__(
        self,
        identifier: LanguageIdentifier,
        policy: TextPolicy,
        quality: TextQualityPolicy,
        dialogues: DialoguePolicy | None = None,
    ) -> None:
        self._identifier = identifier
        self._policy = policy
        self._quality = quality
        self._dialogues = dialogues or DialoguePolicy()
        self._seen = pl.DataFrame(schema={"key": pl.UInt64})

    def clean(self, texts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Repair texts and turn away the unusable ones.

        Args:
            texts: rows of ``raw_texts``, the next chunk of the batch.

        Returns:
            Rows of ``texts`` and rows of ``rejected``; together as many as came in.
        """
        repaired = texts.with_columns(text=repair_texts(texts["text"], keep_lines=True))
        formal = pl.col("kind").is_in(_FORMAL_KINDS)
        # Code and formulas have no language that the model could name; they are not shown to it.
        prose = pl.when(~formal).then(pl.col("text"))
        repaired = repaired.with_columns(language=fill_languages(prose, repaired, self._identifier))
        length = pl.col("text").str.len_chars()
        judged = repaired.with_columns(
            key=pl.col("text").hash(seed=0),
            code=pl.when(length == 0)
            .then(pl.lit("EMPTY_TEXT"))
            .when(length < self._policy.min_characters)
            .then(pl.lit("TOO_SHORT"))
            .when(length > self._policy.max_characters)
            .then(pl.lit("TOO_LONG"))
            .when(pl.col("spot_check").str.to_lowercase().is_in(_FAILED))
            .then(pl.lit("SPOT_CHECK_FAILED"))
            .when(pl.col("kind") == _PROSE)
            .then(quality_code(pl.col("text"), pl.col("language"), self._quality)),
        )
        judged = judged.with_columns(code=pl.coalesce("code", self._dialogue_codes(judged)))
        usable = pl.col("code").is_null()
        again = usable & (
            ~pl.struct("key", usable).is_first_distinct() | pl.col("key").is_in(self._seen["key"].implode())
        )
        judged = judged.with_columns(code=pl.when(again).then(pl.lit("EXACT_DUPLICATE")).otherwise("code"))
        kept = judged.filter(pl.col("code").is_null())
        self._seen = pl.concat([self._seen, kept.select("key")])
        return kept.select(list(TABLES["texts"].columns)), _rejected(judged.filter(pl.col("code").is_not_null()))

    def _dialogue_codes(self, judged: pl.DataFrame) -> pl.Series:
        """The rule each dialogue breaks; null for other kinds."""
        places = (judged["kind"] == _DIALOGUE).arg_true()
        codes = pl.Series([None] * judged.height, dtype=pl.String)
        if not len(places):
            return codes
        return codes.scatter(places, dialogue_codes(judged["text"].gather(places), self._dialogues))


def reject_near_duplicates(kept: pl.DataFrame, duplicates: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Turn away the texts that repeat another.

    Args:
        kept: rows of ``texts``.
        duplicates: as `mm_assets.cleaned.text_duplicates.find_text_duplicates` gives them.

    Returns:
        Rows of ``texts`` and rows of ``rejected``; together as many as came in.
    """
    found = kept.join(duplicates, on="text_id", how="inner", maintain_order="left")
    rejected = found.select(
        "batch",
        pl.lit(STAGE).alias("stage"),
        pl.lit("text").alias("record_kind"),
        "record_ref",
        pl.col("text_id").alias("record_id"),
        pl.when(pl.col("kind_right") == "exact")
        .then(pl.lit("EXACT_DUPLICATE"))
        .otherwise(pl.lit("NEAR_DUPLICATE"))
        .alias("code"),
        pl.format(
            "{}: text repeats {} of batch {} ({} of their shingles); deliver each text once",
            "record_ref",
            "duplicate_of",
            "duplicate_batch",
            pl.col("similarity").round(3),
        ).alias("reason"),
    )
    return kept.join(duplicates, on="text_id", how="anti", maintain_order="left"), rejected


def _rejected(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        "batch",
        pl.lit(STAGE).alias("stage"),
        pl.lit("text").alias("record_kind"),
        "record_ref",
        pl.col("text_id").alias("record_id"),
        "code",
        pl.format("{}: {}", "record_ref", pl.col("code").replace_strict(_REASONS, return_dtype=pl.String)).alias(
            "reason"
        ),
    )
