"""Windows are read whole, in their order, with the samples that their lines name."""

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import DataLoader

from mm_assets.errors import FormatError, ReleaseError
from mm_assets.fusion.training_windows import WindowDataset
from mm_assets.policy import PackingPolicy


@pytest.fixture
def windows(release_maker: Any, kit: Any) -> tuple[Path, list[dict]]:
    """A release of pictures and texts, and the lines of its windows."""
    captions = [[f"Duck {n}."] for n in range(12)]
    release_maker.add(kit.make_batch("b1", captions, [("prose", f"Text {n}.") for n in range(4)]))
    release_maker.write()
    folder = release_maker.root / "r1"
    return folder, read(folder)


def read(folder: Path) -> list[dict]:
    return [json.loads(raw) for raw in (folder / "sequences" / "part-00000.jsonl").read_bytes().splitlines()]


def test_windows_hold_the_samples_their_lines_name(windows: tuple[Path, list[dict]]) -> None:
    folder, lines = windows
    dataset = WindowDataset(folder)
    assert len(dataset) == len(lines) > 1
    assert dataset.format.window_tokens == 64
    for loaded in (dataset, pickle.loads(pickle.dumps(dataset))):  # noqa: S301 - our own
        for place, line in enumerate(lines):
            window = loaded[place]
            assert [sample["id"] for sample in window["samples"]] == line["samples"]
            assert window["boundaries"].tolist() == line["boundaries"]
    found = [window for batch in DataLoader(dataset, batch_size=2, collate_fn=list, num_workers=1) for window in batch]
    assert [[sample["id"] for sample in window["samples"]] for window in found] == [line["samples"] for line in lines]
    assert dataset[-1]["boundaries"].tolist() == lines[-1]["boundaries"]
    with pytest.raises(IndexError, match=f"window {len(lines)} of {len(lines)}"):
        dataset[len(lines)]


def test_a_split_without_windows_is_empty_and_none_takes_all(windows: tuple[Path, list[dict]]) -> None:
    folder, lines = windows
    assert len(WindowDataset(folder, split="validation")) == 0
    assert len(WindowDataset(folder, split=None)) == len(lines)


def test_a_window_too_small_for_its_sample_is_refused(windows: tuple[Path, list[dict]]) -> None:
    folder, lines = windows
    kinds = {sample["id"]: sample["kind"] for window in WindowDataset(folder) for sample in window["samples"]}
    place = next(n for n, line in enumerate(lines) if kinds[line["samples"][0]] == "image_text")
    lines[place]["boundaries"][1] = 1
    path = folder / "sequences" / "part-00000.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ReleaseError, match="copy the release again"):
        WindowDataset(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    for record in manifest["files"]:
        if record["path"].startswith("sequences/"):
            data = path.read_bytes()
            record |= {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(FormatError, match="SEQUENCE_MISMATCH"):
        WindowDataset(folder)[place]


def test_a_release_without_windows_says_so(release_maker: Any, kit: Any) -> None:
    release_maker.add(kit.make_batch("b1", [["A duck."]], [("prose", "a text")]))
    release_maker.packing = PackingPolicy(window_tokens=0)
    release_maker.write()
    with pytest.raises(ReleaseError, match=r"packing\.window_tokens"):
        WindowDataset(release_maker.root / "r1")
