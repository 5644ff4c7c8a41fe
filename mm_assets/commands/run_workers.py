"""Processes that run groups of batches beside the process that was asked.

One process runs one job at a time: Dagster's logging does not allow two.
"""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import SpawnContext
from multiprocessing.queues import Queue
from typing import Final, Protocol, Self

from mm_assets.commands.progress_bars import Bars, DistantBars, Told
from mm_assets.commands.run_summary import RunSummary

_LOOK_SECONDS: Final = 0.5


class GroupRunner(Protocol):
    """Runs batches in its process."""

    def run_alone(self, group: Sequence[str], steps: tuple[str, ...]) -> RunSummary:
        """Run what is due of the steps of batches, and tell what was done."""
        ...


class RunWorkers:
    """Up to a number of processes that stay until the context ends; use it in a ``with`` statement.

    Args:
        processes: at least one.
        bars: told what the processes do.
        open_runner: a function of a module, called once in each process.
    """

    def __init__(self, processes: int, bars: Bars, open_runner: Callable[[Bars], GroupRunner]) -> None:
        context: SpawnContext = multiprocessing.get_context("spawn")
        self._bars = bars
        self._queue: Queue[Told | None] = context.Queue()
        self._pool = ProcessPoolExecutor(processes, context, _enter, (self._queue, os.getpid(), open_runner))
        self._listening = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._listening.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._queue.put(None)
        self._listening.join()

    def run(
        self, groups: Sequence[list[str]], steps: tuple[str, ...], here: Callable[[list[str]], object]
    ) -> list[RunSummary]:
        """Run groups of batches at once, the first here, the others wherever there is room.

        Args:
            groups: batches that share nothing between groups.
            steps: what is due of them.
            here: runs a group in this process.

        Returns:
            What the other processes did; of one that died, its batches as failed.
        """
        futures: list[tuple[list[str], Future[RunSummary]]] = [
            (group, self._pool.submit(_run_group, group, steps)) for group in groups[1:]
        ]
        here(groups[0])
        for group, future in reversed(futures):
            if future.cancel():
                here(group)
        return [_outcome(group, future) for group, future in futures if not future.cancelled()]

    def _listen(self) -> None:
        while (told := self._queue.get()) is not None:
            name, arguments = told
            getattr(self._bars, name)(*arguments)


def processes_at_hand() -> int:
    """Processes that can run at once: the cores that this one may use."""
    return len(os.sched_getaffinity(0))


_IN_THIS_PROCESS: dict[str, GroupRunner] = {}


def _enter(queue: "Queue[Told | None]", parent: int, open_runner: Callable[[Bars], GroupRunner]) -> None:
    """Open the runner once, and end when the process that asked is gone."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _IN_THIS_PROCESS["runner"] = open_runner(DistantBars(queue))


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


def _run_group(batches: list[str], steps: tuple[str, ...]) -> RunSummary:
    return _IN_THIS_PROCESS["runner"].run_alone(batches, steps)


def _outcome(group: list[str], future: Future[RunSummary]) -> RunSummary:
    try:
        return future.result()
    except BrokenProcessPool:
        died = "its process died, perhaps for want of memory; run it again, or with --workers 1"
        return RunSummary(failed=dict.fromkeys(group, died))
