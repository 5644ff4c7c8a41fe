# pyright: strict
"""Whether the pages of a document stand in order: printed numbers, links of its contents, and broken sentences."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.aligned.documents.order_gate.number_series import Key, SeriesFinding, judge_series
from mm_assets.aligned.documents.order_gate.page_marks import PageMarks
from mm_assets.policy.order import OrderGatePolicy

_INTEGER: Final = re.compile(r"\d{1,4}")
_ROMAN: Final = re.compile(r"(?=.)((xl|l?x{0,3})(ix|iv|v?i{0,3})|(XL|L?X{0,3})(IX|IV|V?I{0,3}))")
_ROMAN_DIGITS: Final = {"i": 1, "v": 5, "x": 10, "l": 50}
_LEADERS: Final = re.compile(r"(\. ?){4,}|…{2,}|(… ){2,}")
_NUMBER_LINES: Final = 2
_REACH: Final = 3
_SKIPPED: Final = 2.5  # a page out of place costs two steps: it is told, not left out
_RUNNING_SHARE: Final = 0.25
_MIN_RUNNING: Final = 3
_MAX_SWAP_PAGES: Final = 512
_UNFINISHED: Final = re.compile(r"[\w,;\-–’')]$")  # noqa: RUF001 - marks a line may end with
_MIN_LINKS: Final = 5
_MIN_STEPS: Final = 2


@dataclass(frozen=True)
class PageOrder:
    """What the pages tell together.

    Attributes:
        pages: number of pages.
        printed: page and printed number of the pages that have one; roman numbers come before the others.
        steady: steps between printed numbers that are as long as those between their pages.
        numbers: what the printed numbers tell; indices are places in ``printed``.
        duplicated: pages whose words repeat those of an earlier page.
        missing: printed numbers that are missing.
        link_disorder: descents among the pages that links of contents lead to, and links looked at.
        breaks: page breaks at which a sentence goes on or ends, as told by letters and marks.
        reversed_gain: log-likelihood of the breaks in reversed order over that in the given order.
        swap_gain: the same of the best exchange of two pages, less the logarithm of the number of exchanges.
        swap: those two pages.
    """

    pages: int
    printed: tuple[tuple[int, Key], ...]
    steady: int
    numbers: SeriesFinding
    duplicated: tuple[int, ...]
    missing: tuple[int, ...]
    link_disorder: tuple[int, int]
    breaks: int
    reversed_gain: float
    swap_gain: float
    swap: tuple[int, int] | None

    @property
    def displaced(self) -> tuple[int, ...]:
        """Pages whose printed number belongs elsewhere."""
        return tuple(self.printed[at][0] for at in self.numbers.displaced)


def judge_pages(marks: Sequence[PageMarks], policy: OrderGatePolicy) -> PageOrder:
    """Judge the order of a document's pages.

    Args:
        marks: its pages in the order in which they stand.
        policy: rates of breaks, smallest series.
    """
    printed = _printed_numbers(marks, policy)
    numbers = judge_series([key for _, key in printed])
    seen: dict[str, int] = {}
    duplicated = tuple(
        mark.number
        for mark in marks
        if mark.words >= policy.min_page_words and seen.setdefault(mark.digest, mark.number) != mark.number
    )
    gains = _Breaks(marks, policy)
    swap_gain, swap = gains.best_swap()
    return PageOrder(
        pages=len(marks),
        printed=tuple(printed),
        steady=sum(_gap(a, b) == 0 for a, b in pairwise(printed)),
        numbers=numbers,
        duplicated=duplicated,
        missing=_missing(printed, numbers),
        link_disorder=_link_disorder(marks),
        breaks=gains.told,
        reversed_gain=gains.reversed_gain(),
        swap_gain=swap_gain,
        swap=swap,
    )


def _gap(one: tuple[int, Key], other: tuple[int, Key]) -> int | None:
    """By how much the step between two numbers exceeds that between their pages; None across roman and arabic."""
    return other[1][1] - one[1][1] - (other[0] - one[0]) if one[1][0] == other[1][0] else None


def _missing(printed: Sequence[tuple[int, Key]], numbers: SeriesFinding) -> tuple[int, ...]:
    """Printed numbers between two neighbours in place for which there is no page, numbered or not."""
    displaced = set(numbers.displaced)
    present = {key for _, key in printed}
    kept = [item for at, item in enumerate(printed) if at not in displaced]
    missing: list[int] = []
    for one, other in pairwise(kept):
        if (_gap(one, other) or 0) > 0:
            missing += [n for n in range(one[1][1] + 1, other[1][1]) if (one[1][0], n) not in present]
    return tuple(missing)


def _printed_numbers(marks: Sequence[PageMarks], policy: OrderGatePolicy) -> list[tuple[int, Key]]:
    """Page and printed number, of each page the one that goes best with its neighbours (dynamic programming)."""
    pages = [(mark.number, sorted(_edge_numbers(mark))) for mark in marks]
    pages = [(page, numbers) for page, numbers in pages if numbers]
    best: list[list[tuple[float, int, int]]] = []  # cost, page index and number index before
    for at, (page, numbers) in enumerate(pages):
        row: list[tuple[float, int, int]] = []
        for number in numbers:
            choices = [(_SKIPPED * at, -1, -1)]
            for back in range(max(0, at - _REACH), at):
                gap = page - pages[back][0]
                for place, other in enumerate(pages[back][1]):
                    step = 0.0 if number[0] == other[0] and number[1] - other[1] in (gap, -gap) else 1.0
                    choices.append((best[back][place][0] + step + _SKIPPED * (at - back - 1), back, place))
            row.append(min(choices))
        best.append(row)
    ends = [
        (cost + _SKIPPED * (len(pages) - 1 - at), at, place)
        for at, row in enumerate(best)
        for place, (cost, _, _) in enumerate(row)
    ]
    series: list[tuple[int, Key]] = []
    at, place = min(ends)[1:] if ends else (-1, -1)
    while at >= 0:
        series.append((pages[at][0], pages[at][1][place]))
        _, at, place = best[at][place]
    series.reverse()
    steps = [a[1][0] == b[1][0] and abs(b[1][1] - a[1][1]) == b[0] - a[0] for a, b in pairwise(series)]
    steady = len(series) >= policy.min_numbered and sum(steps) >= max(_MIN_STEPS, len(steps) / 3)
    return series if steady else []


def _edge_numbers(mark: PageMarks) -> set[Key]:
    """Numbers that stand first, last or alone in the outermost lines of a page: (1, n), or (0, n) of roman ones."""
    found: set[Key] = set()
    for line in (*mark.top[:_NUMBER_LINES], *mark.bottom[:_NUMBER_LINES]):
        if _LEADERS.search(line):
            continue
        words = line.replace("/", " ").split()
        for word in {*words[:1], *words[-2:]}:
            bare = word.strip("-–—[]().|")  # noqa: RUF001 - dashes around page numbers
            if _INTEGER.fullmatch(bare):
                found.add((1, int(bare)))
            elif _ROMAN.fullmatch(bare):
                found.add((0, _roman(bare.lower())))
    return found


def _roman(text: str) -> int:
    values = [_ROMAN_DIGITS[letter] for letter in text]
    return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))


def _link_disorder(marks: Sequence[PageMarks]) -> tuple[int, int]:
    """Descents among the targets of pages that list what comes behind them; one a page may begin a second list."""
    descents = links = 0
    for mark in marks:
        if len(mark.links) < _MIN_LINKS or min(mark.links) < mark.number:
            continue
        descents += max(sum(b < a for a, b in pairwise(mark.links)) - 1, 0)
        links += len(mark.links)
    return descents, links


class _Breaks:
    """How well each page goes on where another one ends."""

    def __init__(self, marks: Sequence[PageMarks], policy: OrderGatePolicy) -> None:
        self._marks = marks
        running = _running_lines(marks)
        ends = [_first_told(mark.bottom, running) for mark in marks]
        starts = [_first_told(mark.top, running) for mark in marks]
        self._open = np.array([math.nan if not end else float(bool(_UNFINISHED.search(end))) for end in ends])
        self._lower = np.array([_starts_lower(start) for start in starts])
        self._fit = self._fits(policy)
        self.told = int((~np.isnan(self._open[:-1]) & ~np.isnan(self._lower[1:])).sum()) if len(marks) > 1 else 0

    def reversed_gain(self) -> float:
        """Fit of the reversed order less that of the given order."""
        along = np.arange(len(self._marks))
        return float(self._fit[along[1:], along[:-1]].sum() - self._fit[along[:-1], along[1:]].sum())

    def best_swap(self) -> tuple[float, tuple[int, int] | None]:
        """The exchange of two pages that makes sentences go on best."""
        count = len(self._marks)
        if not 2 < count <= _MAX_SWAP_PAGES:  # noqa: PLR2004 - two pages are reversed, not swapped
            return 0.0, None
        best, swap = 0.0, None
        for first in range(count - 1):
            for second in range(first + 1, count):
                gain = self._swapped(first, second)
                if gain > best:
                    best, swap = gain, (self._marks[first].number, self._marks[second].number)
        return best - math.log(count * (count - 1) / 2), swap

    def _swapped(self, first: int, second: int) -> float:
        fit, last = self._fit, len(self._marks) - 1
        order = {first: second, second: first}
        gain = 0.0
        for at in {first - 1, first, second - 1, second}:
            if 0 <= at < last:
                gain += fit[order.get(at, at), order.get(at + 1, at + 1)] - fit[at, at + 1]
        return float(gain)

    def _fits(self, policy: OrderGatePolicy) -> NDArray[np.float64]:
        """Log-likelihood ratio, shape (P, P), that page j follows page i rather than any other."""
        lower_if = np.where(self._open == 1.0, policy.break_match, policy.break_mismatch)
        lower_if = np.clip(lower_if, 1e-3, 1 - 1e-3)
        base = policy.random_lower
        if_lower, if_upper = np.log(lower_if / base), np.log((1 - lower_if) / (1 - base))
        fit = np.where(self._lower[None, :] == 1.0, if_lower[:, None], if_upper[:, None])
        unknown = np.isnan(self._open)[:, None] | np.isnan(self._lower)[None, :]
        return np.where(unknown, 0.0, fit)


def _running_lines(marks: Sequence[PageMarks]) -> set[str]:
    """Lines, numbers in them left out, that many pages have at an edge."""
    shapes = Counter(shape for mark in marks for shape in {_shape(line) for line in (*mark.top, *mark.bottom)})
    bound = max(_MIN_RUNNING, _RUNNING_SHARE * len(marks))
    return {shape for shape, count in shapes.items() if count >= bound}


def _shape(line: str) -> str:
    return re.sub(r"\d+|\b[ivxlc]+\b", "#", line.casefold()).strip()


def _first_told(lines: Sequence[str], running: set[str]) -> str:
    """The outermost line that is text: no running line, no number, no few words."""
    for line in lines:
        if _shape(line) not in running and len(line.split()) > _NUMBER_LINES:
            return line
    return ""


def _starts_lower(line: str) -> float:
    first = line[:1]
    if not first.isalpha() or first.lower() == first.upper():
        return math.nan
    return float(first.islower())
