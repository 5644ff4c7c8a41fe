# pyright: strict
"""An encoder with a stopwatch, for steps that meter what their model calls cost."""

from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from mm_assets.features.interfaces import ImageFeatures, ImageTextEncoder, ResizeMode
from mm_assets.models import ModelIdentity


class TimedEncoder:
    """Hands every call on and adds up its wall time.

    Attributes:
        seconds: wall time inside the encoder so far.
        images: pictures encoded so far.
    """

    def __init__(self, encoder: ImageTextEncoder) -> None:
        self._encoder = encoder
        self.seconds = 0.0
        self.images = 0

    @property
    def identity(self) -> ModelIdentity:
        """As the encoder's."""
        return self._encoder.identity

    @property
    def dimension(self) -> int:
        """As the encoder's."""
        return self._encoder.dimension

    @property
    def input_side_px(self) -> int:
        """As the encoder's."""
        return self._encoder.input_side_px

    @property
    def resize_mode(self) -> ResizeMode:
        """As the encoder's."""
        return self._encoder.resize_mode

    @property
    def padding_rgb(self) -> tuple[int, int, int]:
        """As the encoder's."""
        return self._encoder.padding_rgb

    @property
    def spatial_shape(self) -> tuple[int, int]:
        """As the encoder's."""
        return self._encoder.spatial_shape

    @property
    def device(self) -> str:
        """As the encoder's."""
        return self._encoder.device

    def encode_images(self, pixels: NDArray[np.uint8]) -> ImageFeatures:
        """As the encoder's, timed."""
        started = perf_counter()
        features = self._encoder.encode_images(pixels)
        self.seconds += perf_counter() - started
        self.images += len(pixels)
        return features

    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """As the encoder's, timed."""
        started = perf_counter()
        vectors = self._encoder.encode_texts(texts)
        self.seconds += perf_counter() - started
        return vectors
