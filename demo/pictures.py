"""Pictures and captions of the packages, put on white and encoded in the three formats a reader meets most."""

import io
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

PICTURE_FOLDERS: Final = {
    "tuxpaint-stamps-default": "usr/share/tuxpaint/stamps",
    "openclipart-svg": "usr/share/openclipart/svg",
}
LONGEST_STAMP_PX: Final = 256
LONGEST_DRAWING_PX: Final = 224
_RENDER_PX: Final = 768
_MARGIN_PX: Final = 8
_SMALL_PNG_BYTES: Final = 12_000
_LOSSY_QUALITY: Final = 88
_DUBLIN_CORE: Final = "{http://purl.org/dc/elements/1.1/}"


@dataclass(frozen=True)
class Encoded:
    """An encoded picture: file suffix with its dot, bytes, and size in pixels."""

    suffix: str
    data: bytes
    width: int
    height: int


@dataclass(frozen=True)
class Caption:
    """What a package says about a picture."""

    text: str
    descriptions: tuple[str, ...] = ()


def picture_root(packages: Path, package: str) -> Path:
    """The folder that the selection's paths start from.

    Raises:
        SystemExit: the package is not unpacked there.
    """
    root = packages / package / PICTURE_FOLDERS[package]
    if not root.is_dir():
        raise SystemExit(f"{root} is missing: unpack the package {package} into {packages / package}")
    return root


def read_cutout(path: Path) -> Image.Image:
    """Read a stamp or drawing as RGBA; a drawing is rendered and cut to what is drawn."""
    if path.suffix == ".svg":
        return _render(path)
    with Image.open(path) as image:
        return image.convert("RGBA")


def read_picture(path: Path) -> Image.Image:
    """Read a stamp or drawing as RGB on white, within the demo's size."""
    cutout = read_cutout(path)
    if path.suffix == ".svg":
        inner = LONGEST_DRAWING_PX - 2 * _MARGIN_PX
        cutout.thumbnail((inner, inner), Image.Resampling.LANCZOS)
        framed = Image.new("RGBA", (cutout.width + 2 * _MARGIN_PX, cutout.height + 2 * _MARGIN_PX))
        framed.paste(cutout, (_MARGIN_PX, _MARGIN_PX))
        return on_white(framed)
    picture = on_white(cutout)
    picture.thumbnail((LONGEST_STAMP_PX, LONGEST_STAMP_PX), Image.Resampling.LANCZOS)
    return picture


def on_white(cutout: Image.Image) -> Image.Image:
    """Composite an RGBA picture on white."""
    white = Image.new("RGBA", cutout.size, "white")
    white.alpha_composite(cutout)
    return white.convert("RGB")


def read_caption(path: Path) -> Caption:
    """The caption a package gives: first line of a stamp's text file, or the title of a drawing."""
    return _drawing_caption(path) if _is_drawing(path) else _stamp_caption(path)


def encode(picture: Image.Image, position: int) -> Encoded:
    """Encode as PNG where that is small, else as JPEG at even positions and WebP at odd ones."""
    lossless = io.BytesIO()
    picture.save(lossless, "PNG", optimize=True)
    if len(lossless.getvalue()) <= _SMALL_PNG_BYTES:
        return Encoded(".png", lossless.getvalue(), *picture.size)
    if position % 2 == 0:
        return Encoded(".jpg", encode_jpeg(picture, _LOSSY_QUALITY), *picture.size)
    lossy = io.BytesIO()
    picture.save(lossy, "WEBP", quality=_LOSSY_QUALITY, method=4)
    return Encoded(".webp", lossy.getvalue(), *picture.size)


def encode_jpeg(picture: Image.Image, quality: int) -> bytes:
    """Encode as JPEG."""
    lossy = io.BytesIO()
    picture.save(lossy, "JPEG", quality=quality)
    return lossy.getvalue()


def _is_drawing(path: Path) -> bool:
    return PICTURE_FOLDERS["openclipart-svg"] in path.as_posix()


def _stamp_caption(path: Path) -> Caption:
    lines = path.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    text = lines[0].strip()
    british = (line.partition("=")[2].strip() for line in lines if line.startswith("en_gb.utf8="))
    return Caption(text, tuple(other for other in british if other and other != text))


def _drawing_caption(path: Path) -> Caption:
    drawing = ET.parse(path).getroot()  # noqa: S314 - from a signed package, read by the person who rebuilds the demo
    title = _text_of(drawing, "title")
    description = _text_of(drawing, "description")
    told = description and description.strip(". ").casefold() != title.casefold()
    return Caption(title, (description,) if told else ())


def _text_of(drawing: ET.Element, name: str) -> str:
    element = next(drawing.iter(_DUBLIN_CORE + name), None)
    return " ".join("".join(element.itertext()).split()) if element is not None else ""


def _render(path: Path) -> Image.Image:
    renderer = shutil.which("rsvg-convert")
    if renderer is None:
        raise SystemExit("rsvg-convert is missing: install the package librsvg2-bin")
    side = str(_RENDER_PX)
    command = [renderer, "--width", side, "--height", side, "--keep-aspect-ratio", str(path)]
    rendered = subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603 - fixed program, own path
    with Image.open(io.BytesIO(rendered)) as image:
        cutout = image.convert("RGBA")
    return cutout.crop(cutout.getchannel("A").getbbox())
