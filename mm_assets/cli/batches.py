"""Commands over batches: run them, see what holds them, review and correct them."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from mm_assets.cli.output import DONE, FAILED, HELD, Json, open_console, print_json
from mm_assets.display.counts import tell_count
from mm_assets.display.lines import print_line


def run(
    batch: Annotated[list[str] | None, typer.Option(help="Run only these batches; repeatable.")] = None,
    release: Annotated[str | None, typer.Option(help="Then draw this release.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; batches compared with one another share one. Default: cores.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run what is due of the landed batches, and a release if one is named."""
    from mm_assets.commands.progress_bars import ConsoleBars  # noqa: PLC0415 - start-up of every mm
    from mm_assets.commands.repair import repairable_batches, tell_repair  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.run import Runner  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.run_workers import processes_at_hand  # noqa: PLC0415 - start-up of every mm
    from mm_assets.commands.workspace import open_workspace  # noqa: PLC0415 - imports dagster

    workspace = open_workspace()
    bars = ConsoleBars(open_console(stderr=True))
    summary = Runner(workspace, bars).run(batch, release, workers or processes_at_hand())
    if as_json:
        print_json(summary)
    else:
        console = open_console()
        for name, steps in summary.ran.items():
            print_line(console, f"{name}: ran {', '.join(steps)}")
        for name in summary.current:
            print_line(console, f"{name}: up to date")
        for name, gate in summary.held.items():
            print_line(console, (f"{name}: held by gate {gate}", "red"), "  (mm holds)")
        for name in repairable_batches(workspace):
            print_line(console, tell_repair(name))
        for name, reason in (summary.refused | summary.failed).items():
            print_line(console, (name, "red"), f": {reason}")
    if summary.failed or summary.refused:
        raise typer.Exit(FAILED)
    raise typer.Exit(HELD if summary.held else DONE)


def status(as_json: Json = False) -> None:
    """Show rows and rejections per batch, what is held, and the releases."""
    from mm_assets.commands.status import read_status  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.workspace import open_resources  # noqa: PLC0415 - imports dagster

    document = read_status(open_resources())
    if as_json:
        print_json(document)
    else:
        table = Table("batch", "rows", "rejected", "held")
        for entry in document["batches"]:
            rows, rejected = (
                ", ".join(f"{name} {count}" for name, count in entry[key].items()) for key in ("rows", "rejected")
            )
            table.add_row(entry["batch"], rows, rejected, ", ".join(entry["held"]))
        console = open_console()
        console.print(table)
        for entry in document["releases"]:
            told = "  revoked" if entry["revoked"] else ""
            samples = tell_count(entry["samples"], "sample")
            print_line(console, f"release {entry['release']}: {samples}, {entry['path']}", (told, "red"))
    raise typer.Exit(HELD if any(entry["held"] for entry in document["batches"]) else DONE)


def holds(
    everything: Annotated[bool, typer.Option("--all", help="Released holds too.")] = False, as_json: Json = False
) -> None:
    """Show what is held and why."""
    from mm_assets.commands.workspace import open_resources  # noqa: PLC0415 - imports dagster
    from resources.holds import describe_hold  # noqa: PLC0415 - imports dagster

    ledger = open_resources().holds
    rows = [describe_hold(row) for row in (ledger.history() if everything else ledger.active()).to_dicts()]
    if as_json:
        print_json(rows)
        return
    console = open_console()
    if not rows:
        print_line(console, "Nothing is held.")
    for row in rows:
        gate = f"  gate {row['gate']}  {row['code']}  since {row['opened_at']}"
        print_line(console, (row["batch"], "bold"), gate)
        print_line(console, f"  {row['reason']}")
        if row["released"]:
            print_line(console, f"  released by {row['released']['by']}: {row['released']['reason']}")


def release_hold(
    batch: Annotated[str, typer.Argument(help="The held batch.")],
    gate: Annotated[str, typer.Option(help="The gate that holds it.")],
    by: Annotated[str, typer.Option(help="Who releases it.")],
    reason: Annotated[str, typer.Option(help="Why it may go on.")],
    as_json: Json = False,
) -> None:
    """Release a held batch; the verdict it was held for is waived, no other."""
    from mm_assets.commands.workspace import open_resources  # noqa: PLC0415 - imports dagster

    evaluation = open_resources().holds.release(batch, gate, by, reason)
    if as_json:
        print_json({"batch": batch, "gate": gate, "evaluation_id": evaluation, "by": by, "reason": reason})
    else:
        print_line(open_console(), f"Released {gate} of {batch}; run it on with: mm run --batch {batch}")


