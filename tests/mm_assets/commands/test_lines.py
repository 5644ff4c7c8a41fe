"""What the terminal shows of texts that people and files wrote."""

import io

from rich.console import Console

from mm_assets.display.lines import print_line


def test_brackets_in_reasons_and_long_paths_are_printed_as_they_are() -> None:
    out = io.StringIO()
    console = Console(file=out, width=40)
    path = "/landing/" + "deep/" * 30 + "[bold]caption[/].jsonl"
    print_line(console, ("shifted-1", "red"), ": captions [2] to [9] of [/red] ", path)
    assert out.getvalue() == f"shifted-1: captions [2] to [9] of [/red] {path}\n"
