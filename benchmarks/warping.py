"""Dynamic time warping: exact and banded, beside fastdtw with its C++ extension; and dtw-python's paths.

Usage: python benchmarks/warping.py [--rounds 7] [--json]

Three shapes: a = 4000 x 3000 x 1, b = 1500 x 1500 x 20, c = 4500 x 6200 x 20. Pairs that are alike are one smooth
signal at two speeds under noise, as two recordings of a speech are; pairs that are not are white noise, the worst case,
because nothing can be left out. CPU seconds of one thread and call, in bursts of five calls as a batch of clips makes
them, medians of interleaved rounds in one process; compiling and loading are given apart. Peak memory is resident, of a
process of its own, above what it held before the call. Under smaller and smaller quotas c shows what downsampling
costs.

Bounds, on pairs that are alike: exact in a third of the time of fastdtw at radius 10, a band of 10 % in a tenth; no
path of fastdtw is cheaper than the exact one, or than that of a quota; c in 64 MB exact and 16 MB banded.

Where MM_BENCH_DTW names a Python that has dtw-python, paths and costs must equal those of its full matrix, ties
included: on the matrix that R's package checks itself with, on its electrocardiograms and on rounded random walks.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from fastdtw import fastdtw
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mm_assets.aligned.segments.warping import warp, warp_distances
from mm_assets.policy import WarpingPolicy

SHAPES = {"a": (4_000, 3_000, 1), "b": (1_500, 1_500, 20), "c": (4_500, 6_200, 20)}
EXACT, BANDED = WarpingPolicy(), WarpingPolicy(band_share=0.1)
QUOTAS = (64_000_000, 4_000_000, 3_000_000, 2_500_000)
BURST = 5
MAX_EXACT_SHARE, MAX_BANDED_SHARE = 1 / 3, 1 / 10
MAX_EXACT_BYTES, MAX_BANDED_BYTES = 64_000_000, 16_000_000
Frames = NDArray[np.float64]

FIRST_CALL = """
import time
import numpy as np
from mm_assets.aligned.segments.warping import warp
from mm_assets.policy import WarpingPolicy
start = time.process_time()
for frames in (np.zeros(9), np.zeros((9, 2))):
    warp(frames, frames, WarpingPolicy())
print(time.process_time() - start)
"""
PEAK = """
import json
import numpy as np
from mm_assets.aligned.segments.warping import warp
from mm_assets.policy import WarpingPolicy
def read(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))
rng = np.random.default_rng(0)
first, second = (rng.standard_normal((n, 20)) for n in (4_500, 6_200))
peaks = {}
for name, policy in (("exact", WarpingPolicy()), ("band of 10 %", WarpingPolicy(band_share=0.1))):
    warp(first[:9], second[:9], policy)
    with open("/proc/self/clear_refs", "w") as peak:
        peak.write("5")
    before = read("VmRSS")
    warp(first, second, policy)
    peaks[name] = read("VmHWM") - before
print(json.dumps(peaks))
"""
DTW_PYTHON = """
import sys, time
import numpy as np
from dtw import dtw, dtw_test_data
given, answer = np.load(sys.argv[1]), {}
heart = [beats[1] for beats in dtw_test_data.aami()]
pairs = {"electrocardiogram": (heart[0][: 2 * 720], heart[1][int(2.7 * 720) : 5 * 720])}
for name in {key.rpartition("/")[0] for key in given if "/" in key}:
    pairs[name] = given[name + "/first"], given[name + "/second"]
for weight, pattern in ((1, "symmetric1"), (2, "symmetric2")):
    found = {"cran": dtw(given["cran"], step_pattern=pattern)}
    for name, (first, second) in pairs.items():
        start = time.process_time()
        found[name] = dtw(first, second, step_pattern=pattern)
        answer[f"{name}/{weight}/seconds"] = time.process_time() - start
        answer[f"{name}/{weight}/first"], answer[f"{name}/{weight}/second"] = first, second
    for name, alignment in found.items():
        answer[f"{name}/{weight}/path"] = np.stack([alignment.index1, alignment.index2], axis=1)
        answer[f"{name}/{weight}/cost"] = alignment.distance
