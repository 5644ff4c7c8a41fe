# pyright: strict
"""Tables without rules: rows whose cells begin below each other."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from mm_assets.aligned.documents.structure.lines import Line, on_one_baseline, union
from mm_assets.aligned.documents.structure.tables import FoundTable
from mm_assets.policy.document_structure import DocumentStructurePolicy

_SAME_EDGE: Final = 0.4  # font sizes
_SAME_READ_EDGE: Final = 0.7  # font sizes; boxes of lines that were found in pixels are wider by up to half a letter
_COUNTED: Final = re.compile(r"^\(?(?:\d{1,4}|[ivxlc]{1,7})\)?$", re.IGNORECASE)  # formulas, pages, lines of code
_FEWEST: Final = 2

Baseline = list[Line]


def find_aligned_tables(
    lines: Sequence[Line], policy: DocumentStructurePolicy, *, from_pixels: bool = False
) -> list[FoundTable]:
    """Tables that only white space makes.

    Rows follow each other, have equally many cells with the same left edges, and short first cells; what goes on below
    a cell other than the first belongs to it. Columns of text have long lines; code and contents are left alone.

    Args:
        lines: of one page, outside of tables and figures.
        policy: fewest rows, and how short first cells are.
        from_pixels: whether the lines were found in pixels, so that their edges are less sure.
    """
    edge = _SAME_READ_EDGE if from_pixels else _SAME_EDGE
    found: list[FoundTable] = []
    run: list[Baseline] = []
    for read in _baselines(lines):
        baseline = _parted(run[0], read, edge) if run and from_pixels else read
        if run and _is_next(run, baseline, edge, policy):
            run.append(baseline)
            continue
        found += _table(run, edge, policy)
        run = [baseline] if len(baseline) >= _FEWEST else []
    return found + _table(run, edge, policy)


def _baselines(lines: Sequence[Line]) -> list[Baseline]:
    found: list[Baseline] = []
    for line in sorted(lines, key=lambda line: (line.middle, line.box[0])):
        if found and on_one_baseline(found[-1][0].box, line.box):
            found[-1].append(line)
        else:
            found.append([line])
    return [sorted(baseline, key=lambda line: line.box[0]) for baseline in found]


def _parted(first: Baseline, baseline: Baseline, edge: float) -> Baseline:
    """A row whose cells were found as one line, cut where those of the first row begin; else as it was found."""
    words = [(line, word) for line in baseline for word in line.words]
    starts = [
        next((at for at, (line, word) in enumerate(words) if abs(word[1][0] - cell.box[0]) <= edge * line.size), -1)
        for cell in first
    ]
    if len(baseline) >= len(first) or starts[0] != 0 or sorted(set(starts)) != starts:
        return baseline
    cells: Baseline = []
    for start, end in zip(starts, [*starts[1:], len(words)], strict=True):
        own = tuple(word for _, word in words[start:end])
        box = own[0][1]
        for _, other in own[1:]:
            box = union(box, other)
        cells.append(replace(words[start][0], text=" ".join(text for text, _ in own), box=box, words=own))
    return cells


def _is_next(run: Sequence[Baseline], baseline: Baseline, edge: float, policy: DocumentStructurePolicy) -> bool:
    first, before = run[0], run[-1]
    size = max(line.size for line in first)
    if baseline[0].box[1] - before[0].box[1] > policy.max_row_pitch * size:
        return False
    if len(baseline) == len(first):
        return all(abs(one.box[0] - other.box[0]) <= edge * size for one, other in zip(first, baseline, strict=True))
    return len(baseline) == 1 and _column(first, baseline[0], edge) > 0


def _column(first: Baseline, line: Line, edge: float) -> int:
    """The column whose left edge a line has; -1 for none."""
    for place, cell in enumerate(first):
        if abs(cell.box[0] - line.box[0]) <= edge * line.size:
            return place
    return -1


def _table(run: Sequence[Baseline], edge: float, policy: DocumentStructurePolicy) -> list[FoundTable]:
    rows: list[list[list[str]]] = []
    for baseline in run:
        if len(baseline) > 1:
            rows.append([[line.text] for line in baseline])
        else:
            rows[-1][_column(run[0], baseline[0], edge)].append(baseline[0].text)
    if len(rows) < policy.min_aligned_rows:
        return []
    words = sum(len(row[0][0].split()) for row in rows)
    is_counted = len(rows[0]) == _FEWEST and any(
        sum(_COUNTED.match(row[place][0]) is not None for row in rows) > len(rows) // 2 for place in (0, -1)
    )
    full = [baseline for baseline in run if len(baseline) > 1]
    is_text = any(_is_running_text([row[place] for row in full], policy) for place in range(len(full[0])))
    is_code = 2 * sum(line.is_code for baseline in full for line in baseline[1:]) > len(full) * (len(full[0]) - 1)
    if words > policy.max_key_words * len(rows) or is_counted or is_text or is_code:
        return []
    box = run[0][0].box
    for baseline in run:
        for line in baseline:
            box = union(box, line.box)
    return [FoundTable(box, tuple(tuple(" ".join(cell) for cell in row) for row in rows))]


def _is_running_text(column: Sequence[Line], policy: DocumentStructurePolicy) -> bool:
    """Whether the lines of a column go on from one to the next, or end below each other."""
    if sum(len(line.text) for line in column) < policy.min_running_characters * len(column):
        return False
    goes_on = sum(
        one.text.endswith(("-", "\u2010")) or other.text[:1].islower() for one, other in itertools.pairwise(column)
    )
    right = max(line.box[2] for line in column)
    justified = sum(right - line.box[2] <= _SAME_EDGE * line.size for line in column)
    return goes_on > policy.max_running_rows * (len(column) - 1) or 2 * justified > len(column)
