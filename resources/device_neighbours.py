"""Exact nearest neighbours on a GPU, or on a CPU by the same code: blocks of products and a running top-k.

The neighbours are those of `mm_assets.hard_negatives.neighbours.nearest_among`: products in full single precision,
equal ones by row. Where two products differ by rounding only, devices may order them differently.
"""

import numpy as np
from numpy.typing import NDArray


def nearest_on_device(
    vectors: NDArray[np.float32], k: int, device: str, *, block_rows: int = 8_192
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Exact nearest other rows of each row of one set.

    Args:
        vectors: float32, shape (N, D); all of it is held on the device, beside one block of products.
        k: neighbours per row.
        device: ``cuda``, ``cuda:1`` or ``cpu``, as torch names it.
        block_rows: rows whose products are held at once, ``block_rows * N`` floats.

    Returns:
        Inner products and rows, float32 and int64, both of shape (N, min(k, N - 1)), the nearest first.
    """
    import torch  # noqa: PLC0415 - heavy

    count = len(vectors)
    k = min(k, max(0, count - 1))
    if k == 0:
        return np.empty((count, 0), np.float32), np.empty((count, 0), np.int64)
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode():
            whole = torch.from_numpy(np.ascontiguousarray(vectors)).to(device)
            parts = []
            for at in range(0, count, block_rows):
                products = whole[at : at + block_rows] @ whole.T
                own = torch.arange(at, at + len(products), device=whole.device)
                products[own - at, own] = -torch.inf
                values, rows = torch.topk(products, k, dim=1)
                parts.append((values.cpu().numpy(), rows.cpu().numpy()))
    finally:
        torch.set_float32_matmul_precision(precision)
    values, rows = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    order = np.lexsort((rows, -values), axis=1)
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(rows, order, axis=1).astype(np.int64)
