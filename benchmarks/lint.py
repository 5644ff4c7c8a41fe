"""The linter against plain loops over json, msgspec and (where installed) orjson that make the same checks.

One release of random codes is written, 200 MB or more: images with 49 placeholders and a caption in two scripts, every
fifth line a text of 1 kB. Every contender reads the same files in every round. Then the same faults are planted for
all of them: a loop that finds fewer makes fewer checks. Figures are MB of JSONL per CPU second, median of the rounds,
start-up apart; the start of the compiled pass (loading, or compiling where it never ran) is given by itself.

Usage: python benchmarks/lint.py [--megabytes 200] [--rounds 3] [--json]
"""

import argparse
import importlib
import importlib.util
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mm_assets.fusion.linter import LintOptions, lint_paths
from mm_assets.fusion.rendering import render_image_blocks
from mm_assets.fusion.samples import FIELDS, FusionLine

CODES, VECTORS, SHARD_ROWS, LINES_PER_FILE = 1_024, 49, 1_024, 50_000
OWN = "mm lint, compiled pass"
FLOOR_MB_PER_CPU_SECOND = 100.0
CAPTION = "A duck on a pond, seen from the far side; number {} of many. Ein Entchen auf dem Teich, 池の上のアヒル."
PROSE = 'He said "no", and if a < b & c > d it was 100 % so; the box stood {} times by the door.\n' * 12
TOKEN = re.compile(r"<\|(image|audio|video)_(start|end)\|>|<IMG_TK_(\d+)>")
ESCAPED = re.compile(r"&(?:amp;)*(?:lt|gt|#60|#62);?\|?/?(?:IMG_TK|AUD_TK|image_|audio_|video_|box)")
Finder = Callable[[Path], set[tuple[str, int]]]


def write_release(folder: Path, megabytes: int) -> int:
    """Write samples, features (4 channels) and codes, a shard at least; gives the bytes of the samples."""
    for name in ("samples", "features", "codes"):
        (folder / name).mkdir(parents=True)
    generator = np.random.default_rng(0)
    encoder = msgspec.json.Encoder()
    written = line = shard = 0
    while not shard or written < megabytes * 1_000_000:
        codes = generator.integers(0, CODES, (SHARD_ROWS, VECTORS), dtype=np.int32)
        name = f"part-{shard:04d}.safetensors"
        save_file({"visual_codes": codes}, folder / "codes" / name)
        save_file({"visual_features": np.zeros((SHARD_ROWS, VECTORS, 4), np.float16)}, folder / "features" / name)
        for row, block in enumerate(render_image_blocks(codes)):
            image = line % 5 != 0
            sample = FusionLine(
                id=f"mm_{generator.bytes(12).hex()}",
                kind="image_text" if image else "text",
                modalities=["image", "text"] if image else ["text"],
                content=f"{block} {CAPTION.format(line)}" if image else PROSE.format(*[line] * 12),
                visual_features_path=f"features/{name}#{row}" if image else None,
                audio_features_path=None,
                boxes=[],
                times=[],
                negatives=[],
                pool="coarse_image_text" if image else "text_retention",
                weight=1.0,
                batch="vendor-a-2024",
                source="vendor-a",
                license="CC-BY-4.0",
                placeholder_version="1",
                checks={"recall": 0.42},
                review_status="unreviewed",
            )
            with_feed = encoder.encode(sample) + b"\n"
            with (folder / "samples" / f"part-{line // LINES_PER_FILE:05d}.jsonl").open("ab") as file:
                file.write(with_feed)
            written += len(with_feed)
            line += 1
        shard += 1
    return written


def loop_finder(decode: Callable[[bytes], Any]) -> Finder:
    """A plain loop: decode, then look at every field and every placeholder with the standard library."""

    def find(folder: Path) -> set[tuple[str, int]]:
        @cache
        def shard(path: str) -> tuple[tuple[int, ...], Any]:
            with safe_open(folder / path, framework="np") as file:
                shape = tuple(file.get_slice("visual_features").get_shape())
            return shape, load_file(folder / path.replace("features/", "codes/", 1))["visual_codes"]

        faults: set[tuple[str, int]] = set()
        seen: set[str] = set()
        for path in sorted((folder / "samples").glob("*.jsonl")):
            with path.open("rb") as file:
                for number, raw in enumerate(file, start=1):
                    if not _is_clean(raw, decode, shard, seen):
                        faults.add((path.name, number))
        return faults

    return find


