import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch.utils.data import DataLoader

from mm_assets.errors import FormatError, ReleaseError
from mm_assets.fusion import release_files
from mm_assets.fusion.training_reader import ReleaseDataset
from mm_assets.fusion.training_sample import collate_samples


def lines_of(release: Path) -> list[dict]:
    return [
        json.loads(raw)
        for path in sorted((release / "samples").glob("*.jsonl"))
        for raw in path.read_bytes().splitlines()
    ]


def first_user(release: Path) -> int:
    """Place of a sample whose features are the first row of the first shard."""
    paths = [line["visual_features_path"] for line in lines_of(release)]
    return paths.index("features/part-0000.safetensors#0")


def refresh_manifest(release: Path) -> None:
    """Make the manifest match the files again, as a producer with a fault of its own would."""
    manifest = json.loads((release / "manifest.json").read_text())
    for record in manifest["files"]:
        data = (release / record["path"]).read_bytes()
        record |= {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (release / "manifest.json").write_text(json.dumps(manifest))


def replace_line(release: Path, change) -> tuple[int, dict]:
    """Change the first image line of the second file; gives its place in the release and the line."""
    path = release / "samples" / "part-00001.jsonl"
    lines = path.read_bytes().splitlines()
    number = next(n for n, raw in enumerate(lines) if b'"image_text"' in raw)
    line = json.loads(lines[number])
    lines[number] = json.dumps(line | change(line), ensure_ascii=False).encode()
    path.write_bytes(b"\n".join(lines) + b"\n")
    refresh_manifest(release)
    return 7 + number, line


def test_samples_come_in_order_with_their_features(release, release_maker):
    dataset = ReleaseDataset(release)
    lines = lines_of(release)
    assert len(dataset) == len(lines) == 17
    drawn = {row["sample_id"]: row for frame in release_maker.samples for row in frame.iter_rows(named=True)}
    for index, line in enumerate(lines):
        sample = dataset[index]
        origin = drawn[line["id"]]
        assert (sample["id"], sample["content"]) == (line["id"], line["content"]) == (line["id"], origin["content"])
        if origin["codes"] is None:
            assert sample["features"].shape[0] == len(sample["codes"]) == 0
            assert sample["text"] == line["content"]
            continue
        assert sample["codes"].tolist() == origin["codes"]
        assert (sample["token_ids"] - sample["codes"]).unique().tolist() == [128_256]
        stored = release_maker.features.rows[origin["spatial_features"]].astype(np.float32)
        assert np.array_equal(sample["features"].numpy(), stored)
        spelled = [sample["content"][start:end] for start, end in sample["code_places"].tolist()]
        assert spelled == [f"<IMG_TK_{code}>" for code in origin["codes"]]
    assert dataset[-1]["id"] == lines[-1]["id"]
    with pytest.raises(IndexError):
        dataset[17]


def test_workers_read_what_one_process_reads(release):
    dataset = ReleaseDataset(release)
    alone = [dataset[index]["id"] for index in range(len(dataset))]
    loader = DataLoader(dataset, batch_size=4, num_workers=2, collate_fn=collate_samples)
    batches = list(loader)
    assert [sample_id for batch in batches for sample_id in batch["id"]] == alone
    features = [tensor for batch in batches for tensor in batch["features"]]
    assert all(torch.equal(tensor, dataset[i]["features"]) for i, tensor in enumerate(features))


def test_a_pickled_dataset_reads_the_same(release):
    dataset = ReleaseDataset(release)
    first = dataset[0]
    copy = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - our own bytes
    assert copy[0]["id"] == first["id"]
    assert torch.equal(copy[0]["features"], first["features"])


def flip_bit(path: Path) -> bytes:
    """Damage a file; gives what it held."""
    good = path.read_bytes()
    damaged = bytearray(good)
    damaged[-9] ^= 0x10
    path.write_bytes(damaged)
    return good


@pytest.mark.parametrize(
    "name", ["features/part-0000.safetensors", "codes/part-0001.safetensors", "samples/part-00002.jsonl"]
)
def test_a_flipped_bit_is_found_before_it_is_used(release, name):
    good = flip_bit(release / name)
    whose = name.replace("codes", "features") if "samples" not in name else None
    lines = lines_of(release) if whose else []
    with pytest.raises(ReleaseError, match=f"{Path(name).name}.*copy the release again"):
        ReleaseDataset(release, verify_at_once=True)
    if whose is None:
        with pytest.raises(ReleaseError, match="copy the release again"):
            ReleaseDataset(release)
    else:
        dataset = ReleaseDataset(release)
        uses = [whose in (line["visual_features_path"] or "") for line in lines]
        assert {True, False} == set(uses)
        for index, damaged in enumerate(uses):
            if damaged:
                with pytest.raises(ReleaseError, match=f"{Path(name).name}.*copy the release again"):
                    dataset[index]
            else:
                assert dataset[index]["id"] == lines[index]["id"]
        unchecked = ReleaseDataset(release, verify_checksums=False)
        read = sum(_reads(unchecked, index) for index in range(17))
        assert read == (17 if "features" in name else 16)  # a code that its content does not spell is found anyway
    (release / name).write_bytes(good)
    assert len(ReleaseDataset(release, verify_at_once=True)) == 17


def test_a_shard_is_compared_once_for_all_workers(release, monkeypatch):
    compared = []
    real = release_files._compare
    monkeypatch.setattr(release_files, "_compare", lambda *args: compared.append(args[1].path) or real(*args))
    dataset = ReleaseDataset(release)
    opened = len(compared)
    assert {"samples", "README.md"} <= {path.split("/")[0] for path in compared}
    for _ in range(2):
        dataset.__getitems__(range(17))
    shards = [path for path in compared[opened:] if path.startswith(("features/", "codes/"))]
    assert len(shards) == len(set(shards)) == 4
    loader = DataLoader(dataset, batch_size=4, num_workers=1, collate_fn=collate_samples)
    flip_bit(release / "features" / "part-0000.safetensors")
    assert sum(len(batch["id"]) for batch in loader) == 17  # found sound before the worker was forked


def test_a_batch_is_its_samples(release):
    dataset = ReleaseDataset(release)
    order = [16, 3, 3, 0, 9, -1, 12, 5]
    for together, alone in zip(dataset.__getitems__(order), [dataset[index] for index in order], strict=True):
        assert together.keys() == alone.keys()
        for name, value in together.items():
            assert torch.equal(value, alone[name]) if isinstance(value, torch.Tensor) else value == alone[name], name
    with pytest.raises(IndexError, match="17"):
        dataset.__getitems__([0, 17])
    with pytest.raises(IndexError):
        dataset.__getitems__([-18])


def test_a_missing_or_cut_file_is_found_even_without_checksums(release):
    path = release / "features" / "part-0000.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ReleaseError, match="bytes"):
        ReleaseDataset(release, verify_checksums=False)
    path.unlink()
    with pytest.raises(ReleaseError, match="No such file"):
        ReleaseDataset(release, verify_checksums=False)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (
            lambda line: {"content": line["content"].replace("<IMG_TK_", "<IMG_TK_3><IMG_TK_", 1)},
            "COUNT_MISMATCH",
        ),
        (lambda line: {"content": line["content"].replace("<|image_start|>", "")}, "UNPAIRED_SENTINEL"),
        (lambda line: {"content": line["content"].replace("<IMG_TK_", "&lt;IMG_TK_")}, "ESCAPED_PLACEHOLDER"),
        (lambda line: {"content": line["content"].replace("<IMG_TK_", "<IMG_TK_9")}, "CODE_OUT_OF_VOCABULARY"),
        (lambda _: {"content": "<|image_start|>" + "<IMG_TK_63>" * 6 + "<|image_end|> x"}, "CODE_MISMATCH"),
        (lambda _: {"visual_features_path": None}, "MISSING_SENTINEL"),
        (lambda _: {"content": "only text"}, "MISSING_SENTINEL"),
        (lambda _: {"visual_features_path": "features/part-0000.safetensors#99"}, "BAD_REFERENCE"),
        (lambda _: {"visual_features_path": "features/part-7777.safetensors#0"}, "MISSING_FEATURES"),
        (lambda _: {"visual_features_path": "features/../../../x#0"}, "BAD_REFERENCE"),
        (lambda _: {"placeholder_version": "2"}, "INVALID_FIELD"),
        (lambda _: {"weight": "heavy"}, "INVALID_JSON"),
    ],
)
def test_a_bad_sample_is_named_with_its_line(release, change, code):
    index, line = replace_line(release, change)
    dataset = ReleaseDataset(release)
    where = rf"part-00001\.jsonl line {index - 6}\b"
    with pytest.raises(FormatError, match=rf"ERR_CROSS_MDL_TOKEN_FMT.*{where}.*{code}") as raised:
        dataset[index]
    if code != "INVALID_JSON":
        assert line["id"] in str(raised.value)
    assert sum(_reads(dataset, i) for i in range(17)) == 16


