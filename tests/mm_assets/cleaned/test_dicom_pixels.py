import struct
import warnings
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from mm_assets.cleaned.decoding import decode_image, quiet_decoders
from mm_assets.display.contact_sheet import thumbnail
from mm_assets.errors import DecodeError
from mm_assets.features.decode import decode_square
from mm_assets.policy import ImagePolicy

POLICY = ImagePolicy(max_pixels=1_000_000)
RAMP = np.tile(np.linspace(0, 4095, 64).astype(np.uint16), (48, 1))
CODES = {
    "NOT_AN_IMAGE",
    "DICOM_INVALID",
    "DICOM_NO_PIXELS",
    "DICOM_UNSUPPORTED",
    "DICOM_NO_DECODER",
    "DECOMPRESSION_BOMB",
    "TRUNCATED_IMAGE",
    "TOO_SMALL",
    "EXTREME_ASPECT",
}


@pytest.fixture(autouse=True)
def _quiet():
    with quiet_decoders():
        yield


def _dataset(pixels: NDArray[Any], photometric: str = "MONOCHROME2", bits: int | None = None, **tags: Any) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["test"])
    dataset.PatientName = "ROENTGEN^WILHELM"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    allocated = 8 * pixels.dtype.itemsize
    dataset.BitsAllocated, dataset.BitsStored = allocated, bits or allocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.SamplesPerPixel = pixels.shape[2] if pixels.ndim == 3 else 1
    if dataset.SamplesPerPixel > 1:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = photometric
    dataset.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    return dataset


def _file(dataset: Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _compressed(pixels: NDArray[Any], frames: list[bytes], syntax: UID, photometric: str, **tags: Any) -> bytes:
    dataset = _dataset(pixels, photometric, **tags)
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].is_undefined_length = True
    return _file(dataset, syntax)


def _encoded(pixels: NDArray[np.uint8], image_format: str, **options: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, image_format, **options)
    return buffer.getvalue()


def _grey(data: bytes) -> NDArray[np.uint8]:
    decoded = decode_image(data, "x", POLICY)
    assert decoded.format == "DICOM"
    assert decoded.pixels.dtype == np.uint8
    assert (decoded.pixels[:, :, 0] == decoded.pixels[:, :, 2]).all()
    return decoded.pixels[:, :, 0]


