"""What the commands print on, and the codes they exit with."""

import sys
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console

DONE: Final = 0
FAILED: Final = 1
HELD: Final = 3
_WIDTH: Final = 160
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]


def print_json(document: Any) -> None:  # noqa: ANN401 - any JSON document
    """Print a document on one line."""
    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")


def open_console(*, stderr: bool = False) -> Console:
    """A console; wide enough for tables where the output is no terminal."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else _WIDTH)
