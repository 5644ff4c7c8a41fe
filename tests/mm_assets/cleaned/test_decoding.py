import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageDraw, ImageOps

from mm_assets.cleaned.bounds import MAX_JPEG_SCANS
from mm_assets.cleaned.decoding import FORMATS, DecodedImage, decode_image, quiet_decoders
from mm_assets.errors import DecodeError
from mm_assets.policy import ImagePolicy

POLICY = ImagePolicy()
CODES = {
    "EMPTY_FILE",
    "NOT_AN_IMAGE",
    "TRUNCATED_IMAGE",
    "DECOMPRESSION_BOMB",
    "TOO_SMALL",
    "EXTREME_ASPECT",
}


@pytest.fixture(autouse=True)
def _quiet():
    with quiet_decoders():
        yield


def _picture(width: int = 80, height: int = 60) -> Image.Image:
    """Colours, edges and a gradient: something every codec has work with."""
    ramp = np.linspace(0, 255, width, dtype=np.uint8)
    image = Image.fromarray(
        np.stack(
            [np.tile(ramp, (height, 1)), np.full((height, width), 90, np.uint8), np.tile(ramp[::-1], (height, 1))], 2
        )
    )
    draw = ImageDraw.Draw(image)
    draw.ellipse((width // 4, height // 4, width // 2, height // 2), fill=(250, 220, 10), outline=(0, 0, 0))
    draw.line((0, 0, width, height // 2), fill=(0, 160, 60), width=3)
    return image


def _encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def _code(data: bytes, policy: ImagePolicy = POLICY) -> str:
    with pytest.raises(DecodeError) as caught:
        decode_image(data, "images/metadata.jsonl:7", policy)
    assert caught.value.code in CODES
    assert caught.value.reason.startswith("images/metadata.jsonl:7: ")
    assert ";" in caught.value.reason, "the reason ends with a fix"
    return caught.value.code


def _outcome(data: bytes, name: str) -> DecodedImage | DecodeError:
    try:
        return decode_image(data, name, POLICY)
    except DecodeError as error:
        return error


SAMPLES = {
    "png": _encoded(_picture(), "PNG"),
    "png palette": _encoded(_picture().quantize(16), "PNG"),
    "jpeg": _encoded(_picture(), "JPEG", quality=85),
    "jpeg progressive": _encoded(_picture(), "JPEG", quality=85, progressive=True),
    "webp": _encoded(_picture(), "WEBP", quality=80),
    "webp lossless": _encoded(_picture(), "WEBP", lossless=True),
    "gif": _encoded(_picture().quantize(32), "GIF"),
    "bmp": _encoded(_picture(), "BMP"),
    "tiff": _encoded(_picture(), "TIFF"),
    "tiff lzw": _encoded(_picture(), "TIFF", compression="tiff_lzw"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_decodes_every_format_of_the_list(name: str) -> None:
    decoded = decode_image(SAMPLES[name], name, POLICY)
    assert decoded.format == name.split(maxsplit=1)[0].upper()
    assert decoded.format in FORMATS
    assert decoded.pixels.shape == (60, 80, 3)
    assert decoded.pixels.dtype == np.uint8
    error = np.abs(decoded.pixels.astype(int) - np.asarray(_picture()).astype(int)).mean()
    assert error < (12 if name in {"png palette", "gif", "jpeg", "jpeg progressive", "webp"} else 0.01)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_cut_file_is_rejected_or_lost_nothing_of_the_picture(name: str) -> None:
    data = SAMPLES[name]
    whole = decode_image(data, name, POLICY).pixels
    kept = []
    for size in sorted({*range(0, len(data), 41), *range(len(data) - 40, len(data))}):
        outcome = _outcome(data[:size], name)
        if isinstance(outcome, DecodeError):
            assert outcome.code in {"EMPTY_FILE", "NOT_AN_IMAGE", "TRUNCATED_IMAGE"}
        else:
            kept.append(size)
            assert np.array_equal(outcome.pixels, whole), f"cut at {size} of {len(data)} it lost pixels and was kept"
    # Only what follows the pixels may be missing: checksums and end markers.
    assert all(size >= len(data) - 24 for size in kept)


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(SAMPLES)),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=4),
)
def test_changed_bytes_never_crash(name: str, flips: list[tuple[float, int]]) -> None:
    data = bytearray(SAMPLES[name])
    for place, change in flips:
        data[int(place * len(data))] ^= change
    outcome = _outcome(bytes(data), name)
    if isinstance(outcome, DecodeError):
        assert outcome.code in CODES
        assert outcome.reason.startswith(name)
    else:
        assert outcome.pixels.dtype == np.uint8
        assert outcome.pixels.shape[2:] == (3,)


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=400), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\0"])
)
def test_arbitrary_bytes_never_crash(data: bytes, signature: bytes) -> None:
    outcome = _outcome(signature + data, "noise")
    assert isinstance(outcome, DecodedImage) or outcome.code in CODES


def test_empty_and_foreign_bytes() -> None:
    assert _code(b"") == "EMPTY_FILE"
    assert _code(b"<svg xmlns='http://www.w3.org/2000/svg'/>") == "NOT_AN_IMAGE"
    assert _code(b"%PDF-1.4\n") == "NOT_AN_IMAGE"
    assert _code(b"\x80\x04\x95cposix\nsystem\n(S'true'\ntR.") == "NOT_AN_IMAGE"


@pytest.mark.parametrize("image_format", ["PPM", "ICO", "TGA", "PCX", "EPS"])
def test_formats_off_the_list_are_not_tried(image_format: str) -> None:
    assert _code(_encoded(_picture(64, 64), image_format)) == "NOT_AN_IMAGE"


def _png(width: int, height: int, rows: bytes, *, depth: int = 8, colour: int = 0) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def test_a_header_of_a_bomb_is_refused_before_any_pixel() -> None:
    assert _code(_png(100_000, 100_000, b"\0" * 100)) == "DECOMPRESSION_BOMB"
    assert _code(_png(20_000, 5_000, b"\0" * 100)) == "DECOMPRESSION_BOMB"
    assert _code(_png(300, 200, b"\0" * 100), ImagePolicy(max_pixels=59_999)) == "DECOMPRESSION_BOMB"
    gif = bytearray(SAMPLES["gif"])
    gif[6:10] = struct.pack("<HH", 65_535, 65_535)
    assert _code(bytes(gif)) == "DECOMPRESSION_BOMB"


def test_data_beyond_the_declared_rows_is_never_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    # 64 x 64 px by the header, 200 MB behind it in 200 kB: the decoder stops at row 64.
    bomb = _png(64, 64, b"\0" * 200_000_000)
    assert len(bomb) < 250_000
    assert decode_image(bomb, "bomb", POLICY).pixels.shape == (64, 64, 3)


def test_a_text_chunk_bomb_is_rejected_or_ignored() -> None:
    body = b"Comment\0\0" + zlib.compress(b"a" * 80_000_000, 9)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    clean = _png(64, 64, b"\0" * 65 * 64)
    assert _code(clean[:33] + chunk + clean[33:]) == "TRUNCATED_IMAGE"


@pytest.mark.parametrize("colour", [0, 2, 6])
def test_too_few_rows_behind_true_checksums(colour: int) -> None:
    row = b"\0" + b"\x7f" * 64 * {0: 1, 2: 3, 6: 4}[colour]
    short = _png(64, 64, row * 20, colour=colour)
    Image.open(BytesIO(short)).load()  # pins Pillow: the missing rows are black, and nothing is said
    assert _code(short) == "TRUNCATED_IMAGE"
    assert decode_image(_png(64, 64, row * 64, colour=colour), "whole", POLICY).pixels.shape == (64, 64, 3)


def test_a_picture_that_ends_in_the_filling_is_kept() -> None:
    for mode, value in (("L", 165), ("RGB", (165, 165, 165)), ("RGBA", (165, 165, 165, 165)), ("1", 1)):
        data = _encoded(Image.new(mode, (40, 40), value), "PNG")
        assert decode_image(data, mode, POLICY).pixels.shape == (40, 40, 3)


def test_a_jpeg_of_absurdly_many_scans_is_refused() -> None:
    data = SAMPLES["jpeg progressive"]
    start = data.rindex(b"\xff\xda")
    scan = data[start:-2]
    assert _code(data[:start] + scan * (MAX_JPEG_SCANS + 1) + data[-2:]) == "DECOMPRESSION_BOMB"


def test_lost_jpeg_data_is_rejected_where_pillow_shrugs() -> None:
    data = SAMPLES["jpeg"]
    start = data.index(b"\xff\xda") + 20
    broken = data[:start] + data[start + 60 :]
    Image.open(BytesIO(broken)).load()  # pins Pillow: no complaint
    assert _code(broken) == "TRUNCATED_IMAGE"


def test_junk_between_jpeg_segments_is_harmless() -> None:
    data = SAMPLES["jpeg"]
    whole = decode_image(data, "whole", POLICY).pixels
    assert np.array_equal(decode_image(data[:-2] + b"\x12\x34\x56" + data[-2:], "junk", POLICY).pixels, whole)
    assert np.array_equal(decode_image(data + b"appended by some camera", "tail", POLICY).pixels, whole)


def test_size_and_aspect_rules() -> None:
    policy = ImagePolicy(min_side_px=32, max_aspect=5.0)
    assert _code(_encoded(_picture(31, 31), "PNG"), policy) == "TOO_SMALL"
    assert _code(_encoded(_picture(161, 32), "PNG"), policy) == "EXTREME_ASPECT"
    assert _code(_encoded(_picture(32, 161), "PNG"), policy) == "EXTREME_ASPECT"
    assert decode_image(_encoded(_picture(160, 32), "PNG"), "at the bound", policy).pixels.shape == (32, 160, 3)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_stands_the_picture_upright(image_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if image_format == "WEBP" else {"quality": 95} if image_format == "JPEG" else {}
    data = _encoded(_picture(), image_format, exif=exif, **lossless)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(data))).convert("RGB"))
    pixels = decode_image(data, "turned", POLICY).pixels
    assert pixels.shape == ((80, 60, 3) if orientation > 4 else (60, 80, 3))
    assert np.array_equal(pixels, expected)


