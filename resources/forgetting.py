"""Delete everything that was made of some records: rows, shards, pictures, previews and releases, and their history.

Every stroke can be made again: what leads to a row stands until the row is gone, a shard row is blanked when no row of
a table points to it, and the ledger says which takedowns were not carried out to their end.
"""

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl
from deltalake import DeltaTable

from mm_assets.fusion.release_format import MANIFEST_NAME, REVOKED_NAME
from mm_assets.lineage.descendants import count_rows, find_descendants, is_made_of
from mm_assets.lineage.redaction import drop_negatives, mentions, redact
from mm_assets.lineage.release_lines import holds_any, list_sample_files
from mm_assets.lineage.table_map import LINEAGE, deletion_order
from mm_assets.lineage.takedowns import TAKEN_DOWN, mask, refusal
from mm_assets.schemas import TABLES
from resources.batch_rewriting import KEEP_ALL, rewrite
from resources.delta_lake import DeltaLake, storage_options
from resources.provenance import Provenance
from resources.release_store import releases_of_lake
from resources.shard_sweep import sweep_files

_READERS: Final = {
    "raw_images": ("raw_pools", "image", "image_id"),
    "raw_captions": ("raw_pools", "caption", "caption_id"),
    "raw_texts": ("raw_pools", "text", "text_id"),
    "raw_audio": ("raw_media", "audio", "clip_id"),
    "raw_videos": ("raw_media", "video", "clip_id"),
    "raw_subtitles": ("raw_media", "subtitles", "clip_id"),
    "raw_cues": ("raw_media", "cue", "cue_id"),
    "raw_documents": ("raw_documents", "document", "document_id"),
    "boxes": ("boxes", "box", "box_id"),
}
"""Tables whose rows are counted against what was delivered: each row that goes leaves a rejected one."""
_DRAWS: Final = ("mixtures", "mixture_exclusions")
"""What a release drew and what it left out: undone with it."""
_IDS_AT_ONCE: Final = 500
_LOG_RETENTION: Final = "delta.logRetentionDuration"


@dataclass
class Forgotten:
    """What a takedown took away.

    Attributes:
        rows: rows by table.
        releases: releases revoked.
        files: shards, pictures and previews deleted or blanked.
        old_files: data files of earlier table versions deleted.
    """

    rows: dict[str, int] = field(default_factory=dict[str, int])
    releases: list[str] = field(default_factory=list[str])
    files: int = 0
    old_files: int = 0


@dataclass(frozen=True)
class Doomed:
    """What has to go.

    Attributes:
        takedown_id: by which takedown.
        ids: ids of the records and of all made of them.
        samples: ids of samples that stay but lose a negative.
        batches: batches they are in.
    """

    takedown_id: str
    ids: pl.Series
    samples: list[str]
    batches: list[str]


def find_doomed(lake: DeltaLake, takedown_id: str, records: Sequence[str], batches: Sequence[str]) -> Doomed:
    """Everything that has to go with some records.

    Args:
        lake: the lake.
        takedown_id: the takedown.
        records: ids of the records.
        batches: their batches, as the ledger knows them.
    """
    ids = find_descendants(lake, records)
    touched: list[str] = []
    for batch in batches:
        gone = _negatives_gone(lake, batch, ids)
        if gone:
            rows = lake.scan("fusion_samples", batch).filter(~is_made_of("fusion_samples", ids), _loses(gone))
            touched += rows.select("sample_id").collect()["sample_id"].to_list()
    return Doomed(takedown_id, ids, touched, sorted(batches))


def forget(lake: DeltaLake, provenance: Provenance, doomed: Doomed, tell: Callable[[str], None]) -> Forgotten:
    """Delete it everywhere.

    Args:
        lake: the lake.
        provenance: whose locks keep the writers of the batches away.
        doomed: what has to go.
        tell: is told what is done next.
    """
    done = Forgotten()
    with contextlib.ExitStack() as locks:
        for batch in doomed.batches:
            locks.enter_context(provenance.lock(batch))
        tell("revoking releases")
        done.releases += revoke_releases(lake, doomed)
        counted = count_rows(lake, doomed.ids)
        for table in deletion_order():
            if table in counted or (table == "fusion_samples" and doomed.samples):
                tell(f"deleting from {table}")
                _delete(lake, table, doomed, counted.get(table, {}))
                if counted.get(table):
                    done.rows[table] = sum(counted[table].values())
        for batch in doomed.batches:
            tell(f"redacting and blanking {batch}")
            _redact(lake, batch, doomed)
            done.files += sweep_files(lake, batch)
        done.releases += revoke_releases(lake, doomed)
        tell("deleting the history of the tables")
        done.old_files = sum(_vacuum(lake, table, doomed.batches) for table in LINEAGE)
    done.releases = sorted(set(done.releases))
    return done


