"""Shards and pictures that no row of a table points to any more: blanked or deleted."""

from typing import Final

import polars as pl

from mm_assets.features.shards import CLIP_FEATURES, FIGURE_FEATURES, IMAGE_FEATURES
from mm_assets.lineage.shard_blanking import blank_rows
from mm_assets.lineage.table_map import LINEAGE
from mm_assets.schemas import TABLES
from resources.batch_rewriting import KEEP_ALL, rewrite
from resources.delta_lake import DeltaLake

_SHARDS: Final = (IMAGE_FEATURES, CLIP_FEATURES, FIGURE_FEATURES)
_PICTURES: Final = "negatives"
_PREVIEWS: Final = "previews"


def sweep_files(lake: DeltaLake, batch: str) -> int:
    """Blank shard rows that no row of a table points to, and delete shards, pictures and previews that nothing does.

    Previews go whole: they show first rows, and the next run of their asset draws them again.

    Returns:
        Files blanked or deleted.
    """
    return _sweep_shards(lake, batch) + _sweep_pictures(lake, batch)


def _sweep_shards(lake: DeltaLake, batch: str) -> int:
    used = _references(lake, batch)
    paths = [path for folder in _SHARDS for path in lake.files.names(f"{folder}/{batch}")]
    blanked = {path: blank_rows(lake.files, path, used[path]) for path in paths if path in used}
    moved = {old: new for old, new in blanked.items() if new is not None}
    _repoint(lake, batch, moved)
    dropped = [path for path in paths if path not in used and path not in moved.values()]
    for path in (*dropped, *moved):
        lake.files.remove(path)
    return len(dropped) + len(moved)


def _sweep_pictures(lake: DeltaLake, batch: str) -> int:
    media = lake.scan("hard_negatives", batch).select(path=pl.col("media_json").str.json_path_match("$.path"))
    used = set(media.drop_nulls().collect()["path"])
    pictures = [path for path in lake.files.names(f"{_PICTURES}/{batch}") if path not in used]
    previews = lake.files.names(f"{_PREVIEWS}/{batch}")
    for path in (*pictures, *previews):
        lake.files.remove(path)
    return len(pictures) + len(previews)


def _references(lake: DeltaLake, batch: str) -> dict[str, set[int]]:
    """Rows of each shard that a row of a table points to."""
    used: dict[str, set[int]] = {}
    for table, lineage in LINEAGE.items():
        for column in lineage.features:
            rows = lake.scan(table, batch).select(pl.col(column).alias("reference"))
            if TABLES[table].schema[column] == pl.List(pl.String):
                rows = rows.explode("reference")
            for reference in rows.drop_nulls().unique().collect()["reference"]:
                path, _, row = reference.rpartition("#")
                used.setdefault(path, set()).add(int(row))
    return used


def _repoint(lake: DeltaLake, batch: str, moved: dict[str, str]) -> None:
    if not moved:
        return
    old, new = list(moved), list(moved.values())
    for table, lineage in LINEAGE.items():
        for column in lineage.features:
            if TABLES[table].schema[column] == pl.List(pl.String):
                change = pl.col(column).list.eval(pl.element().str.replace_many(old, new))
            else:
                change = pl.col(column).str.replace_many(old, new)
            if lake.count(table, batch):
                rewrite(lake, table, batch, KEEP_ALL, change)