def test_alpha_lies_on_white() -> None:
    layered = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    layered.paste((0, 0, 255, 255), (10, 10, 30, 30))
    layered.paste((0, 0, 0, 128), (0, 0, 5, 5))
    for data in (_encoded(layered, "PNG"), _encoded(layered, "WEBP", lossless=True)):
        pixels = decode_image(data, "alpha", POLICY).pixels
        assert pixels[35, 35].tolist() == [255, 255, 255]
        assert pixels[20, 20].tolist() == [0, 0, 255]
        assert pixels[2, 2].tolist() == pytest.approx([127, 127, 127], abs=1)


def test_transparent_palette_and_grey_lie_on_white() -> None:
    palette = _picture(40, 40).quantize(8)
    corner = palette.getpixel((0, 0))
    data = _encoded(palette, "PNG", transparency=corner)
    assert decode_image(data, "palette", POLICY).pixels[0, 0].tolist() == [255, 255, 255]
    grey = Image.new("LA", (40, 40), (10, 0))
    assert decode_image(_encoded(grey, "PNG"), "grey", POLICY).pixels.min() == 255


def test_sixteen_bits_scale_to_eight() -> None:
    ramp = np.linspace(0, 65_535, 64 * 64).reshape(64, 64).astype(np.uint16)
    pixels = decode_image(_encoded(Image.fromarray(ramp), "PNG"), "deep", POLICY).pixels
    assert pixels.min() == 0
    assert pixels.max() == 255
    assert np.abs(pixels[..., 0].astype(float) - ramp / 257.0).max() <= 1.0
    colour = _png(64, 64, b"".join(b"\0" + b"\xff\xff\x80\x00\x00\x00" * 64 for _ in range(64)), depth=16, colour=2)
    assert decode_image(colour, "deep colour", POLICY).pixels[5, 5].tolist() == pytest.approx([255, 128, 0], abs=1)


