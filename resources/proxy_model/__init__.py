"""Proxies for the ablation of mixtures: a small transformer, trained many times."""

import importlib.metadata
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

import dagster as dg

from mm_assets.errors import InferenceError
from mm_assets.mixtures.ablation.corpus import Corpus
from mm_assets.mixtures.ablation.interfaces import ProxyTrainer, RunPlan, RunResult
from mm_assets.policy import AblationPolicy

if TYPE_CHECKING:
    from resources.proxy_model.training import Trainer

_trainer: "Trainer | None" = None  # of a worker process


class ProxyModel(dg.ConfigurableResource):
    """Gives assets a `ProxyTrainer`."""

    def trainer(self, policy: AblationPolicy) -> ProxyTrainer:
        """The trainer of a policy; torch is imported when it trains."""
        return TransformerTrainer(policy)


class TransformerTrainer:
    """Trains transformers: on a GPU one after the other, on CPU in processes of one thread each.

    Args:
        policy: sizes, budgets, device.
    """

    def __init__(self, policy: AblationPolicy) -> None:
        self._policy = policy

    @property
    def identity(self) -> str:
        """Architecture, size and library."""
        policy = self._policy
        size = f"{policy.layers} blocks of {policy.width} channels, rows of {policy.context_tokens} tokens"
        return f"causal transformer, {size}, torch {importlib.metadata.version('torch')}"

    @property
    def device(self) -> str:
        """``cuda`` where there is one, unless configured."""
        if self._policy.device != "auto":
            return self._policy.device
        import torch  # noqa: PLC0415 - seconds of import

        return "cuda" if torch.cuda.is_available() else "cpu"

    def train(self, corpus: Corpus, plans: Sequence[RunPlan]) -> Iterator[RunResult]:
        """Train and measure every proxy; results come in the order of the plans.

        Every run computes on one thread, wherever it runs, so that results do not depend on the number of processes.

        Raises:
            InferenceError: a loss is not finite, or a process died.
        """
        device = self.device
        processes = min(self._policy.processes, len(plans))
        if device != "cpu" or processes == 1:
            _open(corpus, self._policy, device)
            yield from map(_run, plans)
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            processes, mp_context=context, initializer=_open, initargs=(corpus, self._policy, device)
        ) as pool:
            try:
                yield from pool.map(_run, plans)
            except BrokenProcessPool as error:
                raise InferenceError(
                    f"a process that trained proxies died: {error}; lower ablation.processes if memory ran out"
                ) from error


def _open(corpus: Corpus, policy: AblationPolicy, device: str) -> None:
    from resources.proxy_model.training import Trainer  # noqa: PLC0415 - imports torch

    global _trainer  # noqa: PLW0603 - what a worker process is set up with
    _trainer = Trainer(corpus, policy, device)


def _run(plan: RunPlan) -> RunResult:
    if _trainer is None:
        raise InferenceError("a proxy was asked for before its process was set up")
    return _trainer.run(plan)
