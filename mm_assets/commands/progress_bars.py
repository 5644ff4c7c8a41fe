"""One progress bar per batch, moved by the events of its run, in this process or another."""

from contextlib import AbstractContextManager, nullcontext
from multiprocessing.queues import Queue
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

Told = tuple[str, tuple[Any, ...]]
"""The name of a method of `Bars` and its arguments."""


class Bars(Protocol):
    """What a run tells of itself."""

    def shown(self) -> AbstractContextManager[object]:
        """Bars are drawn inside the context."""
        ...

    def start(self, name: str, total: int, state: str) -> None:
        """A bar begins, or begins anew."""
        ...

    def move(self, name: str, completed: int) -> None:
        """Steps that are done."""
        ...

    def end(self, name: str, state: str, full: bool = True) -> None:
        """The last word; a full bar is drawn to its end."""
        ...


class ConsoleBars:
    """Bars on a console."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<24}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    @property
    def states(self) -> dict[str, str]:
        """What the bar of each batch, the codebook, the release and the views says now."""
        return {task.description: str(task.fields["state"]) for task in self._progress.tasks}

    def shown(self) -> Progress:
        """As `Bars.shown`."""
        return self._progress

    def start(self, name: str, total: int, state: str) -> None:
        """As `Bars.start`."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total, state=state)
        self._progress.reset(self._tasks[name], total=total, state=state)

    def move(self, name: str, completed: int) -> None:
        """As `Bars.move`."""
        self._progress.update(self._tasks[name], completed=completed)

    def end(self, name: str, state: str, full: bool = True) -> None:
        """As `Bars.end`."""
        task = self._tasks[name]
        total = self._progress.tasks[list(self._tasks).index(name)].total
        self._progress.update(task, state=state, completed=total if full else None)
        self._progress.stop_task(task)


class DistantBars:
    """Bars of another process, told over a queue."""

    def __init__(self, queue: "Queue[Told | None]") -> None:
        self._queue = queue

    def shown(self) -> AbstractContextManager[object]:
        """As `Bars.shown`: the other process draws them."""
        return nullcontext()

    def start(self, name: str, total: int, state: str) -> None:
        """As `Bars.start`."""
        self._queue.put(("start", (name, total, state)))

    def move(self, name: str, completed: int) -> None:
        """As `Bars.move`."""
        self._queue.put(("move", (name, completed)))

    def end(self, name: str, state: str, full: bool = True) -> None:
        """As `Bars.end`."""
        self._queue.put(("end", (name, state, full)))
