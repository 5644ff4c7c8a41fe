"""Columns that several tables share.

Ids are deterministic hashes, ``_us`` is integer microseconds, ``_px`` pixels, ``_bytes`` bytes.
"""

from typing import Final

import polars as pl

from mm_assets.schemas.table import Column

SOURCE_REF: Final = pl.Struct(
    {
        "uri": pl.String,
        "member": pl.String,
        "byte_offset": pl.Int64,
        "byte_size": pl.Int64,
        "frame_index": pl.Int64,
    }
)

BATCH: Final = Column(pl.String, "Ingest batch this row came with.")
SOURCE: Final = Column(pl.String, "Who delivered the record, from its row or else from batch.json.")
LICENSE: Final = Column(pl.String, "Licence of the record, from its row or else from batch.json.")
_REFERENCE: Final = Column(SOURCE_REF, "Where the bytes lie: uri, archive member, byte range, frame.")
RECORD_REF: Final = Column(pl.String, "Manifest and line, archive and member, or annotation that declared the record.")
SHA256: Final = Column(pl.String, "SHA-256 of the encoded bytes, hexadecimal.")
POSITION: Final = Column(pl.Int64, "Place of the image record in its delivery, from 0, rejected records counted.")
IMAGE_ID: Final = Column(pl.String, "Hash of content and place; the same on every rerun.")
CAPTION_ID: Final = Column(pl.String, "Hash of image, caption index and text.")
LANGUAGE: Final = Column(pl.String, "ISO 639-1 code.", nullable=True)
SPATIAL: Final = Column(pl.String, "Shard and row of the spatial features, as path#row relative to the lake.")

IMAGE_COLUMNS: Final[dict[str, Column]] = {
    "batch": BATCH,
    "image_id": IMAGE_ID,
    "position": POSITION,
    "form": Column(pl.String, "Delivery form: imagefolder, webdataset or coco."),
    "record_ref": RECORD_REF,
    "source_ref": _REFERENCE,
    "file_name": Column(pl.String, "Name in the delivery, relative to images/."),
    "sha256": SHA256,
    "size_bytes": Column(pl.Int64, "Encoded size in bytes."),
    "source": SOURCE,
    "source_id": Column(pl.String, "The supplier's own id of the record.", nullable=True),
    "license": LICENSE,
    "annotations_json": Column(
        pl.String, "Declared objects, descriptions, orientation and size as delivered, JSON.", nullable=True
    ),
}

CAPTION_COLUMNS: Final[dict[str, Column]] = {
    "batch": BATCH,
    "caption_id": CAPTION_ID,
    "image_id": IMAGE_ID,
    "position": POSITION,
    "caption_index": Column(pl.Int32, "0 for the main text, then one per further description."),
    "record_ref": RECORD_REF,
    "text": Column(pl.String, "The caption."),
    "language": LANGUAGE,
}

TEXT_ORIGIN_COLUMNS: Final[dict[str, Column]] = {
    "generator": Column(
        pl.String, "Model or tool that wrote the text, as declared; null: nothing said.", nullable=True
    ),
    "prompt_version": Column(pl.String, "Prompt it was written with, as declared.", nullable=True),
    "spot_check": Column(pl.String, "A person's verdict on the text, as declared: passed, failed …", nullable=True),
}

TEXT_COLUMNS: Final[dict[str, Column]] = {
    "batch": BATCH,
    "text_id": Column(pl.String, "Hash of place and content."),
    "position": Column(pl.Int64, "Place of the text record in its delivery, from 0."),
    "record_ref": RECORD_REF,
    "source_ref": _REFERENCE,
    "text": Column(pl.String, "The text."),
    "kind": Column(pl.String, "math, code, logic, prose or dialogue."),
    "language": LANGUAGE,
    "source": SOURCE,
    "license": LICENSE,
    **TEXT_ORIGIN_COLUMNS,
}
