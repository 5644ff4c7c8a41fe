"""The proxy really learns, keeps samples apart, and gives the same numbers wherever it runs."""

import numpy as np
import pytest
import torch

from mm_assets.mixtures.ablation.corpus import Corpus
from mm_assets.mixtures.ablation.drawing import IGNORED, pack_rows
from mm_assets.mixtures.ablation.interfaces import RunPlan
from mm_assets.mixtures.ablation.tokens import CompactVocabulary, tokenize
from mm_assets.policy import AblationPolicy
from resources.proxy_model import TransformerTrainer
from resources.proxy_model.transformer import ProxyTransformer

POLICY = AblationPolicy(
    width=32,
    layers=1,
    heads=2,
    context_tokens=32,
    rows_per_step=2,
    tokens_per_run=12_000,
    checkpoints=3,
    adapter_steps=80,
    held_out_tokens=500,
    processes=1,
    device="cpu",
)


@pytest.fixture(scope="module")
def corpus():
    """Sums in one pool; in the other pictures of four codes whose caption names the first."""
    vocabulary = CompactVocabulary(image_codes=12, audio_codes=0)
    rng = np.random.default_rng(4)
    names = ("ant", "bee", "cat", "dog", "eel", "fox")
    sums = [f"{a}+{b}={a + b}" for a in range(10) for b in range(10)]
    codes = [[place % 6, *rng.integers(6, 12, 3).tolist()] for place in range(96)]
    spans = ["".join(f"<IMG_TK_{code}>" for code in row) for row in codes]
    shown = [f"<|image_start|>{span}<|image_end|> {names[row[0]]}" for span, row in zip(spans, codes, strict=True)]
    samples = [tokenize(text, vocabulary, max_codes=9, max_tokens=99) for text in [*sums, *shown]]
    numbers = np.arange(len(samples))
    out = numbers % 5 == 0
    pictured = numbers >= len(sums)
    pictures = np.stack([np.bincount(row, minlength=12) for row in codes]).astype(np.float32) ** 0.5
    return Corpus(
        vocabulary=vocabulary,
        pools=("text_retention", "coarse_image_text"),
        tokens=np.concatenate(samples),
        starts=np.concatenate([[0], np.cumsum([len(one) for one in samples])]).astype(np.int64),
        train={"text_retention": numbers[~out & ~pictured], "coarse_image_text": numbers[~out & pictured]},
        held_out={
            "math": numbers[out & ~pictured],
            "caption": numbers[out & pictured],
            "retrieval": numbers[out & pictured],
        },
        groups=numbers,
        pairs={int(i): int(i) - len(sums) for i in numbers[pictured]},
        pictures=pictures / np.linalg.norm(pictures, axis=1, keepdims=True),
        captions=np.stack([np.eye(6, dtype=np.float32)[row[0]] for row in codes]),
    )


def train(corpus, policy, *weights):
    plans = [RunPlan(f"run {place}", "design", pair, 7 + place) for place, pair in enumerate(weights)]
    return list(TransformerTrainer(policy).train(corpus, plans))


@pytest.fixture(scope="module")
def runs(corpus):
    return train(corpus, POLICY, (0.95, 0.05), (0.05, 0.95))


def test_a_capability_is_learnt_from_its_pool_and_the_loss_falls(runs):
    sums, pictures = runs
    assert sums.held_out["math"].mean < 0.8 * pictures.held_out["math"].mean
    assert pictures.held_out["caption"].mean < 0.8 * sums.held_out["caption"].mean
    for run, name in ((sums, "math"), (pictures, "caption")):
        losses = [point.capabilities[name] for point in run.curve]
        assert len(losses) == 3
        assert losses[-1] == pytest.approx(run.held_out[name].mean)
    captions = [point.capabilities["caption"] for point in pictures.curve]
    assert captions[-1] < captions[0]
    assert pictures.held_out["retrieval"].mean < 0.7  # by chance one less the mean reciprocal rank of 20 is 0.82
    assert POLICY.tokens_per_run <= sums.tokens < POLICY.tokens_per_run + 64
    assert set(sums.curve[0].modalities) == {"text", "image"}


def test_a_caption_is_read_off_the_codes(runs, corpus):
    """Six captions alike in number: without the codes no model gets below the entropy of which one it is."""
    captions = runs[1].held_out["caption"]
    blind = np.log(6) * len(captions.loss) / captions.tokens.sum()
    assert captions.mean < 0.7 * blind


def test_the_number_of_processes_changes_no_number(runs, corpus):
    again = train(corpus, POLICY.model_copy(update={"processes": 2}), (0.95, 0.05), (0.05, 0.95))
    for one, other in zip(runs, again, strict=True):
        assert one.curve == other.curve
        assert one.drawn == other.drawn
        assert one.recall_at_1 == other.recall_at_1


def test_no_sample_looks_into_another_and_none_ahead():
    torch.manual_seed(1)
    model = ProxyTransformer(vocabulary=40, length=24, width=16, layers=2, heads=2).eval()
    pieces = [np.arange(9, dtype=np.int32), np.arange(20, 31, dtype=np.int32)]

    def scores(some):
        rows = pack_rows(some, 24)
        given = [torch.from_numpy(values).long() for values in (rows.tokens, rows.places, rows.samples)]
        with torch.no_grad():
            return model(*given, torch.from_numpy(rows.targets != IGNORED))

    together, alone = scores(pieces), [scores([piece]) for piece in pieces]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)
    changed = pieces[1].copy()
    changed[-2] = 39
    assert torch.allclose(scores([changed])[:-1], alone[1][:-1], atol=1e-5)
    assert not torch.allclose(scores([changed])[-1], alone[1][-1], atol=1e-3)