np.savez(sys.argv[2], **answer)
"""


def make_alike(rows: int, columns: int, dimensions: int, noise: float = 0.1) -> tuple[Frames, Frames]:
    """One smooth signal at an even and at an uneven speed, under noise of ``noise`` of its deviation."""
    rng = np.random.default_rng(1)
    grid = np.linspace(0.0, 1.0, 2 * max(rows, columns))
    kernel = np.exp(-(np.linspace(-3, 3, 61) ** 2))
    kernel /= np.sqrt((kernel**2).sum())
    signals: list[Frames] = [
        np.convolve(rng.standard_normal(len(grid) + 60), kernel, "valid").astype(np.float64) for _ in range(dimensions)
    ]
    even, uneven = np.linspace(0.0, 1.0, rows), np.linspace(0.0, 1.0, columns)
    uneven = uneven + 0.08 * np.sin(2 * np.pi * uneven)
    first, second = (np.stack([np.interp(at, grid, s) for s in signals], axis=1) for at in (even, uneven))
    first += noise * rng.standard_normal(first.shape)
    second += noise * rng.standard_normal(second.shape)
    return first, second


def make_unalike(rows: int, columns: int, dimensions: int) -> tuple[Frames, Frames]:
    """White noise."""
    rng = np.random.default_rng(2)
    return rng.standard_normal((rows, dimensions)), rng.standard_normal((columns, dimensions))


def contenders(first: Frames, second: Frames) -> dict[str, Callable[[], float]]:
    """Every way to warp a pair, by name; each gives the cost of its path."""
    norm: tuple[int, ...] = (2,)
    if first.shape[1] == 1:
        first, second, norm = first[:, 0], second[:, 0], ()
    return {
        "fastdtw, radius 1": lambda: fastdtw(first, second, 1, *norm)[0],
        "fastdtw, radius 10": lambda: fastdtw(first, second, 10, *norm)[0],
        "exact": lambda: warp(first, second, EXACT).cost,
        "band of 10 %": lambda: warp(first, second, BANDED).cost,
    }


def measure(first: Frames, second: Frames, rounds: int) -> dict[str, dict[str, float]]:
    """Median CPU seconds, their share of fastdtw's at radius 10, and cost over the exact cost."""
    calls = contenders(first, second)
    costs = {name: call() for name, call in calls.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time()
            for _ in range(BURST):
                call()
            seconds[name].append((time.process_time() - start) / BURST)
    medians = {name: median(spent) for name, spent in seconds.items()}
    return {
        name: {
            "cpu_seconds": medians[name],
            "share_of_fastdtw_10": medians[name] / medians["fastdtw, radius 10"],
            "cost_over_exact": costs[name] / costs["exact"],
        }
        for name in calls
    }


def squeeze(first: Frames, second: Frames, exact_cost: float) -> dict[str, dict[str, Any]]:
    """One pair under smaller and smaller quotas."""
    rows: dict[str, dict[str, Any]] = {}
    for quota in QUOTAS:
        start = time.process_time()
        found = warp(first, second, WarpingPolicy(memory_bytes=quota))
        rows[f"{quota:,} bytes"] = {
            "cpu_seconds": time.process_time() - start,
            "cost_over_exact": found.cost / exact_cost,
            "used_bytes": found.used_bytes,
            "downsampled_by": found.notice.downsampled_by if found.notice else 1,
        }
    return rows


def first_calls() -> dict[str, float]:
    """CPU seconds of the first calls in a process: with nothing compiled before, and with the cache of that."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"NUMBA_CACHE_DIR": folder}
        command = [sys.executable, "-c", FIRST_CALL]
        return {
            name: float(subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True).stdout)
            for name in ("compiling", "loading what was compiled")
        }


def peak_bytes() -> dict[str, int] | None:
    """Resident bytes that warping c adds at its peak; None where /proc does not tell."""
    if not Path("/proc/self/clear_refs").exists():
        return None
    return json.loads(subprocess.run([sys.executable, "-c", PEAK], cwd=ROOT, check=True, capture_output=True).stdout)


def compare_with_dtw_python() -> dict[str, dict[str, Any]] | str:
    """Whether paths and costs equal those of dtw-python, by data and weight of the diagonal step."""
    python = os.environ.get("MM_BENCH_DTW")
    if not python:
        return "not compared: MM_BENCH_DTW names no Python that has dtw-python"
    rng = np.random.default_rng(3)
    cran = np.ones((6, 6))
    cran[1, :] = 0
    cran[:, 4] = 0
    cran[1, 4] = 0.01
    given = {"cran": cran}
    for name, size, dimensions, decimals in (("walk of tenths", 700, 1, 1), ("walk of halves", 500, 3, 0)):
        for side in ("first", "second"):
            walk = np.cumsum(rng.standard_normal((size, dimensions)), axis=0) / 2
            given[f"{name}/{side}"] = walk.round(decimals) if decimals else (2 * walk).round() / 2
    first, second = make_alike(*SHAPES["b"])
    given |= {"b, alike/first": first, "b, alike/second": second}
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "given.npz", Path(folder) / "answer.npz"
        np.savez(asked, allow_pickle=False, **given)
        subprocess.run([python, "-c", DTW_PYTHON, str(asked), str(answered)], check=True, capture_output=True)
        with np.load(answered) as archive:
            answer = dict(archive)
    compared: dict[str, dict[str, Any]] = {}
    for name in sorted({key.rpartition("/")[0] for key in answer}):
        policy = WarpingPolicy(diagonal_weight=2 if name.endswith("/2") else 1)
        if not name.startswith("cran"):
            warp(answer[f"{name}/first"][:9], answer[f"{name}/second"][:9], policy)  # compiled or loaded now
        start = time.process_time()
        if name.startswith("cran"):
            found = warp_distances(cran, policy)
        else:
            found = warp(answer[f"{name}/first"], answer[f"{name}/second"], policy)
        seconds = time.process_time() - start
        compared[name] = {
            "same_path": np.array_equal(found.path, answer[f"{name}/path"]),
            "cost": found.cost,
            "cost_of_dtw_python": float(answer[f"{name}/cost"]),
        }
        if f"{name}/seconds" in answer:
            compared[name] |= {
                "cpu_seconds": seconds,
                "cpu_seconds_of_dtw_python": float(answer[f"{name}/seconds"]),
            }
    return compared


def main() -> int:
    """Measure, print, and fail where a bound is missed."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    pairs = {f"{shape}, alike": make_alike(*size) for shape, size in SHAPES.items()}
    pairs |= {f"{shape}, unalike": make_unalike(*size) for shape, size in SHAPES.items()}
    timed = {name: measure(*pair, options.rounds) for name, pair in pairs.items()}
    peaks, compared, first = peak_bytes(), compare_with_dtw_python(), first_calls()
    squeezed = {
        name: squeeze(*pairs[name], exact_cost=warp(*pairs[name], EXACT).cost) for name in ("c, alike", "c, unalike")
    }
    bounds: dict[str, bool] = {}
    for name, figures in timed.items():
        cheapest = min(figures[f"fastdtw, radius {radius}"]["cost_over_exact"] for radius in (1, 10))
        bounds[f"{name}: no path of fastdtw is cheaper"] = cheapest >= 1 - 1e-12
        if name.endswith(", alike"):
            bounds[f"{name}: exact in a third"] = figures["exact"]["share_of_fastdtw_10"] <= MAX_EXACT_SHARE
            bounds[f"{name}: banded in a tenth"] = figures["band of 10 %"]["share_of_fastdtw_10"] <= MAX_BANDED_SHARE
    for name, rows in squeezed.items():
        fast = timed[name]["fastdtw, radius 10"]["cost_over_exact"]
        dearest = max(row["cost_over_exact"] for row in rows.values())
        bounds[f"{name}: under a quota not above fastdtw"] = dearest <= fast * (1 + 1e-12)
    if peaks is not None:
        bounds["c exact in 64 MB"] = peaks["exact"] <= MAX_EXACT_BYTES
        bounds["c banded in 16 MB"] = peaks["band of 10 %"] <= MAX_BANDED_BYTES
    if not isinstance(compared, str):
        for name, row in compared.items():
            same_cost = abs(row["cost"] - row["cost_of_dtw_python"]) <= 1e-12 * abs(row["cost"])
            bounds[f"{name}: path and cost of dtw-python"] = row["same_path"] and same_cost
    document = {
        "timed": timed,
        "first_call_cpu_seconds": first,
        "peak_bytes_of_c": peaks,
        "under_quotas": squeezed,
        "dtw_python": compared,
        "bounds": bounds,
    }
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        tell(document)
    return 0 if all(bounds.values()) else 1


def tell(document: dict[str, Any]) -> None:
    """Print the figures."""
    print("CPU milliseconds, share of fastdtw's at radius 10, and cost of the path over the exact one")
    for name, figures in document["timed"].items():
        print(name)
        for contender, row in figures.items():
            print(
                f"  {contender:20s} {row['cpu_seconds'] * 1e3:9.2f} {row['share_of_fastdtw_10']:8.3f} "
                f"{row['cost_over_exact']:9.4f}"
            )
    for name, seconds in document["first_call_cpu_seconds"].items():
        print(f"first calls, {name}: {seconds:.1f} CPU s, not counted above")
    print(f"peak of c: {document['peak_bytes_of_c']}")
    for name, rows in document["under_quotas"].items():
        for quota, row in rows.items():
            print(
                f"{name}, {quota}: used {row['used_bytes']:,}, downsampled by {row['downsampled_by']}, "
                f"cost {row['cost_over_exact']:.6f} of exact, CPU ms {row['cpu_seconds'] * 1e3:.1f}"
            )
    if isinstance(document["dtw_python"], str):
        print(document["dtw_python"])
    else:
        for name, row in document["dtw_python"].items():
            costs = f"cost {row['cost']:.6g} against {row['cost_of_dtw_python']:.6g}"
            seconds = [f"{row[key] * 1e3:.1f}" for key in row if key.startswith("cpu_seconds")]
            print(
                f"{name:24s} same path {row['same_path']}, {costs}, CPU ms {' against '.join(seconds) or 'not taken'}"
            )
    for bound, met in document["bounds"].items():
        print(f"{bound}: {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    sys.exit(main())
