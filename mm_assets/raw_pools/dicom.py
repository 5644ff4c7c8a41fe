"""What a DICOM header says of orientation: coded values from closed lists, never who the patient is.

Only the elements named here are parsed. Their raw bytes are compared with closed lists of terms, so that a name typed
into the wrong field is dropped as unknown; nothing is quoted in a message or a log line.

Source: DICOM PS3.3, General Image, DX Positioning, DX Detector and Spatial Transformation modules.
"""

import logging
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from typing import Final

import msgspec
import pydicom
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from mm_assets.errors import DecodeError
from mm_assets.raw_pools.names import is_dicom
from mm_assets.raw_pools.records import DeclaredImage, encode_annotations

FIRST_BYTES: Final = 262_144  # enough for the header of all but a few files

_META_AT: Final = 132  # after preamble and magic
_META_GROUP: Final = 2
_MAX_META_BYTES: Final = 65_536
_TRANSFER_SYNTAX: Final = 0x00020010

_VIEWS: Final = frozenset(
    {"AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "CC", "MLO", "ML", "LM", "LMO", "XCCL", "XCCM", "FB", "SIO"}
)
_POSITIONS: Final = frozenset(
    {"HFP", "HFS", "HFDR", "HFDL", "FFP", "FFS", "FFDR", "FFDL"}
    | {"LFP", "LFS", "RFP", "RFS", "AFDR", "AFDL", "PFDR", "PFDL"}
)
_MODALITIES: Final = frozenset(
    {"CR", "DX", "MG", "RG", "RF", "XA", "PX", "IO", "CT", "MR", "PT", "NM", "US", "OT", "SC", "XC", "ES", "GM", "SM"}
    | {"OP", "OPT", "RTIMAGE", "DG", "BI", "TG", "LS", "HC", "BMD", "IVUS", "IVOCT", "SEG"}
)
_BODY_PARTS: Final = frozenset(
    {"SKULL", "HEAD", "JAW", "NECK", "CSPINE", "TSPINE", "LSPINE", "SSPINE", "SPINE", "COCCYX", "CHEST", "CLAVICLE"}
    | {"RIB", "HEART", "BREAST", "ABDOMEN", "PELVIS", "HIP", "SHOULDER", "ARM", "ELBOW", "FOREARM", "WRIST", "HAND"}
    | {"FINGER", "LEG", "THIGH", "KNEE", "CALF", "ANKLE", "FOOT", "TOE", "EXTREMITY", "LOWEREXTREMITY"}
    | {"UPPEREXTREMITY"}
)
_SIDES: Final = frozenset({"L", "R", "U", "B"})
_DIRECTIONS: Final = re.compile(r"[AFHLPR]{1,3}")
# Views of DX and mammography are coded; SNOMED CT and its older SRT spelling (PS3.16, CID 4010 and 4014).
_VIEW_CODES: Final = {
    "399348003": "AP",
    "R-10206": "AP",
    "272479007": "PA",
    "R-10214": "PA",
    "R-40888": "PA",
    "399173006": "LL",
    "R-10236": "LL",
    "399198007": "RL",
    "R-10232": "RL",
    "399162004": "CC",
    "R-10242": "CC",
    "399368009": "MLO",
    "R-10226": "MLO",
}
_ORIENTATION_TAGS: Final = (
    "Modality",
    "BodyPartExamined",
    "ViewPosition",
    "ViewCodeSequence",
    "PatientPosition",
    "PatientOrientation",
    "AnatomicalOrientationType",
    "ImageOrientationPatient",
    "Laterality",
    "ImageLaterality",
    "FieldOfViewHorizontalFlip",
    "FieldOfViewRotation",
    "ImageHorizontalFlip",
    "ImageRotation",
)
_COSINES: Final = 6


class _Orientation(msgspec.Struct):
    orientation: dict[str, object] = {}


_ORIENTATION: Final = msgspec.json.Decoder(_Orientation)
_ANNOTATIONS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])

