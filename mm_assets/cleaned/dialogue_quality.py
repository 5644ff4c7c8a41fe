# pyright: strict
"""Whether a dialogue is one: turns with something in them, speakers that take turns, nothing said twice."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from mm_assets.policy.text_quality import DialoguePolicy

REASONS: Final[Mapping[str, str]] = {
    "TOO_FEW_TURNS": "the dialogue has fewer turns than [dialogues] min_turns; write each as 'Speaker: text' on a "
    "line of its own, or deliver it as prose",
    "EMPTY_TURN": "the dialogue has a turn with nothing in it; write the turn or drop the dialogue",
    "ROLES_DO_NOT_ALTERNATE": "in the dialogue a speaker answers themself; join the turns or restore the lost one",
    "REPEATED_TURN": "the dialogue says the same turn twice; drop the repetition",
    "TURN_TOO_LONG": "the dialogue has a turn longer than [dialogues] max_turn_characters; split or shorten it",
}
_ROLES: Final = ("user", "assistant", "human", "ai", "bot", "system", "gpt", "chatbot", "q", "a", "b")
_CHAT_MARK: Final = r"<\|(?:im_start\|>\s*(\w+)|(user|assistant|system|bot|human)\|>)[ \t]*\n?"
_CHAT_END: Final = r"<\|(?:im_end|end|eot_id)\|>"
_LABEL: Final = (
    r"^\s*(?:#{1,4}\s*|\*\*)?([\p{L}\p{N}][\p{L}\p{N} _.'()-]{0,31}?)\s*(?:\*\*)?(?::(?:\*\*)?(?:\s|$)|\uFF1A)"
)
_DASH: Final = r"^\s*[-\u2013\u2014]\s"
_OFTEN: Final = 2


def dialogue_codes(texts: pl.Series, policy: DialoguePolicy) -> pl.Series:
    """The first rule each dialogue breaks, a key of `REASONS`; null if it breaks none.

    A turn begins on a line ``Speaker: …`` (``**Speaker:**``, ``### Speaker:``, ``<|im_start|>speaker`` and
    ``<|speaker|>`` too) and goes on to the next. A label counts as a speaker if it is a usual role, one of the first
    two labels of the text, or occurs twice: ``Note:`` inside an answer begins no turn. Without any label every line is
    a turn; then who speaks is not judged.

    Args:
        texts: repaired dialogues, line breaks kept, N of them.
        policy: bounds.

    Returns:
        String, N of them.
    """
    turns = _turns(texts)
    body, row = pl.col("body"), pl.col("row")
    normal = body.str.to_lowercase().str.replace_all(r"[^\w]+", " ").str.strip_chars()
    words = normal.str.count_matches(" ") + 1
    speaks_again = (pl.col("speaker") == pl.col("speaker").shift(1)) & (row == row.shift(1))
    said_twice = (words >= policy.min_repeated_words) & pl.struct("row", normal.alias("said")).is_duplicated()
    judged = (
        turns.with_columns(again=speaks_again.fill_null(value=False), twice=said_twice)
        .group_by("row")
        .agg(
            turns=pl.len(),
            empty=(body == "").any(),
            again=pl.col("again").any(),
            twice=pl.col("twice").any(),
            longest=body.str.len_chars().max(),
        )
    )
    rules = (
        ("TOO_FEW_TURNS", pl.col("turns").fill_null(0) < policy.min_turns),
        ("EMPTY_TURN", pl.col("empty")),
        ("ROLES_DO_NOT_ALTERNATE", pl.col("again")),
        ("REPEATED_TURN", pl.col("twice")),
        ("TURN_TOO_LONG", pl.col("longest") > policy.max_turn_characters),
    )
    code = pl.coalesce(*(pl.when(broken.fill_null(value=False)).then(pl.lit(name)) for name, broken in rules))
    rows = pl.DataFrame({"row": range(len(texts))}, schema={"row": pl.UInt32})
    return rows.join(judged, on="row", how="left", maintain_order="left").select(code=code)["code"]


def _turns(texts: pl.Series) -> pl.DataFrame:
    """row, speaker (null where no label names one) and body of every turn, in order."""
    plain = texts.alias("text").to_frame().with_row_index("row")
    marked = pl.col("text").str.replace_all(_CHAT_MARK, "\n$1$2: ").str.replace_all(_CHAT_END, "")
    lines = plain.select("row", line=marked.str.split("\n")).explode("line").with_row_index("number")
    label = pl.col("line").str.extract(_LABEL, 1).str.strip_chars().str.to_lowercase()
    lines = lines.with_columns(label=label).with_columns(label=_speakers())
    unmarked = pl.col("label").is_null().all().over("row") & (pl.col("line").str.strip_chars() != "")
    begins = pl.col("label").is_not_null() | unmarked
    without = pl.when(pl.col("label").is_not_null()).then(pl.col("line").str.replace(_LABEL, "")).otherwise("line")
    return (
        lines.with_columns(turn=begins.cum_sum().over("row"), said=without.str.replace(_DASH, ""))
        .filter(pl.col("turn") > 0)
        .group_by("row", "turn")
        .agg(speaker=pl.col("label").first(), body=pl.col("said").str.join("\n").str.strip_chars())
        .sort("row", "turn")
    )


def _speakers() -> pl.Expr:
    """Labels that name a speaker; null for all others."""
    label = pl.col("label")
    first = label.drop_nulls().first().over("row")
    second = label.filter(label != label.drop_nulls().first()).first().over("row")
    often = pl.len().over("row", "label") >= _OFTEN
    return pl.when(label.is_in(_ROLES) | (label == first) | (label == second) | often).then(label)
