"""List everything that was made of some records, delete it everywhere, and prove it by a search."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mm_assets.commands.workspace import Workspace
from mm_assets.display.counts import tell_count
from mm_assets.display.lines import print_line
from mm_assets.errors import LineageError
from mm_assets.lineage.descendants import count_rows, is_made_of
from mm_assets.lineage.search import Search, search, texts_of
from mm_assets.lineage.selectors import Choice, find_records
from mm_assets.lineage.table_map import deletion_order
from resources.dagster_history import forget_history, runs_under_way
from resources.forgetting import Doomed, Forgotten, find_doomed, forget, releases_holding
from resources.takedowns import Takedowns

_SHOWN: Final = 12


@dataclass(frozen=True)
class Plan:
    """What a choice leads to.

    Attributes:
        choice: what to forget.
        records: columns table, batch, record_id, record_ref, uri.
        doomed: everything that goes with them.
        rows: rows to delete, by table and batch.
        releases: releases to revoke.
    """

    choice: Choice
    records: pl.DataFrame
    doomed: Doomed
    rows: dict[str, dict[str, int]]
    releases: list[str]

    def to_document(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "selector": self.choice.selector.value,
            "takedown": self.choice.takedown_id,
            "records": self.records.drop("content_hash").to_dicts(),
            "ids": len(self.doomed.ids),
            "rows": self.rows,
            "releases": self.releases,
            "samples_that_lose_a_negative": self.doomed.samples,
        }


@dataclass(frozen=True)
class Done:
    """A takedown that was carried out, and the proof.

    Attributes:
        takedown: its id.
        forgotten: what went.
        runs: runs whose history was deleted, for it showed the rows.
        proof: the search afterwards.
        raw: objects of the landing area that still hold the records; whoever delivered them has to delete them.
    """

    takedown: str
    forgotten: Forgotten
    runs: int
    proof: Search
    raw: list[str] = field(default_factory=list[str])


def plan_forgetting(workspace: Workspace, choice: Choice) -> Plan:
    """What a choice leads to; changes nothing.

    Raises:
        LineageError: the record does not exist.
    """
    lake = workspace.lake
    records = find_records(lake, choice).select("table", "batch", "record_id", "record_ref", "uri", "content_hash")
    doomed = find_doomed(lake, choice.takedown_id, records["record_id"].to_list(), sorted(records["batch"].unique()))
    return Plan(choice, records, doomed, count_rows(lake, doomed.ids), releases_holding(lake, doomed))


def carry_out(workspace: Workspace, choice: Choice, by: str, reason: str, console: Console) -> Done:
    """Order a takedown and carry it out, together with whatever an earlier one left undone.

    Raises:
        LineageError: no name or reason, no such record, or the search still finds something; then run it again.
    """
    lake = workspace.lake
    takedowns = Takedowns(lake=lake)
    try:
        raw = sorted(find_records(lake, choice)["uri"].unique())
    except LineageError:
        if choice.takedown_id not in takedowns.known():
            raise
        raw = []
    ordered = takedowns.order(choice, by, reason)
    finished = [_finish(workspace, takedowns, takedown, console) for takedown in takedowns.open()]
    done = next(item for item in finished if item.takedown == ordered)
    return Done(done.takedown, done.forgotten, done.runs, done.proof, raw)


def resume(workspace: Workspace, console: Console) -> list[Done]:
    """Carry out what was ordered and not finished."""
    takedowns = Takedowns(lake=workspace.lake)
    return [_finish(workspace, takedowns, takedown, console) for takedown in takedowns.open()]


def _finish(workspace: Workspace, takedowns: Takedowns, takedown: str, console: Console) -> Done:
    lake = workspace.lake
    doomed = find_doomed(lake, takedown, takedowns.records(takedown), takedowns.batches(takedown))
    running = runs_under_way(workspace.instance, [*doomed.batches, *releases_holding(lake, doomed)])
    if running:
        raise LineageError(f"takedown {takedown} waits for runs {running}; stop them, then: mm forget --resume")
    going = {table: is_made_of(table, doomed.ids) for table in deletion_order()}
    texts = texts_of(lake, going)
    with console.status(f"takedown {takedown}") as status:
        forgotten = forget(
            lake, workspace.provenance, doomed, lambda told: status.update(escape(f"{takedown}: {told}"))
        )
        status.update(f"{takedown}: deleting the history of runs")
        runs = forget_history(workspace.instance, [*doomed.batches, *forgotten.releases])
        status.update(f"{takedown}: searching")
        proof = search(lake, lake.files, doomed.ids.to_list(), texts)
    if proof.hits:
        places = "; ".join(f"{hit.where} ({hit.count})" for hit in proof.hits[:_SHOWN])
        raise LineageError(f"takedown {takedown} is not whole: found in {places}; stop what runs and order it again")
    takedowns.close(takedown, forgotten.rows)
    return Done(takedown, forgotten, runs, proof)


def done_as_document(done: Done) -> dict[str, Any]:
    """JSON-able form."""
    return asdict(done)


def print_plan(plan: Plan, console: Console) -> None:
    """Show what would go."""
    taken = f" takes {tell_count(plan.records.height, 'record')}"
    print_line(console, (plan.choice.selector.value, "bold"), taken)
    for row in plan.records.head(_SHOWN).iter_rows(named=True):
        print_line(console, f"  {row['record_id']}  {row['record_ref']}  {row['uri']}")
    if plan.records.height > _SHOWN:
        print_line(console, f"  … and {plan.records.height - _SHOWN} more, see --json")
    table = Table("table", "rows", "of")
    for name, counted in plan.rows.items():
        table.add_row(name, str(sum(counted.values())), ", ".join(f"{owner} {rows}" for owner, rows in counted.items()))
    console.print(table)
    print_line(console, f"releases to revoke: {', '.join(plan.releases) or 'none'}")
    print_line(console, f"samples that lose a negative: {len(plan.doomed.samples)}")


def print_done(done: Done, console: Console) -> None:
    """Show what went, and the proof."""
    rows = sum(done.forgotten.rows.values())
    print_line(
        console,
        f"takedown {done.takedown}: {tell_count(rows, 'row')} of {tell_count(len(done.forgotten.rows), 'table')}, "
        f"{tell_count(done.forgotten.files, 'file')}, {tell_count(done.forgotten.old_files, 'file')} of earlier "
        f"versions and the history of {tell_count(done.runs, 'run')} deleted",
    )
    for release in done.forgotten.releases:
        print_line(console, f"release {release} revoked; draw it again with: mm run --release {release}")
    print_line(
        console,
        f"search for {tell_count(done.proof.ids, 'id')} and {tell_count(done.proof.texts, 'text')} in "
        f"{tell_count(done.proof.rows, 'row')} and {tell_count(done.proof.files, 'file')}: nothing found",
    )
    for uri in done.raw[:_SHOWN]:
        print_line(console, f"still delivered: {uri}")
