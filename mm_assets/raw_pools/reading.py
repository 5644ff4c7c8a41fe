"""Read a whole delivery: every form it holds, in one order, as bounded chunks of rows."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from mm_assets.errors import RecordError
from mm_assets.landing import Landing
from mm_assets.lineage.takedowns import NOTHING_BLOCKED, Blocks
from mm_assets.policy import IngestPolicy
from mm_assets.raw_pools.coco import MANIFEST as COCO_MANIFEST
from mm_assets.raw_pools.coco import read_coco
from mm_assets.raw_pools.contract import BatchContract
from mm_assets.raw_pools.imagefolder import MANIFEST as FOLDER_MANIFEST
from mm_assets.raw_pools.imagefolder import read_imagefolder
from mm_assets.raw_pools.inventory import Inventory, take_inventory
from mm_assets.raw_pools.names import IMAGE_SUFFIXES, suffix_of
from mm_assets.raw_pools.records import RawChunk, Record, Rejection, as_chunks
from mm_assets.raw_pools.taken_down import refuse_taken_down
from mm_assets.raw_pools.texts import read_texts, unknown_form
from mm_assets.raw_pools.webdataset import read_webdataset

_MANIFESTS: Final = frozenset({COCO_MANIFEST, FOLDER_MANIFEST})


def read_batch(
    landing: Landing, contract: BatchContract, policy: IngestPolicy, blocks: Blocks = NOTHING_BLOCKED
) -> Iterator[RawChunk]:
    """Yield every record of the image and text folders, kept or rejected.

    Order: ImageFolder lines, COCO images, tars by name, files nobody declared, texts by key. Positions count the
    records of the batch in this order, the rejected ones included. Memory does not grow with the number of records,
    save for a COCO file, which is held whole within ``policy.max_coco_bytes``. Records that were taken down are
    rejected.
    """
    records = refuse_taken_down(_records(landing, contract, policy), contract, blocks)
    yield from as_chunks(records, landing, contract, policy)


def _records(landing: Landing, contract: BatchContract, policy: IngestPolicy) -> Iterator[Record]:
    with take_inventory(landing, f"{contract.batch}/images") as inventory:
        for read_form in (read_imagefolder, read_coco, read_webdataset):
            yield from read_form(landing, contract, policy, inventory)
        yield from _undeclared(inventory)
    yield from read_texts(landing, contract, policy)


def _undeclared(inventory: Inventory) -> Iterator[Rejection]:
    for landed in inventory.unclaimed():
        if suffix_of(landed.key) in IMAGE_SUFFIXES:
            error = RecordError(
                "UNLISTED_FILE", f"{landed.key}: no manifest declares this file; add its record or leave it out"
            )
        elif (name := PurePosixPath(landed.key).name) in _MANIFESTS:
            error = _misplaced(landed.key, name, inventory.folder)
        else:
            error = unknown_form(landed.key, "metadata.jsonl, coco.json, *.tar or pictures")
        yield Rejection.of("image", landed.key, error)
    for key, error in inventory.faults():
        yield Rejection.of("image", key, error)


def _misplaced(key: str, name: str, folder: str) -> RecordError:
    """The error of a manifest in a subfolder, such as that of a split."""
    return RecordError(
        "UNKNOWN_FORM",
        f"{key}: a {name} is read at {folder}/{name} only; move or join it there, with file names relative to {folder}",
    )
