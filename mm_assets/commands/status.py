"""What stands in the lake: rows and rejections per batch, what is held, and which releases there are."""

import json
from pathlib import Path
from typing import Any

import polars as pl

from mm_assets.commands.workspace import ResourceSet
from mm_assets.fusion.release_format import REVOKED_NAME
from mm_assets.schemas import TABLES
from resources.delta_lake import DeltaLake
from resources.release_store import releases_of_lake

_NOT_COUNTED = {
    "rejected",
    "mixtures",
    "mixture_exclusions",
    "mixture_ablations",
    "batches",
    "provenance",
    "gate_evaluations",
    "holds",
    "costs",
}

_RECORD_KINDS = ("image", "text", "audio", "video", "document")


def rows_per_batch(lake: DeltaLake) -> dict[str, dict[str, int]]:
    """Rows of each per-batch table, by batch."""
    found: dict[str, dict[str, int]] = {}
    for name, table in TABLES.items():
        if "batch" not in table.columns or name in _NOT_COUNTED:
            continue
        counts = lake.scan(name).group_by("batch").len().collect()
        for batch, rows in counts.iter_rows():
            found.setdefault(batch, {})[name] = rows
    return found


def rejected_per_batch(lake: DeltaLake) -> dict[str, dict[str, int]]:
    """Rejected records by batch and code."""
    found: dict[str, dict[str, int]] = {}
    counts = lake.scan("rejected").group_by("batch", "code").len().sort("batch", "code").collect()
    for batch, code, rows in counts.iter_rows():
        found.setdefault(batch, {})[code] = rows
    return found


def release_summaries(lake: DeltaLake) -> list[dict[str, Any]]:
    """What each finished release holds."""
    store = releases_of_lake(lake.root)
    summaries: list[dict[str, Any]] = []
    for release in store.releases():
        manifest = json.loads(store.read_manifest(release))
        summaries.append(
            {
                "release": release,
                "samples": manifest["samples"],
                "pools": manifest["counts"]["pools"],
                "excluded_batches": {
                    batch: why.split(":", 1)[0] for batch, why in manifest["excluded_batches"].items()
                },
                "path": f"{lake.root.rstrip('/')}/releases/{release}",
                "revoked": lake.files.exists(f"releases/{release}/{REVOKED_NAME}"),
            }
        )
    return summaries


def read_status(workspace: ResourceSet) -> dict[str, Any]:
    """The document that ``mm status --json`` prints."""
    lake = workspace.lake
    rows = rows_per_batch(lake)
    rejected = rejected_per_batch(lake)
    holds = workspace.holds.active()
    held: dict[str, list[str]] = {}
    for batch, gate in holds.select("batch", "gate").iter_rows():
        held.setdefault(batch, []).append(gate)
    names = sorted(rows.keys() | rejected.keys() | held.keys())
    return {
        "batches": [
            {
                "batch": batch,
                "rows": rows.get(batch, {}),
                "rejected": rejected.get(batch, {}),
                "held": held.get(batch, []),
            }
            for batch in names
        ],
        "releases": release_summaries(lake),
    }


def recall_by_batch(lake: DeltaLake) -> dict[str, dict[str, Any]]:
    """The newest recall of each batch."""
    rows = lake.scan("image_text_recall").select(
        "batch", "recall_at_1", "recall_low", "recall_high", "pairs", "passed", "reason"
    )
    return {row["batch"]: row for row in rows.collect().to_dicts()}


def records_in(lake: DeltaLake) -> dict[str, int]:
    """Records each batch delivered: images, texts, sounds, videos and documents that were kept, and those rejected."""
    raw = ("raw_images", "raw_texts", "raw_audio", "raw_videos", "raw_documents")
    kept = pl.concat([lake.scan(name).group_by("batch").len().collect() for name in raw])
    turned_away = (
        lake.scan("rejected")
        .filter(
            pl.col("stage").is_in(["raw_pools", "raw_media", "raw_documents"]),
            pl.col("record_kind").is_in(_RECORD_KINDS),
        )
        .group_by("batch")
        .len()
        .collect()
    )
    total = pl.concat([kept, turned_away]).group_by("batch").agg(pl.col("len").sum())
    return dict(total.iter_rows())


def expected_of_demo(root: Path) -> dict[str, Any]:
    """What the demo data says of itself."""
    return json.loads((root / "expected.json").read_text(encoding="utf-8"))