# pydicom's log lines quote values; ours name the record and the cause.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
# Everything pydicom was seen to raise on damaged headers.
DAMAGE: Final = (
    InvalidDicomError,
    BytesLengthException,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    NotImplementedError,
    OverflowError,
    MemoryError,
    RecursionError,
    struct.error,
)


def open_dicom(data: bytes, keywords: tuple[str, ...], where: str, *, whole: bool) -> tuple[FileDataset, bool]:
    """Parse some elements of a DICOM file and skip all others.

    Args:
        data: the file, or its first bytes.
        keywords: names of the wanted elements.
        where: the record, for the message.
        whole: read on past the pixels; otherwise stop in front of them.

    Returns:
        The elements, and whether the pixels were reached (so that a header from first bytes is complete).

    Raises:
        DecodeError: NOT_AN_IMAGE, DICOM_UNSUPPORTED or DICOM_INVALID.
    """
    if not is_dicom(data):
        raise DecodeError("NOT_AN_IMAGE", f"{where}: the bytes are no DICOM file (PS3.10); convert or remove the file")
    if _transfer_syntax(data, where) == DeflatedExplicitVRLittleEndian:
        raise DecodeError(
            "DICOM_UNSUPPORTED",
            f"{where}: the data set is deflated, which has no bound before it is inflated; "
            "save it as Explicit VR Little Endian",
        )
    stream = BytesIO(data)
    try:
        found = pydicom.dcmread(stream, stop_before_pixels=not whole, specific_tags=[Tag(name) for name in keywords])
    except DAMAGE as error:
        raise invalid(where, error) from None
    return found, stream.tell() < len(data)


def invalid(where: str, error: BaseException) -> DecodeError:
    """The error of a header that cannot be read; says what failed, never which value."""
    return DecodeError(
        "DICOM_INVALID", f"{where}: the DICOM header cannot be read ({type(error).__name__}); export the file again"
    )


def _transfer_syntax(data: bytes, where: str) -> str:
    """The UID in the file meta information, read before anything is inflated; empty if it is not there."""
    stream = BytesIO(data[_META_AT : _META_AT + _MAX_META_BYTES])
    try:
        meta = read_dataset(
            stream,
            is_implicit_VR=False,
            is_little_endian=True,
            stop_when=lambda tag, _vr, _length: tag.group != _META_GROUP,
            specific_tags=[_TRANSFER_SYNTAX],
        )
        return "".join(_terms(meta, _TRANSFER_SYNTAX))
    except DAMAGE as error:
        raise invalid(where, error) from None


def read_orientation(data: bytes, where: str) -> tuple[dict[str, object], bool]:
    """What the header declares of orientation, under the keys of the batch contract and a few more.

    Keys, each only where the header has a known value: ``patient_orientation`` (directions of rows and columns),
    ``laterality``, ``image_laterality``, ``view_position``, ``patient_position``, ``modality``, ``body_part``,
    ``anatomical_orientation``, ``image_orientation`` (six direction cosines), ``field_of_view_flip``,
    ``field_of_view_rotation``, ``image_flip``, ``image_rotation``.

    Args:
        data: the file, or its first bytes.
        where: the record, for the message.

    Returns:
        The orientation, and whether the header was seen to its end.

    Raises:
        DecodeError: NOT_AN_IMAGE, DICOM_UNSUPPORTED or DICOM_INVALID.
    """
    found, is_complete = open_dicom(data, _ORIENTATION_TAGS, where, whole=False)
    try:
        directions = _terms(found, "PatientOrientation")
        stated: dict[str, object | None] = {
            "patient_orientation": directions
            if len(directions) == 2 and all(map(_DIRECTIONS.fullmatch, directions))  # noqa: PLR2004 - rows, columns
            else None,
            "laterality": _term(found, "Laterality", _SIDES),
            "image_laterality": _term(found, "ImageLaterality", _SIDES),
            "view_position": _term(found, "ViewPosition", _VIEWS) or _coded_view(found),
            "patient_position": _term(found, "PatientPosition", _POSITIONS),
            "modality": _term(found, "Modality", _MODALITIES),
            "body_part": _term(found, "BodyPartExamined", _BODY_PARTS),
            "anatomical_orientation": _term(found, "AnatomicalOrientationType", frozenset({"BIPED", "QUADRUPED"})),
            "image_orientation": _cosines(found),
            "field_of_view_flip": _flag(found, "FieldOfViewHorizontalFlip"),
            "field_of_view_rotation": _rotation(found, "FieldOfViewRotation"),
            "image_flip": _flag(found, "ImageHorizontalFlip"),
            "image_rotation": _rotation(found, "ImageRotation"),
        }
    except DAMAGE as error:
        raise invalid(where, error) from None
    return {name: value for name, value in stated.items() if value is not None}, is_complete


