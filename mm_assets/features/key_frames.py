# pyright: strict
"""Which pictures stand for each piece of a video: the key frames of its shots, or one from its middle."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class WantedFrame:
    """A picture to fetch: the first one shown at or after a time.

    Attributes:
        piece: place of its piece among the clip's.
        time_us: on the medium's global clock.
    """

    piece: int
    time_us: int


def choose_key_frames(pieces_us: NDArray[np.int64], shots_us: NDArray[np.int64], most: int) -> list[WantedFrame]:
    """Choose the pictures of each piece, in time.

    A piece with more key frames than allowed keeps those of the shots that fill most of it. A piece without one, inside
    a long shot, takes the picture in the middle of what the video shows of it.

    Args:
        pieces_us: start and end of each piece, in order and apart, shape (P, 2).
        shots_us: start, end and key frame of each shot, in order, shape (S, 3); they tile the video.
        most: pictures of one piece.

    >>> shots = np.array([[0, 40, 20], [40, 90, 70]])
    >>> [(frame.piece, frame.time_us) for frame in choose_key_frames(np.array([[0, 30], [30, 60], [60, 90]]), shots, 4)]
    [(0, 20), (1, 45), (2, 70)]
    """
    chosen: list[WantedFrame] = []
    if not len(shots_us):
        return chosen
    first, last = int(shots_us[0, 0]), int(shots_us[-1, 1])
    for piece, (start, end) in enumerate(pieces_us.tolist()):
        inside = shots_us[(shots_us[:, 2] >= start) & (shots_us[:, 2] < end)]
        shown_from, shown_to = max(start, first), min(end, last)
        if len(inside):
            filled = np.minimum(inside[:, 1], end) - np.maximum(inside[:, 0], start)
            kept = np.sort(np.argsort(-filled, kind="stable")[:most])
            chosen += [WantedFrame(piece, int(time)) for time in inside[kept, 2]]
        elif shown_from < shown_to:
            chosen.append(WantedFrame(piece, (shown_from + shown_to) // 2))
    return chosen
