"""Any OpenCLIP model: a published tag, a checkpoint file or a local model folder; on the GPU when there is one."""

import pickle
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.errors import EmbeddingShapeError, InferenceError, ModelError, PolicyError
from mm_assets.features.interfaces import ImageFeatures, ResizeMode
from mm_assets.models import ModelIdentity
from resources.image_text_encoder.model_cache import cache_root
from resources.image_text_encoder.open_clip_weights import HUB, LOCAL_FOLDER, find_checkpoint, identify

if TYPE_CHECKING:
    import torch

_CAPTIONS_PER_CALL: Final = 64
_PIXEL_MAX: Final = 255.0
_RGB: Final = 3


@dataclass(frozen=True)
class _Loaded:
    """A model ready to run, and what its configuration says of its input and output."""

    model: Any  # open_clip's three model classes share no base
    tokenizer: Any
    mean: "torch.Tensor"
    std: "torch.Tensor"
    side_px: int
    resize_mode: ResizeMode
    padding: int
    dimension: int
    spatial_shape: tuple[int, int]


class OpenClipEncoder:
    """An `ImageTextEncoder` over open_clip: float32 on a CPU, bfloat16 autocast on a GPU.

    `identity` reads the weight file and nothing more; the other properties load the model.

    Args:
        model: an architecture open_clip knows (``ViT-B-32``), ``local-dir:FOLDER`` with ``open_clip_config.json`` and
            weights, or ``hf-hub:ORGANISATION/REPOSITORY``.
        weights: path of a checkpoint file, or a pretrained tag, which open_clip may fetch into the cache. Empty only
            for the folder and hub forms.
        threads: torch threads on a CPU, for the whole interpreter.
        cache: folder for fetched weights; empty for ``MM_CACHE`` or ``~/.cache/mm_assets``.
    """

    def __init__(self, model: str, weights: str = "", *, threads: int = 1, cache: str = "") -> None:
        self._model_name = model
        self._weights = weights
        self._threads = threads
        self._cache = cache_root(cache) / "open_clip"
        self._loading = threading.RLock()

    @property
    def identity(self) -> ModelIdentity:
        """Model, tag or file name, and the SHA-256 of the weight file.

        Raises:
            PolicyError: the model needs weights and none are named, or the tag is unknown.
            WeightsMissingError: the file is not there, or the tag cannot be fetched.
        """
        return identify(self._model_name, self._weights, self._checkpoint)

    @property
    def dimension(self) -> int:
        """D, length of an embedding."""
        return self._loaded.dimension

    @property
    def input_side_px(self) -> int:
        """Side of the square picture the model takes."""
        return self._loaded.side_px

    @property
    def resize_mode(self) -> ResizeMode:
        """How the model's own preprocessing makes a picture square."""
        return self._loaded.resize_mode

    @property
    def padding_rgb(self) -> tuple[int, int, int]:
        """Padding of the model's own preprocessing."""
        return (self._loaded.padding, self._loaded.padding, self._loaded.padding)

    @property
    def spatial_shape(self) -> tuple[int, int]:
        """(T, C) of the last block's patches."""
        return self._loaded.spatial_shape

    @property
    def device(self) -> str:
        """``cuda`` when torch sees one, else ``cpu``."""
        import torch  # noqa: PLC0415 - heavy

        return "cuda" if torch.cuda.is_available() else "cpu"

    def encode_images(self, pixels: NDArray[np.uint8]) -> ImageFeatures:
        """Encode uint8 RGB pictures (B, side, side, 3); see `ImageTextEncoder.encode_images`."""
        import torch  # noqa: PLC0415 - heavy

        loaded = self._loaded
        wanted = (loaded.side_px, loaded.side_px, _RGB)
        if pixels.dtype != np.uint8 or pixels.shape[1:] != wanted:
            raise EmbeddingShapeError(
                f"{self._model_name}: pixels are {pixels.dtype} {pixels.shape}; give uint8 (B, *{wanted})"
            )
        if len(pixels) == 0:
            empty = np.empty((0, *loaded.spatial_shape), np.float16)
            return ImageFeatures(np.empty((0, loaded.dimension), np.float32), empty)
        with torch.inference_mode(), self._autocast():
            stored = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device)
            scaled = (stored.permute(0, 3, 1, 2).float() / _PIXEL_MAX - loaded.mean) / loaded.std
            embedding, spatial = _embed_with_patches(loaded.model, scaled)
            features = ImageFeatures(embedding.cpu().numpy(), spatial.half().cpu().numpy())
        self._refuse_if_not_finite(features.embedding)
        self._refuse_if_not_finite(features.spatial)
        return features

    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """Encode captions; see `ImageTextEncoder.encode_texts`."""
        import torch  # noqa: PLC0415 - heavy

        loaded = self._loaded
        embeddings = np.empty((len(texts), loaded.dimension), np.float32)
        with torch.inference_mode(), self._autocast():
            for start in range(0, len(texts), _CAPTIONS_PER_CALL):
                block = slice(start, start + _CAPTIONS_PER_CALL)
                features = loaded.model.encode_text(loaded.tokenizer(texts[block]).to(self.device))
                embeddings[block] = torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
        self._refuse_if_not_finite(embeddings)
        return embeddings

    @cached_property
    def _checkpoint(self) -> Path:
        with self._loading:
            return find_checkpoint(self._model_name, self._weights, self._cache)

    @cached_property
    def _loaded(self) -> _Loaded:
        with self._loading:
            return self._load()

    def _load(self) -> _Loaded:
        import open_clip  # noqa: PLC0415 - heavy
        import torch  # noqa: PLC0415 - heavy

        if self.device == "cpu":
            torch.set_num_threads(self._threads)
        named_by_model = self._model_name.startswith((LOCAL_FOLDER, HUB))
        published = {} if named_by_model else open_clip.get_pretrained_cfg(self._model_name, self._weights)
        try:
            model: Any = open_clip.create_model(
                self._model_name,
                pretrained=None if named_by_model else str(self._checkpoint),
                device=self.device,
                # A tag says how its weights were trained; naming only their file would lose that.
                force_quick_gelu=bool(published.get("quick_gelu")),
                force_preprocess_cfg=published or None,
                cache_dir=str(self._cache),
                require_pretrained=True,
                weights_only=True,
            )
            tokenizer = open_clip.get_tokenizer(self._model_name, cache_dir=str(self._cache))
        except (OSError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
            raise ModelError(
                f"open_clip model {self._model_name!r} does not load from {self._checkpoint}: {error}; "
                "name the architecture the checkpoint was trained with"
            ) from error
        model.eval()
        return self._describe(model, tokenizer)

    def _describe(self, model: Any, tokenizer: Any) -> _Loaded:  # noqa: ANN401 - open_clip's classes share no base
        import torch  # noqa: PLC0415 - heavy

        settings = model.visual.preprocess_cfg
        size = settings["size"]
        sides = {size} if isinstance(size, int) else set(size)
        if len(sides) != 1:
            raise PolicyError(
                f"open_clip model {self._model_name!r} takes {size} px; use one that takes square pictures"
            )
        side_px = sides.pop()
        with torch.inference_mode(), self._autocast():
            embedding, spatial = _embed_with_patches(model, torch.zeros(1, _RGB, side_px, side_px, device=self.device))
        return _Loaded(
            model=model,
            tokenizer=tokenizer,
            mean=torch.tensor(settings["mean"], device=self.device).view(1, _RGB, 1, 1),
            std=torch.tensor(settings["std"], device=self.device).view(1, _RGB, 1, 1),
            side_px=side_px,
            resize_mode=settings["resize_mode"],
            padding=int(settings["fill_color"]),
            dimension=embedding.shape[1],
            spatial_shape=(spatial.shape[1], spatial.shape[2]),
        )

    def _autocast(self) -> "torch.autocast":
        import torch  # noqa: PLC0415 - heavy

        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.device == "cuda")

    def _refuse_if_not_finite(self, values: NDArray[np.floating]) -> None:
        if not np.isfinite(values).all():
            raise InferenceError(
                f"open_clip model {self._model_name!r} returned values that are not finite; its checkpoint is unusable"
            )


def _embed_with_patches(model: Any, scaled: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":  # noqa: ANN401
    """Unit-length float32 (B, D) and the last block's normalised patches, float32 (B, T, C), in row-major order."""
    import torch  # noqa: PLC0415 - heavy

    # NCHW is the one layout every tower offers: transformers also give tokens, convolutional ones do not.
    output = model.forward_intermediates(
        image=scaled, image_indices=1, normalize=True, normalize_intermediates=True, image_output_fmt="NCHW"
    )
    embedding = torch.nn.functional.normalize(output["image_features"].float(), dim=-1)
    return embedding, output["image_intermediates"][-1].float().flatten(2).transpose(1, 2)
