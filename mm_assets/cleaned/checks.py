"""Checks on cleaning: nothing is lost, nothing is there twice."""

import json

import dagster as dg
import polars as pl

from mm_assets.display.metadata import counts_table, rows_table
from mm_assets.gates.check_results import batch_check, judged
from resources.delta_lake import DeltaLake

# (step that reads it, raw table, cleaned table, rejecting stage, record kind)
_FLOWS = (
    ("raw_pools", "raw_images", "images", "cleaned_images", "image"),
    ("raw_pools", "raw_captions", "captions", "cleaned_images", "caption"),
    ("raw_pools", "raw_texts", "texts", "texts", "text"),
    ("raw_media", "raw_audio", "audio_clips", "cleaned_media", "audio"),
    ("raw_media", "raw_videos", "video_clips", "cleaned_media", "video"),
    ("raw_media", "raw_cues", "cues", "cues", "cue"),
    ("raw_documents", "raw_documents", "documents", "documents", "document"),
)


def account(lake: DeltaLake, batch: str) -> list[dict[str, str | int]]:
    """Rows in, out and rejected of every flow of records through reading and cleaning, of the steps that ran."""
    rejected = {
        (stage, kind): rows
        for stage, kind, rows in lake.scan("rejected", batch)
        .group_by("stage", "record_kind")
        .len()
        .collect()
        .iter_rows()
    }
    recorded = lake.scan("provenance", batch).select("asset", "rows_json").collect()
    rows_of: dict[str, dict[str, int]] = {asset: json.loads(rows) for asset, rows in recorded.iter_rows()}
    lines: list[dict[str, str | int]] = []
    for reader, raw, clean, stage, kind in _FLOWS:
        if reader not in rows_of or stage not in rows_of:
            continue
        kept = lake.count(raw, batch)
        lines.append(
            {
                "flow": f"delivery to {raw}",
                "rows_in": rows_of[reader].get(f"seen:{kind}", 0),
                "rows_out": kept,
                "rejected": rejected.get((reader, kind), 0),
            }
        )
        lines.append(
            {
                "flow": f"{raw} to {clean}",
                "rows_in": kept,
                "rows_out": lake.count(clean, batch),
                "rejected": rejected.get((stage, kind), 0),
            }
        )
    return lines


@batch_check("rejected")
def every_record_is_kept_or_rejected(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """Rows in equal rows out plus rejected rows, for every kind of record and every stage."""
    lines = account(lake, context.partition_key)
    lost = sum(abs(int(line["rows_in"]) - int(line["rows_out"]) - int(line["rejected"])) for line in lines)
    return judged(
        passed=lost == 0,
        measured=lost,
        threshold=0,
        code=None if lost == 0 else "ROWS_LOST",
        description=f"{lost} records are unaccounted for",
        metadata={"account": rows_table(lines, ("flow", "rows_in", "rows_out", "rejected"))},
    )


@batch_check("images")
def image_ids_are_unique(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """No image and no caption stands twice, and every caption has its image."""
    batch = context.partition_key
    images = lake.scan("images", batch).select("image_id").collect()["image_id"]
    captions = lake.scan("captions", batch).select("caption_id", "image_id").collect()
    faults = {
        "image ids that repeat": images.len() - images.n_unique(),
        "caption ids that repeat": captions.height - captions["caption_id"].n_unique(),
        "captions without their image": captions.filter(~pl.col("image_id").is_in(images.implode())).height,
    }
    total = sum(faults.values())
    return judged(
        passed=total == 0,
        measured=total,
        threshold=0,
        code=None if total == 0 else "DUPLICATE_ID",
        description=f"{total} ids repeat or dangle",
        metadata={"faults": counts_table(faults, "fault", "rows")},
    )


@batch_check("texts")
def texts_are_valid_unicode(context: dg.AssetCheckExecutionContext, lake: DeltaLake) -> dg.AssetCheckResult:
    """No kept text holds NUL, a replacement character run or nothing but blanks."""
    texts = lake.scan("texts", context.partition_key).select("text").collect()["text"]
    bad = int(
        (texts.str.contains("\0", literal=True) | texts.str.contains("�{3,}") | texts.str.strip_chars().eq("")).sum()
    )
    return judged(
        passed=bad == 0,
        measured=bad,
        threshold=0,
        code=None if bad == 0 else "BAD_TEXT",
        description=f"{bad} of {texts.len()} texts are damaged",
    )


CHECKS = (every_record_is_kept_or_rejected, image_ids_are_unique, texts_are_valid_unicode)
