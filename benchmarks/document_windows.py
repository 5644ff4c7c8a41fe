"""Windows of long documents: tokens a CPU second, fill, and peak memory as the document grows.

    python benchmarks/document_windows.py --html DIR [--budgets 8192 131072 1048576] [--repeats 4 16]

All HTML pages below DIR stand one behind the other as one document, repeated; every figure is taken for 800 x 600
pixels. Each case runs in a process of its own, whose peak memory is reported less that of the same process with an
empty document. Every block must stand in exactly one window, inside the budget, and no figure apart from its caption.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl

from mm_assets.aligned.documents.windows.interleave import DocumentNames, interleave
from mm_assets.aligned.documents.windows.tile_plan import plan_tiles
from mm_assets.aligned.documents.windows.token_counts import EstimatedTokens
from mm_assets.aligned.documents.windows.units import Binding
from mm_assets.documents.blocks import Block
from mm_assets.documents.html import HtmlReader
from mm_assets.policy import DocumentReadingPolicy, TilePolicy, WindowPolicy

WIDTH, HEIGHT = 800, 600


def read_all(paths: list[Path], repeats: int) -> Iterator[Block]:
    """Blocks of all pages, one behind the other; a page is read when it comes."""
    base = 0
    for _ in range(repeats):
        for path in paths:
            last = -1
            for block in HtmlReader(path.read_bytes(), path.name, DocumentReadingPolicy()).blocks():
                last = block.position
                yield replace(block, position=base + last, links=(), of=None if block.of is None else base + block.of)
            base += last + 1


def read_bindings(paths: list[Path], repeats: int) -> Iterator[Binding]:
    """The first caption of every figure."""
    bound: set[int] = set()
    waiting: list[Binding] = []
    for block in read_all(paths, repeats):
        if block.type == "caption" and block.of is not None and block.of not in bound:
            bound = {block.of}
            waiting.append(Binding(block.of, block.position))
            yield from waiting
            waiting.clear()


def run(folder: Path, budget: int, repeats: int) -> dict[str, object]:
    """One case."""
    paths = sorted(folder.rglob("*.html"))
    figure = plan_tiles(WIDTH, HEIGHT, TilePolicy()).tokens
    names = DocumentNames("b", "d", "d.html", lambda block: f"blk_{block.position}")
    policy = WindowPolicy(budget_tokens=budget)
    windows = tokens = fullest = blocks = rejected = cut_figures = 0
    started = time.process_time()
    made = interleave(
        read_all(paths, repeats), (), read_bindings(paths, repeats), lambda _: figure, names, policy, EstimatedTokens()
    )
    for window in made:
        rows = window.rows.filter(pl.col("role") == "body")
        windows += int(rows.height > 0)
        tokens += window.tokens
        fullest = max(fullest, window.tokens)
        blocks += rows.filter(pl.col("start") == 0).height
        rejected += window.rejected.height
        cut_figures += rows.filter((pl.col("type").is_in(["figure", "table"])) & (pl.col("start") > 0)).height
    return {
        "budget": budget,
        "repeats": repeats,
        "blocks": blocks,
        "rejected": rejected,
        "windows": windows,
        "tokens": tokens,
        "fullest": fullest,
        "mean_fill": round(tokens / windows / budget, 3) if windows else None,
        "figures_or_tables_cut": cut_figures,
        "cpu_seconds": round(time.process_time() - started, 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    """Run every case in its own process and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--html", type=Path, required=True)
    parser.add_argument("--budgets", type=int, nargs="*", default=[8_192, 131_072, 1_048_576])
    parser.add_argument("--repeats", type=int, nargs="*", default=[4, 16])
    parser.add_argument("--case", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(run(options.html, *options.case)))
        return
    cases = [(256, 0), *((budget, repeats) for budget in options.budgets for repeats in options.repeats)]
    told: list[dict[str, object]] = []
    for budget, repeats in cases:
        command = [sys.executable, __file__, "--html", str(options.html), "--case", str(budget), str(repeats)]
        told.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    empty = told.pop(0)["peak_mb"]
    print(json.dumps({"empty_process_mb": empty, "cases": told}, indent=1))


if __name__ == "__main__":
    main()
