# pyright: strict
"""Whether the orientation metadata of a medical picture agrees with itself and with its burned-in markers.

Both frontal views, AP and PA, are by convention displayed with the patient facing the viewer, so that P points away;
where A does, the display is mirrored.
"""

from collections.abc import Sequence
from typing import Final, cast

import numpy as np

from mm_assets.aligned.objects.orientation.findings import Finding, Subject, Verdict
from mm_assets.aligned.objects.orientation.orientation import AXES, FRONTAL, Orientation, parse_orientation
from mm_assets.aligned.objects.orientation.patient_orientation import LATERALITY, PATIENT_ORIENTATION
from mm_assets.aligned.objects.orientation.side_markers import SideMarker

_OPPOSITE: Final = {"L": "R", "R": "L"}
_NAMES: Final = {"L": "left", "R": "right"}
_LATERAL: Final = frozenset({"LL", "RL"})
# Hands and feet are displayed as they lie, by a habit of each hospital.
_BY_HABIT: Final = frozenset({"HAND", "WRIST", "FINGER", "FOOT", "TOE", "ANKLE"})
_PARALLEL: Final = 0.9
_SEEN_FROM: Final = {
    "A": "front or back",
    "P": "front or back",
    "L": "a side",
    "R": "a side",
    "H": "above or below",
    "F": "above or below",
}

# How sure each finding is. A contradiction of two explicit statements is a fact about the metadata; conventions of
# display have exceptions, more so where the body part is unknown.
_STATED_TWICE: Final = 0.95
_IMPOSSIBLE: Final = 0.95
_WRONG_PLANE: Final = 0.85
_TRUNK_DISPLAY: Final = 0.9
_DISPLAY: Final = 0.8
_UNTOUCHED_BY_FLIP: Final = 0.8
_SIDE_OF_LIMB: Final = 0.9
_SIDE_OF_UNKNOWN: Final = 0.8
_SIDE_OF_EITHER: Final = 0.6
_PLACE_DECLARED: Final = 0.85
_PLACE_ASSUMED: Final = 0.7
_SUREST: Final = 0.99


def check_declared(orientation: Orientation) -> list[Finding]:
    """Compare what a record declares with itself: every contradiction, or else the surest agreement.

    Returns:
        At least one finding; a single undecided one where there is nothing to compare.
    """
    if orientation.is_quadruped:
        return [_finding(Verdict.UNDECIDED, 0.0, "The orientation is that of an animal on four legs.")]
    checks = (_check_header, _check_laterality, _check_directions, _check_cosines, _check_view, _check_flip)
    found = [finding for check in checks for finding in check(orientation)]
    contradictions = [finding for finding in found if finding.verdict is Verdict.CONTRADICTED]
    if contradictions:
        return contradictions
    agreements = sorted(
        (finding for finding in found if finding.verdict is Verdict.CONSISTENT), key=lambda finding: -finding.confidence
    )
    if agreements:
        return agreements[:1]
    return found[:1] or [_finding(Verdict.UNDECIDED, 0.0, "Nothing declared can be compared with anything else.")]


def check_markers(
    orientation: Orientation, markers: Sequence[SideMarker], image_width: int, side_margin: float
) -> list[Finding]:
    """Compare burned-in side markers with the way they read, the declared directions and the laterality.

    Args:
        orientation: what the record declares.
        markers: what was read in the picture.
        image_width: its width in pixels.
        side_margin: share of the width on either side of the middle where a marker stands on no side.

    Returns:
        One finding, or none where no marker was read.
    """
    if not markers:
        return []
    told = ", ".join(f"{marker.text!r} at x = {_middle(marker):.0f} of {image_width}" for marker in markers)
    if len({marker.reads for marker in markers}) > 1:
        return [_marker(Verdict.UNDECIDED, 0.0, f"Markers read in both directions: {told}.")]
    sure = min(_SUREST, 1.0 - float(np.prod([1.0 - marker.confidence for marker in markers])))
    if markers[0].reads == "mirrored":
        agrees = orientation.away == "A"
        also = ", and the declared directions are those of a mirrored picture" if agrees else ""
        return [_marker(Verdict.CONTRADICTED, sure, f"The picture is mirrored: {told} reads only mirrored{also}.")]
    misplaced = _marker_against_place(orientation, markers, image_width, side_margin)
    against = misplaced or _marker_against_laterality(orientation, markers, sure)
    return [against or _marker(Verdict.CONSISTENT, sure, f"Reads as given: {told}.")]


def _marker_against_laterality(orientation: Orientation, markers: Sequence[SideMarker], sure: float) -> Finding | None:
    side = orientation.image_laterality or orientation.laterality
    if side is None or orientation.is_trunk or any(marker.side == side for marker in markers):
        return None
    believed = _SIDE_OF_LIMB
    if orientation.body_part is None:
        # Of a picture with directions, both sides may be in it, and the marker names the one it lies on.
        believed = _SIDE_OF_UNKNOWN if orientation.directions is None else _SIDE_OF_EITHER
    return _marker(
        Verdict.CONTRADICTED,
        min(sure, believed),
        f"The {_NAMES[side]} side is declared, and the marker says {markers[0].text!r}.",
    )


