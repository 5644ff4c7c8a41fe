import hashlib
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from mm_assets.errors import ContractError, ReleaseError
from mm_assets.fusion.linter import lint_paths
from mm_assets.fusion.placeholders import parse_content
from mm_assets.mixtures.line_spool import LineSpool
from mm_assets.mixtures.manifest import EvaluationSetRecord, ExclusionCount, TextOrigin
from mm_assets.mixtures.package import write_release
from mm_assets.mixtures.recipes import Recipe
from mm_assets.mixtures.release_folder import LocalReleases
from mm_assets.mixtures.selection import draw_release
from mm_assets.mixtures.shard_writer import ShardWriter

FIELDS = [
    "id",
    "kind",
    "modalities",
    "content",
    "visual_features_path",
    "audio_features_path",
    "boxes",
    "times",
    "negatives",
    "pool",
    "weight",
    "batch",
    "source",
    "license",
    "placeholder_version",
    "checks",
    "review_status",
    "split",
]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def lines_of(folder: Path) -> list[dict]:
    return [
        json.loads(raw) for path in sorted((folder / "samples").iterdir()) for raw in path.read_bytes().splitlines()
    ]


def test_lines_are_those_of_the_contract_in_release_order(release, release_maker, kit):
    lines = lines_of(release)
    draw = release_maker.draw()
    assert [line["id"] for line in lines] == draw.mixtures["sample_id"].to_list()
    assert all(list(line) == FIELDS for line in lines)
    image = next(line for line in lines if line["content"].endswith(kit.CAPTIONS[2]))
    assert image["checks"] == {"recall_at_1": 0.42}
    assert (image["boxes"], image["times"], image["negatives"], image["audio_features_path"]) == ([], [], [], None)
    assert (image["placeholder_version"], image["review_status"], image["weight"]) == ("1", "unreviewed", 1.0)
    text = next(line for line in lines if line["kind"] == "dialogue")
    assert (text["modalities"], text["visual_features_path"], text["pool"]) == (["text"], None, "dialogue")
    raw = b"".join(path.read_bytes() for path in (release / "samples").iterdir())
    assert "池の上のアヒル 🦆".encode() in raw
    assert b"\\u" not in raw.replace(b"\\u202", b"")
    assert [len(path.read_bytes().splitlines()) for path in sorted((release / "samples").iterdir())] == [7, 7, 3]


def test_every_image_has_its_features_and_codes_once(release, release_maker):
    origin = {row["sample_id"]: row for frame in release_maker.samples for row in frame.iter_rows(named=True)}
    features = {path.name: load_file(path)["visual_features"] for path in (release / "features").iterdir()}
    codes = {path.name: load_file(path)["visual_codes"] for path in (release / "codes").iterdir()}
    assert [len(features[name]) for name in sorted(features)] == [5, 5]
    assert [features[name].shape[:2] for name in sorted(features)] == [codes[name].shape for name in sorted(codes)]
    assert {rows.dtype.name for rows in features.values()} == {"float16"}
    assert {rows.dtype.name for rows in codes.values()} == {"int32"}
    used = set()
    for line in lines_of(release):
        if line["visual_features_path"] is None:
            continue
        path, _, row = line["visual_features_path"].partition("#")
        sample = origin[line["id"]]
        assert np.array_equal(
            features[Path(path).name][int(row)], release_maker.features.rows[sample["spatial_features"]]
        )
        assert codes[Path(path).name][int(row)].tolist() == sample["codes"]
        assert list(parse_content(line["content"]).spans[0].codes) == sample["codes"]
        used.add(line["visual_features_path"])
    assert len(used) == 10
    assert sum(line["kind"] == "image_text" for line in lines_of(release)) == 11


def test_the_manifest_pins_every_file_and_counts_every_sample(release):
    manifest = json.loads((release / "manifest.json").read_text())
    files = {record["path"]: record for record in manifest["files"]}
    assert set(files) == set(bytes_of(release)) - {"manifest.json"}
    for path, data in bytes_of(release).items():
        if path != "manifest.json":
            assert files[path]["sha256"] == hashlib.sha256(data).hexdigest()
            assert files[path]["size_bytes"] == len(data)
    counts = manifest["counts"]
    assert manifest["samples"] == 17
    assert counts["pools"] == {"coarse_image_text": 11, "dialogue": 1, "text_retention": 5}
    assert counts["modalities"] == {"image": 11, "text": 17}
    assert counts["licenses"] == {"CC-BY-4.0": 17}
    assert counts["batches"] == {"b1": 8, "b2": 9}
    assert counts["languages"] == {"en": 13, "und": 4}
    assert counts["text_kinds"] == {"code": 2, "dialogue": 1, "math": 2, "prose": 1}
    assert manifest["text_retention_share"] == pytest.approx(5 / 17)
    assert manifest["vocabulary"]["image_code_offset"] == 128_256
    assert manifest["vocabulary"]["image_codes"] == 64
    assert manifest["features"] == {
        "tensor": "visual_features",
        "dtype": "float16",
        "vectors": 6,
        "channels": 8,
        "codes_tensor": "visual_codes",
    }
    assert manifest["delta_versions"] == {"fusion_samples": 3, "mixtures": 1}
    assert manifest["codebook_versions"] == ["cb-1"]


