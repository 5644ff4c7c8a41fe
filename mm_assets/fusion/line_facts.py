"""What the compiled pass writes down about each line, and how it tells strings apart without keeping them."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.fusion.samples import FIELDS, KINDS, POOLS, REVIEW_STATUSES

CLEAN: Final = 0
NESTED: Final = 1
DOUBTFUL: Final = 2

# columns of a line's facts, int64; positions are offsets into the buffer, the end exclusive
START, END, STATUS, ID_KEY = 0, 1, 2, 3
VISUAL, AUDIO = 4, 10  # first column of a reference, followed by:
PATH, PATH_START, PATH_END, ROW, COUNT, OFFSET = 0, 1, 2, 3, 4, 5
REFERENCE_COLUMNS: Final = 6
COLUMNS: Final = 16

PADDING_BYTES: Final = 64
MAX_DEPTH: Final = 60
MAX_NUMBER_CHARACTERS: Final = 20
MIN_CODE_BYTES: Final = len("<IMG_TK_0>")

PRIME: Final = 2**56 - 5


def fingerprint(value: bytes) -> int:
    r"""Residue of the bytes, read as one big number, by a prime: 56 bits, which tell strings apart but prove nothing.

    >>> fingerprint(b"mm_1") == fingerprint(b"mm_2")
    False
    """
    return int.from_bytes(b"\x01" + value, "big") % PRIME


def _fingerprints(*values: str) -> NDArray[np.uint64]:
    return np.array([fingerprint(value.encode()) for value in values], dtype=np.uint64)


FIELD_KEYS: Final = _fingerprints(*FIELDS)
MEDIA_KEYS: Final = _fingerprints("image", "video", "audio", "text")
KIND_KEYS: Final = _fingerprints(*KINDS)
POOL_KEYS: Final = _fingerprints(*POOLS)
REVIEW_KEYS: Final = _fingerprints(*REVIEW_STATUSES)

_FIELD_ORDER: Final = (
    "id", "kind", "modalities", "content", "visual_features_path", "audio_features_path", "boxes", "times", "negatives",
    "pool", "weight", "batch", "source", "license", "placeholder_version", "checks", "review_status",
)  # fmt: skip
FIELD_NUMBERS: Final = range(len(_FIELD_ORDER))
if FIELDS != _FIELD_ORDER:  # pragma: no cover - the kernel knows fields by their number
    raise ImportError("the field numbers of mm_assets/fusion/line_kernel.py have to follow FusionLine")
