"""Packing of texts and of images with captions: samples per CPU second, its growth with their number, and peak memory.

Each number of samples runs in a fresh process: records are packed batch by batch, as the assembly does, written as the
lines of a release with features and codes, fitted into windows, and linted to the last line by the compiled pass.
Records are made as they are asked for (sentences of the demo's texts, random codes), which is not counted. The smallest
run is one batch, the others hold two at a time.

Bounds: the largest run takes at most a quarter more CPU per sample, and at most a fifth more memory, than the one
before it.

Usage: python benchmarks/packing.py [--texts 10000 100000 1000000] [--images 10000 100000] [--json]
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

BATCH_RECORDS, CODES, VECTORS, CHANNELS = 10_000, 1_024, 49, 4
KINDS = ("prose", "math", "code", "dialogue")
MAX_CPU_GROWTH, MAX_MEMORY_GROWTH = 0.25, 0.20


def demo_sentences() -> list[str]:
    """Sentences of the demo's texts."""
    sentences: list[str] = []
    for path in sorted((ROOT / "demo" / "data" / "landing").glob("*/text/*.jsonl")):
        for raw in path.read_text(encoding="utf-8").splitlines():
            try:
                sentences += [sentence.strip() + "." for sentence in json.loads(raw)["text"].split(". ") if sentence]
            except (ValueError, KeyError, AttributeError):  # the demo carries broken records on purpose
                continue
    return sentences


class Records:
    """Batches of records, each made when it is asked for, and the CPU seconds that took."""

    def __init__(self, kind: str, count: int) -> None:
        self.kind, self.count, self.seconds = kind, count, 0.0
        self._sentences = demo_sentences()

    def batches(self) -> Iterator[dict[str, pl.DataFrame]]:
        """Tables of each batch."""
        from mm_assets.identifiers import make_id
        from mm_assets.schemas import TABLES

        for first in range(0, self.count, BATCH_RECORDS):
            start = time.process_time()
            batch, number = f"b{first // BATCH_RECORDS:05d}", min(BATCH_RECORDS, self.count - first)
            choice, codes = random.Random(first), np.random.default_rng(first)  # noqa: S311 - no secret
            common = {"batch": batch, "source": "demo", "license": "CC0-1.0", "language": "en"}
            sentences = 12 if self.kind == "texts" else 1
            texts = [" ".join(choice.choices(self._sentences, k=choice.randint(1, sentences))) for _ in range(number)]
            own = [make_id("img", batch, place) for place in range(number)]
            place = dict.fromkeys(("image_id", "caption_id", "text_id"), own)
            rows = pl.DataFrame(
                {**place, "text": texts, "kind": [KINDS[at % 4] for at in range(number)]}
                | {"spatial_features": [f"features/{batch}.safetensors#{at}" for at in range(number)]}
                | {"codes": codes.integers(0, CODES, (number, VECTORS)).tolist(), "codebook_version": "cb-1"}
            ).with_columns(record_ref=pl.lit("a.jsonl:1"), **{name: pl.lit(value) for name, value in common.items()})
            tables = {}
            for name in ("images", "captions", "texts", "visual_codes", "image_embeddings"):
                schema = TABLES[name].schema
                absent = [pl.lit(None, schema[column]).alias(column) for column in schema if column not in rows.columns]
                tables[name] = rows.with_columns(absent).select(
                    pl.col(column).cast(dtype, strict=False) for column, dtype in schema.items()
                )
            self.seconds += time.process_time() - start
            yield tables


class NoFeatures:
    """Features by reference, all alike: what is packed does not depend on their values."""

    def read(self, references: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float16]]:
        """float16, shape (N, VECTORS, CHANNELS)."""
        return np.ones((len(references), VECTORS, CHANNELS), np.float16)


