import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mm_assets.aligned.objects.claims.interfaces import Entailment
from mm_assets.errors import InferenceError, PolicyError, WeightsMissingError
from mm_assets.models import sha256_of
from resources.entailment import CrossEncoder, EntailmentResource, build_entailment

WORDS = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "the", "dog", "cat", "no", "is", "red", "blue", "sleeps", "runs"),
    *("two", "three", "on", "mat", "."),
]
PAIRS = [
    ("a dog sleeps .", "a dog runs ."),
    ("two cat on the mat .", "no cat ."),
    ("a red dog on a blue mat sleeps .", "a dog ."),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny cross-encoder with random weights, as Hugging Face lays it out."""
    import torch
    from transformers.utils import import_utils

    # Half of the time transformers takes to load goes to scikit-learn, which only its speculative decoding uses.
    import_utils._sklearn_available = False
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertForSequenceClassification

    root = tmp_path_factory.mktemp("tiny-nli")
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))  # noqa: S106 - a token of text
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(root / "tokenizer.json"))
    torch.manual_seed(3)
    settings = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        id2label={0: "contradiction", 1: "entailment", 2: "neutral"},
        label2id={"contradiction": 0, "entailment": 1, "neutral": 2},
    )
    settings._attn_implementation = "eager"
    model = BertForSequenceClassification(settings).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(root)
    return root


def export(folder: Path, root: Path, *, fixed: tuple[int, int] | None) -> Path:
    """The same model as ONNX, for any number of pairs and tokens or for just so many."""
    import warnings

    import torch
    from transformers import AutoModelForSequenceClassification

    for name in ("config.json", "tokenizer.json"):
        (root / name).write_bytes((folder / name).read_bytes())
    model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()
    example = torch.ones(*(fixed or (2, 6)), dtype=torch.int64)

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            return self.model(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).logits

    names = ["input_ids", "attention_mask", "token_type_ids"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Logits(),
            (example, example, example),
            str(root / "model.onnx"),
            input_names=names,
            output_names=["logits"],
            dynamic_axes=None if fixed else {name: {0: "batch", 1: "tokens"} for name in names},
            opset_version=17,
            dynamo=False,
        )
    return root


@pytest.fixture(scope="module")
def onnx_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(folder, tmp_path_factory.mktemp("tiny-nli-onnx"), fixed=None)


def test_probabilities_are_those_of_the_model(folder: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    found = CrossEncoder(folder).contradiction(PAIRS)
    model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()
    expected = []
    for first, second in PAIRS:
        one, two = ([WORDS.index(word) for word in text.split()] for text in (first, second))
        ids = torch.tensor([[2, *one, 3, *two, 3]])
        types = torch.tensor([[0] * (len(one) + 2) + [1] * (len(two) + 1)])
        with torch.inference_mode():
            expected.append(float(model(ids, token_type_ids=types).logits.softmax(-1)[0, 0]))
    assert found.dtype == np.float32
    assert found.tolist() == pytest.approx(expected, abs=1e-5)
    assert len({round(value, 3) for value in expected}) == len(PAIRS)


def test_onnx_gives_the_same(folder: Path, onnx_folder: Path) -> None:
    assert CrossEncoder(onnx_folder).contradiction(PAIRS).tolist() == pytest.approx(
        CrossEncoder(folder).contradiction(PAIRS).tolist(), abs=1e-4
    )


def test_many_pairs_are_those_one_by_one(onnx_folder: Path) -> None:
    model = CrossEncoder(onnx_folder)
    together = model.contradiction(PAIRS * 7)
    alone = [float(model.contradiction([pair])[0]) for pair in PAIRS]
    assert together.tolist() == pytest.approx(alone * 7, abs=1e-5)
    assert model.contradiction([]).shape == (0,)


@pytest.mark.parametrize("pairs", [1, 4])
def test_a_model_exported_for_so_many_pairs_and_tokens_gives_the_same(
    folder: Path, onnx_folder: Path, tmp_path: Path, pairs: int
) -> None:
    fixed = CrossEncoder(export(folder, tmp_path, fixed=(pairs, 20)))
    expected = CrossEncoder(onnx_folder).contradiction(PAIRS * 3).tolist()
    assert fixed.contradiction(PAIRS * 3).tolist() == pytest.approx(expected, abs=1e-5)
    assert fixed.contradiction([]).shape == (0,)


def test_a_model_of_other_inputs_is_an_error(onnx_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.entailment._INPUTS", ("input_ids",))
    with pytest.raises(InferenceError, match="check the folder"):
        CrossEncoder(onnx_folder).contradiction(PAIRS)


def test_its_identity_is_its_weights(folder: Path, onnx_folder: Path) -> None:
    model: Entailment = CrossEncoder(folder)
    assert model.identity.name == f"nli:{folder.name}"
    assert model.identity.sha256 == sha256_of(folder / "model.safetensors")
    assert CrossEncoder(onnx_folder).identity.revision == "model.onnx"
    assert CrossEncoder(onnx_folder).device == "cpu"


def test_pickled_weights_are_not_read(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n")
    with pytest.raises(WeightsMissingError, match=r"model\.onnx or model\.safetensors"):
        CrossEncoder(tmp_path)


def test_a_model_that_knows_no_contradiction_is_refused(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["id2label"] = {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(PolicyError, match="must name a contradiction"):
        CrossEncoder(tmp_path)


def test_weights_of_another_model_are_refused(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    with pytest.raises(WeightsMissingError, match="lacks"):
        CrossEncoder(tmp_path).contradiction(PAIRS)


def test_none_is_configured_by_default() -> None:
    assert EntailmentResource().handle is None
    assert EntailmentResource().identity.name == "none"
    assert build_entailment("") is None


def test_the_resource_gives_one_model_per_process(folder: Path) -> None:
    assert EntailmentResource(folder=str(folder)).handle is EntailmentResource(folder=str(folder)).handle
