"""Commands over releases: find their recipe, check, trace and export them, and delete what they were made of."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mm_assets.cli.output import DONE, FAILED, HELD, Json, open_console, print_json
from mm_assets.display.counts import tell_count
from mm_assets.display.lines import print_line


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
        found, show = command.run_ablation(workspace, release, open_console(stderr=True)), command.print_ablation
    print_json(found) if as_json else show(found, open_console())


def lint(
    paths: Annotated[list[Path], typer.Argument(help="Release folders or JSONL files.")], as_json: Json = False
) -> None:
    """Check every line of releases or JSONL files for placeholder faults."""
    from mm_assets.fusion.linter import lint_paths  # noqa: PLC0415 - compiles kernels

    report = lint_paths(paths)
    if as_json:
        print_json(report.as_document())
    else:
        console = open_console()
        for error in report.errors:
            print_line(console, f"{error.file}:{error.line}: {error.code} [{error.id}] {error.message}")
        seen = tell_count(report.files, "file"), tell_count(report.rows, "row"), tell_count(len(report.errors), "error")
        print_line(console, ", ".join(seen))
    raise typer.Exit(HELD if report.errors else DONE)


def trace(
    sample_id: Annotated[str, typer.Argument(help="Id of a sample, as a line of a release names it.")],
    release: Annotated[str | None, typer.Option(help="Show where this release holds it.")] = None,
    as_json: Json = False,
) -> None:
    """Walk from a sample to the raw bytes it was made of, and read them; exit 1 if they are gone or changed."""
    from mm_assets.commands import trace as command  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.workspace import open_resources  # noqa: PLC0415 - imports dagster

    traced = command.trace(open_resources(), sample_id, release)
    if as_json:
        print_json(traced.to_document())
    else:
        command.print_trace(traced, open_console())
    raise typer.Exit(DONE if traced.trace.whole else FAILED)


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
    workspace, console = open_workspace(), open_console()
    if chosen and not yes:
        plan = command.plan_forgetting(workspace, chosen[0])
        if as_json:
            print_json(plan.to_document())
        else:
            command.print_plan(plan, console)
            print_line(console, "Nothing was changed. Delete it with: --yes --by WHO --reason TEXT")
        return
    progress = open_console(stderr=True)
    if resume:
        finished = command.resume(workspace, progress)
    else:
        finished = [command.carry_out(workspace, chosen[0], by, reason, progress)]
    if as_json:
        print_json([command.done_as_document(done) for done in finished])
    else:
        for done in finished:
            command.print_done(done, console)


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
    from mm_assets.commands.workspace import open_resources  # noqa: PLC0415 - imports dagster

    done = command.export(
        open_resources(), target, form.value, out, open_console(stderr=True), text.value if text else None
    )
    for batch, gate in done.held.items():
        told = f"{batch} is held by gate {gate}: its times may be wrong"
        print_line(open_console(stderr=True), (told, "yellow"))
    if as_json:
        print_json(done.to_document())
    else:
        counts = {"recording": done.recordings, "line": done.lines, "word": done.words}
        told = ", ".join(tell_count(count, noun) for noun, count in counts.items())
        told += f" in {tell_count(len(done.files), 'file')}"
        empty = f"; of {tell_count(done.without_text, 'clip')} there are no {done.text}" if done.without_text else ""
        print_line(open_console(), f"{target}: {told} below {out}{empty}")


def _export_release(release: str, form: Form, out: Path, as_json: bool) -> None:
    from mm_assets.commands.export_release import export_packaged  # noqa: PLC0415 - imports dagster
    from mm_assets.commands.workspace import open_resources  # noqa: PLC0415 - imports dagster

    with open_console(stderr=True).status(f"{release}: checking, then writing {form.value}"):
        done = export_packaged(open_resources(), release, form.value, out)
    if as_json:
        print_json(done.to_document())
        return
    counts = ", ".join(f"{count} {split}" for split, count in done.samples.items())
    files = f"{tell_count(done.files, 'file')}, {done.size_bytes / 1e6:,.1f} MB below {done.folder}"
    told = f"{release}: {counts} samples in {files}"
    print_line(open_console(), told)
    for reason, count in done.left_out.items():
        print_line(open_console(), (f"left out {count}: {reason}", "yellow"))
