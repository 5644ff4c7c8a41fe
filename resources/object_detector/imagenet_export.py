"""Writes EfficientNet-Lite0 as ONNX: uint8 pictures in, probabilities of the 1,000 ImageNet classes out.

torch loads in here only, once per machine; inference needs it no more.
"""

import warnings
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from resources.image_text_encoder.bridge_export import PIXEL_MEAN, PIXEL_SCALE

_OPSET: Final = 17
_SIDE_PX: Final = 224


class Classifier(nn.Module):
    """EfficientNet-Lite0: uint8 (B, 224, 224, 3) to float32 probabilities (B, 1000)."""

    def __init__(self, checkpoint: Path) -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415 - heavy

        self.net = EfficientNet.from_name("efficientnet-lite0")
        self.net.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))

    def forward(self, pixels: Tensor) -> Tensor:
        """Probabilities of the classes, in ImageNet's order."""
        scaled = (pixels.permute(0, 3, 1, 2).float() - PIXEL_MEAN) / PIXEL_SCALE
        features = self.net.extract_features(scaled).flatten(2).mean(2)
        return self.net._fc(features).softmax(-1)  # noqa: SLF001 - the package names its last layer so


def export_classifier(path: Path, checkpoint: Path) -> None:
    """Write the classifier.

    Args:
        path: file to write.
        checkpoint: EfficientNet-Lite0 weights, already verified.
    """
    with warnings.catch_warnings(), torch.inference_mode():
        # The exporter warns of its own successor and of the package's constant shapes.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Classifier(checkpoint).eval(),
            (torch.zeros(2, _SIDE_PX, _SIDE_PX, 3, dtype=torch.uint8),),
            str(path),
            input_names=["pixels"],
            output_names=["probabilities"],
            dynamic_axes={"pixels": {0: "batch"}, "probabilities": {0: "batch"}},
            opset_version=_OPSET,
            dynamo=False,
        )
