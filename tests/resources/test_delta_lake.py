import dataclasses
import multiprocessing as mp
import os
from pathlib import Path

import polars as pl
import pytest
from deltalake.exceptions import DeltaError

from mm_assets.errors import BatchContractError, ContractError, SchemaMismatchError
from mm_assets.schemas import TABLES
from resources import delta_lake
from resources.delta_lake import DeltaLake
from resources.registry import BatchRegistry


def texts(batch: str, count: int, text: str = "words") -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "batch": batch,
                "text_id": f"txt_{index}",
                "position": index,
                "record_ref": f"{batch}/text/a.jsonl:{index + 1}",
                "source_ref": {
                    "uri": "file:///a",
                    "member": None,
                    "byte_offset": 0,
                    "byte_size": 1,
                    "frame_index": None,
                },
                "text": f"{text} {index}" if text else "",
                "kind": "prose",
                "language": "en",
                "source": "s",
                "license": "CC0-1.0",
            }
            for index in range(count)
        ],
        schema=TABLES["texts"].schema,
    )


@pytest.fixture
def lake(tmp_path):
    return DeltaLake(root=str(tmp_path / "lake"))


def test_unwritten_table_reads_as_typed_and_empty(lake):
    assert lake.read("texts", "a").schema == TABLES["texts"].schema
    assert lake.count("texts") == 0
    assert lake.version("texts") == -1


def test_replace_touches_only_its_batch(lake):
    lake.replace("texts", "a", texts("a", 3))
    lake.replace("texts", "b", texts("b", 2))
    lake.replace("texts", "a", texts("a", 1, "new"))
    assert lake.read("texts", "a")["text"].to_list() == ["new 0"]
    assert lake.count("texts", "b") == 2


def test_few_rows_of_a_table_of_large_rows_lie_together(lake, monkeypatch):
    given = {}
    write = delta_lake.write_deltalake

    def watched(table, rows, **options):
        given[table.metadata().name] = options["writer_properties"].max_row_group_size
        write(table, rows, **options)

    monkeypatch.setattr(delta_lake, "write_deltalake", watched)
    rows = pl.DataFrame(
        {"batch": "a", "image_id": "i", "sha256": "0", "width": 1, "height": 1, "coarse": b"c", "thumbnail": b"t"}
        | {"detail": b"d", "position": range(1_500)}
    ).select(list(TABLES["image_fingerprints"].columns))
    lake.replace("image_fingerprints", "a", rows)
    lake.replace("texts", "a", texts("a", 1))
    assert given == {"image_fingerprints": 512, "texts": None}
    assert lake.read("image_fingerprints", "a")["position"].to_list() == list(range(1_500))


def test_a_snapshot_is_read_anew_once_another_writer_changed_the_table(lake, tmp_path):
    assert lake.snapshot("texts").schema == TABLES["texts"].schema
    lake.replace("texts", "a", texts("a", 3))
    first = lake.snapshot("texts")
    assert first.height == 3
    assert lake.snapshot("texts") is first
    DeltaLake(root=str(tmp_path / "lake")).replace("texts", "b", texts("b", 2))
    assert lake.snapshot("texts").height == 5


def test_a_commit_tells_its_own_version(lake):
    assert lake.replace("texts", "a", texts("a", 1)).version == lake.version("texts")
    assert lake.replace("texts", "b", texts("b", 1)).version == lake.version("texts")


def test_replacing_with_nothing_removes_the_batch(lake):
    lake.replace("texts", "a", texts("a", 3))
    written = lake.replace("texts", "a", TABLES["texts"].empty())
    assert written.rows == 0
    assert lake.count("texts") == 0


def test_rerun_leaves_equal_rows(lake):
    lake.replace("texts", "a", texts("a", 50))
    before = lake.read("texts", "a")
    lake.replace("texts", "a", texts("a", 50))
    assert lake.read("texts", "a").equals(before)


def test_staged_chunks_become_one_commit_in_order(lake):
    with lake.staging() as staging:
        for start in range(0, 100, 10):
            staging.add("texts", texts("a", 100).slice(start, 10))
        lake.replace("texts", "a", texts("a", 1))
        version = lake.version("texts")
        written = lake.replace("texts", "a", staging)
    assert written.rows == 100
    assert lake.version("texts") == version + 1
    positions = [position for chunk in lake.chunks("texts", "a", rows=16) for position in chunk["position"]]
    assert positions == list(range(100))


def test_constraint_stops_a_bad_row(lake):
    lake.replace("texts", "a", texts("a", 1))
    with pytest.raises(DeltaError, match="failed validation"):
        lake.replace("texts", "a", texts("a", 1, ""))
    assert lake.read("texts", "a")["text"].to_list() == ["words 0"]


def test_wrong_columns_are_named(lake):
    with pytest.raises(SchemaMismatchError, match="missing columns \\['kind'\\]"):
        lake.replace("texts", "a", texts("a", 1).drop("kind"))


def test_nulls_in_required_columns_are_named(lake):
    with pytest.raises(SchemaMismatchError, match="'license': 1"):
        lake.replace("texts", "a", texts("a", 1).with_columns(license=pl.lit(None, pl.String)))