def test_the_data_card_tells_counts_gates_and_exclusions(release_maker, kit):
    release_maker.add(kit.make_batch("b1", [["a duck"]], [("prose", "Once upon a time.")]))
    draw = release_maker.draw(excluded={"b9": "recall: shift(+1) | explained"})
    recipe = release_maker.recipe(excluded=draw.excluded)
    store = LocalReleases(release_maker.root)
    manifest = write_release(store, recipe, release_maker.drawn(draw), release_maker.features, release_maker.policy)
    card = (release_maker.root / "r1" / "README.md").read_text()
    assert manifest.excluded_batches == {"b9": "recall: shift(+1) | explained"}
    assert "| b9 | recall: shift(+1) \\| explained |" in card
    assert "| b1 | recall | 0.42 | 0.12 | passed |" in card
    assert "50.0% of the draws, floor 10.0%" in card
    assert "| CC-BY-4.0 | 2 |" in card
    assert "bridge-lite0-minilm@1#abcd" in card


def test_manifest_and_card_tell_recipe_repeats_splits_and_what_was_left_out(release_maker, kit):
    texts = [("prose", f"Once upon a time there were {n} ducks.") for n in range(6)]
    release_maker.add(kit.make_batch("b1", [[f"duck {n}"] for n in range(9)], texts))
    recipe = Recipe({"text_retention": 0.5, "coarse_image_text": 0.5}, "by_hand")
    reason = "a decision of Ann: the model reads no text"
    policy = release_maker.policy.model_copy(update={"draws": 16, "allow_no_text_retention": reason})
    splits = release_maker.samples[0].select(
        "sample_id", split=pl.when(pl.col("content") == texts[0][1]).then(pl.lit("test")).otherwise(pl.lit("train"))
    )
    draw = draw_release(release_maker.samples, policy, "r1", {}, recipe=recipe, splits=splits)
    places = draw.mixtures.select("sample_id", "position", "weight", "split")
    drawn = [samples.join(places, on="sample_id") for samples in release_maker.samples]
    told = replace(
        release_maker.recipe(),
        shares=recipe,
        exclusions=[ExclusionCount("EVALUATION_TEXT", "qa", 3), ExclusionCount("NOT_DRAWN", None, 1)],
        evaluation_sets=[EvaluationSetRecord("qa", "0123abcd")],
        text_origins=[TextOrigin("gpt-x", "chat-2", "passed", 4)],
    )
    store = LocalReleases(release_maker.root)
    write_release(store, told, drawn, release_maker.features, policy)
    manifest = json.loads(store.read_manifest("r1"))
    assert manifest["counts"]["draws"] == {"coarse_image_text": 8, "text_retention": 8}
    assert manifest["counts"]["splits"] == {"test": 1, "train": 13}
    assert manifest["text_retention_share"] == 0.5
    assert (manifest["recipe"]["origin"], manifest["recipe"]["shares"]) == ("by_hand", recipe.shares)
    assert manifest["recipe"]["allow_no_text_retention"] == reason
    assert manifest["exclusions"][0] == {"code": "EVALUATION_TEXT", "evaluation_set": "qa", "samples": 3}
    lines = lines_of(store.path("r1"))
    assert {line["weight"] for line in lines if line["kind"] == "text" and line["split"] == "train"} == {1.0, 2.0}
    assert [line["weight"] for line in lines if line["split"] == "test"] == [1.0]
    assert lint_paths([store.path("r1")]).clean
    card = (store.path("r1") / "README.md").read_text()
    for part in (
        f"Note: the text floor is waived: {reason}.",
        "| coarse_image_text | 8 | 50.0% | 2.0% | 8 | 50.0% |",
        "| text_retention | 6 | 50.0% | 10.0% | 8 | 50.0% |",
        "| EVALUATION_TEXT | qa | 3 |",
        "| qa | 0123abcd |",
        "| gpt-x | chat-2 | passed | 4 |",
        "key frames of",
    ):
        assert part in card, part


