"""A forgotten record: its release is revoked, it does not come in again, and the release is drawn anew."""

import json
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from mm_assets.cleaned.checks import account
from mm_assets.commands.forget import carry_out, plan_forgetting
from mm_assets.commands.status import release_summaries
from mm_assets.commands.trace import trace
from mm_assets.errors import LineageError
from mm_assets.lineage.selectors import Choice, Selector

REF = "talks/images/metadata.jsonl:3"


@pytest.fixture
def released(site):
    site.cut("clean", "talks", 8)
    assert site.run(release="spring").failed == {}
    return site


def lines_of(site, release):
    folder = Path(site.lake_root) / "releases" / release / "samples"
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.jsonl"))]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def lost(lake):
    return [line for line in account(lake, "talks") if line["rows_in"] != line["rows_out"] + line["rejected"]]


def test_forgotten_for_good(released) -> None:
    site, lake = released, released.lake
    (gone,) = lake.scan("raw_images").filter(pl.col("record_ref") == REF).collect().to_dicts()
    sample = lake.scan("fusion_samples").filter(pl.col("image_id") == gone["image_id"]).collect()["sample_id"][0]
    assert trace(site.workspace, sample, "spring").releases[0].line is not None
    choice = Choice(Selector.RECORD, REF)
    plan = plan_forgetting(site.workspace, choice)
    assert plan.releases == ["spring"]
    assert sample in plan.doomed.ids
    assert lake.count("takedowns") == 0

    done = carry_out(site.workspace, choice, "Eva", "asked for", Console(quiet=True))
    assert done.proof.hits == []
    assert done.forgotten.rows["fusion_samples"] == plan.rows["fusion_samples"]["talks"]
    assert done.runs >= 1
    assert done.raw == [gone["source_ref"]["uri"]]
    assert [entry["revoked"] for entry in release_summaries(lake)] == [True]
    assert lost(lake) == []
    databases = Path(site.instance.root_directory).rglob("*.db*")
    assert [path for path in databases if gone["image_id"].encode() in path.read_bytes()] == []
    with pytest.raises(LineageError):
        trace(site.workspace, sample)

    summary = site.run(release="spring")
    assert summary.failed == {}
    assert "talks" in summary.current
    lines = lines_of(site, "spring")
    assert lines
    assert sample not in {line["id"] for line in lines}
    assert [entry["revoked"] for entry in release_summaries(lake)] == [False]

    (site.landing_folder / "talks" / "text" / "more.txt").write_text("One more text of some length.", encoding="utf-8")
    assert site.run("talks").failed == {}
    again = lake.scan("raw_images", "talks").filter(pl.col("sha256") == gone["sha256"]).collect()
    assert again.is_empty()
    turned_away = lake.scan("rejected", "talks").filter(pl.col("code") == "TAKEN_DOWN").collect()
    assert set(turned_away["record_kind"]) == {"image"}
    assert lost(lake) == []
