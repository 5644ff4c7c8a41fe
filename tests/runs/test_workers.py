"""Batches that nothing compares run in processes of their own, to the same tables."""

import json
import os
import subprocess
import sys

import dagster as dg
import polars as pl
import pytest

from resources.delta_lake import DeltaLake

TABLES = ("texts", "document_blocks", "document_windows", "rejected", "fusion_samples")
WHEN_AND_WHERE = ("run_id", "at_us", "evaluated_at_us")


def rows(lake: DeltaLake, table: str) -> pl.DataFrame:
    frame = lake.scan(table).collect()
    kept = frame.drop([name for name in frame.columns if name in WHEN_AND_WHERE])
    return kept.select(pl.struct(kept.columns).struct.json_encode().alias("row")).sort("row")


@pytest.fixture
def delivered(site):
    for name, part in (("lemmas", "text"), ("manual", "documents")):
        folder = site.landing_folder / name
        (folder / part).mkdir(parents=True)
        contract = {"contract": "mm-batch/1", "source": f"source-{name}", "license": "CC0-1.0"}
        (folder / "batch.json").write_text(json.dumps(contract), encoding="utf-8")
        (folder / "_SUCCESS").touch()
    lines = [{"text": f"Lemma {number}: every divisor divides.", "kind": "math"} for number in range(20)]
    text = "".join(json.dumps(line) + "\n" for line in [*lines, {"kind": "math"}])
    (site.landing_folder / "lemmas" / "text" / "a.jsonl").write_text(text, encoding="utf-8")
    page = "<h1>Locks</h1>" + "".join(f"<p>The gate of lock {n} is opened by hand.</p>" for n in range(9))
    (site.landing_folder / "manual" / "documents" / "locks.html").write_text(page, encoding="utf-8")
    return site


@pytest.mark.slow
def test_two_processes_leave_the_tables_of_one(delivered, tmp_path, monkeypatch):
    alone = delivered.run(release="all")
    assert set(alone.ran) == {"lemmas", "manual"}
    lake, home = tmp_path / "other", tmp_path / "other-home"
    done = subprocess.run(
        [sys.executable, "-m", "mm_assets.cli", "run", "--workers", "2", "--release", "all", "--json"],
        env=os.environ | {"MM_LANDING": delivered.landing_root, "MM_LAKE": str(lake), "DAGSTER_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {name: sorted(steps) for name, steps in told["ran"].items()} == {
        name: sorted(steps) for name, steps in alone.ran.items()
    }
    for table in TABLES:
        assert rows(DeltaLake(root=str(lake)), table).equals(rows(delivered.lake, table)), table
    assert "lemmas" in done.stderr
    assert "manual" in done.stderr
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.get() as instance:
        runs = instance.get_runs()
    marks = {
        run.tags["mm/process"].split(":")[1]
        for run in runs
        if run.tags.get("dagster/partition") in {"lemmas", "manual"}
    }
    assert len(marks) == 2
