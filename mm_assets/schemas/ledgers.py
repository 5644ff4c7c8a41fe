"""Tables that keep account: batches, provenance, costs and human decisions."""

from typing import Final

import polars as pl

from mm_assets.schemas.columns import BATCH, LICENSE, SOURCE
from mm_assets.schemas.table import Column, Table

TABLES: Final[tuple[Table, ...]] = (
    *(
        Table(
            name=name,
            grain=f"One row per batch whose {what} were ever registered, in the order of registration.",
            columns={
                "batch": BATCH,
                "sequence": Column(pl.Int64, "Registration order, from 1; never reused."),
                "source": SOURCE,
                "license": LICENSE,
                "compared_with": Column(
                    pl.List(pl.String), f"Earlier batches its {what} are compared with, fixed for ever."
                ),
            },
            partition_by=(),
        )
        for name, what in (("batches", "images"), ("text_batches", "texts"), ("document_batches", "documents"))
    ),
    Table(
        name="provenance",
        grain="One row per batch and asset: what its present rows were made from.",
        columns={
            "batch": BATCH,
            "asset": Column(pl.String, "Asset that wrote the rows."),
            "digest": Column(pl.String, "Hash of inputs, code version, policy and models; equal means up to date."),
            "code_version": Column(pl.String, "Version of the asset's code."),
            "models": Column(pl.List(pl.String), "Models used, as name@revision#weight-hash."),
            "upstream_json": Column(pl.String, "Digest of every upstream asset, JSON."),
            "rows_json": Column(pl.String, "Rows written per table, JSON."),
            "versions_json": Column(pl.String, "Delta version of each table after the write, JSON."),
        },
        partition_by=("batch", "asset"),
    ),
    Table(
        name="costs",
        grain="One row per batch of model calls: units, seconds and price. Append-only.",
        columns={
            "batch": BATCH,
            "asset": Column(pl.String, "Asset that made the calls."),
            "model": Column(pl.String, "Model name and revision."),
            "unit": Column(pl.String, "images, texts, seconds, tokens, pairs, requests or codes."),
            "units": Column(pl.Float64, "Units consumed."),
            "device": Column(pl.String, "cpu or cuda."),
            "device_seconds": Column(pl.Float64, "Busy seconds of the device."),
            "price": Column(pl.Float64, "Price in the policy's currency."),
            "run_id": Column(pl.String, "Dagster run."),
            "at_us": Column(pl.Int64, "When, microseconds since 1970 UTC."),
        },
        partition_by=(),
    ),
    Table(
        name="review_decisions",
        grain="One row per human verdict on a sample or negative. Append-only.",
        columns={
            "subject_id": Column(pl.String, "Sample or negative."),
            "decision": Column(pl.String, "accepted or rejected."),
            "reason": Column(pl.String, "Why."),
            "by": Column(pl.String, "Who."),
            "at_us": Column(pl.Int64, "When, microseconds since 1970 UTC."),
        },
        partition_by=(),
    ),
    Table(
        name="takedowns",
        grain="One row per record of a takedown, and one when it was ordered and done. Append-only; holds hashes only.",
        columns={
            "event": Column(pl.String, "ordered, record or done."),
            "takedown_id": Column(pl.String, "Hash of selector and value."),
            "selector": Column(pl.String, "source, license, record or person."),
            "selector_hash": Column(pl.String, "SHA-256 of the selector's value, without case and outer spaces."),
            "batch": Column(pl.String, "Batch of the record.", nullable=True),
            "record_id": Column(pl.String, "Id of the record, itself a hash.", nullable=True),
            "content_hash": Column(pl.String, "SHA-256 of the SHA-256 of the record's bytes or text.", nullable=True),
            "rows_json": Column(pl.String, "Rows deleted per table, once done; JSON.", nullable=True),
            "by": Column(pl.String, "Who ordered it."),
            "reason": Column(pl.String, "Why."),
            "at_us": Column(pl.Int64, "When, microseconds since 1970 UTC."),
        },
        partition_by=(),
    ),
)
