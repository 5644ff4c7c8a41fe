"""Natural language inference from a folder on this machine: ONNX Runtime or transformers, never a hub.

The folder is one of a cross-encoder as Hugging Face lays it out: ``config.json`` whose ``id2label`` names a
contradiction, ``tokenizer.json``, and ``model.onnx`` or ``model.safetensors``. Pickled weights are not read.
"""

import functools
import json
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, cast

import dagster as dg
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mm_assets.aligned.objects.claims.interfaces import Entailment
from mm_assets.errors import InferenceError, PolicyError, WeightsMissingError
from mm_assets.models import ModelIdentity, sha256_of

NO_ENTAILMENT: Final = ModelIdentity("none", "0", "0" * 64)
"""Identity in provenance where no model is configured."""
_ONNX: Final = "model.onnx"
_SAFETENSORS: Final = "model.safetensors"
_PAIRS_PER_CALL: Final = 16
_LONGEST: Final = 256
_INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")


class CrossEncoder:
    """An `Entailment`; it loads on the first pair.

    Args:
        folder: the model's folder.
        threads: threads of the model on a CPU.

    Raises:
        WeightsMissingError: the folder lacks a file.
        PolicyError: its configuration names no contradiction.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        self._folder = folder
        self._threads = threads
        self._loading = threading.RLock()
        self._weights = next((folder / name for name in (_ONNX, _SAFETENSORS) if (folder / name).is_file()), None)
        if self._weights is None or not (folder / "tokenizer.json").is_file():
            raise WeightsMissingError(
                f"NLI folder {folder} needs tokenizer.json and {_ONNX} or {_SAFETENSORS}; "
                "correct faithfulness.entailment"
            )
        self._contradiction = _find_contradiction(folder / "config.json")

    @property
    def identity(self) -> ModelIdentity:
        """Folder, file and SHA-256 of its weights."""
        return self._identity

    @cached_property
    def _identity(self) -> ModelIdentity:
        weights = cast("Path", self._weights)
        return ModelIdentity(f"nli:{self._folder.name}", weights.name, sha256_of(weights))

    @property
    def device(self) -> str:
        """``cuda`` for a transformers model where there is one."""
        return self._device

    @cached_property
    def _device(self) -> str:
        if cast("Path", self._weights).name == _ONNX:
            return "cpu"
        import torch  # noqa: PLC0415 - heavy

        return "cuda" if torch.cuda.is_available() else "cpu"

    def contradiction(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Probability that each premise contradicts its hypothesis."""
        found = np.empty(len(pairs), np.float32)
        at_once = (self._fixed[0] or _PAIRS_PER_CALL) if pairs else 1
        for start in range(0, len(pairs), at_once):
            wanted = list(pairs[start : start + at_once])
            full = self._fixed[0] or len(wanted)  # a model of fixed batches reads its last pair again
            encodings = self._tokenizer.encode_batch(wanted + wanted[-1:] * (full - len(wanted)))
            inputs = {
                "input_ids": np.array([encoding.ids for encoding in encodings], np.int64),
                "attention_mask": np.array([encoding.attention_mask for encoding in encodings], np.int64),
                "token_type_ids": np.array([encoding.type_ids for encoding in encodings], np.int64),
            }
            logits = self._run(inputs)
            if logits.shape[0] != len(encodings) or not np.isfinite(logits).all():
                raise InferenceError(f"{self.identity} returned something that is not a score; check the folder")
            scaled = np.exp(logits - logits.max(axis=1, keepdims=True))
            probability = (scaled / scaled.sum(axis=1, keepdims=True))[:, self._contradiction]
            found[start : start + len(wanted)] = probability[: len(wanted)]
        return found

    @cached_property
    def _tokenizer(self) -> Any:  # noqa: ANN401 - tokenizers is imported here only
        from tokenizers import Tokenizer  # noqa: PLC0415 - heavy

        tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        tokenizer.enable_truncation(self._fixed[1] or _LONGEST)
        tokenizer.enable_padding(length=self._fixed[1])
        return tokenizer

    @cached_property
    def _fixed(self) -> tuple[int | None, int | None]:
        """Pairs and tokens of a call where the model was exported for just so many."""
        if cast("Path", self._weights).name != _ONNX:
            return None, None
        batch, length = self._session.get_inputs()[0].shape
        return batch if isinstance(batch, int) else None, length if isinstance(length, int) else None

    def _run(self, inputs: dict[str, NDArray[np.int64]]) -> NDArray[np.float64]:
        if cast("Path", self._weights).name == _ONNX:
            names = {node.name for node in self._session.get_inputs()}
            try:
                (logits, *_) = self._session.run(None, {name: inputs[name] for name in _INPUTS if name in names})
            except Exception as error:  # onnxruntime has no common error class of its own
                raise InferenceError(f"{self.identity}: {str(error)[:200]}; check the folder") from error
            return np.asarray(logits, np.float64)
        import torch  # noqa: PLC0415 - heavy

        model, accepted = self._model
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(inputs[name]).to(self.device) for name in _INPUTS if name in accepted}
            return model(**tensors).logits.double().cpu().numpy()

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401 - onnxruntime is imported here only
        import onnxruntime  # noqa: PLC0415 - heavy

        with self._loading:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = self._threads
            options.inter_op_num_threads = 1
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            return onnxruntime.InferenceSession(str(self._weights), options, providers=["CPUExecutionProvider"])

    @cached_property
    def _model(self) -> tuple[Any, frozenset[str]]:
        import inspect  # noqa: PLC0415 - only with transformers

        import torch  # noqa: PLC0415 - heavy
        from transformers import AutoModelForSequenceClassification  # noqa: PLC0415 - heavy

        with self._loading:
            torch.set_num_threads(self._threads)
            try:
                model, report = AutoModelForSequenceClassification.from_pretrained(
                    str(self._folder),
                    local_files_only=True,
                    use_safetensors=True,
                    trust_remote_code=False,
                    output_loading_info=True,
                )
            except (OSError, ValueError, RuntimeError) as error:
                raise WeightsMissingError(
                    f"NLI folder {self._folder}: {str(error)[:200]}; bring a sequence classifier with its config.json"
                ) from error
            if report["missing_keys"] or report["mismatched_keys"]:
                # transformers would fill them with noise.
                lacking = sorted([*report["missing_keys"], *(str(key) for key in report["mismatched_keys"])])
                raise WeightsMissingError(
                    f"NLI folder {self._folder}: {_SAFETENSORS} lacks {len(lacking)} of the model's weights, such as "
                    f"{lacking[0]}; bring the file that belongs to its config.json"
                )
            model.eval().to(self.device)
            return model, frozenset(inspect.signature(model.forward).parameters)


