"""Commands over the whole stack: the demo, the UI, and what is installed."""

import os
from pathlib import Path
from typing import Annotated

import typer

from mm_assets.cli.output import DONE, FAILED, Json, open_console, print_json
from mm_assets.display.lines import print_line


def demo(as_json: Json = False) -> None:
    """Run the vendored demo batches, four of them spoiled on purpose, to a release."""
    from mm_assets.commands import demo as command  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.workspace import open_workspace  # noqa: PLC0415 - imports dagster

    command.use_demo_landing()
    outcome = command.run_demo(open_workspace(), open_console(stderr=True))
    if as_json:
        print_json({"batches": outcome.rows, "releases": outcome.releases, "as_expected": outcome.as_expected})
    else:
        command.print_outcome(outcome, open_console())
    raise typer.Exit(DONE if outcome.as_expected else FAILED)


def ui(port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 3000) -> None:
    """Open the Dagster UI, with its sensors, on 127.0.0.1."""
    from mm_assets.commands import demo as demo_command  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.ui import serve  # noqa: PLC0415 - imports dagster

    if "MM_LANDING" not in os.environ and not Path("landing").is_dir():
        demo_command.use_demo_landing()
    raise typer.Exit(serve(port))


def doctor(as_json: Json = False) -> None:
    """Say which models, devices and extensions are in use, and what is wrong with them."""
    from mm_assets.commands.doctor import examine  # noqa: PLC0415 - imports everything
    from mm_assets.commands.workspace import open_workspace  # noqa: PLC0415 - imports dagster

    findings = examine(open_workspace())
    if as_json:
        print_json(findings)
    else:
        console = open_console()
        for name, value in findings.items():
            if isinstance(value, dict):
                print_line(console, f"{name}:")
                for key, item in value.items():
                    print_line(console, f"  {key}: {item}")
            else:
                print_line(console, f"{name}: {value}")
    raise typer.Exit(FAILED if findings["problems"] else DONE)
