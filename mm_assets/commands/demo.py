"""The demo: the vendored batches, four of them spoiled on purpose, run to a release."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from mm_assets.commands.progress_bars import ConsoleBars
from mm_assets.commands.repair import repairable_batches, tell_repair
from mm_assets.commands.run import Runner
from mm_assets.commands.run_summary import RunSummary
from mm_assets.commands.run_workers import processes_at_hand
from mm_assets.commands.status import (
    expected_of_demo,
    read_status,
    recall_by_batch,
    records_in,
    release_summaries,
)
from mm_assets.commands.workspace import Workspace
from mm_assets.display.lines import print_line
from resources.delta_lake import DeltaLake

DEMO_RELEASE = "demo"


def demo_root() -> Path:
    """The vendored demo data.

    Raises:
        FileNotFoundError: the command does not run from a checkout.
    """
    root = Path(__file__).resolve().parents[2] / "demo"
    if not (root / "data" / "landing").is_dir():
        raise FileNotFoundError(f"no demo data at {root}; run mm demo from a checkout of the repository")
    return root


def use_demo_landing() -> None:
    """Point the landing root at the demo data, unless it is set."""
    os.environ.setdefault("MM_LANDING", str(demo_root() / "data" / "landing"))


@dataclass(frozen=True)
class DemoOutcome:
    """How the demo ended."""

    summary: RunSummary
    rows: list[dict[str, Any]]
    releases: list[dict[str, Any]]
    as_expected: bool
    repairable: list[str]


def run_demo(workspace: Workspace, console: Console) -> DemoOutcome:
    """Run every demo batch and the demo release; compare what is held with what was spoiled."""
    summary = Runner(workspace, ConsoleBars(console)).run(None, DEMO_RELEASE, processes_at_hand())
    lake = workspace.lake
    spoiled = set(expected_of_demo(demo_root())["spoiled"])
    return DemoOutcome(
        summary=summary,
        rows=batch_rows(workspace, lake),
        releases=release_summaries(lake),
        as_expected=set(summary.held) == spoiled and not summary.failed and not summary.refused,
        repairable=repairable_batches(workspace),
    )


def batch_rows(workspace: Workspace, lake: DeltaLake) -> list[dict[str, Any]]:
    """One line per batch: what came in, what stands, what was rejected, how it was judged."""
    recall = recall_by_batch(lake)
    delivered = records_in(lake)
    held = {row["batch"]: row for row in workspace.holds.active().to_dicts()}
    released = {batch for entry in release_batches(lake) for batch in entry}
    lines: list[dict[str, Any]] = []
    for entry in read_status(workspace)["batches"]:
        batch = entry["batch"]
        measured = recall.get(batch)
        state = "held" if batch in held else "released" if batch in released else "ready"
        lines.append(
            {
                "batch": batch,
                "rows_in": delivered.get(batch, 0),
                "rows_out": sum(
                    entry["rows"].get(name, 0)
                    for name in ("images", "texts", "audio_clips", "video_clips", "documents")
                ),
                "rejected": entry["rejected"],
                "recall_at_1": measured["recall_at_1"] if measured and measured["pairs"] else None,
                "interval": [measured["recall_low"], measured["recall_high"]]
                if measured and measured["pairs"]
                else None,
                "state": state,
                "gate": held[batch]["gate"] if batch in held else None,
                "code": held[batch]["code"] if batch in held else None,
                "why": held[batch]["reason"] if batch in held else None,
            }
        )
    return lines


def release_batches(lake: DeltaLake) -> list[set[str]]:
    """The batches that each release drew from."""
    rows = lake.scan("mixtures").select("release", "batch").unique().collect()
    grouped = rows.group_by("release").agg("batch")
    return [set(batches) for batches in grouped["batch"].to_list()]


def print_outcome(outcome: DemoOutcome, console: Console) -> None:
    """The table a person reads."""
    table = Table(title="Demo batches", show_lines=False)
    columns: tuple[tuple[str, JustifyMethod], ...] = (
        ("batch", "left"),
        ("in", "right"),
        ("out", "right"),
        ("rejected by code", "left"),
        ("R@1 (95 % interval)", "left"),
        ("state", "left"),
    )
    for name, justify in columns:
        table.add_column(name, justify=justify, overflow="fold")
    for row in outcome.rows:
        recall = (
            "-"
            if row["recall_at_1"] is None
            else "{:.2f} ({:.2f} to {:.2f})".format(row["recall_at_1"], *row["interval"])
        )
        rejected = ", ".join(f"{code} {count}" for code, count in row["rejected"].items()) or "-"
        state = Text(f"held by {row['gate']}", "red") if row["why"] else Text(row["state"], "green")
        table.add_row(row["batch"], str(row["rows_in"]), str(row["rows_out"]), rejected, recall, state)
    console.print(table)
    for row in outcome.rows:
        if row["why"]:
            print_line(console, (f"{row['batch']} is held", "red"), f" ({row['code']}): {row['why']}")
    for batch in outcome.repairable:
        print_line(console, tell_repair(batch, os.path.relpath(demo_root() / "data" / "landing")))
    for batch, reason in (outcome.summary.refused | outcome.summary.failed).items():
        print_line(console, (batch, "red"), f": {reason}")
    for release in outcome.releases:
        told = f": {release['samples']} samples in {release['path']}"
        print_line(console, "Release ", (release["release"], "bold"), told)
    print_line(console, "Open the Dagster UI with: make ui  (http://127.0.0.1:3000)")
