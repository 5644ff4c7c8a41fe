"""Every format, loaded by the tool it is for."""

import hashlib
import json
import re
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from mm_assets.errors import ExportError, ReleaseError
from mm_assets.fusion.release_format import REVOKED_NAME
from mm_assets.fusion.training_reader import ReleaseDataset
from mm_assets.mixtures.exports.formats import RELEASE_FORMATS

TENSORS = ("visual_features", "visual_codes", "audio_features", "audio_codes")


def expected_arrays(release: Path) -> dict[str, dict[str, np.ndarray]]:
    """What our own reader gives, by sample."""
    dataset = ReleaseDataset(release, max_norm=None)
    found = {}
    for sample in (dataset[index] for index in range(len(dataset))):
        arrays = (sample["features"], sample["codes"], sample["audio_features"], sample["audio_codes"])
        found[sample["id"]] = {name: array.numpy() for name, array in zip(TENSORS, arrays, strict=True) if len(array)}
    return found


def in_split(lines: list[dict], split: str) -> list[dict]:
    return [line for line in lines if line["split"] == split]


def same(got: dict, want: dict[str, np.ndarray]) -> bool:
    return got.keys() == want.keys() and all(np.array_equal(got[name], want[name]) for name in want)


def test_webdataset_loads_the_shards(exported, lines, split_release):
    import webdataset

    folder, done = exported("webdataset")
    want = expected_arrays(split_release)
    assert done.samples == {"train": 11, "validation": 3, "test": 3}
    assert sum(len(arrays) for arrays in want.values()) > 20
    for split in ("train", "validation", "test"):
        shards = [str(path) for path in sorted(folder.glob(f"{split}-*.tar"))]
        loaded = list(webdataset.WebDataset(shards, shardshuffle=False).decode())
        assert [sample["json"] for sample in loaded] == in_split(lines, split)
        for sample in loaded:
            assert sample["txt"] == sample["json"]["content"]
            arrays = {name.removesuffix(".npy"): value for name, value in sample.items() if name.endswith(".npy")}
            assert same(arrays, want[sample["json"]["id"]])
            assert arrays.get("visual_features", np.empty(0, np.float16)).dtype == np.float16


def test_energon_lints_and_loads_the_dataset(exported, lines, split_release):
    folder, _ = exported("energon")
    program = """
import json, sys
from megatron.energon import WorkerConfig, get_loader, get_val_dataset
from megatron.energon.cli.main import main
main(["lint", sys.argv[1]], standalone_mode=False)
config = WorkerConfig(rank=0, world_size=1, num_workers=0)
for split in ("train", "val", "test"):
    dataset = get_val_dataset(sys.argv[1], split_part=split, worker_config=config, batch_size=1)
    for batch in get_loader(dataset):
        pieces = [one if isinstance(one, str) else [list(one.shape), float(one.double().sum())]
                  for one in (piece[0] if isinstance(piece, tuple) else piece for piece in batch.sequence[0])]
        print(json.dumps([split, batch.__key__[0], pieces]))
"""
    loaded = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(folder)], check=False, capture_output=True, text=True
    )
    assert loaded.returncode == 0, loaded.stdout + loaded.stderr
    head, *got = loaded.stdout.splitlines()
    assert head == "Checking the index files..."  # and no split is skipped as empty
    got = [json.loads(line) for line in got]
    want = expected_arrays(split_release)
    for split, name in (("train", "train"), ("validation", "val"), ("test", "test")):
        ours = in_split(lines, split)
        theirs = [(key, pieces) for part, key, pieces in got if part == name]
        assert [key.split("/")[-1].split("-")[0] for key, _ in theirs] == [line["id"] for line in ours]
        for line, (_, pieces) in zip(ours, theirs, strict=True):
            texts = re.split(r"<\|(?:image|audio|video)_start\|>.*?<\|(?:image|audio|video)_end\|>", line["content"])
            assert [piece for piece in pieces if isinstance(piece, str)] == [text for text in texts if text]
            features = [array for tensor, array in want[line["id"]].items() if tensor.endswith("features")]
            rows = sum(piece[0][0] for piece in pieces if not isinstance(piece, str))
            total = sum(piece[1] for piece in pieces if not isinstance(piece, str))
            assert rows == sum(len(array) for array in features)
            assert total == pytest.approx(sum(array.astype(float).sum() for array in features), abs=1e-9)


