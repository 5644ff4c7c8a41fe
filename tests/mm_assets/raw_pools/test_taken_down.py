"""What was taken down does not come in again, in whatever form it is delivered."""

from pathlib import Path

import pytest

from mm_assets.lineage.selectors import hash_content, hash_value
from mm_assets.lineage.takedowns import NOTHING_BLOCKED, Blocks
from mm_assets.policy import IngestPolicy, Policy
from mm_assets.raw_pools.contract import read_contract
from mm_assets.raw_pools.document_folders import read_document_batch
from mm_assets.raw_pools.media_folders import read_media_batch
from mm_assets.raw_pools.reading import read_batch
from resources.local_landing import LocalLanding

LANDING = LocalLanding(Path(__file__).resolve().parents[3] / "demo" / "data" / "landing")
POLICY = Policy()
READERS = {
    "raw_images": lambda contract, blocks: read_batch(LANDING, contract, POLICY.ingest, blocks),
    "raw_texts": lambda contract, blocks: read_batch(LANDING, contract, POLICY.ingest, blocks),
    "raw_audio": lambda contract, blocks: read_media_batch(LANDING, contract, POLICY.ingest, POLICY.media, blocks),
    "raw_videos": lambda contract, blocks: read_media_batch(LANDING, contract, POLICY.ingest, POLICY.media, blocks),
    "raw_documents": lambda contract, blocks: read_document_batch(
        LANDING, contract, POLICY.ingest, POLICY.document_reading, blocks
    ),
}


def read(table, batch, blocks):
    """Rows of a table, rejected rows and records seen, of a demo batch."""
    contract = read_contract(LANDING, batch, IngestPolicy())
    rows, rejected, seen = [], [], 0
    for chunk in READERS[table](contract, blocks):
        rows += chunk.tables[table].to_dicts()
        rejected += chunk.rejected.to_dicts()
        seen += sum(chunk.records.values())
    return rows, rejected, seen


@pytest.mark.parametrize(
    ("table", "batch"),
    [
        ("raw_images", "scenes-coco-04"),
        ("raw_images", "stamps-home-02"),
        ("raw_texts", "text-math-dialogue-09"),
        ("raw_audio", "clips-animals-11"),
        ("raw_videos", "clips-animals-11"),
        ("raw_documents", "history-14"),
    ],
)
def test_content_that_was_taken_down_is_rejected_and_not_told(table, batch) -> None:
    from mm_assets.lineage.selectors import text_digest

    rows, before, _ = read(table, batch, NOTHING_BLOCKED)
    gone = rows[1]
    sha256 = text_digest(gone["text"]) if table == "raw_texts" else gone["sha256"]
    left, rejected, _ = read(table, batch, Blocks({}, {}, {}, {hash_content(sha256): "tdn_1"}))
    assert len(left) == len(rows) - 1
    assert gone["record_ref"] not in {row["record_ref"] for row in left}
    assert [row["position"] for row in left] == [row["position"] for row in rows if row is not gone]
    new = [row for row in rejected if row["code"] == "TAKEN_DOWN"]
    assert len(rejected) - len(before) == len(new) >= 1
    assert not any(gone["record_ref"] in str(row) for row in new)
    assert all("tdn_1" in row["reason"] for row in new)


def test_sources_and_licences_of_the_delivery_count_where_a_record_names_none() -> None:
    rows, _, _ = read("raw_texts", "text-math-dialogue-09", NOTHING_BLOCKED)
    source, license_name = rows[0]["source"], rows[-1]["license"]
    left, rejected, seen = read(
        "raw_texts",
        "text-math-dialogue-09",
        Blocks({hash_value(source.upper()): "tdn_1"}, {hash_value(license_name): "tdn_2"}, {}, {}),
    )
    assert left == [row for row in rows if row["source"] != source and row["license"] != license_name]
    assert len(left) < len(rows)
    assert seen == len(left) + len(rejected)


def test_a_speaker_takes_every_record_that_names_them() -> None:
    rows, _, _ = read("raw_audio", "clips-animals-11", NOTHING_BLOCKED)
    spoken = {row["speaker"] for row in rows} - {None}
    left, _, _ = read(
        "raw_audio", "clips-animals-11", Blocks({}, {}, {hash_value(name): "tdn_1" for name in spoken}, {})
    )
    assert {row["speaker"] for row in left} == {None}
    assert 0 < len(left) < len(rows)
