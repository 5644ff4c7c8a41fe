"""The ``mm`` command: thin faces over `mm_assets.commands`."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from mm_assets.errors import HoldError, MMAssetsError

DONE, FAILED, HELD = 0, 1, 3
_WIDTH = 160
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]


class Form(StrEnum):
    """Formats of ``mm export``."""

    VTT = "vtt"
    SRT = "srt"
    CTM = "ctm"
    RTTM = "rttm"
    WEBDATASET = "webdataset"
    ENERGON = "energon"
    MDS = "mds"
    LLAVA = "llava"
    HUGGINGFACE = "huggingface"


_OF_RELEASES = frozenset({Form.WEBDATASET, Form.ENERGON, Form.MDS, Form.LLAVA, Form.HUGGINGFACE})


class Text(StrEnum):
    """Texts that ``mm export`` can write."""

    TRANSCRIPTS = "transcripts"
    CUES = "cues"
    SEGMENTS = "segments"


def _print_json(document: Any) -> None:  # noqa: ANN401 - any JSON document
    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")


def _console(*, stderr: bool = False) -> Console:
    """A console; wide enough for tables where the output is no terminal."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else _WIDTH)


@app.command()
def demo(as_json: Json = False) -> None:
    """Run the vendored demo batches, four of them spoiled on purpose, to a release."""
    from mm_assets.commands import demo as command  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.workspace import open_workspace  # noqa: PLC0415 - imports dagster

    command.use_demo_landing()
    outcome = command.run_demo(open_workspace(), _console(stderr=True))
    if as_json:
        _print_json({"batches": outcome.rows, "releases": outcome.releases, "as_expected": outcome.as_expected})
    else:
        command.print_outcome(outcome, _console())
    raise typer.Exit(DONE if outcome.as_expected else FAILED)


