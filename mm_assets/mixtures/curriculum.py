# pyright: strict
"""An order of training: clean alignment first, then everything else, then dialogue."""

from collections.abc import Collection
from typing import Final

import numpy as np
import polars as pl

from mm_assets.mixtures.pools import TEXT_RETENTION

STAGES: Final = ("alignment", "scale", "dialogue")
_ALIGNED_KINDS: Final = ("image_text", "object", "segment")
_DIALOGUE: Final = "dialogue"


def stage_numbers(samples: pl.DataFrame, clean_batches: Collection[str]) -> pl.Series:
    """Stage of each sample.

    Pictures, boxes and segments of clean batches come first, dialogue last, the rest between. Text retention is spread
    over the stages in proportion to what else they hold, so that no stage does without it.

    Args:
        samples: columns kind, pool, batch and key (uint64, evenly spread).
        clean_batches: batches that passed all their gates with no waiver and no correction.

    Returns:
        int8, index into `STAGES`.
    """
    is_text = pl.col("pool") == TEXT_RETENTION
    clean = pl.col("kind").is_in(_ALIGNED_KINDS) & pl.col("batch").is_in(list(clean_batches))
    stage = pl.when(is_text).then(None).when(pl.col("pool") == _DIALOGUE).then(2).when(clean).then(0).otherwise(1)
    frame = samples.select("key", stage=stage.cast(pl.Int8))
    others = frame["stage"].drop_nulls().to_numpy()
    bounds = np.cumsum(np.bincount(others, minlength=len(STAGES))) / max(len(others), 1)
    place = frame["key"].to_numpy() / 2.0**64
    spread = np.minimum(np.searchsorted(bounds, place, side="right"), len(STAGES) - 1)
    return frame["stage"].fill_null(pl.Series(spread.astype(np.int8)))
