"""Segments in strongly consistent storage: writers side by side, and one that is killed, lose and swap nothing."""

import hashlib
import multiprocessing as mp
import os
import signal
import time
from pathlib import Path
from typing import Any

import polars as pl

from mm_assets.schemas import TABLES
from resources.delta_lake import DeltaLake

TABLE = "segment_alignments"
ROWS = 40


def segments(batch: str, turn: int) -> pl.DataFrame:
    """Rows whose text, words and times all name batch, turn and place: a swap of any shows."""
    rows: list[dict[str, Any]] = []
    for place in range(ROWS):
        start = 1_000_000 * place + turn
        mark = f"{batch} {turn} {place}"
        word = {"word": mark, "start_us": start, "end_us": start + 10, "confidence": 0.5, "method": "recogniser"}
        rows.append(
            dict.fromkeys(TABLES[TABLE].schema)
            | {
                "batch": batch, "sample_id": hashlib.sha256(mark.encode()).hexdigest()[:24], "clip_id": f"clp_{batch}",
                "piece_id": f"pce_{batch}_{place}", "position": 0, "segment_index": place, "medium": "audio",
                "start_us": start, "end_us": start + 900_000, "clip_start_us": 0, "clip_end_us": 10**9,
                "previous_end_us": start - 100_000 if place else None, "text": mark, "text_origin": "cue",
                "words": [word | {"speaker": None}], "speakers": [], "cue_ids": [], "method": "tokens",
                "modalities": ["audio", "text"], "verdict": "audio_text", "reasons": [],
            }
        )  # fmt: skip
    return pl.DataFrame(rows, schema=TABLES[TABLE].schema)


def refuse_mixture(rows: pl.DataFrame, batch: str) -> int:
    """The turn the rows of a batch are of; they are whole, in order, and each its own."""
    turn = int(rows["text"][0].split()[1])
    assert rows.equals(segments(batch, turn))
    return turn


def _write(root: str, batches: list[str], turns: int) -> None:
    lake = DeltaLake(root=root)
    for turn in range(turns):
        for batch in batches:
            lake.replace(TABLE, batch, segments(batch, turn))


def test_four_writers_of_segments_lose_and_swap_nothing(tmp_path: Path) -> None:
    root = str(tmp_path / "lake")
    context = mp.get_context("spawn")
    names = [[f"b{writer}", "shared"] for writer in range(4)]
    writers = [context.Process(target=_write, args=(root, chosen, 3)) for chosen in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=180)
        assert writer.exitcode == 0
    lake = DeltaLake(root=root)
    assert lake.count(TABLE) == 5 * ROWS
    for writer in range(4):
        assert refuse_mixture(lake.read(TABLE, f"b{writer}"), f"b{writer}") == 2
    refuse_mixture(lake.read(TABLE, "shared"), "shared")


def test_a_writer_killed_in_the_middle_leaves_one_whole_version(tmp_path: Path) -> None:
    root = str(tmp_path / "lake")
    context = mp.get_context("spawn")
    lake = DeltaLake(root=root)
    lake.replace(TABLE, "kept", segments("kept", 7))
    for delay in (0.07, 0.31):
        before = lake.version(TABLE)
        writer = context.Process(target=_write, args=(root, ["killed"], 10_000))
        writer.start()
        deadline = time.monotonic() + 120
        while lake.version(TABLE) < before + 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(delay)
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join(timeout=30)
        assert writer.exitcode == -signal.SIGKILL
        refuse_mixture(lake.read(TABLE, "killed"), "killed")
        assert refuse_mixture(lake.read(TABLE, "kept"), "kept") == 7
    lake.replace(TABLE, "killed", segments("killed", 99))
    assert refuse_mixture(lake.read(TABLE, "killed"), "killed") == 99
