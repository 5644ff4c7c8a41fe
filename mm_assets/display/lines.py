# pyright: strict
"""Lines on a terminal."""

from rich.console import Console
from rich.text import Text


def print_line(console: Console, *parts: str | tuple[str, str]) -> None:
    """Print a line as it is: brackets are no markup, and a long path or command is not broken.

    Args:
        console: where to.
        parts: texts in order; a pair is a text and its style.
    """
    console.print(Text.assemble(*parts), soft_wrap=True)