def _code(data: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        decode_image(data, "images/metadata.jsonl:7", POLICY)
    assert caught.value.reason.startswith("images/metadata.jsonl:7: ")
    assert ";" in caught.value.reason, "the reason ends with a fix"
    assert "ROENTGEN" not in caught.value.reason
    return caught.value.code


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_without_a_window_the_values_fill_the_range(syntax: UID) -> None:
    pixels = RAMP + np.uint16(100)
    stored = pixels.byteswap() if syntax == ExplicitVRBigEndian else pixels
    grey = _grey(_file(_dataset(stored, bits=13), syntax))
    assert grey.shape == (48, 64)
    assert (grey[0, 0], grey[0, -1]) == (0, 255)
    assert (np.diff(grey[0].astype(int)) >= 0).all()


def test_monochrome1_is_inverted() -> None:
    plain, inverted = _grey(_file(_dataset(RAMP))), _grey(_file(_dataset(RAMP, "MONOCHROME1")))
    assert np.array_equal(inverted, 255 - plain)


@pytest.mark.parametrize(
    ("function", "worked"),
    [
        # PS3.3 C.11.2.1.2 and C.11.2.1.3 by hand: five values, centre 2000, width 1001
        ("LINEAR", [0, 0, 127.6, 255, 255]),
        ("LINEAR_EXACT", [0, 0.1, 127.5, 254.9, 255]),
        ("SIGMOID", [4.6, 30.5, 127.5, 224.5, 250.4]),
    ],
)
def test_window_is_applied(function: str, worked: list[float]) -> None:
    pixels = np.tile(np.repeat(np.array([1000, 1500, 2000, 2500, 3000], np.uint16), 10), (40, 1))
    data = _file(_dataset(pixels, bits=12, WindowCenter=[2000, 17], WindowWidth=[1001, 5], VOILUTFunction=function))
    assert _grey(data)[0, ::10].tolist() == pytest.approx(worked, abs=1.0)


def test_rescale_comes_before_the_window() -> None:
    hounsfield = np.tile(np.repeat(np.array([-1000, 0, 40, 80], np.int16), 16), (40, 1))
    stored = ((hounsfield + 1024) // 2).astype(np.int16)
    data = _file(_dataset(stored, bits=12, RescaleSlope=2, RescaleIntercept=-1024, WindowCenter=40.5, WindowWidth=81))
    assert _grey(data)[0, ::16].tolist() == pytest.approx([0, 0, 127, 255], abs=1)


def _table(entries: list[int], first: int, depth: int) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, depth]
    item.LUTData = struct.pack(f"<{len(entries)}H", *entries)
    item["LUTData"].VR = "OW"
    return item


def test_tables_of_modality_and_interest_are_looked_up_and_clamped() -> None:
    pixels = np.tile(np.repeat(np.array([0, 10, 11, 12, 200], np.uint16), 10), (40, 1))
    data = _file(_dataset(pixels, bits=12, VOILUTSequence=[_table([0, 128, 255], 10, 8)]))
    assert _grey(data)[0, ::10].tolist() == [0, 0, 128, 255, 255]
    data = _file(_dataset(pixels, bits=12, ModalityLUTSequence=[_table([500, 300, 100], 10, 16)]))
    assert _grey(data)[0, ::10].tolist() == pytest.approx([255, 255, 127, 0, 0], abs=1)


def test_padding_and_overlay_bits_do_not_stretch_the_range() -> None:
    pixels = (1000 + RAMP // 16).astype(np.uint16)
    pixels[:10] = 4000
    grey = _grey(_file(_dataset(pixels, bits=12, PixelPaddingValue=4000)))
    assert (grey[20, 0], grey[20, -1]) == (0, 255)
    overlaid = pixels.copy()
    overlaid[30:] |= 0xF000
    assert np.array_equal(_grey(_file(_dataset(overlaid, bits=12, PixelPaddingValue=4000))), grey)


def test_signed_values_keep_their_order() -> None:
    pixels = np.tile(np.linspace(-2000, 2000, 64).astype(np.int16), (40, 1))
    for bits in (12, 16):
        grey = _grey(_file(_dataset(pixels, bits=bits)))
        assert (grey[0, 0], grey[0, -1]) == (0, 255)
        assert (np.diff(grey[0].astype(int)) >= 0).all()


def test_a_flat_picture_and_a_useless_window_decode() -> None:
    assert _grey(_file(_dataset(np.full((40, 40), 7, np.uint16)))).max() == 0
    assert np.array_equal(_grey(_file(_dataset(RAMP, WindowCenter=5, WindowWidth=0))), _grey(_file(_dataset(RAMP))))


def test_colours_are_rgb() -> None:
    colours = np.zeros((40, 60, 3), np.uint8)
    colours[:, :20], colours[:, 20:40] = (200, 10, 30), (0, 255, 128)
    assert np.array_equal(decode_image(_file(_dataset(colours, "RGB")), "x", POLICY).pixels, colours)
    deep = colours.astype(np.uint16) << 4
    assert np.array_equal(decode_image(_file(_dataset(deep, "RGB", bits=12)), "x", POLICY).pixels, colours)
    ycc = np.asarray(Image.fromarray(colours).convert("YCbCr"))
    assert np.abs(decode_image(_file(_dataset(ycc, "YBR_FULL")), "x", POLICY).pixels.astype(int) - colours).max() <= 3


def test_palette_is_looked_up() -> None:
    indices = np.tile(np.arange(4, dtype=np.uint8), (40, 10))
    tables = {}
    for name, entries in (("Red", [0, 255, 0, 9]), ("Green", [0, 0, 255, 9]), ("Blue", [0, 0, 0, 9])):
        tables[f"{name}PaletteColorLookupTableDescriptor"] = [4, 0, 16]
        tables[f"{name}PaletteColorLookupTableData"] = struct.pack("<4H", *(entry * 257 for entry in entries))
    decoded = decode_image(_file(_dataset(indices, "PALETTE COLOR", **tables)), "x", POLICY)
    assert decoded.pixels[0, :4].tolist() == [[0, 0, 0], [255, 0, 0], [0, 255, 0], [9, 9, 9]]
    assert _code(_file(_dataset(indices, "PALETTE COLOR"))) == "DICOM_UNSUPPORTED"


def test_compressed_pictures_decode() -> None:
    grey = (RAMP // 16).astype(np.uint8)
    jpeg = _compressed(grey, [_encoded(grey, "JPEG", quality=95)], JPEGBaseline8Bit, "MONOCHROME2")
    assert np.abs(_grey(jpeg).astype(int) - grey).max() < 8
    wavelet = _compressed(grey, [_encoded(grey, "JPEG2000", no_jp2=True)], JPEG2000Lossless, "MONOCHROME2")
    assert np.array_equal(_grey(wavelet), grey)
    dataset = _dataset(RAMP, bits=12)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.compress(RLELossless)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    assert np.array_equal(_grey(buffer.getvalue()), _grey(_file(_dataset(RAMP, bits=12))))


def test_of_several_frames_the_first_is_decoded() -> None:
    frames = np.stack([RAMP, RAMP[:, ::-1]])
    dataset = _dataset(RAMP, NumberOfFrames=2)
    dataset.PixelData = frames.tobytes()
    assert np.array_equal(_grey(_file(dataset)), _grey(_file(_dataset(RAMP))))


def test_the_encoder_and_the_contact_sheet_see_the_same_pixels() -> None:
    data = _file(_dataset(RAMP, "MONOCHROME1"))
    square = decode_square(data, 32, "squash", (0, 0, 0))
    assert square.shape == (32, 32, 3)
    assert square[16, 1].max() > 230
    assert square[16, -2].max() < 25
    assert np.asarray(thumbnail(data, 32))[16, 2].max() > 230


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"Rows": 60_000, "Columns": 60_000}, "DECOMPRESSION_BOMB"),
        ({"NumberOfFrames": 2_000_000_000}, "DECOMPRESSION_BOMB"),
        ({"NumberOfFrames": -1}, "DICOM_NO_PIXELS"),
        ({"Rows": 0}, "DICOM_NO_PIXELS"),
        ({"Rows": 49}, "TRUNCATED_IMAGE"),
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, "DICOM_UNSUPPORTED"),
        ({"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, "DICOM_UNSUPPORTED"),
        ({"BitsStored": 0}, "DICOM_UNSUPPORTED"),
        ({"BitsStored": 12, "HighBit": 15}, "DICOM_UNSUPPORTED"),
        ({"PhotometricInterpretation": "HSV"}, "DICOM_UNSUPPORTED"),
        ({"PhotometricInterpretation": "RGB"}, "DICOM_UNSUPPORTED"),
        ({"VOILUTSequence": [_table([1, 2], 0, 17)]}, "DICOM_INVALID"),
        ({"Rows": 4, "Columns": 4}, "TOO_SMALL"),
        ({"Rows": 480, "Columns": 64, "PixelData": bytes(480 * 64 * 2)}, "EXTREME_ASPECT"),
    ],
)
def test_headers_that_promise_what_is_not_there_are_refused(tags: dict[str, Any], code: str) -> None:
    assert _code(_file(_dataset(RAMP, **tags))) == code