@pytest.mark.parametrize("batch", ["a' OR '1'='1", "../a", "", "A"])
def test_no_bad_id_reaches_a_predicate(lake, batch):
    with pytest.raises(BatchContractError, match="BATCH_ID"):
        lake.replace("texts", batch, texts("a", 1))
    with pytest.raises(BatchContractError, match="BATCH_ID"):
        lake.scan("texts", batch)


def test_unknown_table_is_our_mistake(lake):
    with pytest.raises(ContractError, match="no table 'poems'"):
        lake.scan("poems")


def test_append_once_lets_one_writer_through(lake):
    def row(name):
        return pl.DataFrame(
            [{"batch": name, "sequence": 1, "source": "s", "license": "l", "compared_with": []}],
            schema=TABLES["batches"].schema,
        )

    assert lake.append_once("batches", row("a"), expected_version=0, application="registry")
    assert not lake.append_once("batches", row("b"), expected_version=0, application="registry")
    assert lake.read("batches")["batch"].to_list() == ["a"]


def test_registration_is_once_and_in_order(lake):
    registry = BatchRegistry(lake=lake)
    assert registry.register("a", "s", "l", held=set()) == []
    assert registry.register("b", "s", "l", held=set()) == ["a"]
    assert registry.register("c", "t", "l", held={"a"}) == ["b"]
    assert registry.register("b", "s", "l", held={"a"}) == ["a"]
    assert registry.of_same_source("b") == ("s", ["a"])
    assert registry.of_same_source("c") == ("t", [])
    with pytest.raises(ContractError, match="'new' is not registered"):
        registry.of_same_source("new")


def _write_batches(root: str, names: list[str]) -> None:
    lake = DeltaLake(root=root)
    for name in names:
        lake.replace("texts", name, texts(name, 4))
        BatchRegistry(lake=lake).register(name, "s", "l", held=set())


def test_four_processes_lose_no_commit(tmp_path):
    root = str(tmp_path / "lake")
    context = mp.get_context("spawn")
    names = [[f"b{writer}-{turn}" for turn in range(6)] for writer in range(4)]
    writers = [context.Process(target=_write_batches, args=(root, chosen)) for chosen in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=120)
        assert writer.exitcode == 0
    lake = DeltaLake(root=root)
    assert lake.count("texts") == 4 * 6 * 4
    registered = lake.read("batches").sort("sequence")
    assert registered["sequence"].to_list() == list(range(1, 25))
    for row in registered.to_dicts():
        earlier = registered.filter(pl.col("sequence") < row["sequence"])["batch"].to_list()
        assert row["compared_with"] == earlier


def _write_same(root: str, text: str) -> None:
    lake = DeltaLake(root=root)
    for _ in range(5):
        lake.replace("texts", "same", texts("same", 20, text))


def test_two_writers_of_one_batch_leave_one_whole_outcome(tmp_path):
    root = str(tmp_path / "lake")
    context = mp.get_context("spawn")
    writers = [context.Process(target=_write_same, args=(root, text)) for text in ("left", "right")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=120)
        assert writer.exitcode == 0
    rows = DeltaLake(root=root).read("texts", "same")
    assert rows.height == 20
    assert rows["text"].str.split(" ").list.first().n_unique() == 1


def _peak_mib_of_a_write(root: str, chunks: int) -> float:
    lake = DeltaLake(root=root)
    lake.replace("texts", "b", texts("b", 3))  # what a process writes first must not decide how it writes later
    rows = pl.DataFrame(
        {
            "batch": ["b"] * 256,
            "image_id": [f"img_{row}" for row in range(256)],
            "position": range(256),
            "sha256": ["0" * 64] * 256,
            "width": [64] * 256,
            "height": [64] * 256,
            "coarse": [os.urandom(768) for _ in range(256)],
            "thumbnail": [os.urandom(12_288) for _ in range(256)],
            "detail": [os.urandom(12_288) for _ in range(256)],
        },
        schema=TABLES["image_fingerprints"].schema,
    )
    with lake.staging() as staging:
        for _ in range(chunks):
            staging.add("image_fingerprints", rows)
        lake.replace("image_fingerprints", "b", staging)
    assert lake.count("image_fingerprints", "b") == 256 * chunks
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) / 1024


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows_of_a_write(tmp_path):
    peaks = []
    for chunks in (20, 80):  # 130 and 520 MB
        with mp.get_context("spawn").Pool(1) as pool:
            peaks.append(pool.apply(_peak_mib_of_a_write, (str(tmp_path / str(chunks)), chunks)))
    assert peaks[1] < 1.4 * peaks[0], peaks


def test_a_table_of_an_older_version_gains_the_columns_declared_since(lake, monkeypatch):
    declared = TABLES["texts"]
    older = {name: column for name, column in declared.columns.items() if name != "language"}
    monkeypatch.setitem(TABLES, "texts", dataclasses.replace(declared, columns=older))
    lake.replace("texts", "a", texts("a", 2))
    monkeypatch.setitem(TABLES, "texts", declared)
    assert lake.read("texts", "a")["language"].to_list() == [None, None]
    lake.replace("texts", "b", texts("b", 2))
    assert lake.read("texts").sort("batch")["language"].to_list() == [None, None, "en", "en"]
