# pyright: strict
"""The order in which the parts of a page are read: columns one after the other, what spans them in between.

Source: recursive cuts at white strips after Nagy and Seth 1984 (XY-cut), with parts that span the columns taken out
before a strip is looked for (Meunier 2005).
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mm_assets.aligned.documents.structure.lines import Line, merge_lines, on_one_baseline
from mm_assets.documents.labels import starts_caption
from mm_assets.documents.pages import Box
from mm_assets.policy.document_structure import DocumentStructurePolicy

_FEWEST_SHOWN: Final = 2  # figures or tables that may stand side by side


@dataclass(frozen=True, slots=True)
class Part:
    """Something with a place on a page: a line, or a figure or table.

    Attributes:
        box: where it stands.
        line: the line; None for anything else.
        other: what else it is.
    """

    box: Box
    line: Line | None = None
    other: Any = None


Leaf = list[Part]
"""Parts that follow each other from top to bottom in one column."""


def order_parts(parts: Sequence[Part], width: float, size: float, policy: DocumentStructurePolicy) -> list[Leaf]:
    """Columns and bands of a page in the order in which they are read.

    Args:
        parts: of one page, in any order.
        width: of the page.
        size: usual font size of its text.
        policy: widths of strips and columns.
    """
    if len(parts) <= 1:
        return [list(parts)] if parts else []
    sides = _split(parts, width, size, policy)
    if sides is not None:
        return [leaf for side in sides for leaf in order_parts(side, width, size, policy)]
    bands = _bands(parts, width, size, policy) or _across(parts, width, size, policy)
    if bands is None:
        return [_one_column(parts)]
    found: list[Leaf] = []
    for band in bands:
        if len(band) < len(parts):
            found += order_parts(band, width, size, policy)
        else:
            found.append(_one_column(band))
    return found


def _split(
    parts: Sequence[Part], width: float, size: float, policy: DocumentStructurePolicy
) -> tuple[list[Part], list[Part]] | None:
    """The parts on both sides of the white strip between two columns that is nearest to the middle."""
    ordered = sorted(parts, key=lambda part: part.box[0])
    reach = ordered[0].box[2]
    middle = (ordered[0].box[0] + max(part.box[2] for part in parts)) / 2
    found: tuple[float, list[Part], list[Part]] | None = None
    for place, part in enumerate(ordered[1:], start=1):
        if part.box[0] - reach >= policy.min_gutter * size:
            left, right = ordered[:place], ordered[place:]
            away = abs((part.box[0] + reach) / 2 - middle)
            fits = _is_column(left, width, policy) and _is_column(right, width, policy) and _beside(left, right)
            if fits and (found is None or away < found[0]):
                found = away, left, right
        reach = max(reach, part.box[2])
    return None if found is None else found[1:]


def _is_column(parts: Sequence[Part], width: float, policy: DocumentStructurePolicy) -> bool:
    wide = max(part.box[2] for part in parts) - min(part.box[0] for part in parts)
    lines = sum(part.line is not None for part in parts)
    return wide >= policy.min_column_share * width and (lines >= policy.min_column_lines or lines < len(parts))


def _beside(left: Sequence[Part], right: Sequence[Part]) -> bool:
    """Whether both sides stand beside each other for most of the lower one."""
    ends = [(min(part.box[1] for part in side), max(part.box[3] for part in side)) for side in (left, right)]
    overlap = min(end for _, end in ends) - max(start for start, _ in ends)
    return overlap > 0.5 * min(end - start for start, end in ends)


def _bands(
    parts: Sequence[Part], width: float, size: float, policy: DocumentStructurePolicy
) -> list[list[Part]] | None:
    """Bands between the parts that span the region; None if all or none of them do."""
    left, right = min(part.box[0] for part in parts), max(part.box[2] for part in parts)
    wide = policy.spanning_share * (right - left)
    ordered = sorted(parts, key=lambda part: (part.box[1] + part.box[3]) / 2)
    spans = [part.box[2] - part.box[0] > wide for part in ordered]
    if all(spans) or not any(spans):
        return None
    bands: list[list[Part]] = []
    before: bool | None = None
    for part, is_wide in zip(ordered, spans, strict=True):
        if is_wide != before:
            bands.append([])
        bands[-1].append(part)
        before = is_wide
    narrow = [band for band, is_wide in zip(bands, _kinds(spans), strict=True) if not is_wide]
    if not any(len(band) > 1 for band in narrow):
        return None
    return _rejoined(bands, _kinds(spans), lambda band: _has_columns(band, width, size, policy))


def _across(
    parts: Sequence[Part], width: float, size: float, policy: DocumentStructurePolicy
) -> list[list[Part]] | None:
    """The parts above and below a gap across the region, one of which has columns, the larger the better."""
    if not _has_neighbours(parts):
        return None
    ordered = sorted(parts, key=lambda part: part.box[1])
    reach = ordered[0].box[3]
    gaps: list[int] = []
    for place, part in enumerate(ordered[1:], start=1):
        if part.box[1] >= reach:
            gaps.append(place)
        reach = max(reach, part.box[3])
    for place in gaps:
        below = ordered[place:]
        if _may_part(below, policy) and _split(below, width, size, policy) is not None:
            return [ordered[:place], below]
    for place in reversed(gaps):
        above = ordered[:place]
        if _may_part(above, policy) and _split(above, width, size, policy) is not None:
            return [above, ordered[place:]]
    return None


def _kinds(spans: Sequence[bool]) -> list[bool]:
    return [is_wide for place, is_wide in enumerate(spans) if place == 0 or spans[place - 1] != is_wide]


def _rejoined(
    bands: list[list[Part]], kinds: list[bool], has_columns: Callable[[list[Part]], bool]
) -> list[list[Part]] | None:
    """Bands that hold columns stay apart; the others, such as the short last lines of paragraphs, join the rest."""
    found: list[list[Part]] = []
    apart = False
    for band, is_wide in zip(bands, kinds, strict=True):
        stays = not is_wide and has_columns(band)
        if found and not stays and not apart:
            found[-1] += band
        else:
            found.append(band)
        apart = stays
    return found if len(found) > 1 else None


def _has_columns(band: list[Part], width: float, size: float, policy: DocumentStructurePolicy) -> bool:
    """Whether parts stand side by side: many lines, or figures and tables, each with what is below it."""
    if not _has_neighbours(band):
        return False
    if len(band) >= 2 * policy.min_column_lines:
        return True
    return _may_part(band, policy) and _split(band, width, size, policy) is not None


def _may_part(parts: Sequence[Part], policy: DocumentStructurePolicy) -> bool:
    shown = sum(part.line is None for part in parts)
    return len(parts) >= 2 * policy.min_column_lines or shown >= _FEWEST_SHOWN


def _has_neighbours(band: Sequence[Part]) -> bool:
    """Whether two parts of a band stand side by side."""
    ordered = sorted(band, key=lambda part: part.box[1])
    return any(on_one_baseline(one.box, other.box) for one, other in itertools.pairwise(ordered))


def _one_column(parts: Sequence[Part]) -> Leaf:
    """From top to bottom; lines on one baseline become one."""
    leaf: Leaf = []
    for part in sorted(parts, key=lambda part: ((part.box[1] + part.box[3]) / 2, part.box[0])):
        before = leaf[-1] if leaf else None
        if (
            before is not None
            and before.line is not None
            and part.line is not None
            and on_one_baseline(before.box, part.box)
            and not starts_caption(part.line.text)
        ):
            merged = merge_lines(before.line, part.line)
            leaf[-1] = Part(merged.box, merged)
        else:
            leaf.append(part)
    return leaf