def _find_contradiction(config: Path) -> int:
    """Place of the contradiction among the model's classes."""
    try:
        labels = json.loads(config.read_text(encoding="utf-8")).get("id2label", {})
    except (OSError, ValueError) as error:
        raise WeightsMissingError(f"NLI configuration {config}: {error}; correct faithfulness.entailment") from error
    found = [int(place) for place, label in labels.items() if "contradict" in str(label).lower()]
    if len(found) != 1:
        raise PolicyError(
            f"NLI configuration {config}: id2label is {labels}, and one label must name a contradiction; "
            "bring an NLI model, or write its labels there"
        )
    return found[0]


@functools.lru_cache(maxsize=2)
def build_entailment(folder: str, *, threads: int = 1) -> Entailment | None:
    """The model in a folder, with nothing loaded yet; None for an empty name.

    Raises:
        WeightsMissingError: the folder lacks a file.
        PolicyError: its configuration names no contradiction.
    """
    return CrossEncoder(Path(folder), threads=threads) if folder else None


class EntailmentResource(dg.ConfigurableResource):
    """Gives assets an `Entailment`, or none."""

    folder: str = Field(default="", description="As faithfulness.entailment in the policy; empty for none.")
    threads: int = Field(default=1, ge=1, description="Threads of the model on a CPU.")

    @property
    def handle(self) -> Entailment | None:
        """The model, one per process; None where none is configured. Raises as `build_entailment`."""
        return build_entailment(self.folder, threads=self.threads)

    @property
    def identity(self) -> ModelIdentity:
        """Which model; ``none`` where none is configured. Raises as `build_entailment`."""
        model = self.handle
        return NO_ENTAILMENT if model is None else model.identity
