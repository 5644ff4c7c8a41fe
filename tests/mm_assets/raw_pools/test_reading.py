import json
import tracemalloc
from pathlib import Path

import pytest

from mm_assets.policy import IngestPolicy
from mm_assets.raw_pools.contract import read_contract
from mm_assets.raw_pools.reading import read_batch
from resources.object_store import LocalLanding, S3Landing


@pytest.fixture
def mixed(jsonl, tar) -> dict[str, bytes]:
    """Every form at once, with a fault in each."""
    return {
        "images/metadata.jsonl": jsonl(
            {"file_name": "m1.png", "text": "M1."}, b"{", {"file_name": "m2.png", "text": "M2."}
        ),
        "images/m1.png": b"m1",
        "images/m2.png": b"m2",
        "images/coco.json": json.dumps(
            {
                "images": [{"id": 1, "file_name": "gone.png"}, {"id": 2, "file_name": "c.png"}],
                "annotations": [{"id": 1, "image_id": 2, "caption": "C."}],
            }
        ).encode(),
        "images/c.png": b"c",
        "images/z.tar": tar(("1.png", b"z1"), ("1.txt", b"Z1.")),
        "images/a.tar": tar(("1.png", b"a1"), ("2.png", b"a2"), ("2.txt", b"A2.")),
        "images/nobody.png": b"n",
        "text/b.txt": b"T2.",
        "text/a.jsonl": jsonl({"text": "T1."}, {"text": 1}),
        "audio/metadata.jsonl": b"another reader's",
    }


def test_every_form_is_read_in_one_order_with_running_positions(read, mixed) -> None:
    outcome = read(mixed)
    assert [(row["position"], row["record_ref"].partition("/images/")[2]) for row in outcome.images] == [
        (0, "metadata.jsonl:1"),
        (2, "metadata.jsonl:3"),
        (4, "coco.json#image/2"),
        (6, "a.tar!2"),
        (7, "z.tar!1"),
    ]
    assert [(row["position"], row["text"]) for row in outcome.texts] == [(0, "T1."), (2, "T2.")]
    assert outcome.records == {"image": 9, "caption": 5, "text": 3}
    assert outcome.codes == ["INVALID_JSON", "MISSING_FILE", "MISSING_FIELD", "UNLISTED_FILE", "WRONG_TYPE"]


def test_chunks_are_bounded_and_their_size_changes_nothing(read_local, mixed) -> None:
    whole, small = read_local(mixed), read_local(mixed, IngestPolicy(chunk_rows=2))
    assert len(whole.chunk_rows) == 1
    assert max(small.chunk_rows) <= 3
    for name in ("images", "captions", "texts", "rejected", "records"):
        assert getattr(small, name) == getattr(whole, name)
    # The chunk ends after the record that fills it, here a megabyte of text.
    wide = {"text/a.jsonl": b'{"text": "' + b"x" * 1_000_000 + b'"}\n' + b'{"text": "y"}\n' * 5}
    assert read_local({**mixed, **wide}, IngestPolicy(chunk_bytes=1_000_000)).chunk_rows[-1] == 6


def test_local_and_s3_give_the_same_rows_but_for_the_uri(tmp_path, s3_client, mixed, outcome_of) -> None:
    local = outcome_of(tmp_path, mixed, IngestPolicy())
    s3_client.create_bucket(Bucket="same-rows")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            s3_client.put_object(Bucket="same-rows", Key=str(path.relative_to(tmp_path)), Body=path.read_bytes())
    landings = (LocalLanding(tmp_path), S3Landing(s3_client, "same-rows"))
    frames = []
    for landing in landings:
        chunks = list(read_batch(landing, read_contract(landing, "b1", IngestPolicy()), IngestPolicy()))
        (chunk,) = chunks
        for image in chunk.images.to_dicts():
            ref = image["source_ref"]
            content = landing.read(landing.key(ref["uri"]), ref["byte_offset"], ref["byte_size"])
            assert content in {b"m1", b"m2", b"c", b"a2", b"z1"}
        frames.append((chunk.images.drop("source_ref"), chunk.captions, chunk.texts.drop("source_ref"), chunk.rejected))
    assert len(local.images) == 5
    for ours, theirs in zip(*frames, strict=True):
        assert ours.equals(theirs)


def test_batch_of_nothing_has_no_chunks(read_local) -> None:
    assert read_local({}).chunk_rows == []


def test_rows_of_a_batch_do_not_depend_on_its_neighbours(tmp_path, mixed, outcome_of) -> None:
    alone = outcome_of(tmp_path / "one", mixed, IngestPolicy())
    (tmp_path / "two/b1x/images").mkdir(parents=True)
    (tmp_path / "two/b1x/images/other.png").write_bytes(b"o")
    beside = outcome_of(tmp_path / "two", mixed, IngestPolicy())
    assert [row["image_id"] for row in alone.images] == [row["image_id"] for row in beside.images]
    assert alone.rejected == beside.rejected


def peak_bytes(root: Path, rows: int, outcome_of, jsonl, tar) -> int:
    """Peak of Python's memory while a batch is read and dropped."""
    members = [part for n in range(rows) for part in ((f"{n}.png", b"p%d" % n), (f"{n}.txt", b"A caption."))]
    files = {
        "images/metadata.jsonl": jsonl(*({"file_name": f"{n}.png", "text": "Gone."} for n in range(rows))),
        "images/a.tar": tar(*members),
        "text/a.jsonl": jsonl(*({"text": f"Text number {n}."} for n in range(rows))),
    }
    outcome_of(root, {"text/a.txt": b"Warm up."}, IngestPolicy())
    for name, content in files.items():
        path = root / "b1" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    del files, members
    landing, policy = LocalLanding(root), IngestPolicy()
    contract = read_contract(landing, "b1", policy)
    tracemalloc.start()
    seen = 0
    for chunk in read_batch(landing, contract, policy):
        seen += sum(chunk.records.values())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == 4 * rows + 1
    return peak


def test_memory_does_not_grow_with_the_number_of_records(tmp_path, outcome_of, jsonl, tar) -> None:
    few = peak_bytes(tmp_path / "few", 1_000, outcome_of, jsonl, tar)
    many = peak_bytes(tmp_path / "many", 4_000, outcome_of, jsonl, tar)
    assert many < 1.2 * few


def test_blank_source_and_licence_of_a_record_are_the_batchs(read_local, jsonl) -> None:
    blank = {"source": " \t", "license": "  "}
    outcome = read_local(
        {
            "images/metadata.jsonl": jsonl(
                {"file_name": "a.png", "text": "A.", **blank}, {"file_name": "b.png", "text": "B.", "license": " MIT\n"}
            ),
            "images/a.png": b"a",
            "images/b.png": b"b",
            "text/a.jsonl": jsonl({"text": "One.", **blank}),
        }
    )
    stated = [(row["source"], row["license"]) for row in (*outcome.images, *outcome.texts)]
    assert stated == [("vendor-a", "CC-BY-4.0"), ("vendor-a", "MIT"), ("vendor-a", "CC-BY-4.0")]