def add_orientation(image: DeclaredImage, read: Callable[[int], bytes], size_bytes: int) -> DeclaredImage:
    """The record of a DICOM file with what its header declares.

    The manifest keeps its word. Where the header says otherwise of the same thing, the header's word stands beside
    it under ``header``, for the orientation check to find.

    Args:
        image: the record.
        read: the first so many bytes of its file.
        size_bytes: size of its file.

    Raises:
        DecodeError: NOT_AN_IMAGE, DICOM_UNSUPPORTED or DICOM_INVALID.
        RecordError, UnsafePathError: the file cannot be read.
    """
    content = read(min(size_bytes, FIRST_BYTES))
    header, is_complete = read_orientation(content, image.record_ref)
    if not is_complete and len(content) < size_bytes:
        header, _ = read_orientation(read(size_bytes), image.record_ref)
    annotations: dict[str, object] = {**_ANNOTATIONS.decode(image.annotations_json or "{}")}
    manifest = _ORIENTATION.decode(image.annotations_json or "{}").orientation
    annotations["orientation"] = _joined(manifest, header) or None
    return replace(image, annotations_json=encode_annotations(annotations))


def _joined(manifest: dict[str, object], header: dict[str, object]) -> dict[str, object]:
    differing = {name: value for name, value in header.items() if manifest.get(name, value) != value}
    joined = header | manifest
    return joined | {"header": differing} if differing else joined


def _terms(found: Dataset, name: str | int) -> list[str]:
    """Values of a text element from its raw bytes: nothing is validated, so nothing is quoted."""
    tag = Tag(name)
    if tag not in found:
        return []
    value = found.get_item(tag).value
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else ""
    return [part.strip(" \0").upper() for part in text.split("\\")] if text.strip(" \0") else []


def _term(found: Dataset, name: str, known: frozenset[str]) -> str | None:
    terms = _terms(found, name)
    return terms[0] if len(terms) == 1 and terms[0] in known else None


def _flag(found: Dataset, name: str) -> bool | None:
    return {"YES": True, "Y": True, "NO": False, "N": False}.get("".join(_terms(found, name)))


def _rotation(found: Dataset, name: str) -> int | None:
    """Quarter turns in degrees; one element is text, the other a number of two bytes."""
    tag = Tag(name)
    if tag not in found:
        return None
    value = found.get_item(tag).value
    if not isinstance(value, bytes):
        return None
    digits = value.strip(b" \0").decode("ascii", "replace")
    number = int(float(digits)) if re.fullmatch(r"\d{1,3}(\.0*)?", digits) else int.from_bytes(value[:2], "little")
    return number if number in {0, 90, 180, 270} else None


def _cosines(found: Dataset) -> list[float] | None:
    terms = _terms(found, "ImageOrientationPatient")
    if len(terms) != _COSINES or not all(re.fullmatch(r"[-+]?[0-9.]+(E[-+]?\d{1,2})?", term) for term in terms):
        return None
    values = [float(term) for term in terms]
    return values if all(-1.001 <= value <= 1.001 for value in values) else None  # noqa: PLR2004 - cosines


def _coded_view(found: Dataset) -> str | None:
    sequence = found.get("ViewCodeSequence") or []
    for item in sequence:
        for code in _terms(item, "CodeValue"):
            if code in _VIEW_CODES:
                return _VIEW_CODES[code]
    return None
