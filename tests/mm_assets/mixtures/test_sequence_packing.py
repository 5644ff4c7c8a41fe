"""Samples share windows: whole, each as often as its weight says, near the best fill, the same every time."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.documents.windows.token_counts import EstimatedTokens
from mm_assets.errors import ContractError, ReleaseError
from mm_assets.fusion.findings import LintCode
from mm_assets.fusion.linter import lint_paths
from mm_assets.fusion.sequence_rules import SampleIndex, lint_sequences
from mm_assets.fusion.sequences import SequenceFormat, SequenceLine
from mm_assets.mixtures.package import write_release
from mm_assets.mixtures.release_folder import LocalReleases
from mm_assets.mixtures.sequence_files import SequencePacking, count_tokens, write_sequences
from mm_assets.mixtures.sequence_packing import Piece, pack_sequences
from mm_assets.policy import PackingPolicy


def pieces_of(sizes: list[int]) -> list[Piece]:
    return [Piece(place, f"mm_{place}", size) for place, size in enumerate(sizes)]


def windows_of(folder: Path, pattern: str = "part-*.jsonl") -> list[SequenceLine]:
    files = sorted((folder / "sequences").glob(pattern))
    return [msgspec.json.decode(raw, type=SequenceLine) for file in files for raw in file.read_bytes().splitlines()]


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(8, 32), st.integers(1, 20), st.integers(1, 5))
def test_every_sample_is_whole_in_one_window(sizes: list[int], size: int, buffer: int, opened: int) -> None:
    policy = PackingPolicy(window_tokens=size, buffer_samples=buffer, open_windows=opened)
    windows = list(pack_sequences(pieces_of(sizes), policy))
    assert sorted(piece for window in windows for piece in window) == pieces_of(sizes)
    assert all(window == sorted(window) for window in windows)
    assert all(len(window) == 1 for window in windows if sum(piece.tokens for piece in window) > size)
    assert windows == list(pack_sequences(iter(pieces_of(sizes)), policy))


@given(st.lists(st.integers(1, 32), min_size=1, max_size=60))
def test_windows_are_few_and_hardly_two_could_be_one(sizes: list[int]) -> None:
    """No two could be one; of samples up to half a window, each but the last is filled by more than two thirds."""
    windows = [
        sum(piece.tokens for piece in window)
        for window in pack_sequences(pieces_of(sizes), PackingPolicy(window_tokens=32))
    ]
    fewest = -(-sum(sizes) // 32)
    assert len(windows) <= 11 / 9 * max(fewest, sum(size > 16 for size in sizes)) + 1 or min(sizes) > 32 / 4
    emptiest = sorted(windows)[:2]
    assert len(emptiest) == 1 or sum(emptiest) > 32


def test_long_tails_fill_windows_and_leave_them_near_their_order() -> None:
    generator = np.random.default_rng(1)
    sizes = np.clip(generator.lognormal(4.6, 1.0, 20_000), 1, 4_096).astype(int).tolist()
    policy = PackingPolicy(window_tokens=4_096, buffer_samples=2_048, open_windows=16)
    windows = list(pack_sequences(pieces_of(sizes), policy))
    assert sum(sizes) / (len(windows) * 4_096) > 0.99
    assert all(window[-1].position // 2_048 - window[0].position // 2_048 <= 1 for window in windows)
    emitted = [window[0].position // 2_048 for window in windows]
    newest = np.maximum.accumulate(emitted).tolist()
    assert all(buffer >= latest - 1 for buffer, latest in zip(emitted, newest, strict=True))


def test_off_and_empty_samples_are_refused() -> None:
    with pytest.raises(ContractError, match="window_tokens is 0"):
        list(pack_sequences([], PackingPolicy(window_tokens=0)))
    with pytest.raises(ContractError, match="mm_1 has no token"):
        list(pack_sequences(pieces_of([3, 0]), PackingPolicy(window_tokens=8)))


def test_placeholders_are_one_token_each_and_texts_are_counted_between_them() -> None:
    contents = [
        "<|video_start|><IMG_TK_1><IMG_TK_2><|video_end|><|audio_start|><AUD_TK_7><|audio_end|> A duck.",
        "A <box>duck</box> & a <|image_start|><IMG_TK_3> <IMG_TK_4><|image_end|>\n\nfigure",
        "if a < b: IMG_TK_3 <|im",
        "",
    ]
    counter = EstimatedTokens()
    texts = [[" A duck."], ["A ", "duck", " & a ", "\n\nfigure"], [contents[2]], []]
    assert count_tokens(contents, counter) == [
        placeholders + sum(counter.count(own)) for placeholders, own in zip((7, 6, 0, 0), texts, strict=True)
    ]


def test_a_release_says_how_its_samples_share_windows(release: Path) -> None:
    manifest = json.loads((release / "manifest.json").read_text())
    declared = msgspec.convert(manifest["sequences"], SequenceFormat)
    windows, apart = windows_of(release), windows_of(release, "too_long.jsonl")
    assert (declared.windows, declared.too_long) == (len(windows), len(apart))
    assert declared.samples == sum(len(window.samples) for window in windows) == 17 - len(apart)
    assert declared.fill == pytest.approx(sum(window.tokens for window in windows) / 64 / len(windows), abs=1e-6)
    assert declared.counter == "estimated-tokens@1"
    assert {record["path"] for record in manifest["files"]} >= {"sequences/part-00000.jsonl"}
    card = (release / "README.md").read_text()
    assert f"{len(windows)} windows hold {declared.samples} samples" in card
    assert "windows.tokenizer" in card
    assert lint_paths([release]).clean


def test_a_sample_longer_than_a_window_stands_apart_and_windows_can_be_off(release_maker: Any, kit: ModuleType) -> None:
    release_maker.add(kit.make_batch("b1", [["A duck."]], [("prose", "word " * 90), ("prose", "short")]))
    manifest = release_maker.write()
    (apart,) = windows_of(release_maker.root / "r1", "too_long.jsonl")
    assert manifest.sequences.too_long == 1
    assert (apart.boundaries, len(apart.samples)) == ([0, apart.tokens], 1)
    assert apart.tokens > 64
    assert "what is longer than a window: 1 sample." in (release_maker.root / "r1" / "README.md").read_text()
    release_maker.packing = PackingPolicy(window_tokens=0)
    assert release_maker.write().sequences is None
    assert not (release_maker.root / "r1" / "sequences").exists()
    assert "## Sequences" not in (release_maker.root / "r1" / "README.md").read_text()
    assert lint_paths([release_maker.root / "r1"]).clean


def test_a_sample_of_weight_three_stands_in_three_windows(release_maker: Any, kit: ModuleType) -> None:
    release_maker.add(kit.make_batch("b1", [["A duck."]], [("prose", f"text {n}") for n in range(4)]))
    draw = release_maker.draw()
    frames = [
        frame.with_columns(weight=pl.when(pl.col("kind") == "image_text").then(3.0).otherwise(pl.col("weight")))
        for frame in release_maker.drawn(draw)
    ]
    packing = SequencePacking(PackingPolicy(window_tokens=64), EstimatedTokens())
    manifest = write_release(
        LocalReleases(release_maker.root), release_maker.recipe(), frames, release_maker.features, release_maker.policy,
        release_maker.sounds, packing,
    )  # fmt: skip
    assert manifest.sequences.samples == 7
    windows = windows_of(release_maker.root / "r1")
    image = frames[0].filter(pl.col("kind") == "image_text")["sample_id"].item()
    assert sum(image in window.samples for window in windows) == 3
    assert all(len(set(window.samples)) == len(window.samples) for window in windows)
    assert len({window.id for window in windows}) == len(windows)
    assert lint_paths([release_maker.root / "r1"]).clean


def test_lines_are_spread_over_files_and_a_broken_sample_is_named(tmp_path: Path) -> None:
    samples = tmp_path / "samples"
    samples.mkdir()
    lines = [{"id": f"mm_{n}", "content": "word " * 6, "weight": 1.0} for n in range(9)]
    (samples / "part-00000.jsonl").write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    made = write_sequences(tmp_path, EstimatedTokens(), PackingPolicy(window_tokens=16), 2)
    assert made is not None
    assert [len(path.read_bytes().splitlines()) for path in sorted((tmp_path / "sequences").iterdir())] == [2, 2, 1]
    (tmp_path / "broken" / "samples").mkdir(parents=True)
    (tmp_path / "broken" / "samples" / "part-00000.jsonl").write_bytes(b'{"id": "mm_1"}\n')
    with pytest.raises(ReleaseError, match=r"part-00000\.jsonl line 1"):
        write_sequences(tmp_path / "broken", EstimatedTokens(), PackingPolicy(window_tokens=16), 2)


def test_a_window_holds_one_split(tmp_path: Path) -> None:
    samples = tmp_path / "samples"
    samples.mkdir()
    splits = ["validation", "train", "test", "train", "validation", None]
    lines = [{"id": f"mm_{n}", "content": "word", "weight": 2.0 if n < 2 else 1.0} for n in range(len(splits))]
    lines = [line | ({} if split is None else {"split": split}) for line, split in zip(lines, splits, strict=True)]
    (samples / "part-00000.jsonl").write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    made = write_sequences(tmp_path, EstimatedTokens(), PackingPolicy(window_tokens=16), 9)
    found = [(window.split, window.positions) for window in windows_of(tmp_path)]
    assert found == [
        ("train", [1, 3, 5]), ("train", [1]), ("test", [2]), ("validation", [0, 4]), ("validation", [0])
    ]  # fmt: skip
    assert lint_sequences(tmp_path, made, SampleIndex.read(tmp_path)) == []
    path = tmp_path / "sequences" / "part-00000.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"validation"', b'"train"', 1))
    (error,) = lint_sequences(tmp_path, made, SampleIndex.read(tmp_path))
    assert (error.line, error.code) == (4, LintCode.SEQUENCE_MISMATCH)
    assert "mm_0 is of split validation, the window of split train" in error.message
