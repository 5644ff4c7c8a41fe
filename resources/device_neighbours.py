"""Exact nearest neighbours on a GPU, or on a CPU by the same code: blocks of products and a running top-k.

The neighbours are those of `mm_assets.hard_negatives.neighbours.nearest`: products in full single precision, equal
ones by row. Where two products differ by rounding only, devices may order them differently.
"""

import functools

import numpy as np
from numpy.typing import NDArray

from mm_assets.hard_negatives.interfaces import NeighbourSearch

_BLOCK_ROWS = 8_192


def nearest_on_device(
    queries: NDArray[np.float32],
    corpus: NDArray[np.float32],
    k: int,
    *,
    device: str,
    block_rows: int = _BLOCK_ROWS,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Exact nearest rows of a corpus for each query.

    Args:
        queries: float32, shape (N, D).
        corpus: float32, shape (M, D); all of it is held on the device, beside one block of products.
        k: neighbours per query.
        device: ``cuda``, ``cuda:1`` or ``cpu``, as torch names it.
        block_rows: queries whose products are held at once, ``block_rows * M`` floats.

    Returns:
        Inner products and rows, float32 and int64, both of shape (N, min(k, M)), the nearest first.
    """
    import torch  # noqa: PLC0415 - heavy

    k = min(k, len(corpus))
    if k < 1 or not len(queries):
        return np.empty((len(queries), max(k, 0)), np.float32), np.empty((len(queries), max(k, 0)), np.int64)
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode():
            whole = torch.from_numpy(np.ascontiguousarray(corpus)).to(device)
            parts = []
            for at in range(0, len(queries), block_rows):
                block = torch.from_numpy(np.ascontiguousarray(queries[at : at + block_rows])).to(device)
                values, rows = torch.topk(block @ whole.T, k, dim=1)
                parts.append((values.cpu().numpy(), rows.cpu().numpy()))
    finally:
        torch.set_float32_matmul_precision(precision)
    values, rows = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    order = np.lexsort((rows, -values), axis=1)
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(rows, order, axis=1).astype(np.int64)


def search_on(device: str) -> NeighbourSearch | None:
    """Search on the device where the vectors were made; None for a CPU, which has a library."""
    return None if device == "cpu" else functools.partial(nearest_on_device, device=device)
