"""Which words of a page may be labels of the drawing they stand at: not those of captions and paragraphs."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.documents.labels import label_of_caption, starts_caption
from mm_assets.documents.pages import BOLD, Words

_SAME_SIZE: Final = 0.05
_MOST_GAP: Final = 1.6  # font sizes between words of a line
_MOST_PITCH: Final = 1.6  # font sizes from line to line
_SAME_EDGE: Final = 0.5  # font sizes: lines that follow each other begin or have their middles below each other
_PROSE: Final = 12  # words from which lines are a paragraph
_PROSE_IN_LINE: Final = 4  # mean words of its lines
_STARTS: Final = 6  # words that tell a caption


def label_words(words: Words) -> NDArray[np.bool_]:
    """Words that may be labels: not those of numbered captions, nor of paragraphs; shape (N,)."""
    found = np.ones(len(words.texts), bool)
    chains: list[list[tuple[int, int]]] = []
    for line in _lines(words):
        if chains and not _starts(words, line) and _goes_on(words, chains[-1][-1], line):
            chains[-1].append(line)
        else:
            chains.append([line])
    for chain in chains:
        if _starts(words, chain[0]) or _is_prose(chain):
            found[chain[0][0] : chain[-1][1]] = False
    return found


def _is_prose(chain: Sequence[tuple[int, int]]) -> bool:
    """Whether lines hold so many words that they are no label."""
    count = chain[-1][1] - chain[0][0]
    return count >= max(_PROSE, _PROSE_IN_LINE * len(chain))


def _goes_on(words: Words, before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Whether a line follows another, below it or with as many words as prose has at the top of another column."""
    if _follows(words, before, after):
        return True
    is_wordy = min(before[1] - before[0], after[1] - after[0]) >= _PROSE_IN_LINE
    climbs = words.boxes[after[0], 1] < words.boxes[before[0], 1]
    return is_wordy and bool(climbs) and _is_as_large(words, before, after)


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
    if not _is_as_large(words, before, after) or not 0 < step <= _MOST_PITCH * size:
        return False
    lefts = one[:, 0].min(), other[:, 0].min()
    middles = (lefts[0] + one[:, 2].max()) / 2, (lefts[1] + other[:, 2].max()) / 2
    return min(abs(lefts[0] - lefts[1]), abs(middles[0] - middles[1])) <= _SAME_EDGE * size


def _is_as_large(words: Words, before: tuple[int, int], after: tuple[int, int]) -> bool:
    size = float(words.sizes[before[0]])
    return abs(float(words.sizes[after[0]]) - size) <= _SAME_SIZE * size
