"""Decoding agrees with Pillow wherever both shrink nothing, and stays close where they shrink differently."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from mm_assets.errors import DecodeError
from mm_assets.features.decode import decode_square, fitted_size

WHITE = (255, 255, 255)


def picture(width=96, height=96):
    rows, columns = np.mgrid[0:height, 0:width]
    colours = np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) * 255 // (height + width)], -1)
    return Image.fromarray(colours.astype(np.uint8))


def see_through(image):
    alpha = np.tile(np.linspace(0, 255, image.width).astype(np.uint8), (image.height, 1))
    image = image.copy()
    image.putalpha(Image.fromarray(alpha))
    return image


def encode(image, fmt, **options):
    stream = io.BytesIO()
    image.save(stream, fmt, **options)
    return stream.getvalue()


def reference(data, side):
    """What Pillow makes of it: upright, on white, squashed."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return np.asarray(white.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)).astype(int)


DEEP_GREY = Image.fromarray((np.mgrid[0:96, 0:96][0] * 600).astype(np.uint16))
IMAGES = {
    "rgb": picture(),
    "rgba": see_through(picture()),
    "grey": picture().convert("L"),
    "grey-alpha": see_through(picture()).convert("LA"),
    "palette": picture().quantize(64),
    "palette-alpha": see_through(picture()).quantize(64),
    "bilevel": picture().convert("1"),
    "16-bit": DEEP_GREY,
}
FORMATS = {
    "rgb": ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"),
    "rgba": ("PNG", "WEBP", "TIFF"),
    "grey": ("PNG", "JPEG", "TIFF"),
    "grey-alpha": ("PNG",),
    "palette": ("PNG", "GIF", "BMP"),
    "palette-alpha": ("PNG",),
    "bilevel": ("PNG", "TIFF"),
    "16-bit": ("PNG", "TIFF"),
}
CASES = [(kind, fmt) for kind, formats in FORMATS.items() for fmt in formats]


@pytest.mark.parametrize(("kind", "fmt"), CASES)
def test_same_pixels_as_pillow_at_full_size(kind, fmt):
    data = encode(
        IMAGES[kind], fmt, **({"quality": 95} if fmt == "JPEG" else {"lossless": True} if fmt == "WEBP" else {})
    )
    assert np.abs(decode_square(data, 96, "squash", WHITE) - reference(data, 96)).max() <= 2


@pytest.mark.parametrize("fmt", ["PNG", "JPEG"])
@pytest.mark.parametrize("kind", ["rgb", "grey"])
def test_close_to_pillow_when_shrunk(kind, fmt):
    image = picture(640, 400) if kind == "rgb" else picture(640, 400).convert("L")
    data = encode(image, fmt)
    assert np.abs(decode_square(data, 112, "squash", WHITE) - reference(data, 112)).mean() < 1.0


def test_transparent_colours_stay_hidden():
    hidden = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    assert (decode_square(encode(hidden, "PNG"), 16, "squash", WHITE) == 255).all()


def test_palette_with_a_transparent_colour():
    data = encode(picture().quantize(16), "PNG", transparency=3)
    assert (decode_square(data, 96, "squash", WHITE) == reference(data, 96)).all()


def test_cmyk_jpeg():
    data = encode(picture().convert("CMYK"), "JPEG", quality=95)
    assert np.abs(decode_square(data, 96, "squash", WHITE) - reference(data, 96)).max() <= 2


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_for_every_exif_orientation(orientation, fmt):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}}.get(fmt, {})
    data = encode(picture(96, 64), fmt, exif=exif, **options)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    side = max(upright.shape)
    top, left = (side - upright.shape[0]) // 2, (side - upright.shape[1]) // 2
    padded = decode_square(data, side, "longest", (1, 2, 3))
    inside = padded[top : top + upright.shape[0], left : left + upright.shape[1]]
    assert np.abs(inside.astype(int) - upright).max() <= 2
    outside = np.ones(padded.shape[:2], bool)
    outside[top : top + upright.shape[0], left : left + upright.shape[1]] = False
    assert (padded[outside] == (1, 2, 3)).all()


def test_shortest_crops_the_centre():
    stripes = np.zeros((10, 30, 3), np.uint8)
    stripes[:, 10:20] = 200
    square = decode_square(encode(Image.fromarray(stripes), "PNG"), 10, "shortest", WHITE)
    assert (square == 200).all()


@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    side=st.integers(1, 300),
    mode=st.sampled_from(["shortest", "longest", "squash"]),
)
def test_fitted_size_holds_its_promise(width, height, side, mode):
    fitted = fitted_size(width, height, side, mode)
    assert min(fitted) >= 1
    if mode == "shortest":
        assert min(fitted) == side
    elif mode == "longest":
        assert max(fitted) == side
    else:
        assert fitted == (side, side)
    if mode != "squash" and min(fitted) > 1:
        assert abs(fitted[0] * height - fitted[1] * width) <= max(width, height)


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 200),
    height=st.integers(1, 200),
    mode=st.sampled_from(["shortest", "longest", "squash"]),
    fmt=st.sampled_from(["PNG", "JPEG", "WEBP"]),
)
def test_always_a_square_of_bytes(width, height, mode, fmt):
    square = decode_square(encode(picture(width, height), fmt), 32, mode, WHITE)
    assert square.shape == (32, 32, 3)
    assert square.dtype == np.uint8
    assert square.flags.c_contiguous


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow remarks on broken EXIF before it refuses the picture
@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0"]))
def test_garbage_is_an_input_error(data, head):
    with pytest.raises(DecodeError) as caught:
        decode_square(head + data, 32, "squash", WHITE)
    assert caught.value.code == "IMAGE_UNREADABLE"


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP"])
def test_truncated_is_an_input_error(fmt):
    data = encode(picture(300, 200), fmt)
    with pytest.raises(DecodeError):
        decode_square(data[: len(data) // 2], 32, "squash", WHITE)
