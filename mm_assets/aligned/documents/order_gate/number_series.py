# pyright: strict
"""Series of numbers that should ascend: which of them stand in another place, and which are missing."""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

Key = tuple[int, ...]

_LABEL: Final = re.compile(
    r"^\W*(?P<kind>[^\W\d_]+)?\.?\s*(?P<number>(?:[A-Z]\.)?\d{1,4}(?:[.\-–]\d{1,4})*)[.:)]?(?=\s|$|[.:,;)\-–—])"  # noqa: RUF001 - dashes that numbers have
)
_PARTS: Final = re.compile(r"[A-Z]|\d+")
LETTERS: Final = 10_000


@dataclass(frozen=True)
class SeriesFinding:
    """What a series of numbers tells.

    Attributes:
        count: numbers in it.
        displaced: places (indices into the series) whose number belongs elsewhere in it.
        missing: numbers that are missing between two neighbours in order.
        is_reversed: whether it descends.
        rotation: by how many places the series is rotated; 0 if it is not.
    """

    count: int
    displaced: tuple[int, ...]
    missing: tuple[Key, ...]
    is_reversed: bool
    rotation: int


def read_number(text: str) -> tuple[str, Key] | None:
    """Kind and number of a label such as ``Figure 3.2`` or ``4.1``; None without one.

    >>> read_number("Figure 16.5. A blur"), read_number("4.1 The 1.x releases"), read_number("In 1993 it began")
    (('figure', (16, 5)), ('', (4, 1)), None)
    """
    found = _LABEL.match(text)
    if found is None:
        return None
    kind = (found["kind"] or "").casefold()
    if kind and kind not in _KINDS:
        return None
    key = tuple(int(part) if part.isdigit() else LETTERS + ord(part) for part in _PARTS.findall(found["number"]))
    return _KINDS.get(kind, ""), key


_KINDS: Final[dict[str, str]] = {
    **dict.fromkeys(("figure", "fig", "abbildung", "abb", "figura", "рисунок", "図", "그림", "paveikslas"), "figure"),
    **dict.fromkeys(("table", "tab", "tabelle", "tableau", "tabla", "tabela", "tabella", "таблица", "表"), "table"),
    **dict.fromkeys(
        ("chapter", "kapitel", "chapitre", "capítulo", "capitolo", "section", "part", "appendix", "глава"), "section"
    ),
    "": "",
}


def judge_series(keys: Sequence[Key]) -> SeriesFinding:
    """Judge numbers in the order in which they stand.

    The longest ascending part is in place. A number outside is displaced only if its predecessor or successor stands
    elsewhere in the series: a repeated or stray number is not.

    >>> judge_series([(1,), (3,), (2,), (4,)]).displaced, judge_series([(1,), (2,), (4,)]).missing
    ((1,), ((3,),))
    >>> judge_series([(2,), (3,), (4,), (1,)]).rotation
    1
    """
    in_place = _longest_ascent(keys)
    present = Counter(keys)
    displaced = tuple(
        at for at, key in enumerate(keys) if at not in in_place and present[key] == 1 and _has_neighbour(key, present)
    )
    kept = [keys[at] for at in sorted(in_place)]
    missing = [
        (*left[:-1], number)
        for left, right in pairwise(kept)
        if left[:-1] == right[:-1]
        for number in range(left[-1] + 1, right[-1])
        if (*left[:-1], number) not in present
    ]
    descents = sum(right < left for left, right in pairwise(keys))
    is_reversed = len(keys) > 2 and descents >= 0.8 * (len(keys) - 1)  # noqa: PLR2004 - a series, most of it
    return SeriesFinding(len(keys), displaced, tuple(missing), is_reversed, 0 if is_reversed else _rotation(keys))


def judge_sections(keys: Sequence[Key]) -> SeriesFinding:
    """Judge the numbers of headings: of several levels where there are any, and anew where they start again.

    Contents list the numbers of the headings behind them, steps inside a section are numbered from 1: a number that is
    not above the first of its run starts a new run, each judged for itself.

    >>> judge_sections([(1, 1), (2, 1), (3, 1), (1, 1), (1, 2), (2, 1)]).displaced
    ()
    >>> judge_sections([(1, 1), (2, 2), (2, 1), (2, 3)]).displaced
    (1,)
    """
    deep = [key for key in keys if len(key) > 1] or list(keys)
    whole = judge_series(deep)
    if whole.is_reversed:
        return whole
    starts = [0]
    for at, key in enumerate(deep):
        if key <= deep[starts[-1]] and at:
            starts.append(at)
    runs = [(start, judge_series(deep[start:end])) for start, end in pairwise([*starts, len(deep)])]
    displaced = tuple(start + at for start, run in runs for at in run.displaced)
    return SeriesFinding(len(deep), displaced, (), is_reversed=False, rotation=0)


def _longest_ascent(keys: Sequence[Key]) -> set[int]:
    """Indices of the longest strictly ascending subsequence (patience sorting)."""
    tails: list[Key] = []
    ends: list[int] = []
    before: list[int] = []
    for at, key in enumerate(keys):
        place = bisect_left(tails, key)
        before.append(ends[place - 1] if place else -1)
        tails[place:] = [key, *tails[place + 1 :]]
        ends[place:] = [at, *ends[place + 1 :]]
    chosen: set[int] = set()
    at = ends[-1] if ends else -1
    while at >= 0:
        chosen.add(at)
        at = before[at]
    return chosen


def _has_neighbour(key: Key, present: Counter[Key]) -> bool:
    before, after = (*key[:-1], key[-1] - 1), (*key[:-1], key[-1] + 1)
    return before in present or after in present


def _rotation(keys: Sequence[Key]) -> int:
    """Places by which a series without repeats is rotated against its sorted order."""
    if len(keys) < 2 or len(set(keys)) < len(keys):  # noqa: PLR2004 - one number cannot be rotated
        return 0
    start = min(range(len(keys)), key=lambda at: keys[at])
    turned = [*keys[start:], *keys[:start]]
    if not start or any(right <= left for left, right in pairwise(turned)):
        return 0
    return (len(keys) - start) if 2 * start > len(keys) else -start
