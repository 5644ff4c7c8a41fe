"""``mm ablate``: find a release's recipe, or ask what an ablation expects of one given by hand."""

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy.exc import OperationalError

from mm_assets.commands.polling import polled
from mm_assets.commands.run import failure_reason
from mm_assets.commands.workspace import Workspace
from mm_assets.display.lines import print_line
from mm_assets.errors import ReleaseError
from mm_assets.fusion.samples import POOLS
from mm_assets.mixtures.ablation.assets import PROGRESS, report_path, runs_of
from mm_assets.mixtures.ablation.rows import forecast_of, rank_correlations
from mm_assets.mixtures.selection import validate_release_id
from mm_assets.partitions import releases

JOB = "ablate_mixtures"
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run_ablation(workspace: Workspace, release: str, console: Console) -> dict[str, Any]:
    """Run the ablation of a release in this process, with a bar for the proxies.

    Args:
        workspace: instance and definitions.
        release: the release the recipe is for; it need not be drawn yet.
        console: where the bar goes.

    Returns:
        The recipe, how well held-out mixtures were predicted, what is forgotten, and where the report lies.

    Raises:
        ReleaseError: the release may not be named so, or the ablation failed; its words say why.
    """
    validate_release_id(release)
    workspace.instance.add_dynamic_partitions(releases.name or "", [release])
    instance, job, run_id = workspace.instance, workspace.definitions.resolve_job_def(JOB), str(uuid.uuid4())
    columns = TextColumn("{task.description:<24}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("proxies", total=None)

        def move_bar() -> None:
            with suppress(OperationalError):  # a busy database only delays the bar
                for entry in instance.all_logs(run_id) if instance.has_run(run_id) else ():
                    if told := PROGRESS.search(entry.user_message):
                        progress.update(task, completed=int(told["done"]), total=int(told["count"]))

        with polled(move_bar):
            result = job.execute_in_process(
                run_config=_QUIET,
                instance=instance,
                partition_key=release,
                raise_on_error=False,
                run_id=run_id,
            )
        move_bar()
    if not result.success:
        raise ReleaseError(failure_reason(result))
    return read_ablation(workspace, release)


def read_ablation(workspace: Workspace, release: str) -> dict[str, Any]:
    """What the newest ablation of a release found.

    Raises:
        ReleaseError: none was run.
    """
    lake, policy = workspace.lake, workspace.policy
    rows = runs_of(lake, release)
    if rows.is_empty():
        raise ReleaseError(f"no ablation was run for release {release!r}; run mm ablate {release}")
    chosen = rows.filter(pl.col("role") == "chosen")
    delivered = rows.filter(pl.col("role") == "as_delivered").select(POOLS).row(0, named=True)
    recipe = chosen.select(POOLS).row(0, named=True)
    by_name = chosen.group_by("capability", maintain_order=True)
    found = by_name.agg(pl.col("loss").mean(), pl.col("predicted", "against_text", "against_text_low").first())
    return {
        "release": release,
        "recipe": {pool: share for pool, share in recipe.items() if share or delivered[pool]},
        "as_delivered": {pool: round(share, 4) for pool, share in delivered.items()},
        "capabilities": {row.pop("capability"): row for row in found.iter_rows(named=True)},
        "rank_correlations": rank_correlations(rows, policy.ablation),
        "forgotten": found.filter(pl.col("against_text_low") > 0)["capability"].to_list(),
        "runs": rows["run"].n_unique(),
        "report": f"{lake.root.rstrip('/')}/{report_path(release)}",
    }


def forecast_recipe(workspace: Workspace, release: str, weights: Sequence[str]) -> dict[str, Any]:
    """What the newest ablation of a release expects of a recipe by hand; nothing is trained.

    Args:
        workspace: holds the lake.
        release: the release.
        weights: ``pool=share`` for every pool with samples.

    Raises:
        ReleaseError: no ablation was run, or the shares are none.
    """
    lake, policy = workspace.lake, workspace.policy
    shares = parse_shares(weights)
    forecast = forecast_of(runs_of(lake, release), shares, policy.ablation)
    return {
        "release": release,
        "recipe": shares,
        "losses": {name: asdict(one) for name, one in forecast.losses.items()},
        "objective": asdict(forecast.objective),
    }


def parse_shares(weights: Sequence[str]) -> dict[str, float]:
    """Shares as they are written on the command line.

    Raises:
        ReleaseError: one is no ``pool=share`` of a pool that there is, or is named twice.

    >>> parse_shares(["text_retention=0.4", "dialogue=0.6"])
    {'text_retention': 0.4, 'dialogue': 0.6}
    """
    shares: dict[str, float] = {}
    for written in weights:
        pool, _, share = written.partition("=")
        try:
            value = float(share)
        except ValueError:
            value = float("nan")
        if pool not in POOLS or pool in shares or not 0.0 <= value <= 1.0:
            raise ReleaseError(f"--weight {written!r}: write POOL=SHARE, once for each of {', '.join(POOLS)}")
        shares[pool] = value
    return shares


def print_ablation(found: Mapping[str, Any], console: Console) -> None:
    """Show the recipe, what it is expected to do, and how far to trust it."""
    table = Table("pool", "as delivered", "chosen")
    for pool, share in found["recipe"].items():
        table.add_row(pool, f"{found['as_delivered'][pool]:.1%}", f"{share:.1%}")
    console.print(table)
    table = Table("capability", "predicted", "measured", "against text alone", "rank correlation")
    for name, row in found["capabilities"].items():
        ratio = row["against_text"]
        told = (
            "-" if ratio is None else f"{np.expm1(ratio):+.1%}" + (" (forgotten)" if name in found["forgotten"] else "")
        )
        correlation = found["rank_correlations"].get(name)
        told_correlation = "-" if correlation is None else f"{correlation:.2f}"
        table.add_row(name, f"{row['predicted']:.3f}", f"{row['loss']:.3f}", told, told_correlation)
    console.print(table)
    print_line(console, f"rank correlation of the objective: {found['rank_correlations'].get('objective', 0.0):.2f}")
    print_line(console, f"report: {found['report']}")
    print_line(console, f"draw it: mm run --release {found['release']}")


def print_forecast(found: Mapping[str, Any], console: Console) -> None:
    """Show what is expected of a recipe by hand."""
    table = Table("capability", "predicted", "low", "high")
    for name, one in found["losses"].items():
        table.add_row(name, f"{one['value']:.3f}", f"{one['low']:.3f}", f"{one['high']:.3f}")
    console.print(table)
    value, low, high = (f"{np.expm1(found['objective'][key]):+.1%}" for key in ("value", "low", "high"))
    print_line(console, f"losses against the pools as delivered: {value} ({low} to {high})")
