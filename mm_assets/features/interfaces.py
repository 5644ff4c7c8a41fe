# pyright: strict
"""What every image-text encoder promises, whatever library runs behind it."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mm_assets.models import ModelIdentity

ResizeMode = Literal["shortest", "longest", "squash"]


@dataclass(frozen=True)
class ImageFeatures:
    """What an encoder sees in B pictures.

    Attributes:
        embedding: float32, shape (B, D), unit length, in the space shared with the captions.
        spatial: float16, shape (B, T, C), one row per patch in row-major order.
    """

    embedding: NDArray[np.float32]
    spatial: NDArray[np.float16]


class ImageTextEncoder(Protocol):
    """Puts pictures and captions into one space, where matching ones lie close.

    `identity` is known without loading the weights; the first use of anything else may load them.
    """

    @property
    def identity(self) -> ModelIdentity:
        """Which model, which revision, which weights."""
        ...

    @property
    def dimension(self) -> int:
        """D, length of an embedding."""
        ...

    @property
    def input_side_px(self) -> int:
        """Side of the square picture `encode_images` takes, pixels."""
        ...

    @property
    def resize_mode(self) -> ResizeMode:
        """How a picture becomes square: shorter side then centre crop, longer side then padding, or squashed."""
        ...

    @property
    def padding_rgb(self) -> tuple[int, int, int]:
        """Colour of the padding of resize mode ``longest``, 0 to 255 each."""
        ...

    @property
    def spatial_shape(self) -> tuple[int, int]:
        """(T, C): spatial features per picture and their dimension."""
        ...

    @property
    def device(self) -> str:
        """Where the model runs: ``cpu`` or ``cuda``."""
        ...

    def encode_images(self, pixels: NDArray[np.uint8]) -> ImageFeatures:
        """Encode pictures.

        Args:
            pixels: uint8 RGB, shape (B, input_side_px, input_side_px, 3).

        Returns:
            Embeddings (B, D) and spatial features (B, T, C), row i of picture i.

        Raises:
            EmbeddingShapeError: the pixels have another shape or type.
            WeightsMissingError: the weights are not on this machine.
            WeightsHashError: the weights are not the pinned ones.
            InferenceError: the model returned something that is not finite.
        """
        ...

    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """Encode captions.

        Args:
            texts: B captions; one longer than the model's context is truncated as the model does.

        Returns:
            float32, shape (B, D), unit length, row i of caption i.

        Raises:
            WeightsMissingError: the weights are not on this machine.
            WeightsHashError: the weights are not the pinned ones.
            InferenceError: the model returned something that is not finite.
        """
        ...
