# pyright: strict
"""Hypotheses about how the numbers of boxes went wrong, and the boxes with the fault undone.

A `Reading` is named for the **fault**; `read_boxes` returns the boxes with that fault **undone**, `write_boxes` writes
the numbers a delivery with that fault would hold. The gate weighs readings, a correction makes one of them permanent,
the benchmark injects them: all through this module.

Faults of reading (the numbers are right, their convention is not):

========================  ===========================================================================================
``xywh_as_xyxy``          The numbers are x, y, width, height, but the delivery declares corners. Acts on rows whose
                          convention has corners; the unit stays.
``xyxy_as_xywh``          The numbers are corners, but x, y, width, height is declared. Acts on ``xywh_pixels``.
``normalised_as_pixels``  The numbers are shares of the picture's sides, but pixels are declared. Parameter ``range``:
                          the number that means the whole side, 1 (default) or 1000.
``pixels_as_normalised``  The numbers are pixels, but shares of the sides are declared (0 to 1 or 0 to 1000).
``convention``            The numbers are in the convention ``name``, whatever is declared.
``swapped_axes``          The numbers come as y, x, y, x (or y, x, height, width; or with the centre's y first).
========================  ===========================================================================================

Faults of place (the boxes were read right, but the picture was transformed and they were not):

============  =======================================================================================================
``mirror_x``  The picture was mirrored left to right; undone, ``x1, x2`` become ``W - x2, W - x1``.
``mirror_y``  The picture was mirrored top to bottom; undone, ``y1, y2`` become ``H - y2, H - y1``.
``scale``     The picture was resized without its boxes, which lie at ``factor`` times their true coordinates (2 when
              the picture was shrunk to half); undone, corners are divided by ``factor``.
============  =======================================================================================================

``as_given`` is the delivery's own reading. Of several readings, those of reading act on the numbers first, each in
turn, whatever their place; then those of place act on the pixels, in turn.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from mm_assets.aligned.objects.boxes.conventions import (
    CONVENTIONS,
    Codes,
    Floats,
    Layout,
    Unit,
    encode_conventions,
    find_convention,
    from_corners,
    to_corners,
)
from mm_assets.errors import ContractError

Booleans: TypeAlias = npt.NDArray[np.bool_]

AS_GIVEN: Final = "as_given"
NUMBER_KINDS: Final = (
    "xywh_as_xyxy",
    "xyxy_as_xywh",
    "normalised_as_pixels",
    "pixels_as_normalised",
    "convention",
    "swapped_axes",
)
PLACE_KINDS: Final = ("mirror_x", "mirror_y", "scale")
READING_KINDS: Final = (AS_GIVEN, *NUMBER_KINDS, *PLACE_KINDS)
_RANGES: Final = {1.0: Unit.ONE, 1_000.0: Unit.THOUSAND}
_PARAMETERS: Final[dict[str, tuple[str, ...]]] = {
    "normalised_as_pixels": ("range",),
    "convention": ("name",),
    "scale": ("factor",),
}


@dataclass(frozen=True)
class Reading:
    """One hypothesis; see the module's tables.

    Attributes:
        kind: one of `READING_KINDS`.
        parameters: ``{"factor": s}`` of scale, ``{"name": convention}`` of convention, ``{"range": 1 or 1000}`` of
            normalised_as_pixels (1 if left out); empty of all others.

    Raises:
        ContractError: the kind is unknown, or its parameters are.

    >>> Reading("scale", {"factor": 0.5}).name
    'scale(0.5)'
    """

    kind: str
    parameters: Mapping[str, float | str] = field(default_factory=dict[str, float | str])

    def __post_init__(self) -> None:
        if self.kind not in READING_KINDS:
            raise ContractError(f"unknown reading {self.kind[:40]!r}; use one of {', '.join(READING_KINDS)}")
        plain = {name: value if isinstance(value, str) else float(value) for name, value in self.parameters.items()}
        object.__setattr__(self, "parameters", plain)
        unknown = set(plain) - set(_PARAMETERS.get(self.kind, ()))
        if unknown:
            raise ContractError(f"reading {self.kind}: unknown parameters {sorted(unknown)}; leave them out")
        if self.kind == "scale":
            factor = plain.get("factor")
            if not isinstance(factor, float) or not math.isfinite(factor) or factor <= 0.0:
                raise ContractError(f"reading scale: factor {factor!r} is no positive number; pass one")
        if self.kind == "convention":
            find_convention(str(plain.get("name")))
        if self.kind == "normalised_as_pixels" and plain.get("range", 1.0) not in _RANGES:
            raise ContractError(f"reading normalised_as_pixels: range {plain['range']!r}; pass 1 or 1000")

    def __hash__(self) -> int:
        return hash((self.kind, tuple(sorted(self.parameters.items()))))

    @property
    def name(self) -> str:
        """The kind, with its parameter if it has one."""
        values = [value if isinstance(value, str) else f"{value:g}" for value in self.parameters.values()]
        return f"{self.kind}({', '.join(values)})" if values else self.kind

    @property
    def parameters_json(self) -> str:
        """The parameters as a JSON object, keys sorted."""
        return msgspec.json.encode(dict(self.parameters), order="sorted").decode()

    @classmethod
    def from_json(cls, kind: str, parameters_json: str) -> "Reading":
        """The reading of a kind and a JSON object of parameters.

        Raises:
            ContractError: the text is no JSON object, or the reading is unknown.
        """
        try:
            parameters = msgspec.json.decode(parameters_json, type=dict[str, float | str])
        except msgspec.DecodeError as error:
            raise ContractError(
                f"reading {kind}: parameters {parameters_json[:80]!r} are no JSON object of numbers and names: {error}"
            ) from error
        return cls(kind, parameters)


Readings: TypeAlias = Reading | Sequence[Reading]


def read_boxes(
    declared: Floats,
    conventions: str | Sequence[str],
    sizes: Floats,
    readings: Readings,
    drawn_sizes: Floats | None = None,
) -> Floats:
    """Pixel corners of declared numbers with the fault undone.

    Nothing is judged or clipped: NaN stays NaN, and a wrong reading may give negative sizes or lie anywhere. Rows on
    which a reading cannot act (``xywh_as_xyxy`` on ``xywh_pixels``) are read as given; see `acts_on`.

    Args:
        declared: float64, shape (N, 4), the numbers as delivered.
        conventions: declared convention, one name for all rows or one per row.
        sizes: shape (N, 2), width and height of the stored image, pixels.
        readings: one hypothesis, or several that hold together.
        drawn_sizes: shape (N, 2), width and height of the picture the numbers were drawn on; by default the stored
            image's.

    Returns:
        float64, shape (N, 4), ``x1 y1 x2 y2`` in pixels of the stored image.

    Raises:
        ContractError: shapes disagree or a convention is unknown.

    >>> given, size = np.array([[10.0, 20.0, 30.0, 40.0]]), np.array([[100.0, 80.0]])
    >>> read_boxes(given, "xyxy_pixels", size, Reading("mirror_x")).tolist()
    [[70.0, 20.0, 90.0, 40.0]]
    >>> read_boxes(given, "xyxy_pixels", size, Reading("xywh_as_xyxy")).tolist()
    [[10.0, 20.0, 40.0, 60.0]]
    """
    applied = _as_sequence(readings)
    stored, drawn = _check_shapes(declared, sizes, drawn_sizes)
    layouts, units, swapped = _read_numbers(conventions, len(declared), applied)
    corners = to_corners(np.where(swapped[:, None], _swap(declared), declared), layouts, units, drawn)
    with np.errstate(invalid="ignore", over="ignore"):
        corners = corners * np.tile(stored / drawn, 2)
        for reading in applied:
            if reading.kind in _UNDO:
                corners = _UNDO[reading.kind](corners, stored, reading)
    return corners


def write_boxes(
    corners: Floats,
    conventions: str | Sequence[str],
    sizes: Floats,
    readings: Readings,
    drawn_sizes: Floats | None = None,
) -> Floats:
    """The numbers that a delivery with this fault declares for boxes that truly lie at these corners.

    `read_boxes` of the result, with the same arguments, gives the corners back up to rounding.

    Args:
        corners: float64, shape (N, 4), true ``x1 y1 x2 y2`` in pixels of the stored image.
        conventions: the convention the delivery declares, one name or one per row.
        sizes: shape (N, 2), width and height of the stored image, pixels.
        readings: the fault, or several.
        drawn_sizes: shape (N, 2), size the delivery declares; by default the stored image's.

    Returns:
        float64, shape (N, 4), declared numbers.

    Raises:
        ContractError: shapes disagree or a convention is unknown.
    """
    applied = _as_sequence(readings)
    stored, drawn = _check_shapes(corners, sizes, drawn_sizes)
    layouts, units, swapped = _read_numbers(conventions, len(corners), applied)
    with np.errstate(invalid="ignore", over="ignore"):
        for reading in reversed(applied):
            if reading.kind in _DO:
                corners = _DO[reading.kind](corners, stored, reading)
        declared = from_corners(corners * np.tile(drawn / stored, 2), layouts, units, drawn)
    return np.where(swapped[:, None], _swap(declared), declared)


def acts_on(
    reading: Reading, conventions: str | Sequence[str], rows: int, *, after: Sequence[Reading] = ()
) -> Booleans:
    """On which rows the reading changes how numbers are read or where boxes lie, shape (rows,).

    Args:
        reading: the hypothesis.
        conventions: declared convention, one name for all rows or one per row.
        rows: number of rows.
        after: readings that act before it.

    >>> acts_on(Reading("xywh_as_xyxy"), ["xyxy_0_1", "xywh_pixels"], 2).tolist()
    [True, False]
    """
    if reading.kind == AS_GIVEN:
        return np.zeros(rows, dtype=np.bool_)
    if reading.kind in PLACE_KINDS:
        return np.ones(rows, dtype=np.bool_)
    layouts, units, swapped = _read_numbers(conventions, rows, after)
    then_layouts, then_units, then_swapped = _read_numbers(conventions, rows, (*after, reading))
    return (layouts != then_layouts) | (units != then_units) | (swapped != then_swapped)


def reads_pixels(conventions: str | Sequence[str], rows: int, readings: Readings) -> Booleans:
    """Which rows are read as pixels, and so depend on the size they were drawn on, shape (rows,)."""
    _, units, _ = _read_numbers(conventions, rows, _as_sequence(readings))
    return units == Unit.PIXELS


def _as_sequence(readings: Readings) -> Sequence[Reading]:
    return (readings,) if isinstance(readings, Reading) else readings


def _check_shapes(boxes: Floats, sizes: Floats, drawn_sizes: Floats | None) -> tuple[Floats, Floats]:
    """Sizes of the stored and of the drawn pictures, float64, shape (N, 2)."""
    stored = np.asarray(sizes, dtype=np.float64)
    drawn = stored if drawn_sizes is None else np.asarray(drawn_sizes, dtype=np.float64)
    rows = len(boxes)
    if boxes.shape != (rows, 4) or stored.shape != (rows, 2) or drawn.shape != (rows, 2):
        raise ContractError(
            f"boxes {boxes.shape}, sizes {stored.shape} and drawn sizes {drawn.shape} must be (N, 4), (N, 2), (N, 2)"
        )
    return stored, drawn


def _read_numbers(
    conventions: str | Sequence[str], rows: int, readings: Sequence[Reading]
) -> tuple[Codes, Codes, Booleans]:
    """Layout, unit and whether x and y are swapped, per row, once the readings of numbers have acted."""
    layouts, units = encode_conventions(conventions, rows)
    swapped = np.zeros(rows, dtype=np.bool_)
    for reading in readings:
        match reading.kind:
            case "xywh_as_xyxy":
                layouts = np.where(layouts == Layout.XYXY, np.int8(Layout.XYWH), layouts)
            case "xyxy_as_xywh":
                layouts = np.where(layouts == Layout.XYWH, np.int8(Layout.XYXY), layouts)
            case "normalised_as_pixels":
                unit = _RANGES[float(reading.parameters.get("range", 1.0))]
                units = np.where(units == Unit.PIXELS, np.int8(unit), units)
            case "pixels_as_normalised":
                units = np.full(rows, Unit.PIXELS, np.int8)
            case "convention":
                convention = CONVENTIONS[str(reading.parameters["name"])]
                layouts = np.full(rows, convention.layout, np.int8)
                units = np.full(rows, convention.unit, np.int8)
            case "swapped_axes":
                swapped = ~swapped
            case _:
                pass
    return layouts, units, swapped


def _swap(declared: Floats) -> Floats:
    return declared[:, [1, 0, 3, 2]]


def _mirror_x(corners: Floats, sizes: Floats, _: Reading) -> Floats:
    x1, y1, x2, y2 = corners.T
    return np.stack((sizes[:, 0] - x2, y1, sizes[:, 0] - x1, y2), axis=1)


def _mirror_y(corners: Floats, sizes: Floats, _: Reading) -> Floats:
    x1, y1, x2, y2 = corners.T
    return np.stack((x1, sizes[:, 1] - y2, x2, sizes[:, 1] - y1), axis=1)


def _divide(corners: Floats, _: Floats, reading: Reading) -> Floats:
    return corners / float(reading.parameters["factor"])


def _multiply(corners: Floats, _: Floats, reading: Reading) -> Floats:
    return corners * float(reading.parameters["factor"])


_UNDO: Final[dict[str, Callable[[Floats, Floats, Reading], Floats]]] = {
    "mirror_x": _mirror_x,
    "mirror_y": _mirror_y,
    "scale": _divide,
}
_DO: Final[dict[str, Callable[[Floats, Floats, Reading], Floats]]] = _UNDO | {"scale": _multiply}