def releases_holding(lake: DeltaLake, doomed: Doomed) -> list[str]:
    """Releases whose files hold something that has to go, and those that only drew it."""
    tokens = [*doomed.ids, *doomed.samples]
    drawn = lake.scan("mixtures").filter(pl.col("sample_id").is_in(tokens)).select("release").unique().collect()
    found = set(drawn["release"])
    store = releases_of_lake(lake.root)
    for release in store.releases():
        if release in found or lake.files.exists(f"releases/{release}/{REVOKED_NAME}"):
            continue
        paths = list_sample_files(store.read_manifest(release))
        if any(holds_any(lake.files.get_bytes(f"releases/{release}/{path}"), tokens) for path in paths):
            found.add(release)
    return sorted(found)


def revoke_releases(lake: DeltaLake, doomed: Doomed) -> list[str]:
    """Mark the releases that hold any of it, delete their files but the manifest, and undo their draw."""
    revoked = releases_holding(lake, doomed)
    for release in revoked:
        folder = f"releases/{release}"
        if lake.files.exists(f"{folder}/{MANIFEST_NAME}"):
            note = {
                "release": release,
                "takedown": doomed.takedown_id,
                "reason": "samples of it were taken down; their files were deleted",
                "fix": f"delete every copy, and draw it again with: mm run --release {release}",
            }
            lake.files.put_bytes(f"{folder}/{REVOKED_NAME}", json.dumps(note, indent=2).encode() + b"\n")
            kept = {f"{folder}/{MANIFEST_NAME}", f"{folder}/{REVOKED_NAME}"}
            for path in lake.files.names(folder):
                if path not in kept:
                    lake.files.remove(path)
        lake.clear("provenance", release)
        for table in _DRAWS:
            lake.replace(table, release, TABLES[table].empty())
    return revoked


def _delete(lake: DeltaLake, table: str, doomed: Doomed, counted: dict[str, int]) -> None:
    if table == "mixtures":  # undone with their releases
        return
    if "batch" not in TABLES[table].partition_by:
        opened = lake.open(table)
        columns = LINEAGE[table].made_of
        for start in range(0, len(doomed.ids), _IDS_AT_ONCE):
            listed = ", ".join(f"'{name}'" for name in doomed.ids[start : start + _IDS_AT_ONCE])
            if opened is not None:
                opened.delete(" OR ".join(f"{column} IN ({listed})" for column in columns))
        return
    for batch in sorted({*counted, *(doomed.batches if table == "fusion_samples" else ())}):
        if table in _READERS:
            _leave_rejected(lake, table, batch, doomed)
        if table == "fusion_samples":
            gone = _negatives_gone(lake, batch, doomed.ids)
            rewrite(lake, table, batch, ~is_made_of(table, doomed.ids), *_without_negatives(gone))
        else:
            rewrite(lake, table, batch, ~is_made_of(table, doomed.ids))


def _leave_rejected(lake: DeltaLake, table: str, batch: str, doomed: Doomed) -> None:
    stage, kind, key = _READERS[table]
    gone = lake.scan(table, batch).filter(is_made_of(table, doomed.ids)).select(key).collect()[key]
    rows = [
        {
            "batch": batch,
            "stage": stage,
            "record_kind": kind,
            "record_ref": mask(batch, name),
            "record_id": None,
            "code": TAKEN_DOWN,
            "reason": refusal(doomed.takedown_id, batch, name).reason,
        }
        for name in gone
    ]
    declared = TABLES["rejected"]
    before = lake.scan("rejected", batch).filter(pl.col("stage") == stage).collect()
    own = pl.DataFrame(rows, schema=declared.schema).join(before, on=("record_kind", "record_ref", "code"), how="anti")
    if own.height:
        together = pl.concat([before, own.select(declared.schema.names())]).sort(declared.order_by)
        lake.replace("rejected", batch, together, within={"stage": stage})


