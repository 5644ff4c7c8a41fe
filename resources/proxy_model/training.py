"""Train one proxy on a mixture and measure it on what was held out."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray
from torch import Tensor

from mm_assets.errors import InferenceError
from mm_assets.mixtures.ablation.capabilities import RETRIEVAL
from mm_assets.mixtures.ablation.corpus import Corpus
from mm_assets.mixtures.ablation.drawing import IGNORED, Rows, held_out_windows, pack_rows, training_rows
from mm_assets.mixtures.ablation.interfaces import Checkpoint, HeldOut, RunPlan, RunResult
from mm_assets.mixtures.ablation.tokens import MODALITIES, TEXT
from mm_assets.policy import AblationPolicy
from resources.proxy_model.adapter import ranks, train_adapter
from resources.proxy_model.transformer import ProxyTransformer

_AT_ONCE: Final = 256
_WARM_UP: Final = 0.1
_LAST_RATE: Final = 0.1
_CLIP: Final = 1.0
_ROWS_TO_MEASURE: Final = 16
_PAIRS: Final = 2


@dataclass(frozen=True)
class _Probe:
    """Held-out windows of a capability, packed."""

    rows: Rows
    windows: NDArray[np.int64]
    """int64, shape (W,): the sample of each window."""


class Trainer:
    """Trains and measures proxies one after the other; the held-out windows are packed once.

    Args:
        corpus: samples.
        policy: sizes and budgets.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, corpus: Corpus, policy: AblationPolicy, device: str) -> None:
        self._corpus, self._policy, self._device = corpus, policy, device
        self._probes: dict[str, _Probe] = {}
        for name in corpus.capabilities:
            if name != RETRIEVAL:
                windows = held_out_windows(corpus, name, tokens=policy.held_out_tokens, length=policy.context_tokens)
                rows = pack_rows([tokens for _, tokens in windows], policy.context_tokens)
                self._probes[name] = _Probe(rows, np.array([sample for sample, _ in windows], dtype=np.int64))

    def run(self, plan: RunPlan) -> RunResult:
        """Train and measure one proxy.

        Raises:
            InferenceError: a loss is not finite.
        """
        with _one_thread(self._device):
            return self._train(plan)

    def _train(self, plan: RunPlan) -> RunResult:
        policy, started = self._policy, time.process_time()
        torch.manual_seed(policy.seed)
        model = ProxyTransformer(
            self._corpus.vocabulary.size, policy.context_tokens, policy.width, policy.layers, policy.heads
        ).to(self._device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=policy.learning_rate, weight_decay=0.01)
        curve: list[Checkpoint] = []
        drawn = np.zeros(len(self._corpus.pools), dtype=np.int64)
        seen: set[int] = set()
        budget, done = policy.tokens_per_run, 0
        chunks = training_rows(
            self._corpus, plan.weights, plan.seed, tokens=budget, length=policy.context_tokens, at_once=_AT_ONCE
        )
        for rows, draws in chunks:
            for pool, sample in draws:
                drawn[pool] += 1
                seen.add(sample)
            for start in range(0, len(rows.tokens), policy.rows_per_step):
                step = rows.take(np.arange(start, min(start + policy.rows_per_step, len(rows.tokens))))
                rate = policy.learning_rate * _schedule(done / budget)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                self._step(model, optimizer, step, plan)
                done += step.trained
                if len(curve) < policy.checkpoints - 1 and done >= budget * (len(curve) + 1) / policy.checkpoints:
                    curve.append(self._measure(model, done)[0])
        last, held_out = self._measure(model, done)
        recall = self._retrieval(sorted(seen), held_out)
        return RunResult(
            plan=plan,
            curve=(*curve, last),
            held_out=held_out,
            drawn=tuple(int(count) for count in drawn),
            tokens=done,
            recall_at_1=recall,
            seconds=time.process_time() - started,
        )

    def _step(self, model: ProxyTransformer, optimizer: torch.optim.Optimizer, rows: Rows, plan: RunPlan) -> None:
        scores, targets = self._forward(model, rows)
        loss = F.cross_entropy(scores, targets)
        if not math.isfinite(float(loss.detach())):
            raise InferenceError(f"run {plan.name!r}: the loss is {float(loss)}; lower ablation.learning_rate")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
        optimizer.step()

    def _forward(self, model: ProxyTransformer, rows: Rows) -> tuple[Tensor, Tensor]:
        tokens, targets, places, samples = (
            torch.from_numpy(array).to(self._device, torch.int64)
            for array in (rows.tokens, rows.targets, rows.places, rows.samples)
        )
        chosen = targets != IGNORED
        return model(tokens, places, samples, chosen), targets[chosen]

    @torch.no_grad()
    def _measure(self, model: ProxyTransformer, tokens: int) -> tuple[Checkpoint, dict[str, HeldOut]]:
        """Loss of every held-out sample, and per modality over all of them."""
        held_out: dict[str, HeldOut] = {}
        sums, counts = np.zeros(len(MODALITIES) + 1), np.zeros(len(MODALITIES) + 1)
        for name, probe in self._probes.items():
            samples = np.unique(probe.windows)
            loss, text = np.zeros(len(samples)), np.zeros(len(samples))
            for start in range(0, len(probe.rows.tokens), _ROWS_TO_MEASURE):
                rows = probe.rows.take(np.arange(start, min(start + _ROWS_TO_MEASURE, len(probe.rows.tokens))))
                scores, targets = self._forward(model, rows)
                nats = F.cross_entropy(scores, targets, reduction="none").double().cpu().numpy()
                chosen = rows.targets != IGNORED
                modality = self._corpus.vocabulary.modality_of(rows.targets[chosen])
                np.add.at(sums, modality, nats)
                np.add.at(counts, modality, 1.0)
                of = np.searchsorted(samples, probe.windows[rows.samples[chosen]])
                np.add.at(loss, of[modality == TEXT], nats[modality == TEXT])
                np.add.at(text, of[modality == TEXT], 1.0)
            kept = text > 0
            held_out[name] = HeldOut(loss[kept], text[kept], self._corpus.groups[samples[kept]])
        modalities = {name: sums[i] / counts[i] for i, name in enumerate(MODALITIES) if counts[i]}
        means = {name: measured.mean for name, measured in held_out.items()}
        return Checkpoint(tokens, means, modalities), held_out

    def _retrieval(self, seen: list[int], held_out: dict[str, HeldOut]) -> float | None:
        """Train adapters on the pairs that were drawn, and rank the held-out ones.

        Every run starts its adapters from the same seeds: what differs between runs is then what they were given.
        """
        corpus = self._corpus
        if RETRIEVAL not in corpus.capabilities:
            return None
        probes = corpus.held_out[RETRIEVAL]
        test = np.array([corpus.pairs[int(sample)] for sample in probes])
        train = np.array([corpus.pairs[sample] for sample in seen if sample in corpus.pairs], dtype=np.int64)
        places = np.stack(
            [
                ranks(
                    train_adapter(
                        corpus.pictures[train],
                        corpus.captions[train],
                        steps=self._policy.adapter_steps if len(train) >= _PAIRS else 0,
                        width=self._policy.adapter_width,
                        seed=self._policy.seed + start,
                        device=self._device,
                    ),
                    corpus.pictures[test],
                    corpus.captions[test],
                )
                for start in range(self._policy.adapters)
            ]
        )
        missed = 1.0 - (1.0 / places).mean(axis=(0, 2))
        held_out[RETRIEVAL] = HeldOut(missed, np.ones(len(missed)), corpus.groups[probes])
        return float((places == 1.0).mean())


@contextmanager
def _one_thread(device: str) -> Iterator[None]:
    """Compute on one thread on CPU: sums of floats depend on how many share them."""
    before = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _schedule(progress: float) -> float:
    """Share of the peak rate: warm-up, then a cosine."""
    if progress < _WARM_UP:
        return max(progress / _WARM_UP, 0.05)
    along = min((progress - _WARM_UP) / (1.0 - _WARM_UP), 1.0)
    return _LAST_RATE + (1.0 - _LAST_RATE) * 0.5 * (1.0 + math.cos(math.pi * along))
