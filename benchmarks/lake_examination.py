"""What a lake holds, in digests, and what in it leads nowhere."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# What a killed run spent stays spent, and a commit's number or time is not content.
NOT_COMPARED = {"costs"}
NOT_CONTENT = {"versions_json", "evaluated_at_us", "at_us"}
# Ids and the table that owns them; raw tables and fingerprints also hold what cleaning turns away.
OWNERS = {"image_id": "images", "caption_id": "captions", "text_id": "texts", "box_id": "boxes"}
POSITIVES = ("hard_negatives", "image_id")
"""The column that names a picture or, of a segment's negatives, a clip."""
BEFORE_CLEANING = {"raw_images", "raw_captions", "raw_texts", "image_fingerprints"}
CLIPS = ("audio_clips", "video_clips")
RAW_MEDIA = {"raw_audio", "raw_videos", "raw_subtitles", "raw_cues"}
CHAINED = (("visual_codes", "image_id", "image_embeddings"),)
SHARDED = (
    ("image_embeddings", "spatial_features"),
    ("audio_embeddings", "features"),
    ("key_frames", "spatial_features"),
)


def examine(lake: Path, batch: str) -> dict[str, Any]:
    """Digest of every table's content and of every shard a batch names, and its orphans.

    Args:
        lake: its folder.
        batch: whose rows have to lead somewhere.
    """
    import polars as pl

    from mm_assets.schemas import TABLES
    from resources.delta_lake import DeltaLake

    store = DeltaLake(root=str(lake))
    digests: dict[str, str] = {}
    empty: list[str] = []
    for name in sorted(TABLES.keys() - NOT_COMPARED):
        rows = store.read(name).drop(NOT_CONTENT, strict=False)
        keys = [column for column, dtype in rows.schema.items() if not dtype.is_nested()]
        values = repr(rows.sort(keys).rows())  # exact, down to a float's last bit, whatever the layout in memory
        digests[name] = hashlib.sha256(values.encode()).hexdigest()
        if rows.is_empty():
            empty.append(name)
    orphans: dict[str, int] = {}
    clips = pl.concat([store.scan(table, batch).select("clip_id") for table in CLIPS])
    for child, column, parent in references(TABLES):
        held = store.scan(child, batch).drop_nulls(column)
        owners = store.scan(parent, batch).select(column)
        if (child, column) == POSITIVES:
            owners = pl.concat([owners, clips.rename({"clip_id": column})])
        orphans[f"{child}.{column}"] = held.join(owners, on=column, how="anti").select(pl.len()).collect().item()
    for child, table in TABLES.items():
        if "clip_id" in table.columns and "batch" in table.columns and child not in {*CLIPS, *RAW_MEDIA}:
            dangling = store.scan(child, batch).drop_nulls("clip_id").join(clips, on="clip_id", how="anti")
            orphans[f"{child}.clip_id"] = dangling.select(pl.len()).collect().item()
    references_of = [
        store.read(table, batch)[column].drop_nulls().str.split("#").list.first() for table, column in SHARDED
    ]
    named = pl.concat(references_of).unique()
    folders = (lake / "features" / batch, lake / "clip_features" / batch)
    present = {file.relative_to(lake).as_posix(): file for folder in folders for file in folder.glob("*")}
    orphans["feature shards missing"] = len(set(named) - present.keys())
    for path in sorted(set(named) & present.keys()):
        digests[path] = hashlib.sha256(present[path].read_bytes()).hexdigest()
    return {
        "digests": digests,
        "empty": empty,
        "orphans": {name: count for name, count in orphans.items() if count},
        "stray_shards": len(present.keys() - set(named)),
    }


def references(tables: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Every child table, its column, and the parent table in which the column's values must stand."""
    for name, table in tables.items():
        for column, owner in OWNERS.items():
            if column in table.columns and "batch" in table.columns and name not in {owner, *BEFORE_CLEANING}:
                yield name, column, owner
    yield from CHAINED