def _negatives_gone(lake: DeltaLake, batch: str, ids: pl.Series) -> dict[str, frozenset[str]]:
    """Texts of negatives that have to go, by the caption, cue or segment that stays."""
    rows = lake.scan("hard_negatives", batch).filter(
        is_made_of("hard_negatives", ids),
        ~pl.col("positive_id").is_in(ids.implode()),
        pl.col("verdict") == "kept",
        pl.col("text").is_not_null(),
    )
    texts = rows.group_by("positive_id").agg(pl.col("text").unique()).collect()
    return {positive: frozenset(found) for positive, found in texts.iter_rows()}


def _loses(gone: dict[str, frozenset[str]]) -> pl.Expr:
    """Whether a sample may hold one of the negatives: by its caption or segment; of a segment's cues, by its words."""
    own = pl.col("caption_id").is_in(list(gone)) | pl.col("segment_id").is_in(list(gone))
    of_cues = sorted(frozenset[str]().union(*gone.values()))
    spoken = pl.col("segment_id").is_not_null() & pl.col("negatives_json").str.contains_any(of_cues)
    return pl.col("negatives_json").is_not_null() & (own.fill_null(value=False) | spoken)


def _without_negatives(gone: dict[str, frozenset[str]]) -> list[pl.Expr]:
    if not gone:
        return []
    every = frozenset[str]().union(*gone.values())

    def strip(row: dict[str, Any]) -> str | None:
        if row["negatives_json"] is None:
            return None
        texts = every if row["segment_id"] is not None else gone.get(row["caption_id"], frozenset())
        return drop_negatives(row["negatives_json"], texts)

    columns = pl.struct("caption_id", "segment_id", "negatives_json")
    stripped = pl.when(_loses(gone)).then(columns.map_elements(strip, return_dtype=pl.String))
    return [stripped.otherwise(pl.col("negatives_json")).alias("negatives_json")]


def _redact(lake: DeltaLake, batch: str, doomed: Doomed) -> None:
    """Take ids out of what gates and rejections say of the batch's other records."""
    tokens = doomed.ids.to_list()
    for table, lineage in LINEAGE.items():
        if not lineage.quotes or not tokens:
            continue
        named = pl.any_horizontal([mentions(column, tokens) for column in lineage.quotes])
        rows = lake.scan(table).filter(pl.col("batch") == batch, named)
        if not rows.select(pl.len()).collect().item():
            continue
        if "batch" in TABLES[table].partition_by:
            rewrite(lake, table, batch, KEEP_ALL, *(redact(name, tokens) for name in lineage.quotes))
            continue
        opened = lake.open(table)
        for row in rows.with_columns(redact(name, tokens) for name in lineage.quotes).collect().to_dicts():
            if opened is not None:
                key = "evaluation_id" if "evaluation_id" in row else "correction_id"
                opened.update(
                    predicate=f"{key} = '{row[key]}' AND at_us = {row['at_us']}",
                    new_values={name: row[name] for name in lineage.quotes},
                )


def _vacuum(lake: DeltaLake, table: str, batches: Sequence[str]) -> int:
    """Delete the data files of earlier versions, those that killed writers of the batches left, and the earlier log.

    The log goes too: it holds the least and greatest text of every data file there ever was.
    """
    opened = lake.open(table)
    if opened is None:
        return 0
    gone = len(opened.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False))
    opened.alter.set_table_properties({_LOG_RETENTION: "interval 0 seconds"})
    opened = DeltaTable(lake.uri(table), storage_options=storage_options(lake.root))
    opened.create_checkpoint()
    opened.cleanup_metadata()
    opened.alter.set_table_properties({_LOG_RETENTION: "interval 30 days"})
    if "batch" in TABLES[table].partition_by:
        current = {uri.rpartition(f"/tables/{table}/")[2] for uri in opened.file_uris()}
        for batch in batches:
            folder = f"tables/{table}/"
            for path in lake.files.names(f"{folder}batch={batch}"):
                if path.removeprefix(folder) not in current:
                    lake.files.remove(path)
                    gone += 1
    return gone
