"""Hugging Face ImageFolder: pictures beside a ``metadata.jsonl`` that captions them."""

from collections.abc import Iterator
from typing import Final

import msgspec

from mm_assets.errors import InputError, RecordError
from mm_assets.landing import Landing
from mm_assets.policy import IngestPolicy
from mm_assets.raw_pools.contract import BatchContract
from mm_assets.raw_pools.fingerprints import Declared, hash_files
from mm_assets.raw_pools.inventory import Inventory
from mm_assets.raw_pools.lines import Line, read_lines
from mm_assets.raw_pools.records import Caption, DeclaredImage, Record, Rejection, encode_annotations
from mm_assets.raw_pools.rows import ImageRow, Objects, RowFields, decode_boxes, decode_row

FORM: Final = "imagefolder"
MANIFEST: Final = "metadata.jsonl"
_DECODER: Final = msgspec.json.Decoder(ImageRow)


def read_imagefolder(
    landing: Landing, contract: BatchContract, policy: IngestPolicy, inventory: Inventory
) -> Iterator[Record]:
    """One record per line of ``images/metadata.jsonl``, in the order of the lines."""
    manifest = inventory.claim_if_present(MANIFEST)
    if manifest is not None:
        yield from hash_files(_declared(manifest.key, landing, contract, policy, inventory), landing, policy)


def _declared(
    key: str, landing: Landing, contract: BatchContract, policy: IngestPolicy, inventory: Inventory
) -> Iterator[Declared | Rejection]:
    with landing.open(key) as stream:
        for line in read_lines(stream, policy.max_line_bytes):
            where = f"{key}:{line.number}"
            try:
                row = decode_row(line_content(line, policy, where), _DECODER, where)
                landed = inventory.claim(row.file_name, where)
                yield declare_image(row, row.file_name, [row.text], FORM, where, contract), landed
            except InputError as error:
                yield Rejection.of("image", where, error)


def line_content(line: Line, policy: IngestPolicy, where: str) -> bytes:
    """The line's bytes.

    Raises:
        RecordError: code ``LINE_TOO_LONG``.
    """
    if line.content is None:
        raise RecordError(
            "LINE_TOO_LONG",
            f"{where}: the line has {line.size_bytes} bytes, more than {policy.max_line_bytes}; split or shorten it",
        )
    return line.content


def declare_image(
    row: RowFields, file_name: str, texts: list[str | None], form: str, where: str, contract: BatchContract
) -> DeclaredImage:
    """Turn a row into an image record, its descriptions following its main texts.

    Raises:
        RecordError: code ``MISSING_FIELD``, ``NUL_BYTE``, ``WRONG_TYPE``, ``BOX_COUNT`` or ``MISSING_BOX_FORMAT``.
    """
    captions = [text for text in texts if text and not text.isspace()] + (row.descriptions or [])
    if not any(text.strip() for text in captions):
        raise RecordError("MISSING_FIELD", f"{where}: neither 'text' nor 'descriptions' says anything; write a caption")
    for text in (*captions, row.license, row.source, row.language, row.annotator, str(row.source_id or "")):
        if text and "\0" in text:
            raise RecordError("NUL_BYTE", f"{where}: a text holds the NUL character; write the row as plain text")
    objects = None if row.objects is None else _declare_objects(row.objects, where, contract)
    annotations = encode_annotations(
        {
            "box_format": contract.box_format if objects is not None else None,
            "objects": objects,
            "annotator": row.annotator,
            "descriptions": row.descriptions,
            "orientation": row.orientation,
            "width": row.width,
            "height": row.height,
        }
    )
    return DeclaredImage(
        record_ref=where,
        form=form,
        file_name=file_name,
        captions=[Caption(text, where, row.language) for text in captions],
        source=row.source,
        source_id=None if row.source_id is None else str(row.source_id),
        license=row.license,
        annotations_json=annotations,
    )


def _declare_objects(objects: Objects, where: str, contract: BatchContract) -> dict[str, object]:
    """Boxes with what is said of each. A box of odd numbers is kept: conversion turns away it alone.

    Raises:
        RecordError: code ``WRONG_TYPE``, ``BOX_COUNT`` or ``MISSING_BOX_FORMAT``.
    """
    boxes = decode_boxes(objects.bbox, where)
    declared: dict[str, object] = {"bbox": boxes}
    for name, values in (("categories", objects.categories), ("annotators", objects.annotators)):
        if values is None:
            continue
        if len(values) != len(boxes):
            raise RecordError("BOX_COUNT", f"{where}: {len(boxes)} boxes but {len(values)} {name}; give each box one")
        declared[name] = values
    if boxes and contract.box_format is None:
        raise RecordError(
            "MISSING_BOX_FORMAT",
            f"{where}: boxes without a convention; state box_format in {contract.batch}/batch.json",
        )
    return declared
