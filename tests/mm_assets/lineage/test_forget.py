"""What is forgotten is gone from every table, file and version, and does not come back."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mm_assets.errors import LineageError, ReleaseError
from mm_assets.features.ragged_shards import RaggedReader
from mm_assets.features.shards import SpatialReader
from mm_assets.fusion.training_reader import ReleaseDataset
from mm_assets.lineage.descendants import count_rows, find_descendants, is_made_of
from mm_assets.lineage.redaction import GONE, redact_json
from mm_assets.lineage.search import search, texts_of
from mm_assets.lineage.selectors import Choice, Selector, find_records
from mm_assets.lineage.table_map import LINEAGE, deletion_order
from mm_assets.lineage.takedowns import not_taken_down
from mm_assets.schemas import TABLES
from resources.corrections import Corrections
from resources.delta_lake import DeltaLake
from resources.forgetting import find_doomed, forget
from resources.policy_file import PolicyFile
from resources.provenance import Provenance
from resources.takedowns import Takedowns, blocks_of

RECORD, PERSON, SOURCE = Selector.RECORD, Selector.PERSON, Selector.SOURCE


def provenance_of(lake):
    return Provenance(lake=lake, policy_file=PolicyFile(), corrections=Corrections(lake=lake))


def carry_out(lake, choice, tell=lambda _: None):
    """Order a takedown and carry it out; the ids and texts that went, and what was done."""
    takedowns = Takedowns(lake=lake)
    takedown = takedowns.order(choice, by="Eva", reason="asked for")
    doomed = find_doomed(lake, takedown, takedowns.records(takedown), takedowns.batches(takedown))
    texts = texts_of(lake, {table: is_made_of(table, doomed.ids) for table in deletion_order()})
    done = forget(lake, provenance_of(lake), doomed, tell)
    takedowns.close(takedown, done.rows)
    return doomed.ids.to_list(), texts, done


def rows_of(lake):
    return {
        table: lake.scan(table).collect().sort(pl.all().exclude(pl.List, pl.Binary, pl.Struct))
        for table in LINEAGE
        if table != "takedowns"
    }


@pytest.mark.parametrize(
    ("choice", "records"),
    [
        (Choice(SOURCE, " Vendor-A "), {"duck", "clip"}),
        (Choice(Selector.LICENSE, "mit"), {"goose"}),
        (Choice(PERSON, "ada lovelace"), {"sound"}),
        (Choice(PERSON, "Grace Hopper"), {"clip"}),
        (Choice(RECORD, "history.pdf"), {"document"}),
        (Choice(RECORD, "talks/text/math.jsonl:2"), {"dialogue"}),
        (Choice(SOURCE, "vendor-z"), set()),
    ],
)
def test_records_are_found_by_what_was_asked(library, choice, records) -> None:
    found = find_records(library.lake, choice)
    assert set(found["record_id"]) == {library.ids[name] for name in records}


def test_a_sample_names_its_records_and_their_copies(library) -> None:
    rejected = library.lake.read("rejected", "talks")
    raw = library.lake.read("raw_images", "talks")
    copy = raw.head(1).with_columns(image_id=rejected["record_id"].head(1), sha256=pl.lit("0" * 64))
    library.lake.replace("raw_images", "talks", pl.concat([raw, copy]))
    found = find_records(library.lake, Choice(RECORD, library.samples["image_text"]))
    assert set(found["record_id"]) == {library.ids["duck"], rejected["record_id"][0]}


def test_descendants_are_all_there_is(library) -> None:
    """Checked the other way round: no id of the lake that hangs on the clip is left out, and none else is in."""
    ids = set(find_descendants(library.lake, [library.ids["clip"]]))
    own = {library.ids[name] for name in ("clip", "cue", "piece", "frame", "segment")} | {library.samples["segment"]}
    assert ids == own
    counted = count_rows(library.lake, pl.Series(sorted(ids)))
    assert counted["raw_subtitles"] == {"talks": 1}
    assert counted["mixtures"] == {"spring": 1}


def test_nothing_of_it_is_left(library) -> None:
    """No row, no byte: the words are in no table, no earlier version, no log, no shard row and no file."""
    lake = library.lake
    library.write("gate_evaluations", {"evaluation_id": "eval_1", "gate": "recall",
                                       "diagnosis_json": json.dumps({"worst": [library.ids["duck"]]})})  # fmt: skip
    before = rows_of(lake)
    ids, texts, done = carry_out(lake, Choice(RECORD, library.ids["duck"]))
    assert library.ids["duck_caption"] in ids
    assert texts == ["A duck swims on the village pond."]
    found = search(lake, lake.files, ids, texts)
    assert found.hits == []
    assert found.texts == 1
    root = Path(lake.root)
    left = [path for path in root.rglob("*") if path.is_file() and b"swims on the village" in path.read_bytes()]
    assert left == []
    for table in LINEAGE:
        opened = lake.open(table)
        if opened is not None:
            on_disk = {path.name for path in Path(lake.uri(table)).rglob("*.parquet")
                       if "_delta_log" not in path.parts}  # fmt: skip
            assert on_disk == {uri.rpartition("/")[2] for uri in opened.file_uris()}, table
    after = rows_of(lake)
    for table in ("raw_texts", "documents", "segment_alignments", "raw_videos"):
        assert after[table].equals(before[table])
    assert done.rows["hard_negatives"] == 1
    assert json.loads(lake.read("gate_evaluations", "talks")["diagnosis_json"][0]) == {"worst": [GONE]}


def test_a_sample_that_stays_loses_only_the_borrowed_negative(library) -> None:
    carry_out(library.lake, Choice(RECORD, library.ids["duck"]))
    (kept,) = library.lake.scan("fusion_samples").filter(
        pl.col("sample_id") == library.samples["goose"]).collect()["negatives_json"]  # fmt: skip
    assert [entry["text"] for entry in json.loads(kept)] == ["A goose walks over the dry meadow."]


def test_shard_rows_of_others_stay_where_they_can_be_found(library) -> None:
    lake = library.lake
    (reference,) = lake.scan("image_embeddings").filter(
        pl.col("image_id") == library.ids["goose"]).collect()["spatial_features"]  # fmt: skip
    goose = SpatialReader(lake.files).read([reference])
    carry_out(lake, Choice(RECORD, library.ids["duck"]))
    (moved,) = lake.read("image_embeddings", "talks")["spatial_features"]
    assert moved != reference
    path = moved.rpartition("#")[0]
    both = SpatialReader(lake.files).read([f"{path}#0", f"{path}#1"])
    assert np.array_equal(both[1:], goose)
    assert not both[0].any()
    assert lake.files.names("features/talks") == [path]
    (sample,) = lake.scan("fusion_samples").filter(pl.col("sample_id") == library.samples["goose"]).collect().to_dicts()
    assert sample["spatial_features"] == moved
    (heard,) = lake.read("audio_embeddings", "talks")["features"]
    assert RaggedReader(lake.files).read([heard])[0].shape == (2, 3)
    carry_out(lake, Choice(RECORD, library.ids["clip"]))
    assert lake.files.names("clip_features/talks") == []


def test_rows_are_still_accounted_for(library) -> None:
    """Each record, caption and box that went leaves a rejected row that names nobody."""
    carry_out(library.lake, Choice(RECORD, library.ids["duck"]))
    left = library.lake.read("rejected", "talks").filter(pl.col("code") == "TAKEN_DOWN")
    assert sorted(left.select("stage", "record_kind").rows()) == [
        ("boxes", "box"), ("raw_pools", "caption"), ("raw_pools", "image")
    ]  # fmt: skip
    assert left["record_ref"].str.starts_with("talks/ref_").all()


def test_releases_that_held_it_are_revoked_and_unreadable(library) -> None:
    lake = library.lake
    carry_out(lake, Choice(RECORD, library.ids["text"]))
    folder = Path(lake.root) / "releases" / "spring"
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {"manifest.json", "REVOKED.json"}
    assert lake.scan("mixtures").collect().is_empty()
    with pytest.raises(ReleaseError, match="was revoked"):
        ReleaseDataset(folder)


def test_releases_without_it_stay(library) -> None:
    lake = library.lake
    line = json.dumps({"id": "mm_other", "visual_features_path": None, "audio_features_path": None})
    lake.files.put_bytes("releases/autumn/samples/part-00000.jsonl", f"{line}\n".encode())
    listed = {"files": [{"path": "samples/part-00000.jsonl"}]}
    lake.files.put_bytes("releases/autumn/manifest.json", json.dumps(listed).encode())
    done = carry_out(lake, Choice(RECORD, library.ids["text"]))[2]
    assert done.releases == ["spring"]
    assert lake.files.exists("releases/autumn/samples/part-00000.jsonl")


def test_a_version_that_is_gone_is_read_as_it_stands_now(library) -> None:
    """Releases that stay pin versions which no longer are."""
    lake = library.lake
    first = lake.scan("raw_images", version=lake.version("raw_images")).collect()
    version = lake.version("raw_images")
    carry_out(lake, Choice(RECORD, library.ids["duck"]))
    left = lake.scan("raw_images", version=version).collect()
    assert left["image_id"].to_list() == [library.ids["goose"]]
    assert first.height == left.height + 1


def test_the_ledger_holds_hashes_and_blocks_by_them(library) -> None:
    lake = library.lake
    carry_out(lake, Choice(PERSON, "Ada Lovelace"))
    carry_out(lake, Choice(SOURCE, "vendor-b"))
    ledger = lake.scan("takedowns").collect()
    assert not any("lovelace" in str(row).casefold() or "vendor" in str(row) for row in ledger.rows())
    blocks = blocks_of(lake)
    sound = library.reference("clips-animals-11/audio/cow.ogg")["sha256"]
    assert blocks.takedown_of("vendor-x", "MIT", sound)
    assert blocks.takedown_of("vendor-x", "MIT", None, [None, " ADA LOVELACE"])
    assert blocks.takedown_of("Vendor-B", "MIT", None)
    assert blocks.takedown_of("vendor-x", "MIT", "0" * 64, ["Eva"]) is None


def test_samples_are_out_of_reach_as_soon_as_it_is_ordered(library) -> None:
    lake = library.lake
    Takedowns(lake=lake).order(Choice(SOURCE, "vendor-a"), by="Eva", reason="asked for")
    left = not_taken_down(lake.scan("fusion_samples"), lake.scan("takedowns")).collect()["sample_id"]
    assert set(left) == {library.samples[kind] for kind in ("goose", "document", "text", "dialogue")}


def test_a_name_and_a_reason_are_needed_and_the_record_must_exist(library) -> None:
    takedowns = Takedowns(lake=library.lake)
    with pytest.raises(LineageError, match="--reason"):
        takedowns.order(Choice(SOURCE, "vendor-a"), by="Eva", reason=" ")
    with pytest.raises(LineageError, match="there is no record"):
        takedowns.order(Choice(RECORD, "talks/none"), by="Eva", reason="asked for")
    assert takedowns.known() == set()


class Stop(BaseException):
    """The process ends here."""


def test_broken_off_anywhere_it_can_be_finished(library, tmp_path_factory) -> None:
    """After each of its strokes: what is left leads to all the rest."""
    from shutil import copytree

    told: list[str] = []
    fresh = Path(library.lake.root)
    spare = tmp_path_factory.mktemp("spare")
    choice = Choice(SOURCE, "vendor-a")
    whole = DeltaLake(root=str(copytree(fresh, spare / "whole")))
    ids, texts, _ = carry_out(whole, choice, told.append)
    wanted = {table: rows.height for table, rows in rows_of(whole).items()}
    for stroke in range(1, len(told), 10):
        lake = DeltaLake(root=str(copytree(fresh, spare / f"stroke-{stroke}")))
        left = iter(range(stroke))

        def stop(_: str, left=left) -> None:
            if next(left, None) is None:
                raise Stop

        with pytest.raises(Stop):
            carry_out(lake, choice, stop)
        takedowns = Takedowns(lake=lake)
        assert takedowns.open() == [choice.takedown_id]
        carry_out(lake, choice)
        assert takedowns.open() == []
        assert search(lake, lake.files, ids, texts).hits == [], told[stroke]
        assert {table: rows.height for table, rows in rows_of(lake).items()} == wanted


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, str(Path({tests!r})))
from test_forget import Choice, DeltaLake, SOURCE, carry_out
def tell(told):
    if told.startswith("deleting from images"):
        os.kill(os.getpid(), signal.SIGKILL)
carry_out(DeltaLake(root={root!r}), Choice(SOURCE, "vendor-a"), tell)
"""


def test_killed_and_run_again_it_finishes(library) -> None:
    code = KILLED.format(tests=str(Path(__file__).parent), root=library.lake.root)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert Takedowns(lake=library.lake).open()
    ids, _, _ = carry_out(library.lake, Choice(SOURCE, "vendor-a"))
    ids += [library.ids["duck_caption"], library.samples["image_text"], library.samples["segment"]]
    found = search(library.lake, library.lake.files, ids, ["swims on the village pond"])
    assert found.hits == []


def test_json_is_redacted_whole() -> None:
    told = json.dumps({"worst": [{"id": "img_1", "why": "img_1 is dark"}, {"id": "img_2", "why": 0.5}]})
    assert json.loads(redact_json(told, ["img_1"])) == {
        "worst": [{"id": GONE, "why": GONE}, {"id": "img_2", "why": 0.5}]
    }
    assert TABLES["takedowns"].columns["record_id"].nullable
