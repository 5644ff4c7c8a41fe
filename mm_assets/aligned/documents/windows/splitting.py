# pyright: strict
"""Cut a text that is longer than a window where a reader would pause."""

import re
from collections.abc import Callable, Sequence
from typing import Final

_SENTENCE: Final = re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+|(?<=[。！？])")  # noqa: RUF001 - full-width marks end sentences
_LINE: Final = re.compile(r"\n+")
_WORD: Final = re.compile(r"\s+")
_CHARACTER: Final = re.compile(r"(?<=.)", re.DOTALL)
_BY_TYPE: Final = {"list": (_LINE, _SENTENCE, _WORD), "code": (_LINE, _WORD), "formula": (_LINE, _WORD)}
_MOST_CHARACTERS: Final = 16
"""A token of prose is about four characters long; a run of blanks or dashes may be longer and is then cut early."""


def cut_text(
    text: str, start: int, room: int, count: Callable[[Sequence[str]], list[int]], block_type: str
) -> tuple[int, int]:
    """The longest piece from ``start`` that fits, cut behind a sentence, in a list or code behind a line.

    Only if the first sentence does not fit it is cut behind a word, and only a word that does not fit behind a
    character.

    Args:
        text: the whole text.
        start: first character of the piece.
        room: tokens there are.
        count: counts the tokens of texts.
        block_type: type of the block.

    Returns:
        The character behind the piece and the piece's tokens; ``start`` and 0 if not even a character fits.
    """
    for pattern in (*_BY_TYPE.get(block_type, (_SENTENCE, _WORD)), _CHARACTER):
        ends = _ends(text, start, room, pattern)
        best, tokens = start, 0
        low, high = 0, len(ends) - 1
        while low <= high:  # a longer text has no fewer tokens
            middle = (low + high) // 2
            counted = count([text[start : ends[middle]]])[0]
            if counted <= room:
                best, tokens, low = ends[middle], counted, middle + 1
            else:
                high = middle - 1
        if best > start:
            return best, tokens
    return start, 0


def _ends(text: str, start: int, room: int, pattern: re.Pattern[str]) -> list[int]:
    """Where a piece may end, among the characters that so many tokens can come to."""
    limit = min(len(text), start + room * _MOST_CHARACTERS)
    ends = [match.end() for match in pattern.finditer(text, start, limit) if match.end() > start]
    if limit == len(text) and (not ends or ends[-1] < limit):
        ends.append(limit)
    return ends