def test_files_without_pixels_or_decoder_are_refused() -> None:
    dataset = _dataset(RAMP)
    del dataset.PixelData
    assert _code(_file(dataset)) == "DICOM_NO_PIXELS"
    whole = _file(_dataset(RAMP))
    assert _code(whole[:-100]) == "TRUNCATED_IMAGE"
    assert _code(whole[:300]) == "DICOM_NO_PIXELS"
    assert _code(_file(_dataset(RAMP), DeflatedExplicitVRLittleEndian)) == "DICOM_UNSUPPORTED"
    grey = (RAMP // 16).astype(np.uint8)
    undecoded = _compressed(grey, [b"\xff\xd8 no JPEG-LS"], JPEGLSLossless, "MONOCHROME2")
    assert _code(undecoded) == "DICOM_NO_DECODER"
    assert _code(undecoded.replace(JPEGLSLossless.encode(), b"1.2.840.10008.1.2.4.ZZ")) == "DICOM_NO_DECODER"
    jpeg = _encoded(grey, "JPEG")
    assert _code(_compressed(grey, [jpeg[:-80]], JPEGBaseline8Bit, "MONOCHROME2")) == "TRUNCATED_IMAGE"


def test_compressed_frames_larger_than_promised_are_bombs() -> None:
    grey = (RAMP // 16).astype(np.uint8)
    large = _encoded(np.zeros((900, 900), np.uint8), "JPEG")
    assert _code(_compressed(grey, [large], JPEGBaseline8Bit, "MONOCHROME2")) == "DECOMPRESSION_BOMB"
    runs = struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\x00" * 100_000
    assert _code(_compressed(grey, [runs], RLELossless, "MONOCHROME2")) == "DECOMPRESSION_BOMB"
    nested = bytearray()
    for _ in range(5_000):
        nested += b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    whole = _file(_dataset(RAMP))
    start = whole.index(b"\x08\x00\x16\x00")
    assert _code(whole[:start] + bytes(nested) + whole[start:]) == "DICOM_INVALID"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_anywhere_decodes_or_is_an_error_of_ours(data: st.DataObject) -> None:
    whole = bytearray(_SMALL)
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(132, _PIXELS_AT))] = data.draw(st.integers(0, 255))
    outcome = _outcome(bytes(whole))
    if isinstance(outcome, DecodeError):
        assert outcome.code in CODES
    else:
        height, width, channels = outcome.shape
        assert channels == 3
        assert height * width <= POLICY.max_pixels


def _outcome(data: bytes) -> NDArray[np.uint8] | DecodeError:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return decode_image(data, "x", POLICY).pixels
        except DecodeError as error:
            return error


_SMALL = _file(_dataset(RAMP, bits=12, WindowCenter=2000, WindowWidth=1000, RescaleSlope=1, RescaleIntercept=0))
_PIXELS_AT = _SMALL.index(b"\xe0\x7f\x10\x00") + 12
