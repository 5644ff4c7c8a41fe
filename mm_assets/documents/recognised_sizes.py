# pyright: strict
"""Font sizes of lines that were found in pixels.

A found box is as high as the letters of its line make it, and a pixel or two more or less: lines of one paragraph
differ by a tenth, some by a quarter. So the lines of a block have one size, and blocks have that of most of the page's
text unless they are clearly larger or smaller.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mm_assets.policy.document_reading import DocumentRecognitionPolicy

Floats = NDArray[np.float64]


def settle_sizes(
    sizes: Sequence[float], boxes: Floats, characters: Sequence[int], policy: DocumentRecognitionPolicy
) -> Floats:
    """Sizes of the lines of a page without the noise of their boxes.

    Args:
        sizes: of N lines, as their boxes are high.
        boxes: x1 y1 x2 y2 of each, shape (N, 4).
        characters: in each.
        policy: what is clearly different, and how close the lines of a block stand.

    Returns:
        A size for each line.
    """
    found = np.asarray(sizes, np.float64)
    weights = np.asarray(characters, np.float64)
    if not len(found):
        return found
    for block in _blocks(found, boxes, policy):
        found[block] = _middle(found[block], weights[block])
    body = _middle(found, weights)
    usual = (found < body * (1.0 + policy.min_larger)) & (found > body * (1.0 - policy.min_smaller))
    found[usual] = body
    return found


def _blocks(sizes: Floats, boxes: Floats, policy: DocumentRecognitionPolicy) -> list[NDArray[np.int64]]:
    """Lines that stand one below the other, and are not clearly of different sizes."""
    overlap = np.minimum(boxes[:, None, 2], boxes[None, :, 2]) - np.maximum(boxes[:, None, 0], boxes[None, :, 0])
    step = boxes[None, :, 1] - boxes[:, None, 1]
    lower = np.minimum(sizes[:, None], sizes[None, :])
    upper = np.maximum(sizes[:, None], sizes[None, :])
    near = (overlap > 0) & (step > 0) & (step <= policy.max_line_step * upper)
    joined = near & (upper < lower * (1.0 + policy.min_larger))
    owners = np.arange(len(sizes))
    for line in np.argsort(boxes[:, 1]):
        for other in np.flatnonzero(joined[line]):
            owners[owners == owners[other]] = owners[line]
    return [np.flatnonzero(owners == owner) for owner in np.unique(owners)]


def _middle(values: Floats, weights: Floats) -> float:
    """The weighted median."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