def _reads(dataset: ReleaseDataset, index: int) -> bool:
    try:
        dataset[index]
    except FormatError:
        return False
    return True


def test_features_that_are_not_finite_are_refused(release):
    path = release / "features" / "part-0000.safetensors"
    features = load_file(path)["visual_features"]
    features[0, 2, 3] = np.nan
    save_file({"visual_features": features}, path)
    refresh_manifest(release)
    dataset = ReleaseDataset(release)
    place = first_user(release)
    with pytest.raises(FormatError, match=r"ERR_CROSS_MDL_FUSION.*not finite.*max norm 10"):
        dataset[place]


def test_long_feature_rows_are_scaled_to_the_bound(release):
    path = release / "features" / "part-0000.safetensors"
    features = load_file(path)["visual_features"]
    features[0, 2] *= 100
    save_file({"visual_features": features}, path)
    refresh_manifest(release)
    place = first_user(release)
    raw = ReleaseDataset(release, max_norm=None)[place]["features"]
    clipped = ReleaseDataset(release)[place]["features"]
    assert raw[2].norm() > 100
    assert clipped[2].norm() == pytest.approx(10.0, rel=1e-6)
    assert torch.nn.functional.cosine_similarity(raw[2], clipped[2], dim=0) == pytest.approx(1.0, abs=1e-5)
    others = [0, 1, 3, 4, 5]
    assert torch.equal(raw[others], clipped[others])


def test_a_folder_without_a_manifest_is_no_release(release):
    (release / "manifest.json").unlink()
    with pytest.raises(ReleaseError, match=r"no manifest\.json"):
        ReleaseDataset(release)


def test_the_rest_of_the_package_does_not_import_torch():
    code = (
        "import sys, mm_assets.fusion.linter, mm_assets.fusion.packing, mm_assets.mixtures.package;"
        "sys.exit('torch' in sys.modules or 'dagster' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
