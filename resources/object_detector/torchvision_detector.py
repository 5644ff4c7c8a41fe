"""Any detection model of torchvision, from a checkpoint on this machine."""

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from mm_assets.aligned.objects.claims.interfaces import SeenObjects
from mm_assets.errors import EmbeddingShapeError, InferenceError, PolicyError, WeightsMissingError
from mm_assets.models import ModelIdentity, sha256_of

PREFIX: Final = "torchvision:"
_LONGEST_PX: Final = 1_333
_LABELS_SUFFIX: Final = ".labels.txt"
_NOT_OBJECTS: Final = frozenset({"", "N/A", "__background__"})


class TorchvisionDetector:
    """An `ObjectDetector` for production.

    Its classes are those the architecture was published with, COCO's; a checkpoint with other ones brings a file of its
    own name and ``.labels.txt`` beside it, one name a line, the background first.

    Args:
        architecture: name of a detection model of torchvision, such as ``fasterrcnn_mobilenet_v3_large_320_fpn``.
        checkpoint: its state, as ``torch.save`` writes it; loaded as tensors only.
        threshold: score from which an object may be there.
        certainty: score from which it is certain.
        threads: threads of the model on a CPU.
    """

    def __init__(
        self, architecture: str, checkpoint: Path, *, threshold: float, certainty: float, threads: int = 1
    ) -> None:
        self._architecture = architecture
        self._checkpoint = checkpoint
        self._threshold = threshold
        self._certainty = certainty
        self._threads = threads
        self._loading = threading.RLock()

    @property
    def identity(self) -> ModelIdentity:
        """Architecture, file name and SHA-256 of the checkpoint."""
        return self._identity

    @cached_property
    def _identity(self) -> ModelIdentity:
        revision = f"{self._checkpoint.name}@{self._threshold:g}"
        return ModelIdentity(PREFIX + self._architecture, revision, sha256_of(self._checkpoint))

    @property
    def device(self) -> str:
        """``cuda`` where there is one."""
        return self._device

    @cached_property
    def _device(self) -> str:
        import torch  # noqa: PLC0415 - heavy

        return "cuda" if torch.cuda.is_available() else "cpu"

    @property
    def vocabulary(self) -> frozenset[str]:
        """The classes it was trained on."""
        return frozenset(self._names) - _NOT_OBJECTS

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture, no longer than 1,333 pixels, as the models were trained."""
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:  # noqa: PLR2004
            raise EmbeddingShapeError(
                f"{self.identity}: pixels are {pixels.dtype} {pixels.shape}; give uint8 (H, W, 3)"
            )
        scale = _LONGEST_PX / max(pixels.shape[:2])
        if scale >= 1.0:
            return np.ascontiguousarray(pixels)
        size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
        return cast("NDArray[np.uint8]", cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))

    def detect(self, prepared: Sequence[NDArray[np.uint8]], wanted: Sequence[frozenset[str]]) -> list[SeenObjects]:
        """Look for every class in every picture; what is wanted makes no difference to this model."""
        if len(prepared) != len(wanted):
            raise EmbeddingShapeError(
                f"{self.identity}: {len(prepared)} pictures, {len(wanted)} requests; give one each"
            )
        if not prepared:
            return []
        import torch  # noqa: PLC0415 - heavy

        model = self._model
        with torch.inference_mode():
            pictures = [torch.from_numpy(pixels.copy()).permute(2, 0, 1).to(self.device) / 255.0 for pixels in prepared]
            outputs = cast("list[dict[str, Any]]", model(pictures))
        return [self._tell(output["labels"].cpu().numpy(), output["scores"].cpu().numpy()) for output in outputs]

    def _tell(self, labels: NDArray[np.int64], scores: NDArray[np.float32]) -> SeenObjects:
        if not np.isfinite(scores).all():
            raise InferenceError(f"{self.identity} returned scores that are not finite; check the checkpoint")
        found: dict[str, float] = {}
        for label, score in zip(labels.tolist(), scores.tolist(), strict=True):
            name = self._names[label] if label < len(self._names) else ""
            if name not in _NOT_OBJECTS:
                found[name] = max(found.get(name, 0.0), score)
        return SeenObjects(
            seen=frozenset(name for name, score in found.items() if score >= self._threshold),
            certain=frozenset(name for name, score in found.items() if score >= self._certainty),
            clarity=max(found.values(), default=0.0),
        )

    @cached_property
    def _names(self) -> tuple[str, ...]:
        own = self._checkpoint.with_name(self._checkpoint.name + _LABELS_SUFFIX)
        if own.is_file():
            return tuple(line.strip() for line in own.read_text(encoding="utf-8").splitlines())
        from torchvision.models import get_model_weights  # noqa: PLC0415 - loads torch

        published = next(iter(get_model_weights(self._known_architecture)))
        return tuple(published.meta["categories"])

    @property
    def _known_architecture(self) -> str:
        from torchvision.models import detection, list_models  # noqa: PLC0415 - loads torch

        known = list_models(module=detection)
        if self._architecture not in known:
            raise PolicyError(f"torchvision has no detection model {self._architecture!r}; it has {', '.join(known)}")
        return self._architecture

    @cached_property
    def _model(self) -> Any:  # noqa: ANN401 - torch is imported here only
        import torch  # noqa: PLC0415 - heavy
        from torchvision.models import get_model  # noqa: PLC0415 - loads torch

        with self._loading:
            torch.set_num_threads(self._threads)
            model = get_model(
                self._known_architecture, weights=None, weights_backbone=None, num_classes=len(self._names)
            )
            try:
                state = torch.load(self._checkpoint, map_location="cpu", weights_only=True)
                model.load_state_dict(state)
            except OSError as error:
                raise WeightsMissingError(
                    f"checkpoint {self._checkpoint}: {error}; correct faithfulness.detector"
                ) from error
            except (RuntimeError, ValueError, KeyError, EOFError, AttributeError, TypeError, UnpicklingError) as error:
                raise WeightsMissingError(
                    f"checkpoint {self._checkpoint} is no state of {self._architecture} with {len(self._names)} "
                    f"classes ({str(error)[:200]}); bring the right one, with a {_LABELS_SUFFIX} file for other classes"
                ) from error
            return model.eval().to(self.device)
