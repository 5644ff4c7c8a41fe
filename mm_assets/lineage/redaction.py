# pyright: strict
"""Take out of texts and JSON what they say of records that are gone."""

from collections.abc import Sequence
from typing import Final, cast

import msgspec
import polars as pl

GONE: Final = "[taken down]"
ID_LISTS: Final = frozenset({"affected_boxes", "affected_clips", "affected_documents"})
"""Columns of lists of ids, of those that a gate names."""
_JSON_SUFFIX: Final = "_json"


def mentions(column: str, tokens: Sequence[str]) -> pl.Expr:
    """Whether a column of text, or of lists of ids, names any of the tokens."""
    text = pl.col(column).list.join("\n", ignore_nulls=True) if column in ID_LISTS else pl.col(column)
    return text.str.contains_any(list(tokens)).fill_null(value=False)


def redact(column: str, tokens: Sequence[str]) -> pl.Expr:
    """The column without the tokens: a JSON string that holds one is blanked, of other text only the token goes."""
    if column in ID_LISTS:
        return pl.col(column).list.eval(pl.element().filter(~pl.element().is_in(list(tokens))))
    if not column.endswith(_JSON_SUFFIX):
        return pl.col(column).str.replace_many(list(tokens), [GONE] * len(tokens))
    return (
        pl.when(mentions(column, tokens))
        .then(pl.col(column).map_elements(lambda text: redact_json(text, tokens), return_dtype=pl.String))
        .otherwise(pl.col(column))
    )


def redact_json(text: str, tokens: Sequence[str]) -> str:
    """A JSON document with every string blanked that holds one of the tokens, keys included.

    >>> redact_json('{"a": ["cap_1 says", 2], "cap_1": 3}', ["cap_1"])
    '{"a": ["[taken down]", 2], "[taken down]": 3}'
    """
    wanted = [token for token in tokens if token in text]
    if not wanted:
        return text

    def walk(value: object) -> object:
        if isinstance(value, str):
            return GONE if any(token in value for token in wanted) else value
        if isinstance(value, list):
            return [walk(item) for item in cast("list[object]", value)]
        if isinstance(value, dict):
            return {walk(name): walk(item) for name, item in cast("dict[str, object]", value).items()}
        return value

    return _spaced(msgspec.json.encode(walk(msgspec.json.decode(text))))


def _spaced(data: bytes) -> str:
    """Encoded as `json.dumps` does, with spaces, so that what is not redacted stays as it was."""
    return msgspec.json.format(data, indent=0).decode()


def drop_negatives(text: str, gone: frozenset[str]) -> str | None:
    """The negatives of a sample without those whose text is gone; None if none is left.

    Args:
        text: ``negatives_json`` of the sample.
        gone: texts of negatives that are forgotten.
    """
    kept = [entry for entry in msgspec.json.decode(text, type=list[dict[str, object]]) if entry["text"] not in gone]
    return msgspec.json.encode(kept).decode() if kept else None
