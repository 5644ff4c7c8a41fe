"""Exact top-16 mining against the bare matrix product and faiss flat, and an index with its recall; one thread.

    python benchmarks/mining.py --rows 100000 --width 384 --neighbours 16

Figures are CPU seconds of one run on one thread; the rate is what a full product would have needed per CPU second.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import resource
import sys
import time

import numpy as np


def _clustered(rows: int, width: int, seed: int) -> np.ndarray:
    """Unit vectors in clusters, as captions lie."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, rows // 100), width)).astype(np.float32)
    vectors = centres[rng.integers(len(centres), size=rows)] + rng.normal(size=(rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _timed(call: object) -> tuple[object, float]:
    started = time.process_time()
    result = call()  # type: ignore[operator]
    return result, time.process_time() - started


def main() -> int:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--neighbours", type=int, default=16)
    parser.add_argument("--probes", type=int, default=16)
    parser.add_argument("--skip-faiss", action="store_true")
    asked = parser.parse_args()
    import faiss

    faiss.omp_set_num_threads(1)
    from mm_assets.hard_negatives.neighbours import nearest, nearest_among, nearest_by_index, recall_of

    vectors = _clustered(asked.rows, asked.width, 0)
    nearest_among(vectors[:200], asked.neighbours)  # compiles
    block = np.ascontiguousarray(vectors[: min(4_096, asked.rows)])
    product = np.empty((len(block), len(block)), np.float32)
    seconds = min(_timed(lambda: np.matmul(block, block.T, out=product))[1] for _ in range(12))
    peak = 2.0 * len(block) ** 2 * asked.width / seconds
    work = 2.0 * asked.rows**2 * asked.width
    found: dict[str, object] = {"rows": asked.rows, "width": asked.width, "peak_gflops": round(peak / 1e9, 1)}
    (values, exact), seconds = _timed(lambda: nearest_among(vectors, asked.neighbours))  # type: ignore[misc]
    found["symmetric"] = {"cpu_s": round(seconds, 1), "share_of_peak": round(work / seconds / peak, 2)}
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    (_, rows), seconds = _timed(lambda: nearest_by_index(vectors, asked.neighbours, probes=asked.probes))  # type: ignore[misc]
    found["index"] = {
        "probes": asked.probes,
        "cpu_s": round(seconds, 1),
        "recall": round(recall_of(rows, exact), 4),
    }
    if not asked.skip_faiss:
        (_, flat), seconds = _timed(lambda: nearest(vectors, vectors, asked.neighbours + 1))  # type: ignore[misc]
        others = np.array([[r for r in row if r != i][: asked.neighbours] for i, row in enumerate(flat)])
        found["faiss_flat"] = {
            "cpu_s": round(seconds, 1),
            "share_of_peak": round(work / seconds / peak, 2),
            "agreement": round(recall_of(others, exact), 6),
        }
    print(json.dumps(found, indent=1))
    return 0 if np.isfinite(values).all() else 1


if __name__ == "__main__":
    sys.exit(main())
