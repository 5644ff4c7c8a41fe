# pyright: strict
"""Lines that are part of a figure, and the captions inside its box, which are not."""

from collections.abc import Iterable, Sequence
from typing import Final

from mm_assets.aligned.documents.structure.lines import Line, share_inside
from mm_assets.documents.labels import label_of_caption, starts_caption
from mm_assets.documents.pages import Box

_INSIDE: Final = 0.7
_SAME_SIZE: Final = 0.05
_MOST_PITCH: Final = 1.6  # font sizes from line to line
_SAME_EDGE: Final = 0.5  # font sizes


def is_in(box: Box, around: Iterable[Box]) -> bool:
    """Whether most of a box lies in one of others."""
    return any(share_inside(box, other) > _INSIDE for other in around)


def leave_out_labels(lines: Sequence[Line], figures: Sequence[Box]) -> list[Line]:
    """Lines outside of figures, and those inside that start with a number as captions do, with what follows them."""
    kept = [line for line in lines if not is_in(line.box, figures)]
    inside = sorted((line for line in lines if is_in(line.box, figures)), key=lambda line: line.box[1])
    last: list[Line] = []
    for line in inside:
        if _starts(line):
            last.append(line)
            kept.append(line)
            continue
        for place, before in enumerate(last):
            if _follows(before, line):
                last[place] = line
                kept.append(line)
                break
    return kept


def _starts(line: Line) -> bool:
    return starts_caption(line.text) or (line.bold_words > 1 and label_of_caption(line.text) is not None)


def _follows(before: Line, line: Line) -> bool:
    """Whether a line goes on below another: as large, as close as lines are, aligned at the left or in the middle."""
    step = line.box[1] - before.box[1]
    if abs(line.size - before.size) > _SAME_SIZE * before.size or not 0 < step <= _MOST_PITCH * before.size:
        return False
    middles = (before.box[0] + before.box[2]) / 2, (line.box[0] + line.box[2]) / 2
    apart = min(abs(before.box[0] - line.box[0]), abs(middles[0] - middles[1]))
    return apart <= _SAME_EDGE * before.size