def test_two_levels_become_black_and_white() -> None:
    bits = Image.new("1", (40, 40), 1)
    bits.paste(0, (0, 0, 20, 40))
    pixels = decode_image(_encoded(bits, "PNG"), "bits", POLICY).pixels
    assert pixels[5, 5].tolist() == [0, 0, 0]
    assert pixels[5, 30].tolist() == [255, 255, 255]


def test_cmyk_jpegs_become_rgb() -> None:
    red = Image.new("CMYK", (40, 40), (0, 255, 255, 0))
    pixels = decode_image(_encoded(red, "JPEG", quality=95), "print", POLICY).pixels
    assert pixels[20, 20].tolist() == pytest.approx([255, 0, 0], abs=12)


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "lime", "blue")]
    save: dict[str, Callable[[], bytes]] = {
        "GIF": lambda: _encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50),
        "WEBP": lambda: _encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True),
        "PNG": lambda: _encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "TIFF": lambda: _encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:]),
    }
    for image_format, encode in save.items():
        decoded = decode_image(encode(), "moving", POLICY)
        assert decoded.format == image_format
        assert decoded.pixels[20, 20].tolist() == [255, 0, 0]


def test_a_broken_colour_profile_or_exif_does_not_lose_the_picture() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for image_format in ("JPEG", "PNG"):
        data = _encoded(_picture(), image_format, icc_profile=profile[:50])
        assert decode_image(data, "profile", POLICY).pixels.shape == (60, 80, 3)
    data = _encoded(_picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7fgarbage")
    assert decode_image(data, "exif", POLICY).pixels.shape == (60, 80, 3)
