# pyright: strict
"""Tables drawn with rules: their place, and the cells of their rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mm_assets.aligned.documents.structure.lines import Line, on_one_baseline
from mm_assets.documents.pages import Box, Page
from mm_assets.policy.document_structure import DocumentStructurePolicy

_ALIGNED_PT: Final = 4.0
_THIN: Final = 4.0
_SAME_LEVEL_PT: Final = 1.0
_TOUCH_PT: Final = 1.0
_MIN_COLUMNS: Final = 2


Rule = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FoundTable:
    """A table.

    Attributes:
        box: where it stands.
        cells: texts, row by row, equally many in each.
    """

    box: Box
    cells: tuple[tuple[str, ...], ...]


def find_tables(page: Page, lines: Sequence[Line], policy: DocumentStructurePolicy) -> list[FoundTable]:
    """Tables of a page that rules enclose; words outside of rules are no table."""
    rules = [tuple(float(side) for side in rule) for rule in page.rules]
    flat = _joined([r for r in rules if r[2] - r[0] > _THIN * (r[3] - r[1])], 0)
    upright = _joined([r for r in rules if r[3] - r[1] > _THIN * (r[2] - r[0])], 1)
    groups: list[list[Rule]] = []
    for rule in flat:
        for group in groups:
            if abs(group[0][0] - rule[0]) <= _ALIGNED_PT and abs(group[0][2] - rule[2]) <= _ALIGNED_PT:
                group.append(rule)
                break
        else:
            groups.append([rule])
    found: list[FoundTable] = []
    for group in groups:
        box: Box = (group[0][0], group[0][1], group[0][2], group[-1][3])
        sides = [r for r in upright if _inside(r, box)]
        if len(group) < (2 if len(sides) >= 2 else policy.min_rules) or box[3] - box[1] < 1.0:  # noqa: PLR2004 - a frame
            continue
        if box[3] - box[1] > policy.max_table_share * page.height:
            continue
        table = _read(box, [rule[1] for rule in group], [rule[0] for rule in sides], lines)
        if table is not None:
            found.append(table)
    return found


def _joined(rules: Sequence[Rule], along: int) -> list[Rule]:
    """Rules that touch end to end as one, by ascending place: browsers and word processors draw cell by cell.

    Args:
        rules: all level or all upright.
        along: axis they run along, 0 or 1.
    """
    across = 1 - along
    levels: list[list[Rule]] = []
    for rule in sorted(rules, key=lambda rule: (rule[across], rule[along])):
        if levels and rule[across] - levels[-1][0][across] <= _SAME_LEVEL_PT:
            levels[-1].append(rule)
        else:
            levels.append([rule])
    found: list[Rule] = []
    for level in levels:
        first = len(found)
        for rule in sorted(level, key=lambda rule: rule[along]):
            before = found[-1] if len(found) > first else None
            if before is not None and rule[along] - before[along + 2] <= _TOUCH_PT:
                found[-1] = _union(before, rule)
            else:
                found.append(rule)
    return found


def _union(one: Rule, other: Rule) -> Rule:
    return tuple(map(min, one[:2], other[:2])) + tuple(map(max, one[2:], other[2:]))


def _inside(rule: Sequence[float], box: Box) -> bool:
    middle = (rule[1] + rule[3]) / 2
    return (
        box[0] - _ALIGNED_PT <= rule[0] <= box[2] + _ALIGNED_PT
        and box[1] - _ALIGNED_PT <= middle <= box[3] + _ALIGNED_PT
    )


def _read(box: Box, heights: Sequence[float], edges: Sequence[float], lines: Sequence[Line]) -> FoundTable | None:
    own = [
        line
        for line in lines
        if box[0] - 2 <= line.box[0] and line.box[2] <= box[2] + 2 and box[1] <= line.middle <= box[3]
    ]
    if len(own) < _MIN_COLUMNS:
        return None
    cuts = _columns(own, box, edges)
    if len(cuts) < 1:
        return None
    rows = _rows(own, heights)
    if len(rows) < 2:  # noqa: PLR2004 - one row is no table
        return None
    cells = tuple(tuple(_cell(row, cuts, column) for column in range(len(cuts) + 1)) for row in rows)
    return FoundTable(box, cells)


def _columns(lines: Sequence[Line], box: Box, edges: Sequence[float]) -> list[float]:
    """Where columns are cut: at upright rules, else at strips that no word crosses."""
    inner = sorted({round(edge, 0) for edge in edges if box[0] + _ALIGNED_PT < edge < box[2] - _ALIGNED_PT})
    if inner:
        return [edge for place, edge in enumerate(inner) if place == 0 or edge - inner[place - 1] > _ALIGNED_PT]
    words = sorted((word for line in lines for word in line.words), key=lambda word: word[1][0])
    size = float(np.median([line.size for line in lines]))
    cuts: list[float] = []
    reach = words[0][1][2]
    for _, place in words[1:]:
        if place[0] - reach >= size:
            cuts.append((place[0] + reach) / 2)
        reach = max(reach, place[2])
    return cuts


def _rows(lines: Sequence[Line], heights: Sequence[float]) -> list[list[Line]]:
    """Rows between rules where every row has its rule, else one row per baseline."""
    ordered = sorted(lines, key=lambda line: (line.middle, line.box[0]))
    baselines: list[list[Line]] = []
    for line in ordered:
        if baselines and on_one_baseline(baselines[-1][0].box, line.box):
            baselines[-1].append(line)
        else:
            baselines.append([line])
    between: list[list[Line]] = [[] for _ in range(len(heights) + 1)]
    for line in ordered:
        between[int(np.searchsorted(np.asarray(heights), line.middle))].append(line)
    ruled = [row for row in between if row]
    return ruled if len(ruled) > 2 and 2 * len(ruled) >= len(baselines) else baselines  # noqa: PLR2004 - head and foot


def _cell(row: Sequence[Line], cuts: Sequence[float], column: int) -> str:
    left = cuts[column - 1] if column else -np.inf
    right = cuts[column] if column < len(cuts) else np.inf
    words = [word for line in row for word in line.words if left <= (word[1][0] + word[1][2]) / 2 < right]
    return " ".join(text for text, _ in words)