@app.command()
def run(
    batch: Annotated[list[str] | None, typer.Option(help="Run only these batches; repeatable.")] = None,
    release: Annotated[str | None, typer.Option(help="Then draw this release.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; batches compared with one another share one. Default: cores.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run what is due of the landed batches, and a release if one is named."""
    from mm_assets.commands.progress_bars import ConsoleBars  # noqa: PLC0415 - beside the others
    from mm_assets.commands.repair import repairable_batches, tell_repair  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.run import Runner  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.run_workers import processes_at_hand  # noqa: PLC0415 - beside the others
    from mm_assets.commands.workspace import open_workspace  # noqa: PLC0415 - imports dagster

    workspace = open_workspace()
    bars = ConsoleBars(_console(stderr=True))
    summary = Runner(workspace, bars).run(batch, release, workers or processes_at_hand())
    if as_json:
        _print_json(summary)
    else:
        console = _console()
        for name, steps in summary.ran.items():
            console.print(f"{name}: ran {', '.join(steps)}")
        for name in summary.current:
            console.print(f"{name}: up to date")
        for name, gate in summary.held.items():
            console.print(f"[red]{name}: held by gate {gate}[/red]  (mm holds)")
        for name in repairable_batches(workspace):
            console.print(tell_repair(name), highlight=False)
        for name, reason in (summary.refused | summary.failed).items():
            console.print(f"[red]{name}[/red]: {reason}")
    if summary.failed or summary.refused:
        raise typer.Exit(FAILED)
    raise typer.Exit(HELD if summary.held else DONE)


@app.command()
def ui(port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 3000) -> None:
    """Open the Dagster UI, with its sensors, on 127.0.0.1."""
    from mm_assets.commands import demo as demo_command  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.ui import serve  # noqa: PLC0415 - imports dagster

    if "MM_LANDING" not in os.environ and not Path("landing").is_dir():
        demo_command.use_demo_landing()
    raise typer.Exit(serve(port))


@app.command()
def status(as_json: Json = False) -> None:
    """Show rows and rejections per batch, what is held, and the releases."""
    from mm_assets.commands.status import read_status  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.workspace import open_workspace  # noqa: PLC0415 - imports dagster

    document = read_status(open_workspace())
    if as_json:
        _print_json(document)
    else:
        table = Table("batch", "rows", "rejected", "held")
        for entry in document["batches"]:
            rows, rejected = (
                ", ".join(f"{name} {count}" for name, count in entry[key].items()) for key in ("rows", "rejected")
            )
            table.add_row(entry["batch"], rows, rejected, ", ".join(entry["held"]))
        console = _console()
        console.print(table)
        for entry in document["releases"]:
            told = "  [red]revoked[/red]" if entry["revoked"] else ""
            console.print(f"release {entry['release']}: {entry['samples']} samples, {entry['path']}{told}")
    raise typer.Exit(HELD if any(entry["held"] for entry in document["batches"]) else DONE)


@app.command()
def holds(
    everything: Annotated[bool, typer.Option("--all", help="Released holds too.")] = False, as_json: Json = False
) -> None:
    """Show what is held and why."""
    from mm_assets.commands.workspace import open_workspace  # noqa: PLC0415 - imports dagster
    from resources.holds import describe_hold  # noqa: PLC0415 - imports dagster

    ledger = open_workspace().holds
    rows = [describe_hold(row) for row in (ledger.history() if everything else ledger.active()).to_dicts()]
    if as_json:
        _print_json(rows)
        return
    console = _console()
    if not rows:
        console.print("Nothing is held.")
    for row in rows:
        console.print(f"[bold]{row['batch']}[/bold]  gate {row['gate']}  {row['code']}  since {row['opened_at']}")
        console.print(f"  {row['reason']}")
        if row["released"]:
            console.print(f"  released by {row['released']['by']}: {row['released']['reason']}")


@app.command("release-hold")
def release_hold(
    batch: Annotated[str, typer.Argument(help="The held batch.")],
    gate: Annotated[str, typer.Option(help="The gate that holds it.")],
    by: Annotated[str, typer.Option(help="Who releases it.")],
    reason: Annotated[str, typer.Option(help="Why it may go on.")],
    as_json: Json = False,
) -> None:
    """Release a held batch; the verdict it was held for is waived, no other."""
    from mm_assets.commands.workspace import open_workspace  # noqa: PLC0415 - imports dagster

    evaluation = open_workspace().holds.release(batch, gate, by, reason)
    if as_json:
        _print_json({"batch": batch, "gate": gate, "evaluation_id": evaluation, "by": by, "reason": reason})
    else:
        _console().print(f"Released {gate} of {batch}; run it on with: mm run --batch {batch}")


@app.command("review-tasks")
def review_tasks(
    batch: Annotated[str, typer.Argument(help="The batch.")],
    out: Annotated[Path, typer.Option(help="File to write Label Studio tasks to.")],
    picture_url: Annotated[
        str, typer.Option(help="Address of a picture as the labelling server reaches it; {id} and {uri} are filled in.")
    ] = "{uri}",
    as_json: Json = False,
) -> None:
    """Write random hard negatives of a batch as Label Studio tasks, with the labelling interface beside them."""
    from mm_assets.commands.review import write_tasks  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.workspace import open_workspace  # noqa: PLC0415 - imports dagster

    written = write_tasks(open_workspace(), batch, out, picture_url)
    if as_json:
        _print_json({"batch": batch, "tasks": written.tasks, "path": str(out), "interface": str(written.interface)})
    else:
        _console().print(f"{written.tasks} tasks in {out}, the interface in {written.interface}")


@app.command("review-import")
def review_import(
    path: Annotated[Path, typer.Argument(help="A JSON export of Label Studio.")], as_json: Json = False
) -> None:
    """Take people's verdicts on hard negatives from a Label Studio export; they win on the next run."""
    from mm_assets.commands.review import import_decisions  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.workspace import open_workspace  # noqa: PLC0415 - imports dagster

    found = import_decisions(open_workspace(), path)
    counts = {"decisions": found.decisions, "batches": found.batches, "open": found.open}
    counts |= {"unknown": found.unknown, "malformed": found.malformed}
    if as_json:
        _print_json(counts)
    else:
        _console().print(", ".join(f"{name}: {value}" for name, value in counts.items()))


@app.command()
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
    from mm_assets.commands.progress_bars import ConsoleBars  # noqa: PLC0415 - beside the others
    from mm_assets.commands.run import Runner  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.workspace import open_workspace  # noqa: PLC0415 - imports dagster

    if (apply or withdraw) and not (by.strip() and reason.strip()):
        raise typer.BadParameter("needs a name (--by) and a reason (--reason)", param_hint="--apply / --withdraw")
    workspace = open_workspace()
    if withdraw:
        taken = command.withdraw_repairs(workspace, batch, by, reason)
        _print_json({"batch": batch, "withdrawn": taken}) if as_json else _console().print(f"withdrawn: {taken}")
        return
    plan, path = command.show_repair(workspace, batch, gate, sheet)
    document = command.plan_as_document(plan, path)
    console = _console()
    if not as_json:
        console.print(f"[bold]{batch}[/bold]  gate {plan.gate}: {plan.reason}", highlight=False)
        for item in plan.proposals:
            console.print(f"would undo {item.kind} {dict(item.parameters) or ''} on {len(item.rows)} of {plan.of} rows")
        console.print(f"pictures before (red) and after (green): {path}")
    if not apply:
        if as_json:
            _print_json(document)
        else:
            console.print(f"Correct it with: mm repair {batch} --apply --by WHO --reason TEXT")
        return
    done = command.apply_repair(workspace, Runner(workspace, ConsoleBars(_console(stderr=True))), plan, by, reason)
    if as_json:
        _print_json(document | {"correction": done})
    else:
        console.print(f"correction {done.correction_id}: {done.reason}", highlight=False)
        told = f"released; run it on with: mm run --batch {batch}" if done.released else "still held, see: mm holds"
        console.print(told)
    raise typer.Exit(DONE if done.passed else HELD)


@app.command()
def lint(
    paths: Annotated[list[Path], typer.Argument(help="Release folders or JSONL files.")], as_json: Json = False
) -> None:
    """Check every line of releases or JSONL files for placeholder faults."""
    from mm_assets.fusion.linter import lint_paths  # noqa: PLC0415 - compiles kernels

    report = lint_paths(paths)
    if as_json:
        _print_json(report.as_document())
    else:
        console = _console()
        for error in report.errors:
            console.print(f"{error.file}:{error.line}: {error.code} [{error.id}] {error.message}", highlight=False)
        console.print(f"{report.files} files, {report.rows} rows, {len(report.errors)} errors")
    raise typer.Exit(HELD if report.errors else DONE)


@app.command()
def trace(
    sample_id: Annotated[str, typer.Argument(help="Id of a sample, as a line of a release names it.")],
    release: Annotated[str | None, typer.Option(help="Show where this release holds it.")] = None,
    as_json: Json = False,
) -> None:
    """Walk from a sample to the raw bytes it was made of, and read them; exit 1 if they are gone or changed."""
    from mm_assets.commands import trace as command  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.workspace import open_workspace  # noqa: PLC0415 - imports dagster

    traced = command.trace(open_workspace(), sample_id, release)
    if as_json:
        _print_json(traced.to_document())
    else:
        command.print_trace(traced, _console())
    raise typer.Exit(DONE if traced.trace.whole else FAILED)


@app.command()
def forget(
    source: Annotated[str | None, typer.Option(help="Everything of this source.")] = None,
    license_name: Annotated[str | None, typer.Option("--license", help="Everything under this licence.")] = None,
    record: Annotated[str | None, typer.Option(help="A record_ref, uri or record id, or what a sample is of.")] = None,
    person: Annotated[str | None, typer.Option(help="A speaker that audio records or cues declare.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Finish what was ordered and not carried out.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete it; without, only list it. Needs --by, --reason.")] = False,
    by: Annotated[str, typer.Option(help="Who orders it.")] = "",
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger, so name nobody.")] = "",
    as_json: Json = False,
) -> None:
    """List everything made of some records; with --yes, delete it everywhere, for good, and block it."""
    from mm_assets.commands import forget as command  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.workspace import open_workspace  # noqa: PLC0415 - imports dagster
    from mm_assets.lineage.selectors import Choice, Selector  # noqa: PLC0415 - imports polars

    given = {"source": source, "license": license_name, "record": record, "person": person}
    chosen = [Choice(Selector(name), value) for name, value in given.items() if value and value.strip()]
    if len(chosen) != (0 if resume else 1):
        raise typer.BadParameter("name one of --source, --license, --record and --person, or --resume alone")
    if chosen and yes and not (by.strip() and reason.strip()):
        raise typer.BadParameter("needs a name (--by) and a reason (--reason)", param_hint="--yes")
    workspace, console = open_workspace(), _console()
    if chosen and not yes:
        plan = command.plan_forgetting(workspace, chosen[0])
        if as_json:
            _print_json(plan.to_document())
        else:
            command.print_plan(plan, console)
            console.print("Nothing was changed. Delete it with: --yes --by WHO --reason TEXT")
        return
    progress = _console(stderr=True)
    if resume:
        finished = command.resume(workspace, progress)
    else:
        finished = [command.carry_out(workspace, chosen[0], by, reason, progress)]
    if as_json:
        _print_json([command.done_as_document(done) for done in finished])
    else:
        for done in finished:
            command.print_done(done, console)


@app.command()
def export(
    target: Annotated[str, typer.Argument(help="A release, or a batch.")],
    form: Annotated[Form, typer.Option("--format", help="What to write.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("export"),
    text: Annotated[Text | None, typer.Option(help="Which text; of a release its segments.")] = None,
    as_json: Json = False,
) -> None:
    """Write a release for training tools, or its texts for players (vtt, srt) and scoring tools (ctm, rttm)."""
    if form in _OF_RELEASES:
        if text:
            raise typer.BadParameter(f"{form.value} holds whole samples, not {text.value}", param_hint="--text")
        _export_release(target, form, out, as_json)
        return
    from mm_assets.commands import export as command  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.workspace import open_workspace  # noqa: PLC0415 - imports dagster

    done = command.export(
        open_workspace(), target, form.value, out, _console(stderr=True), text.value if text else None
    )
    for batch, gate in done.held.items():
        _console(stderr=True).print(f"[yellow]{batch} is held by gate {gate}: its times may be wrong[/yellow]")
    if as_json:
        _print_json(done.to_document())
    else:
        told = f"{done.recordings} recordings, {done.lines} lines, {done.words} words in {len(done.files)} files"
        empty = f"; {done.without_text} clips have no {done.text}" if done.without_text else ""
        _console().print(f"{target}: {told} below {out}{empty}", highlight=False)


def _export_release(release: str, form: Form, out: Path, as_json: bool) -> None:
    from mm_assets.commands.export_release import export_packaged  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.workspace import open_workspace  # noqa: PLC0415 - imports dagster

    with _console(stderr=True).status(f"{release}: checking, then writing {form.value}"):
        done = export_packaged(open_workspace(), release, form.value, out)
    if as_json:
        _print_json(done.to_document())
        return
    counts = ", ".join(f"{count} {split}" for split, count in done.samples.items())
    told = f"{release}: {counts} samples in {done.files} files, {done.size_bytes / 1e6:,.1f} MB below {done.folder}"
    _console().print(told, highlight=False)
    for reason, count in done.left_out.items():
        _console().print(f"[yellow]left out {count}: {reason}[/yellow]", highlight=False)


@app.command()
def ablate(
    release: Annotated[str, typer.Argument(help="The release the recipe is for; it need not be drawn yet.")],
    weight: Annotated[
        list[str] | None,
        typer.Option(help="POOL=SHARE, repeatable: train nothing, say what the last ablation expects of this recipe."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the mixture of a release: train small models on designed mixtures, fit their losses, keep the recipe."""
    from mm_assets.commands import ablate as command  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.workspace import open_workspace  # noqa: PLC0415 - imports dagster

    workspace = open_workspace()
    if weight:
        found, show = command.forecast_recipe(workspace, release, weight), command.print_forecast
    else:
        found, show = command.run_ablation(workspace, release, _console(stderr=True)), command.print_ablation
    _print_json(found) if as_json else show(found, _console())


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say which models, devices and extensions are in use, and what is wrong with them."""
    from mm_assets.commands.doctor import examine  # noqa: PLC0415 - imports everything
    from mm_assets.commands.workspace import open_workspace  # noqa: PLC0415 - imports dagster

    findings = examine(open_workspace())
    if as_json:
        _print_json(findings)
    else:
        console = _console()
        for name, value in findings.items():
            if isinstance(value, dict):
                console.print(f"{name}:")
                for key, item in value.items():
                    console.print(f"  {key}: {item}")
            else:
                console.print(f"{name}: {value}")
    raise typer.Exit(FAILED if findings["problems"] else DONE)


def main() -> None:
    """Run the command; a known error is one line, not a traceback."""
    try:
        app()
    except (MMAssetsError, HoldError, FileNotFoundError) as error:
        _console(stderr=True).print(f"[red]mm: {error}[/red]", highlight=False)
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
