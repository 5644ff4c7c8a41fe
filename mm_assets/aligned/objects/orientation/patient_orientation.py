# pyright: strict
"""Orientation metadata of medical pictures, and how it follows a flip or a turn.

``patient_orientation`` is DICOM's pair: the body direction towards the right edge of the picture, then the one
towards its lower edge, each of the letters A and P (front, back), L and R, H and F (head, feet), most significant
first. ``laterality`` names the body part's own side and no transform changes it.

Source: DICOM PS3.3 C.7.6.1.1.1.
"""

from collections.abc import Mapping
from typing import Any, Final

from mm_assets.errors import InputError

PATIENT_ORIENTATION: Final = "patient_orientation"
LATERALITY: Final = "laterality"
_FOLLOWED: Final = {PATIENT_ORIENTATION, LATERALITY}
_OPPOSITE: Final = str.maketrans("APLRHF", "PARLFH")
_DIRECTIONS: Final = set("APLRHF")


class OrientationError(InputError):
    """Orientation metadata cannot follow the picture."""


def is_medical(orientation: Mapping[str, Any] | None) -> bool:
    """Whether a record declares anything about its orientation, as only medical pictures do.

    >>> is_medical({"laterality": "R"}), is_medical({"laterality": None}), is_medical(None)
    (True, False, False)
    """
    return orientation is not None and any(value not in (None, "", [], {}) for value in orientation.values())


def flip_orientation(orientation: Mapping[str, Any], *, horizontal: bool) -> dict[str, Any]:
    """Metadata of the picture mirrored left to right, or else top to bottom.

    Raises:
        OrientationError: code ``ORIENTATION``, as `turn_orientation`.
    """
    right, down = _read(orientation)
    flipped = (_opposite(right), down) if horizontal else (right, _opposite(down))
    return _write(orientation, flipped)


def turn_orientation(orientation: Mapping[str, Any], quarters: int) -> dict[str, Any]:
    """Metadata of the picture turned clockwise.

    Args:
        orientation: metadata as delivered.
        quarters: quarter turns clockwise.

    Raises:
        OrientationError: code ``ORIENTATION``: it holds fields that this module does not know how to turn, or the
            directions are not DICOM's.

    >>> turn_orientation({"patient_orientation": ["L", "F"], "laterality": "R"}, 1)
    {'patient_orientation': ['H', 'L'], 'laterality': 'R'}
    """
    right, down = _read(orientation)
    for _ in range(quarters % 4):
        right, down = _opposite(down), right
    return _write(orientation, (right, down))


def _read(orientation: Mapping[str, Any]) -> tuple[str, str]:
    unknown = sorted(name for name, value in orientation.items() if name not in _FOLLOWED and value is not None)
    if unknown:
        raise OrientationError("ORIENTATION", f"orientation fields {unknown} cannot follow; leave the picture as it is")
    declared = orientation.get(PATIENT_ORIENTATION)
    if declared is None:
        return "", ""
    match declared:
        case [str(right), str(down)] if right and down and set(right + down) <= _DIRECTIONS:
            return right, down
        case _:
            raise OrientationError(
                "ORIENTATION",
                f"patient_orientation {declared!r} is no pair of DICOM directions such as ['L', 'F']; write one",
            )


def _opposite(direction: str) -> str:
    return direction.translate(_OPPOSITE)


def _write(orientation: Mapping[str, Any], directions: tuple[str, str]) -> dict[str, Any]:
    followed = dict(orientation)
    if directions != ("", ""):
        followed[PATIENT_ORIENTATION] = list(directions)
    return followed
