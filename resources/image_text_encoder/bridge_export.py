"""Joins EfficientNet-Lite0 and MiniLM into one space and writes both as ONNX.

The join uses no training picture. Both models know the 1,000 ImageNet classes: the image model through the rows of
its classifier, the text model through the classes' names. A ridge regression from rows to names carries an image
feature into text space ("bridge"), and the names of the most likely classes, weighted by probability, are added
(convex combination of semantic embeddings, Norouzi et al. 2014).

torch and transformers load in here only, once per machine; inference needs neither.
"""

import warnings
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import normalize

RIDGE_LAMBDA: Final = 3.0  # flat optimum: retrieval differs by less than 0.01 between 1 and 10
LIKELY_CLASSES: Final = 10
# The scale the TensorFlow weights were trained with: (pixel - 127) / 128.
PIXEL_MEAN: Final = 127.0
PIXEL_SCALE: Final = 128.0
_OPSET: Final = 17
_MAX_TOKENS: Final = 256
_NAMES_PER_CALL: Final = 64


class SentenceModel(nn.Module):
    """MiniLM with mean pooling: token ids (B, L) to unit-length vectors (B, 384), less a mean, unit length again."""

    def __init__(self, weights: Path, config: Path) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel  # noqa: PLC0415 - 9 s to import

        settings = BertConfig.from_json_file(str(config))
        # Plain matrix products: the fused attention does not export with a free sequence length.
        settings._attn_implementation = "eager"  # noqa: SLF001
        self.bert = BertModel(settings, add_pooling_layer=False)
        state = load_file(weights)
        # Not parameters any more: the pooler is unused, and positions are counted, not stored.
        self.bert.load_state_dict(
            {
                name: value
                for name, value in state.items()
                if not name.startswith("pooler.") and "position_ids" not in name
            }
        )
        self.mean: Tensor
        self.register_buffer("mean", torch.zeros(settings.hidden_size))

    def forward(self, token_ids: Tensor, mask: Tensor) -> Tensor:
        """int64 ids and mask (B, L) to float32 (B, 384)."""
        hidden = self.bert(input_ids=token_ids, attention_mask=mask).last_hidden_state
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        sentence = normalize((hidden * weight).sum(1) / weight.sum(1), dim=-1)
        return normalize(sentence - self.mean, dim=-1)


class PictureModel(nn.Module):
    """EfficientNet-Lite0 and the bridge: uint8 (B, 224, 224, 3) to embedding (B, 384) and patches (B, 49, 384)."""

    def __init__(self, checkpoint: Path, class_vectors: Tensor, mean_feature: NDArray[np.float32]) -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415 - heavy

        self.net = EfficientNet.from_name("efficientnet-lite0")
        self.net.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
        mean_class = class_vectors.mean(0)
        self.bridge: Tensor
        self.class_vectors: Tensor
        self.mean_feature: Tensor
        self.register_buffer("bridge", _fit_bridge(self.net._fc.weight.detach(), class_vectors - mean_class))  # noqa: SLF001
        self.register_buffer("class_vectors", class_vectors - mean_class)
        self.register_buffer("mean_feature", torch.from_numpy(mean_feature))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return unit-length float32 embeddings and float16 patch vectors, whose mean is the bridge's half."""
        scaled = (pixels.permute(0, 3, 1, 2).float() - PIXEL_MEAN) / PIXEL_SCALE
        features = self.net.extract_features(scaled).flatten(2).transpose(1, 2)
        patches = (features - self.mean_feature) @ self.bridge
        probabilities = self.net._fc(features.mean(1)).softmax(-1)  # noqa: SLF001
        top, classes = probabilities.topk(LIKELY_CLASSES, dim=-1)
        named = (top.unsqueeze(-1) * self.class_vectors[classes]).sum(1) / top.sum(1, keepdim=True)
        joined = normalize(patches.mean(1), dim=-1) + normalize(named, dim=-1)
        return normalize(joined, dim=-1), patches.half()


def export_bridge(
    folder: Path, *, checkpoint: Path, minilm: Path, class_names: list[str], mean_feature: NDArray[np.float32]
) -> None:
    """Write ``image.onnx`` and ``text.onnx`` into ``folder``.

    Args:
        folder: existing, empty folder.
        checkpoint: EfficientNet-Lite0 weights, already verified.
        minilm: folder of MiniLM, already verified.
        class_names: the 1,000 ImageNet classes in the classifier's order.
        mean_feature: float32, shape (1280,), mean pooled feature of pictures that are scored nowhere.
    """
    text_model = SentenceModel(minilm / "model.safetensors", minilm / "config.json").eval()
    class_vectors = _embed_names(text_model, sentence_tokenizer(minilm), class_names)
    text_model.mean.copy_(class_vectors.mean(0))
    token_ids = torch.ones(2, 8, dtype=torch.int64)
    _export(
        text_model,
        (token_ids, torch.ones_like(token_ids)),
        folder / "text.onnx",
        inputs={"token_ids": {0: "batch", 1: "tokens"}, "mask": {0: "batch", 1: "tokens"}},
        outputs={"embedding": {0: "batch"}},
    )
    _export(
        PictureModel(checkpoint, class_vectors, mean_feature).eval(),
        (torch.zeros(2, 224, 224, 3, dtype=torch.uint8),),
        folder / "image.onnx",
        inputs={"pixels": {0: "batch"}},
        outputs={"embedding": {0: "batch"}, "spatial": {0: "batch"}},
    )


def sentence_tokenizer(minilm: Path) -> Tokenizer:
    """MiniLM's tokenizer, truncating as the sentence model does; padding is left to the caller."""
    tokenizer = Tokenizer.from_file(str(minilm / "tokenizer.json"))
    tokenizer.enable_truncation(_MAX_TOKENS)
    tokenizer.no_padding()
    return tokenizer


def _fit_bridge(classifier: Tensor, class_vectors: Tensor) -> Tensor:
    """Ridge regression from the classifier's centred, normalised rows (1000, 1280) to class vectors (1000, 384)."""
    rows = normalize(classifier.double() - classifier.double().mean(0), dim=-1)
    targets = normalize(class_vectors.double(), dim=-1)
    gram = rows.T @ rows + RIDGE_LAMBDA * torch.eye(rows.shape[1], dtype=torch.float64)
    return torch.linalg.solve(gram, rows.T @ targets).float()


def _embed_names(model: SentenceModel, tokenizer: Tokenizer, names: list[str]) -> Tensor:
    vectors: list[Tensor] = []
    with torch.inference_mode():
        for start in range(0, len(names), _NAMES_PER_CALL):
            encodings = tokenizer.encode_batch(names[start : start + _NAMES_PER_CALL])
            token_ids = nn.utils.rnn.pad_sequence([torch.tensor(e.ids) for e in encodings], batch_first=True)
            mask = nn.utils.rnn.pad_sequence([torch.tensor(e.attention_mask) for e in encodings], batch_first=True)
            vectors.append(model(token_ids, mask))
    return torch.cat(vectors).clone()


def _export(
    model: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    *,
    inputs: dict[str, dict[int, str]],
    outputs: dict[str, dict[int, str]],
) -> None:
    with warnings.catch_warnings():
        # The exporter deprecates itself, and its tracer warns of Python branches on shapes that are constant here.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            example,
            str(path),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=inputs | outputs,
            opset_version=_OPSET,
            dynamo=False,
        )
