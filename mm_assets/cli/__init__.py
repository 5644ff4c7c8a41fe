"""The ``mm`` command: thin faces over `mm_assets.commands`."""

import sys

import typer

from mm_assets.cli.batches import holds, release_hold, repair, review_import, review_tasks, run, status
from mm_assets.cli.output import FAILED, open_console
from mm_assets.cli.releases import ablate, export, forget, lint, trace
from mm_assets.cli.stack import demo, doctor, ui
from mm_assets.display.lines import print_line
from mm_assets.errors import HoldError, MMAssetsError

_IN_ORDER_OF_HELP = (
    demo,
    run,
    ui,
    status,
    holds,
    release_hold,
    review_tasks,
    review_import,
    repair,
    lint,
    trace,
    forget,
    export,
    ablate,
    doctor,
)
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
for command in _IN_ORDER_OF_HELP:
    app.command(command.__name__.replace("_", "-"))(command)


def main() -> None:
    """Run the command; a known error is one line, not a traceback."""
    try:
        app()
    except (MMAssetsError, HoldError, FileNotFoundError) as error:
        print_line(open_console(stderr=True), (f"mm: {error}", "red"))
        sys.exit(FAILED)