def peak_mb() -> float:
    """High-water mark of this process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1_024


def measure(kind: str, count: int) -> dict[str, Any]:
    """Pack, write, fit and lint; CPU seconds of each, and the peak after each."""
    from mm_assets.aligned.documents.windows.token_counts import EstimatedTokens
    from mm_assets.fusion.linter import LintOptions, lint_paths
    from mm_assets.fusion.packing import pack_image_text_chunks, pack_texts
    from mm_assets.fusion.placeholders import Vocabulary
    from mm_assets.mixtures.sample_files import write_sample_files
    from mm_assets.mixtures.segment_features import SegmentFeatures
    from mm_assets.mixtures.sequence_files import write_sequences
    from mm_assets.mixtures.shard_writer import ShardWriter
    from mm_assets.policy import Policy

    policy, records, packing = Policy(), Records(kind, count), 0.0

    def pack(tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
        if kind == "texts":
            return pack_texts(tables["texts"], policy.fusion).samples
        names = ("images", "captions", "visual_codes", "image_embeddings")
        chunks = pack_image_text_chunks(
            *(tables[name] for name in names), {"recall": 0.4}, policy.fusion, codebook_size=CODES
        )
        return pl.concat([chunk.samples for chunk in chunks])

    def drawn() -> Iterator[pl.DataFrame]:
        nonlocal packing
        position = 0
        for tables in records.batches():
            start = time.process_time()
            samples = pack(tables)
            packing += time.process_time() - start
            places = pl.int_range(position, position + samples.height, dtype=pl.Int64, eager=True)
            position += samples.height
            yield samples.with_columns(position=places, weight=pl.lit(1.0))

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shards = ShardWriter(folder, policy.mixtures.feature_rows_per_file)
        segments = SegmentFeatures(folder, NoFeatures(), None, policy.mixtures.feature_rows_per_file)
        start = time.process_time()
        write_sample_files(folder, drawn(), NoFeatures(), shards, segments, policy.mixtures, "1")
        seconds = {"pack": packing, "write": time.process_time() - start - packing - records.seconds}
        peaks = {"write": peak_mb()}
        start = time.process_time()
        sequences = write_sequences(folder, EstimatedTokens(), policy.packing, policy.mixtures.samples_per_file)
        seconds["windows"] = time.process_time() - start
        peaks["windows"] = peak_mb()
        start = time.process_time()
        options = LintOptions(Vocabulary.of(policy.fusion, CODES), sequences=sequences, bulk_from_bytes=0)
        report = lint_paths([folder], options)
        seconds["lint"] = time.process_time() - start
        peaks["lint"] = peak_mb()
    if not report.clean or report.rows != count or sequences is None:
        raise SystemExit(f"{report.rows} of {count} lines, {report.counts}: what was packed is not clean")
    fitted = {"windows": sequences.windows, "fill": sequences.fill, "tokens": sequences.tokens}
    return {
        "kind": kind,
        "samples": count,
        "cpu_s": seconds,
        "peak_mb": peaks,
        **fitted,
        "megabytes": report.bytes / 1e6,
    }


def show(runs: list[dict[str, Any]]) -> None:
    """One row per run."""
    print("kind, samples, samples per CPU s: pack, write, windows, lint, all; peak MB; windows' fill; JSONL MB")
    for run in runs:
        rates = [f"{run['samples'] / max(seconds, 1e-9):,.0f}" for seconds in run["cpu_s"].values()]
        rates.append(f"{run['samples'] / sum(run['cpu_s'].values()):,.0f}")
        peak = " ".join(f"{value:.0f}" for value in run["peak_mb"].values())
        print(
            f"{run['kind']}, {run['samples']:,}: {', '.join(rates)}; {peak}; {run['fill']:.2%}; {run['megabytes']:.0f}"
        )


def missed_bounds(runs: list[dict[str, Any]]) -> list[str]:
    """What grew too fast from the last run but one to the last."""
    missed: list[str] = []
    for kind in dict.fromkeys(run["kind"] for run in runs):
        own = [run for run in runs if run["kind"] == kind]
        cost = [sum(run["cpu_s"].values()) / run["samples"] for run in own]
        memory = [max(run["peak_mb"].values()) for run in own]
        if len(own) > 1 and cost[-1] > cost[-2] * (1 + MAX_CPU_GROWTH):
            missed.append(f"{kind}: {cost[-1] * 1e6:.0f} µs of CPU a sample after {cost[-2] * 1e6:.0f}")
        if len(own) > 1 and memory[-1] > memory[-2] * (1 + MAX_MEMORY_GROWTH):
            missed.append(f"{kind}: {memory[-1]:.0f} MB after {memory[-2]:.0f}")
    return missed


def main() -> int:
    """Measure every number in a process of its own; returns 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--images", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure[0], int(arguments.measure[1]))))
        return 0
    runs: list[dict[str, Any]] = []
    for kind in ("texts", "images"):
        for count in getattr(arguments, kind):
            command = [sys.executable, __file__, "--measure", kind, str(count)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    missed = missed_bounds(runs)
    if arguments.json:
        print(json.dumps({"runs": runs, "missed": missed}))
    else:
        show(runs)
        print("\n".join(missed) or "CPU grows with the samples, memory does not")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
