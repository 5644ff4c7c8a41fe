"""Which words of a page are those of numbered captions, and so no labels of the drawing they stand at."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.documents.labels import label_of_caption, starts_caption
from mm_assets.documents.pages import BOLD, Words

_SAME_SIZE: Final = 0.05
_MOST_GAP: Final = 1.6  # font sizes between words of a line
_MOST_PITCH: Final = 1.6  # font sizes from line to line
_SAME_EDGE: Final = 0.5  # font sizes: lines of a caption begin below each other, or have one middle
_MOST_LINES: Final = 12
_STARTS: Final = 6  # words that tell a caption


def caption_words(words: Words) -> NDArray[np.bool_]:
    """Words of lines that start with a number as captions do, and of the lines that follow those; shape (N,)."""
    found = np.zeros(len(words.texts), bool)
    lines = _lines(words)
    for place, line in enumerate(lines):
        if found[line[0]] or not _starts(words, line):
            continue
        found[line[0] : line[1]] = True
        for before, after in zip(lines[place:], lines[place + 1 : place + _MOST_LINES], strict=False):
            if not _follows(words, before, after):
                break
            found[after[0] : after[1]] = True
    return found


def _starts(words: Words, line: tuple[int, int]) -> bool:
    """Whether a line starts with a number and a mark behind it, or with a number that is bold."""
    text = " ".join(words.texts[line[0] : line[1]][:_STARTS])
    is_bold = bool(np.all(words.styles[line[0] : line[0] + 2] & BOLD))
    return starts_caption(text) or (is_bold and label_of_caption(text) is not None)


def _lines(words: Words) -> list[tuple[int, int]]:
    """Words that follow each other on one baseline, as first and behind the last."""
    count = len(words.texts)
    if not count:
        return []
    before, after = words.boxes[:-1], words.boxes[1:]
    overlap = np.minimum(before[:, 3], after[:, 3]) - np.maximum(before[:, 1], after[:, 1])
    lower = np.minimum(before[:, 3] - before[:, 1], after[:, 3] - after[:, 1])
    gap = after[:, 0] - before[:, 2]
    goes_on = (overlap > lower / 2) & (after[:, 0] >= before[:, 0]) & (gap <= _MOST_GAP * words.sizes[1:])
    starts = [0, *(np.flatnonzero(~goes_on) + 1).tolist()]
    return list(zip(starts, [*starts[1:], count], strict=True))


def _follows(words: Words, before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Whether a line goes on below another: as large, as close as lines are, aligned at the left or in the middle."""
    size = float(words.sizes[before[0]])
    one, other = words.boxes[before[0] : before[1]], words.boxes[after[0] : after[1]]
    step = float(other[0, 1] - one[0, 1])
    if abs(float(words.sizes[after[0]]) - size) > _SAME_SIZE * size or not 0 < step <= _MOST_PITCH * size:
        return False
    lefts = one[:, 0].min(), other[:, 0].min()
    middles = (lefts[0] + one[:, 2].max()) / 2, (lefts[1] + other[:, 2].max()) / 2
    return min(abs(lefts[0] - lefts[1]), abs(middles[0] - middles[1])) <= _SAME_EDGE * size
