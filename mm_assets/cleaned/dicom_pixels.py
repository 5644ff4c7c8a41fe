"""Pixels of a DICOM file as a person would see them: windowed, upright as stored, 8 bits a channel.

Bounds are judged on the header, before a pixel is touched. Of several frames the first is decoded.

Source: DICOM PS3.3 C.7.6.3 (pixels), C.11.1 (modality) and C.11.2 (values of interest); PS3.5 annex G (run lengths).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final, cast

import cv2
import numpy as np
import pydicom.uid as uids
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID

from mm_assets.cleaned.bounds import refuse_scans, too_many_pixels
from mm_assets.errors import DecodeError
from mm_assets.raw_pools.dicom import DAMAGE, invalid, open_dicom

_PALETTE: Final = tuple(
    f"{colour}PaletteColorLookupTable{part}" for colour in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")
)
_ELEMENTS: Final = (
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
    *_PALETTE,
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "PixelData",
)
_GREY: Final = frozenset({"MONOCHROME1", "MONOCHROME2"})
_COLOUR: Final = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})
_PALETTE_COLOUR: Final = "PALETTE COLOR"
_PILLOW_DECODES: Final = frozenset(
    {uids.JPEGBaseline8Bit, uids.JPEGExtended12Bit, uids.JPEG2000, uids.JPEG2000Lossless}
)
_RLE_HEADER_BYTES: Final = 64
_RLE_NOTHING: Final = 128  # a run of this length byte stands for no pixel
_BLOCK_PIXELS: Final = 1_048_576
_BRIGHTEST: Final = 255
# What decoders of pixels were seen to raise besides what headers do; pydicom wraps its plugins' in RuntimeError.
_DAMAGED_PIXELS: Final = (RuntimeError, SyntaxError, AssertionError)
_STEP: Final = 1e-6  # a window of width 1 is a threshold


@dataclass(frozen=True)
class _Shape:
    """What the header promises of the pixels."""

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    is_signed: bool
    photometric: str
    transfer_syntax: UID

    @property
    def frame_bytes(self) -> int:
        return self.rows * self.columns * self.samples * self.bits_allocated // 8


def decode_dicom(data: bytes, name: str, max_pixels: int) -> NDArray[np.uint8]:
    """Decode the first frame: modality and VOI tables applied, MONOCHROME1 inverted, colours as RGB.

    Where the header gives neither a window nor a VOI table, the values from least to greatest fill the range,
    those of padding left out.

    Args:
        data: the file.
        name: the record, for the message.
        max_pixels: most pixels of all frames together.

    Returns:
        uint8 RGB, shape (H, W, 3).

    Raises:
        DecodeError: NOT_AN_IMAGE, DICOM_INVALID, DICOM_NO_PIXELS, DICOM_UNSUPPORTED, DICOM_NO_DECODER,
            DECOMPRESSION_BOMB or TRUNCATED_IMAGE.
    """
    found, _ = open_dicom(data, _ELEMENTS, name, whole=True)
    if "PixelData" not in found or "Rows" not in found:
        raise DecodeError(
            "DICOM_NO_PIXELS",
            f"{name}: the DICOM file holds no picture, or is cut before it; deliver the image object whole",
        )
    try:
        shape = _promised(found, name, max_pixels)
    except DAMAGE as error:
        raise invalid(name, error) from None
    try:
        _refuse_bomb(found, shape, name)
        stored = pixel_array(found, index=0)
    except Image.DecompressionBombError:
        raise too_many_pixels(name, "too many", max_pixels) from None
    except (*DAMAGE, *_DAMAGED_PIXELS) as error:
        raise DecodeError(
            "TRUNCATED_IMAGE",
            f"{name}: the pixels do not decode to their last row ({type(error).__name__}); deliver it again",
        ) from None
    try:
        return _as_rgb(stored, found, shape)
    except DAMAGE as error:
        raise invalid(name, error) from None


def _promised(found: Dataset, name: str, max_pixels: int) -> _Shape:
    frames = int(found.get("NumberOfFrames") or 1)
    rows, columns = int(found.Rows), int(found.Columns)
    if min(rows, columns, frames) < 1:
        raise DecodeError("DICOM_NO_PIXELS", f"{name}: {columns} x {rows} px in {frames} frames; deliver a picture")
    if rows * columns * frames > max_pixels:
        raise too_many_pixels(name, f"{columns} x {rows} x {frames} frames", max_pixels)
    shape = _Shape(
        rows=rows,
        columns=columns,
        samples=int(found.get("SamplesPerPixel") or 1),
        bits_allocated=int(found.BitsAllocated),
        bits_stored=int(found.get("BitsStored", found.BitsAllocated)),
        is_signed=bool(found.get("PixelRepresentation")),
        photometric=str(found.PhotometricInterpretation).strip().upper(),
        transfer_syntax=UID(found.file_meta.TransferSyntaxUID),
    )
    samples = 3 if shape.photometric in _COLOUR else 1
    known = shape.photometric in _GREY | _COLOUR | {_PALETTE_COLOUR} and shape.samples == samples
    deep = shape.bits_allocated not in {8, 16} or not 1 < shape.bits_stored <= shape.bits_allocated
    lacks_palette = shape.photometric == _PALETTE_COLOUR and any(part not in found for part in _PALETTE)
    if not known or deep or lacks_palette or int(found.get("HighBit", shape.bits_stored - 1)) != shape.bits_stored - 1:
        raise DecodeError(
            "DICOM_UNSUPPORTED",
            f"{name}: {shape.samples} samples of {shape.bits_stored} in {shape.bits_allocated} bits are no grey, "
            "palette, RGB or YBR picture of 8 or 16 bits; export it as one",
        )
    return shape


def _refuse_bomb(found: Dataset, shape: _Shape, name: str) -> None:
    """Compare what compressed pixels unpack to with what the header promises, without unpacking them.

    Raises:
        DecodeError: DICOM_NO_DECODER or DECOMPRESSION_BOMB.
    """
    syntax = shape.transfer_syntax
    try:
        decodes = get_decoder(syntax).is_available
    except NotImplementedError:
        decodes = False
    if not decodes:
        raise DecodeError(
            "DICOM_NO_DECODER",
            f"{name}: no decoder for the transfer syntax {syntax.name[:80]!r}; save it as Explicit VR Little Endian",
        )
    if not syntax.is_encapsulated:
        return
    frame = get_frame(found.PixelData, 0, number_of_frames=int(found.get("NumberOfFrames") or 1))
    if syntax in _PILLOW_DECODES:
        refuse_scans(frame, name)
        with Image.open(BytesIO(frame), formats=("JPEG", "JPEG2000")) as opened:
            fits = opened.size == (shape.columns, shape.rows)
    else:
        fits = _unpacked_bytes(frame[_RLE_HEADER_BYTES:], 2 * shape.frame_bytes) <= 2 * shape.frame_bytes
    if not fits:
        raise DecodeError(
            "DECOMPRESSION_BOMB",
            f"{name}: the compressed frame does not unpack to its {shape.columns} x {shape.rows} px; export it again",
        )


def _unpacked_bytes(runs: bytes, enough: int) -> int:
    """Bytes that run lengths stand for, counted until there are more than ``enough``."""
    total = position = 0
    while position < len(runs) and total <= enough:
        length = runs[position]
        if length < _RLE_NOTHING:
            total += length + 1
            position += length + 2
        else:
            total += 257 - length if length > _RLE_NOTHING else 0
            position += 2 if length > _RLE_NOTHING else 1
    return total


def _as_rgb(stored: NDArray[Any], found: Dataset, shape: _Shape) -> NDArray[np.uint8]:
    if shape.photometric in _GREY:
        return cv2.cvtColor(_render_grey(stored, found, shape), cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)
    if shape.photometric == _PALETTE_COLOUR:
        colours = apply_color_lut(stored, found)
        # Tables of 16 bits hold 8-bit colours as often as not.
        return (colours >> 8 if colours.max(initial=0) > _BRIGHTEST else colours).astype(np.uint8)
    return (stored >> max(0, shape.bits_stored - 8)).astype(np.uint8)


def _render_grey(stored: NDArray[Any], found: Dataset, shape: _Shape) -> NDArray[np.uint8]:
    """Every stored value has one shade: work out the shades of all values, then look the pixels up."""
    count = 1 << shape.bits_stored
    least = -(count // 2) if shape.is_signed else 0
    values = _modality_values(np.arange(least, least + count, dtype=np.float64), found)
    places = _places(stored, least, count)
    shades = _values_of_interest(values, found)
    if shades is None:
        shades = _stretched(values, _present(places, count, found, least))
    if shape.photometric == "MONOCHROME1":
        shades = 1.0 - shades
    table = np.rint(np.clip(shades, 0.0, 1.0) * _BRIGHTEST).astype(np.uint8)
    rendered = np.empty(places.shape, np.uint8)
    for rows in _blocks(places.shape):
        rendered[rows] = table[places[rows]]
    return rendered


def _places(stored: NDArray[Any], least: int, count: int) -> NDArray[np.uint16]:
    """Place of each pixel in a table that starts at the least value; bits beyond the stored ones are overlays."""
    wrapped = stored.astype(np.uint16) - np.uint16(least % 65_536)
    return wrapped & np.uint16(count - 1)


def _blocks(shape: tuple[int, ...]) -> list[slice]:
    step = max(1, _BLOCK_PIXELS // shape[1])
    return [slice(start, start + step) for start in range(0, shape[0], step)]


def _present(places: NDArray[np.uint16], count: int, found: Dataset, least: int) -> NDArray[np.bool_]:
    """Which values occur, padding left out if there is anything else."""
    seen = np.zeros(count, np.int64)
    for rows in _blocks(places.shape):
        seen += np.bincount(places[rows].ravel(), minlength=count)
    padding = found.get("PixelPaddingValue")
    if isinstance(padding, int) and np.count_nonzero(seen) > 1:
        seen[(padding - least) % count] = 0
    return seen > 0


def _stretched(values: NDArray[np.float64], present: NDArray[np.bool_]) -> NDArray[np.float64]:
    low, high = float(values[present].min()), float(values[present].max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _modality_values(values: NDArray[np.float64], found: Dataset) -> NDArray[np.float64]:
    tables = found.get("ModalityLUTSequence")
    if tables:
        return _looked_up(values, tables[0])[0]
    slope, intercept = _number(found, "RescaleSlope"), _number(found, "RescaleIntercept")
    return values if slope is None or intercept is None else values * slope + intercept


def _values_of_interest(values: NDArray[np.float64], found: Dataset) -> NDArray[np.float64] | None:
    """Shades from 0 to 1 by the header's window or else its table; None if it has neither that can be used."""
    center, width = _number(found, "WindowCenter"), _number(found, "WindowWidth")
    function = str(found.get("VOILUTFunction") or "LINEAR").strip().upper()
    if center is not None and width is not None:
        if function == "SIGMOID" and width > 0:
            return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -700.0, 700.0)))
        if function == "LINEAR_EXACT" and width > 0:
            return (values - center) / width + 0.5
        if width >= 1:
            return (values - (center - 0.5)) / max(width - 1.0, _STEP) + 0.5
    tables = found.get("VOILUTSequence")
    if tables:
        entries, depth = _looked_up(values, tables[0])
        return entries / float((1 << depth) - 1)
    return None


def _looked_up(values: NDArray[np.float64], table: Dataset) -> tuple[NDArray[np.float64], int]:
    """Entries of a lookup table for these values, and its bits per entry."""
    count, first, depth = (int(number) for number in cast("list[int]", table.LUTDescriptor))
    data = table.LUTData
    words = ">u2" if table.original_encoding[1] is False else "<u2"
    entries = np.frombuffer(data, words) if isinstance(data, bytes) else np.atleast_1d(np.asarray(data))
    if not 1 <= depth <= 16 or len(entries) < (count or 65_536):  # noqa: PLR2004 - the standard's bounds
        raise ValueError("the lookup table is shorter than its descriptor says")
    places = np.clip(values - first, 0, (count or 65_536) - 1).astype(np.int64)
    return entries[places].astype(np.float64), depth


def _number(found: Dataset, name: str) -> float | None:
    """First value of a numeric element; None if it is absent, empty or not finite."""
    value = found.get(name)
    if value is None or value == "":
        return None
    number = float(value[0] if isinstance(value, Sequence) else value)
    return number if np.isfinite(number) else None