def test_energon_refuses_a_sample_whose_rows_are_too_few():
    from mm_assets.mixtures.exports.energon_sample_loader import sample_loader

    raw = {"json": {"id": "s", "content": "<|image_start|><IMG_TK_1><IMG_TK_2><|image_end|> a"}}
    assert sample_loader(raw | {"visual_features.npy": np.zeros((2, 3), np.float16)})["sequence"][1] == " a"
    for rows in (1, 3):
        with pytest.raises(ValueError, match="2 placeholders"):
            sample_loader(raw | {"visual_features.npy": np.zeros((rows, 3), np.float16)})


def test_mosaic_streams_the_shards_and_their_hashes_fit(exported, lines, split_release):
    from streaming import StreamingDataset

    folder, _ = exported("mds")
    want = expected_arrays(split_release)
    for split in ("train", "validation", "test"):
        dataset = StreamingDataset(
            local=str(folder), split=split, shuffle=False, batch_size=1, validate_hash="sha1", allow_unsafe_types=False
        )
        ours = in_split(lines, split)
        assert len(dataset) == len(ours)
        for index, line in enumerate(ours):
            sample = dataset[index]
            assert json.loads(sample["line"]) == line
            assert [sample[name] for name in ("id", "kind", "pool", "content")] == [
                line[name] for name in ("id", "kind", "pool", "content")
            ]
            assert same({name: sample[name] for name in TENSORS if sample[name].size}, want[line["id"]])


def test_mosaic_shards_are_cut_at_their_size(exported, lines, monkeypatch):
    from streaming import StreamingDataset

    monkeypatch.setattr("mm_assets.mixtures.exports.mosaic.SHARD_BYTES", 6_000)
    folder, _ = exported("mds", "cut")
    shards = sorted((folder / "train").glob("*.mds"))
    assert len(shards) > 1
    assert max(path.stat().st_size for path in shards) <= 6_000
    dataset = StreamingDataset(local=str(folder), split="train", shuffle=False, batch_size=1)
    assert [dataset[index]["id"] for index in range(len(dataset))] == [line["id"] for line in in_split(lines, "train")]


def test_datasets_loads_the_parquet_files(exported, lines, split_release, tmp_path):
    import datasets

    folder, _ = exported("huggingface")
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    want = expected_arrays(split_release)
    assert set(loaded) == {"train", "validation", "test"}
    for split in loaded:
        rows, ours = list(loaded[split]), in_split(lines, split)
        assert [json.loads(row["line"]) for row in rows] == ours
        for row, line in zip(rows, ours, strict=True):
            for name in ("id", "kind", "modalities", "content", "pool", "weight", "source", "license", "negatives"):
                assert row[name] == line[name]
            assert list(row["times"]) == line["times"]
            assert same({name: np.array(row[name], float) for name in TENSORS if row[name]}, want[line["id"]])