def test_croissant_names_every_file_with_its_hash(release):
    document = json.loads((release / "croissant.json").read_text())
    hashes = {entry["@id"]: entry["sha256"] for entry in document["distribution"]}
    assert hashes == {
        path: hashlib.sha256(data).hexdigest()
        for path, data in bytes_of(release).items()
        if path not in {"manifest.json", "croissant.json"}
    }
    assert len(document["recordSet"]) == 3
    sources = {field["source"]["fileObject"]["@id"] for entry in document["recordSet"] for field in entry["field"]}
    assert sources == {path for path in hashes if path.startswith("samples/")}


def test_equal_inputs_give_equal_bytes(release, release_maker):
    before = bytes_of(release)
    release_maker.write()
    assert bytes_of(release) == before
    release_maker.root = release_maker.root.parent / "elsewhere"
    release_maker.write()
    assert bytes_of(release_maker.root / "r1") == before
    assert [path.name for path in release_maker.root.iterdir() if not path.name.startswith(".")] == ["r1"]


def test_another_seed_gives_another_order_of_the_same_lines(release, release_maker):
    before = lines_of(release)
    release_maker.policy = release_maker.policy.model_copy(update={"seed": 1})
    release_maker.write()
    after = lines_of(release)
    assert after != before
    assert sorted(after, key=lambda line: line["id"]) == sorted(before, key=lambda line: line["id"])


def test_a_new_release_replaces_the_old_one_whole(release, release_maker, kit):
    (release / "samples" / "part-00042.jsonl").write_text("left over\n")
    release_maker.samples, release_maker.features.rows = [], {}
    release_maker.add(kit.make_batch("b3", [["a duck"]], [("prose", "Once upon a time.")]))
    release_maker.write()
    assert len(lines_of(release)) == 2
    assert lint_paths([release]).clean


def test_a_release_of_text_alone_has_no_features(release_maker, kit):
    release_maker.add(kit.make_batch("b1", [], [("prose", "Once upon a time.")]))
    manifest = release_maker.write()
    assert manifest.features is None
    assert not (release_maker.root / "r1" / "features").exists()
    assert lint_paths([release_maker.root / "r1"]).clean


def test_a_reviewed_sample_says_so(release_maker, kit):
    release_maker.add(kit.make_batch("b1", [["a duck"]], [("prose", "Once upon a time.")]))
    draw = release_maker.draw()
    status = pl.when(pl.col("kind") == "text").then(pl.lit("accepted")).otherwise(pl.lit("unreviewed"))
    drawn = [frame.with_columns(review_status=status) for frame in release_maker.drawn(draw)]
    store = LocalReleases(release_maker.root)
    write_release(store, release_maker.recipe(), drawn, release_maker.features, release_maker.policy)
    assert {line["kind"]: line["review_status"] for line in lines_of(store.path("r1"))} == {
        "image_text": "unreviewed",
        "text": "accepted",
    }


def _spoil(frame: pl.DataFrame, content: str) -> pl.DataFrame:
    return frame.with_columns(
        content=pl.when(pl.col("kind") == "image_text").then(pl.lit(content)).otherwise(pl.col("content"))
    )


def test_a_release_with_a_fault_is_never_published(release, release_maker):
    before = bytes_of(release)
    draw = release_maker.draw()
    spoiled = [_spoil(frame, "<|image_start|><IMG_TK_1> never closed") for frame in release_maker.drawn(draw)]
    store = LocalReleases(release_maker.root)
    with pytest.raises(ReleaseError, match=r"not clean \(11 faults: part-0.*UNPAIRED_SENTINEL.*ensure_ascii=False"):
        write_release(store, release_maker.recipe(), spoiled, release_maker.features, release_maker.policy)
    assert bytes_of(release) == before
    assert [path.name for path in release_maker.root.iterdir() if not path.name.startswith(".")] == ["r1"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda maker, frames: [], "nothing was drawn"),
        (lambda maker, frames: [f.filter(pl.col("pool") != "text_retention") for f in frames], "positions|floor"),
        (lambda maker, frames: [frames[0].with_columns(codebook_version=pl.lit("cb-2")), frames[1]], "codebooks"),
        (
            lambda maker, frames: (
                maker.features.rows.update({ref: row[:-1] for ref, row in maker.features.rows.items() if "/b2/" in ref})
                or frames
            ),
            "do not fit",
        ),
        (
            lambda maker, frames: (
                maker.features.rows.update(
                    {ref: row[:, :-1] for ref, row in maker.features.rows.items() if "/b2/" in ref}
                )
                or frames
            ),
            "same encoder",
        ),
        (
            lambda maker, frames: next(iter(maker.features.rows.values())).fill(np.nan) or frames,
            "ERR_CROSS_MDL_FUSION: features features/b1/.*not finite",
        ),
    ],
)
def test_what_cannot_be_released_is_refused(release, release_maker, spoil, message):
    drawn = spoil(release_maker, release_maker.drawn(release_maker.draw("r2")))
    store = LocalReleases(release_maker.root)
    with pytest.raises((ReleaseError, ContractError), match=message):
        write_release(store, release_maker.recipe("r2"), drawn, release_maker.features, release_maker.policy)
    assert store.releases() == ["r1"]


