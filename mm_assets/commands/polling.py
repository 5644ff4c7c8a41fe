"""Look at something again and again beside the work that changes it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_POLL_SECONDS: Final = 1.0


@contextmanager
def polled(look: Callable[[], object]) -> Iterator[None]:
    """Look once a second, in a thread that ends with the context; the first time after a second.

    Args:
        look: shows what it finds; what it raises ends the looking.
    """
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(_POLL_SECONDS):
            look()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