def test_llava_conversations_train_a_llava_model(exported, lines):
    import torch
    from PIL import Image
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    folder, done = exported("llava")
    entries = json.loads((folder / "train.json").read_text())
    ours = [line for line in in_split(lines, "train") if line["kind"] != "segment"]
    assert [entry["id"].split("-")[0] for entry in entries] == [line["id"] for line in ours]
    assert len({entry["id"] for entry in entries}) == len(entries)
    segments = sum(line["kind"] == "segment" for line in lines)
    assert done.left_out == {"segment: the format has no place for sound or codes": segments}
    assert done.samples == {
        split: sum(line["split"] == split and line["kind"] != "segment" for line in lines)
        for split in ("test", "train", "validation")
    }
    every = [entry for split in done.samples for entry in json.loads((folder / f"{split}.json").read_text())]
    (dialogue,) = [entry for entry in every if entry["conversations"][0]["value"] == "Hello."]
    assert [turn["from"] for turn in dialogue["conversations"]] == ["human", "gpt"]
    assert dialogue["conversations"][1]["value"] == "Hello: how are you?"

    words = Tokenizer(models.WordLevel({"<unk>": 0, "<pad>": 1, "<image>": 2}, unk_token="<unk>"))  # noqa: S106 - a token of text
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = {"unk_token": "<unk>", "pad_token": "<pad>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, additional_special_tokens=["<image>"], **names)
    images = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    processor = LlavaProcessor(images, tokenizer, patch_size=14, vision_feature_select_strategy="default",
                               num_additional_image_tokens=1)  # fmt: skip
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlavaConfig(
        CLIPVisionConfig(**small, image_size=28, patch_size=14, projection_dim=16),
        LlamaConfig(**small, vocab_size=8), image_token_index=2, image_seq_length=4, vision_feature_layer=-1,
    )  # fmt: skip
    torch.manual_seed(1)
    model = LlavaForConditionalGeneration(config)
    with_pictures = [entry for entry in every if "image" in entry]
    assert len(with_pictures) == sum(line["kind"] == "image_text" for line in lines)
    for entry in with_pictures:
        text = " ".join(turn["value"] for turn in entry["conversations"])
        with Image.open(folder / "images" / entry["image"]) as picture:
            inputs = processor(images=picture, text=text, return_tensors="pt")
        assert int((inputs["input_ids"] == 2).sum()) == 4
        loss = model(**inputs, labels=inputs["input_ids"]).loss
        assert torch.isfinite(loss)


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")  # rdflib, of itself
def test_croissant_of_a_release_is_valid_and_loads(release):
    import mlcroissant

    dataset = mlcroissant.Dataset(jsonld=release / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    assert sorted(warning.split('"')[1].rsplit("/")[-1] for warning in dataset.metadata.ctx.issues.warnings) == [
        "datePublished"  # equal inputs give equal bytes, so a release holds no date
    ]
    for path in sorted((release / "samples").glob("*.jsonl")):
        lines = [json.loads(raw) for raw in path.read_bytes().splitlines()]
        records = list(dataset.records(f"samples-{path.stem}"))
        assert len(records) == len(lines)
        for record, line in zip(records, lines, strict=True):
            got = {name.split("/")[-1]: value for name, value in record.items()}
            assert got["content"] == line["content"].encode()
            assert got["weight"] == line["weight"]
            assert got["license"] == line["license"].encode()


@pytest.mark.parametrize("form", sorted(RELEASE_FORMATS))
def test_an_export_is_the_same_bytes_and_lists_them(form, exported):
    first, done = exported(form)
    second, _ = exported(form, "again")
    files = {path.relative_to(first).as_posix(): path.read_bytes() for path in first.rglob("*") if path.is_file()}
    again = {path.relative_to(second).as_posix(): path.read_bytes() for path in second.rglob("*") if path.is_file()}
    assert files == again
    record = json.loads(files.pop("export.json"))
    assert {one["path"]: one["sha256"] for one in record["files"]} == {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items()
    }
    assert done.files == len(files)
    assert sum(record["samples"].values()) + sum(record["left_out"].values()) == 17
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_damaged_and_revoked_releases_are_not_exported(exported, split_release):
    (shard,) = (split_release / "codes").glob("part-0000*")
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    with pytest.raises(ReleaseError, match="part-0000"):
        exported("webdataset")
    data[-1] ^= 1
    shard.write_bytes(data)
    (split_release / REVOKED_NAME).write_text("{}")
    with pytest.raises(ReleaseError, match="revoked"):
        exported("webdataset")


def test_only_an_export_is_replaced(exported, tmp_path):
    folder, _ = exported("mds")
    exported("mds")
    (folder / "export.json").unlink()
    with pytest.raises(ExportError, match="is no export"):
        exported("mds")
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match="--out"):
        exported("mds", "file")


def test_keys_of_a_shard_are_grouped(exported):
    """Loaders take neighbours of one name for one sample."""
    import tarfile

    folder, _ = exported("webdataset")
    for path in folder.glob("*.tar"):
        with tarfile.open(path) as tar:
            names = [member.name.split(".")[0] for member in tar]
        keys = [key for key, _ in groupby(names)]
        assert len(keys) == len(set(keys))