def test_frames_have_to_be_whole_batches_in_order(release, release_maker):
    first, second = release_maker.drawn(release_maker.draw())
    store = LocalReleases(release_maker.root)
    for frames in ([second, first], [pl.concat([first, second])], [first, first]):
        with pytest.raises(ContractError, match="one frame per batch"):
            write_release(store, release_maker.recipe(), frames, release_maker.features, release_maker.policy)


def test_a_writer_that_is_killed_leaves_no_release(tmp_path):
    root = tmp_path / "releases"
    code = (
        "import sys, time; from pathlib import Path; from mm_assets.mixtures.release_folder import LocalReleases\n"
        "with LocalReleases(Path(sys.argv[1])).staging('r1') as folder:\n"
        "    (folder / 'samples').mkdir(); (folder / 'samples' / 'part-00000.jsonl').write_text('{}')\n"
        "    print('staged', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"staged\n"
        store = LocalReleases(root)
        with pytest.raises(ReleaseError, match="another process"), store.staging("r1"):
            pass
        writer.send_signal(signal.SIGKILL)
    assert store.releases() == []
    with store.staging("r1") as folder:
        assert [path.name for path in root.iterdir() if path.is_dir()] == [folder.name]
        (folder / "manifest.json").write_text("{}")
        store.publish("r1", folder)
    assert store.releases() == ["r1"]


def test_a_crash_between_the_two_renames_loses_nothing(release):
    store = LocalReleases(release.parent)
    before = bytes_of(release)
    release.rename(release.parent / "r1.tmp-earlier")
    assert store.releases() == []
    with store.staging("r1"):
        assert bytes_of(release) == before
    assert store.releases() == ["r1"]


def test_a_folder_without_a_manifest_is_not_published(tmp_path):
    store = LocalReleases(tmp_path)
    with store.staging("r1") as folder, pytest.raises(ReleaseError, match="manifest"):
        store.publish("r1", folder)
    assert store.releases() == []
    assert not store.exists("r1")


def test_a_deleted_release_is_gone(release):
    store = LocalReleases(release.parent)
    assert store.exists("r1")
    store.delete("r1")
    assert not release.exists()
    store.delete("r1")


def test_memory_holds_one_shard(tmp_path):
    writer = ShardWriter(tmp_path, 8)
    rows = np.arange(21 * 3 * 2, dtype=np.float16).reshape(21, 3, 2)
    codes = np.arange(21 * 3, dtype=np.int32).reshape(21, 3)
    pieces = [slice(0, 5), slice(5, 19), slice(19, 21)]
    references = [reference for piece in pieces for reference in writer.append(rows[piece], codes[piece])]
    writer.flush()
    writer.flush()
    written = [load_file(path)["visual_features"] for path in sorted((tmp_path / "features").iterdir())]
    assert [len(shard) for shard in written] == [8, 8, 5]
    assert np.array_equal(np.concatenate(written), rows)
    assert [references[n] for n in (7, 8, 20)] == [
        "features/part-0000.safetensors#7",
        "features/part-0001.safetensors#0",
        "features/part-0002.safetensors#4",
    ]


def test_lines_come_out_in_order_and_gaps_are_found(tmp_path):
    scratch, out = tmp_path / "scratch", tmp_path / "out"
    scratch.mkdir()
    out.mkdir()
    spool = LineSpool(scratch, 3)
    spool.add((n, b"line %d" % n) for n in (6, 1, 4))
    spool.add((n, b"line %d" % n) for n in (0, 2, 3, 5))
    spool.write(out)
    assert [path.read_text().split("\n")[:-1] for path in sorted(out.iterdir())] == [
        ["line 0", "line 1", "line 2"],
        ["line 3", "line 4", "line 5"],
        ["line 6"],
    ]
    for positions in ((0, 2), (0, 1, 1), (1, 2)):
        spool.add((n, b"x") for n in positions)
        with pytest.raises(ContractError, match="positions"):
            spool.write(out)
        for left_over in scratch.iterdir():
            left_over.unlink()