def review_tasks(
    batch: Annotated[str, typer.Argument(help="The batch.")],
    out: Annotated[Path, typer.Option(help="File to write Label Studio tasks to.")],
    picture_url: Annotated[
        str | None,
        typer.Option(
            help="Address of a picture or clip as the labelling server reaches it; {id} and {uri} are filled in. "
            "Default: the tasks hold small pictures, and clips are named by {uri}."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write random hard negatives of a batch as Label Studio tasks, with the labelling interface beside them."""
    from mm_assets.commands.review import write_tasks  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.workspace import open_resources  # noqa: PLC0415 - imports dagster

    written = write_tasks(open_resources(), batch, out, picture_url)
    if as_json:
        print_json({"batch": batch, "tasks": written.tasks, "path": str(out), "interface": str(written.interface)})
    else:
        print_line(
            open_console(), f"{tell_count(written.tasks, 'task')} in {out}, the interface in {written.interface}"
        )


def review_import(
    path: Annotated[Path, typer.Argument(help="A JSON export of Label Studio.")], as_json: Json = False
) -> None:
    """Take people's verdicts on hard negatives from a Label Studio export; they win on the next run."""
    from mm_assets.commands.review import import_decisions  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.workspace import open_resources  # noqa: PLC0415 - imports dagster

    found = import_decisions(open_resources(), path)
    counts = {"decisions": found.decisions, "batches": found.batches, "open": found.open}
    counts |= {"unknown": found.unknown, "malformed": found.malformed}
    if as_json:
        print_json(counts)
    else:
        print_line(open_console(), ", ".join(f"{name}: {value}" for name, value in counts.items()))


def repair(
    batch: Annotated[str, typer.Argument(help="The held batch.")],
    gate: Annotated[str | None, typer.Option(help="The gate to repair for, if several hold the batch.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Correct and run again; needs --by, --reason.")] = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take corrections back; same needs.")] = False,
    by: Annotated[str, typer.Option(help="Who corrects.")] = "",
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    sheet: Annotated[Path | None, typer.Option(help="Where to write the pictures; here by default.")] = None,
    as_json: Json = False,
) -> None:
    """Show with pictures what would undo a held batch's fault; with --apply, undo it in a layer beside the raw data."""
    from mm_assets.commands import repair as command  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.progress_bars import ConsoleBars  # noqa: PLC0415 - start-up of every mm
    from mm_assets.commands.run import Runner  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.workspace import open_workspace  # noqa: PLC0415 - imports dagster

    if (apply or withdraw) and not (by.strip() and reason.strip()):
        raise typer.BadParameter("needs a name (--by) and a reason (--reason)", param_hint="--apply / --withdraw")
    workspace = open_workspace()
    if withdraw:
        taken = command.withdraw_repairs(workspace, batch, by, reason)
        print_json({"batch": batch, "withdrawn": taken}) if as_json else print_line(
            open_console(), f"withdrawn: {taken}"
        )
        return
    plan, path = command.show_repair(workspace, batch, gate, sheet)
    document = command.plan_as_document(plan, path)
    console = open_console()
    if not as_json:
        print_line(console, (batch, "bold"), f"  gate {plan.gate}: {plan.reason}")
        for item in plan.proposals:
            rows = f"{len(item.rows):,} of {tell_count(plan.of, 'row')}"
            print_line(console, f"would undo {item.kind} {dict(item.parameters) or ''} on {rows}")
        print_line(console, f"pictures before (red) and after (green): {path}")
    if not apply:
        if as_json:
            print_json(document)
        else:
            print_line(console, f"Correct it with: mm repair {batch} --apply --by WHO --reason TEXT")
        return
    done = command.apply_repair(workspace, Runner(workspace, ConsoleBars(open_console(stderr=True))), plan, by, reason)
    if as_json:
        print_json(document | {"correction": done})
    else:
        print_line(console, f"correction {done.correction_id}: {done.reason}")
        told = f"released; run it on with: mm run --batch {batch}" if done.released else "still held, see: mm holds"
        print_line(console, told)
    raise typer.Exit(DONE if done.passed else HELD)
