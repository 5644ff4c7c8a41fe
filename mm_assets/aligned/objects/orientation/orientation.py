# pyright: strict
"""What a record declares of a medical picture's orientation, freed of what is malformed.

Directions are axes of the body: L is +x, P is +y, H is +z. The direction to the right edge crossed with the one to the
lower edge points away from the viewer: a mirror reverses it, a turn by quarters leaves it alone.

Source: DICOM PS3.3 C.7.6.1.1.1 (PatientOrientation), C.7.6.2.1.1 (ImageOrientationPatient), C.8.11.5 (DX positioning).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np

from mm_assets.aligned.objects.orientation.patient_orientation import LATERALITY, PATIENT_ORIENTATION

AXES: Final = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}
FRONTAL: Final = frozenset({"AP", "PA"})
_LETTERS: Final = {axis: letter for letter, axis in AXES.items()}
_TRUNK: Final = frozenset(
    {"CHEST", "ABDOMEN", "PELVIS", "SKULL", "HEAD", "NECK", "CSPINE", "TSPINE", "LSPINE", "SSPINE", "SPINE", "COCCYX"}
    | {"HEART", "RIB"}
)
_COSINES: Final = 6
_MIRRORING: Final = frozenset({"horizontal", "vertical", "mirror", "mirrored", "yes", "y", "true"})


@dataclass(frozen=True)
class Orientation:
    """What a record declares, freed of what is malformed.

    Attributes:
        directions: directions to the right and to the lower edge, such as L and F, most significant letter only.
        laterality: side of the body part, L or R.
        image_laterality: the same as the image's own attribute states it.
        view: AP, PA, LL, RL, CC, MLO …
        modality: DICOM modality.
        body_part: DICOM body part.
        is_quadruped: an animal on four legs, for which the letters mean other things.
        cosines: direction cosines of rows and columns.
        is_flipped: whether a flip is declared that mirrors the picture; None if nothing is said of flips.
        asks_for_flip: whether the file asks viewers to mirror what it stores.
        header: what the file's own header says otherwise.
    """

    directions: tuple[str, str] | None = None
    laterality: str | None = None
    image_laterality: str | None = None
    view: str | None = None
    modality: str | None = None
    body_part: str | None = None
    is_quadruped: bool = False
    cosines: tuple[float, ...] | None = None
    is_flipped: bool | None = None
    asks_for_flip: bool = False
    header: Mapping[str, Any] | None = None

    @property
    def away(self) -> str | None:
        """The body direction that points away from the viewer; None if it is not known or not possible."""
        return None if self.directions is None else _cross(*self.directions)

    @property
    def is_frontal(self) -> bool:
        """Whether the view is from the front or the back."""
        return self.view in FRONTAL

    @property
    def is_trunk(self) -> bool:
        """Whether the body part shows both sides of the body."""
        return self.body_part in _TRUNK


def parse_orientation(declared: Mapping[str, Any]) -> Orientation:
    """Read orientation metadata as it comes from a manifest or a header; what is malformed is left out.

    >>> parse_orientation({"patient_orientation": ["R", "F"], "view_position": "pa"}).away
    'A'
    """
    header = declared.get("header")
    return Orientation(
        directions=_directions(declared.get(PATIENT_ORIENTATION)),
        laterality=_side(declared.get(LATERALITY)),
        image_laterality=_side(declared.get("image_laterality")),
        view=_word(declared.get("view_position")),
        modality=_word(declared.get("modality")),
        body_part=_word(declared.get("body_part")),
        is_quadruped=_word(declared.get("anatomical_orientation")) == "QUADRUPED",
        cosines=_cosines(declared.get("image_orientation")),
        is_flipped=_flip(declared.get("declared_flip")),
        asks_for_flip=declared.get("image_flip") is True,
        header=cast("Mapping[str, Any]", header) if isinstance(header, Mapping) else None,
    )


def _cross(right: str, down: str) -> str | None:
    x = cast("list[int]", np.cross(AXES[right], AXES[down]).tolist())
    return _LETTERS.get((x[0], x[1], x[2]))


def _directions(value: object) -> tuple[str, str] | None:
    parts = value.split("\\") if isinstance(value, str) else value
    match parts:
        case [str(right), str(down)]:
            first, second = right.strip().upper()[:1], down.strip().upper()[:1]
            return (first, second) if first in AXES and second in AXES else None
        case _:
            return None


def _side(value: object) -> str | None:
    word = _word(value)
    return word[0] if word in {"L", "R", "LEFT", "RIGHT"} else None


def _word(value: object) -> str | None:
    return value.strip().upper() or None if isinstance(value, str) else None


def _cosines(value: object) -> tuple[float, ...] | None:
    if not isinstance(value, (list, tuple)):
        return None
    numbers = cast("Sequence[object]", value)
    if len(numbers) != _COSINES or not all(isinstance(number, (int, float)) for number in numbers):
        return None
    return tuple(float(cast("float", number)) for number in numbers)


def _flip(value: object) -> bool | None:
    if isinstance(value, bool) or value is None:
        return value
    return value.strip().lower() in _MIRRORING if isinstance(value, str) else None