def _is_clean(  # noqa: C901, PLR0911 - one rule after another, as such loops are written
    raw: bytes, decode: Callable[[bytes], Any], shard: Callable[[str], Any], seen: set[str]
) -> bool:
    try:
        raw.decode("utf-8")
        line = decode(raw)
    except (ValueError, msgspec.DecodeError):
        return False
    if any(field not in line for field in FIELDS) or line["id"] in seen:
        return False
    seen.add(line["id"])
    content: str = line["content"]
    codes: list[int] = []
    open_span = ""
    for medium, edge, code in TOKEN.findall(content):
        if code:
            if not open_span or int(code) >= CODES:
                return False
            codes.append(int(code))
        elif edge == "start":
            if open_span:
                return False
            open_span = medium
        elif open_span != medium:
            return False
        else:
            open_span = ""
    if open_span or ESCAPED.search(content) or ("image" in line["modalities"]) != bool(codes):
        return False
    if line["visual_features_path"] is None:
        return not codes
    path, _, row = line["visual_features_path"].partition("#")
    try:
        shape, stored = shard(path)
    except OSError:
        return False
    return int(row) < shape[0] and shape[1] == len(codes) and stored[int(row)].tolist() == codes


def own_finder(options: LintOptions) -> Finder:
    """The linter of this project."""

    def find(folder: Path) -> set[tuple[str, int]]:
        return {(Path(error.file).name, error.line) for error in lint_paths([folder], options).errors}

    return find


def contenders() -> dict[str, Finder]:
    """Every way to lint, by name."""
    found: dict[str, Finder] = {
        OWN: own_finder(LintOptions(bulk_from_bytes=0)),
        "mm lint, line by line": own_finder(LintOptions(bulk_from_bytes=2**62)),
        "json loop": loop_finder(json.loads),
        "msgspec loop": loop_finder(msgspec.json.decode),
    }
    if importlib.util.find_spec("orjson") is not None:
        found["orjson loop"] = loop_finder(importlib.import_module("orjson").loads)
    return found


def plant_faults(folder: Path) -> set[tuple[str, int]]:
    """Spoil some lines of the first file; gives their places."""
    path = folder / "samples" / "part-00000.jsonl"
    lines = path.read_bytes().split(b"\n")
    spoil: dict[int, Callable[[bytes], bytes]] = {
        1: lambda raw: raw.replace(b"<IMG_TK_", b"&lt;IMG_TK_", 1),
        3: lambda raw: raw.replace(b"<|image_end|>", b""),
        6: lambda raw: raw.replace(b"<|image_start|>", b"").replace(b"<|image_end|>", b""),
        8: lambda raw: re.sub(rb"<IMG_TK_\d+>", b"<IMG_TK_1024>", raw, count=1),
        11: lambda raw: re.sub(rb"<IMG_TK_\d+>", b"", raw, count=1),
        13: lambda raw: raw.replace(b"Ein", b"E\xefn"),
        16: lambda _: lines[17],
        19: lambda raw: raw.replace(b'"license"', b'"licence"'),
    }
    for place, change in spoil.items():
        lines[place] = change(lines[place])
    path.write_bytes(b"\n".join(lines))
    return {(path.name, place + 1) for place in spoil if place != 16} | {(path.name, 18)}


def measure(folder: Path, size_bytes: int, rounds: int) -> Iterator[tuple[str, float]]:
    """Median MB per CPU second of every contender; rounds are interleaved."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders()}
    for _ in range(rounds):
        for name, find in contenders().items():
            start = time.process_time()
            faults = find(folder)
            seconds[name].append(time.process_time() - start)
            if faults:
                raise SystemExit(f"{name} finds faults in a clean release: {sorted(faults)[:3]}")
    for name, spent in seconds.items():
        yield name, size_bytes / statistics.median(spent) / 1e6


def main() -> int:
    """Measure, print, and fail below the floor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "release"
        size_bytes = write_release(folder, options.megabytes)
        small = Path(temporary) / "small"
        write_release(small, 0)
        start = time.process_time()
        contenders()[OWN](small)
        start_up = time.process_time() - start
        rates = dict(measure(folder, size_bytes, options.rounds))
        planted = plant_faults(folder)
        found = {name: len(find(folder) & planted) for name, find in contenders().items()}
    own = rates[OWN]
    document = {
        "bytes": size_bytes,
        "mb_per_cpu_second": {name: round(rate, 1) for name, rate in rates.items()},
        "times_faster_than": {name: round(own / rate, 2) for name, rate in rates.items() if name != OWN},
        "start_up_cpu_seconds": round(start_up, 2),
        "planted_faults": len(planted),
        "found": found,
        "floor_mb_per_cpu_second": FLOOR_MB_PER_CPU_SECOND,
        "met": own >= FLOOR_MB_PER_CPU_SECOND and found[OWN] == len(planted),
    }
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        print(f"{size_bytes / 1e6:.0f} MB; floor {FLOOR_MB_PER_CPU_SECOND:.0f} MB per CPU second")
        print(f"start of the compiled pass {start_up:.2f} CPU s, not counted below")
        for name, rate in rates.items():
            print(f"{name:22} {rate:7.1f} MB/CPU s   {own / rate:5.2f}x   found {found[name]} of {len(planted)}")
    return 0 if document["met"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