def _marker_against_place(
    orientation: Orientation, markers: Sequence[SideMarker], image_width: int, side_margin: float
) -> Finding | None:
    """A marker lies on the patient's side it names, where the picture shows both sides."""
    knows_limb = orientation.body_part is not None and not orientation.is_trunk
    if knows_limb or orientation.is_quadruped or not (orientation.is_frontal or orientation.away in {"A", "P"}):
        return None
    declared = None if orientation.directions is None else orientation.directions[0]
    if declared not in {None, "L", "R"}:
        return None
    at_right_edge = declared or "L"
    for marker in markers:
        offset = _middle(marker) / image_width - 0.5
        shown = at_right_edge if offset > 0 else _OPPOSITE[at_right_edge]
        if abs(offset) > side_margin and shown != marker.side:
            believed = _PLACE_DECLARED if declared and orientation.is_trunk else _PLACE_ASSUMED
            by = "the declared directions put" if declared else "the standard display has"
            return _marker(
                Verdict.CONTRADICTED,
                min(marker.confidence, believed),
                f"The marker {marker.text!r} stands where {by} the patient's {_NAMES[shown]}.",
            )
    return None


def _check_header(orientation: Orientation) -> list[Finding]:
    header = orientation.header or {}
    given: dict[str, object] = {
        PATIENT_ORIENTATION: orientation.directions,
        LATERALITY: orientation.laterality,
        "image_laterality": orientation.image_laterality,
    }
    other = parse_orientation({name: value for name, value in header.items() if name in given})
    stated = {
        PATIENT_ORIENTATION: other.directions,
        LATERALITY: other.laterality,
        "image_laterality": other.image_laterality,
    }
    return [
        _finding(
            Verdict.CONTRADICTED,
            _STATED_TWICE,
            f"The manifest declares {name} {_shown(given[name])}, the file's own header {_shown(value)}.",
        )
        for name, value in stated.items()
        if value is not None and given[name] is not None and given[name] != value
    ]


def _check_laterality(orientation: Orientation) -> list[Finding]:
    first, second = orientation.laterality, orientation.image_laterality
    if first is None or second is None:
        return []
    if first == second:
        return [_finding(Verdict.CONSISTENT, _STATED_TWICE, f"Both lateralities are {first}.")]
    return [
        _finding(
            Verdict.CONTRADICTED, _STATED_TWICE, f"The laterality is {first}, the laterality of the image {second}."
        )
    ]


def _check_directions(orientation: Orientation) -> list[Finding]:
    if orientation.directions is None or orientation.away is not None:
        return []
    shown = _shown(orientation.directions)
    return [_finding(Verdict.CONTRADICTED, _IMPOSSIBLE, f"The directions {shown} do not lie across each other.")]


def _check_cosines(orientation: Orientation) -> list[Finding]:
    if orientation.cosines is None or orientation.directions is None:
        return []
    rows, columns = np.array(orientation.cosines).reshape(2, 3)
    agreement = [
        float(np.dot(vector, AXES[letter]))
        for vector, letter in zip((rows, columns), orientation.directions, strict=True)
    ]
    shown = _shown(orientation.directions)
    if min(agreement) < 0.0:
        return [
            _finding(Verdict.CONTRADICTED, _STATED_TWICE, f"The directions {shown} run against the direction cosines.")
        ]
    if min(agreement) > _PARALLEL:
        return [_finding(Verdict.CONSISTENT, _STATED_TWICE, f"The directions {shown} are those of the cosines.")]
    return []


def _check_view(orientation: Orientation) -> list[Finding]:
    """The plane must suit the view, and a frontal picture must face the viewer."""
    away, view = orientation.away, orientation.view
    if away is None or orientation.directions is None or view not in FRONTAL | _LATERAL | {None}:
        return []
    shown = _shown(orientation.directions)
    is_frontal = away in {"A", "P"}
    if view is not None and (is_frontal != (view in FRONTAL) or away in {"H", "F"}):
        said = f"The view is {view}, but the directions {shown} are those of a picture from {_SEEN_FROM[away]}."
        return [_finding(Verdict.CONTRADICTED, _WRONG_PLANE, said)]
    if not is_frontal:
        return []
    believed = _TRUNK_DISPLAY if orientation.is_trunk else _DISPLAY
    named = "frontal" if view is None else view
    if away == "P":
        said = f"The directions {shown} are those of a {named} view with the patient facing the viewer."
        return [_finding(Verdict.CONSISTENT, believed, said)]
    said = f"The directions {shown} are those of a {named} view displayed mirrored, or flipped."
    if orientation.body_part in _BY_HABIT:
        return [_finding(Verdict.UNDECIDED, 0.0, f"{said} Hands and feet are displayed either way.")]
    return [_finding(Verdict.CONTRADICTED, believed, said)]


def _check_flip(orientation: Orientation) -> list[Finding]:
    if orientation.is_flipped and orientation.away == "P":
        shown = _shown(orientation.directions)
        said = f"A mirroring flip is declared, yet the directions {shown} are those of a picture never flipped."
        return [_finding(Verdict.CONTRADICTED, _UNTOUCHED_BY_FLIP, said)]
    if orientation.asks_for_flip:
        return [_finding(Verdict.UNDECIDED, 0.0, "The file asks viewers to mirror the picture it stores.")]
    return []


def _finding(verdict: Verdict, confidence: float, evidence: str) -> Finding:
    return Finding(Subject.DECLARED, verdict, confidence, evidence)


def _marker(verdict: Verdict, confidence: float, evidence: str) -> Finding:
    return Finding(Subject.MARKER, verdict, round(confidence, 4), evidence)


def _middle(marker: SideMarker) -> float:
    return (marker.box[0] + marker.box[2]) / 2.0


def _shown(value: object) -> str:
    return (
        "\\".join(str(part) for part in cast("tuple[object, ...]", value)) if isinstance(value, tuple) else str(value)
    )
