"""Write many spans at once, column-wise."""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.errors import ContractError
from mm_assets.fusion.placeholders import CODE_NAMES, SENTINELS, Modality

_MATRIX_DIMENSIONS: Final = 2


def render_image_blocks(codes: NDArray[np.integer]) -> pl.Series:
    """Write many images as spans.

    Args:
        codes: integers, shape (N, T), T at least 1.

    Returns:
        N strings, as `mm_assets.fusion.placeholders.render_image_block` writes one.

    Raises:
        ContractError: the shape is not (N, T) with T at least 1, or a code is negative.

    >>> render_image_blocks(np.array([[451, 882]])).to_list()
    ['<|image_start|><IMG_TK_451><IMG_TK_882><|image_end|>']
    """
    if codes.ndim != _MATRIX_DIMENSIONS or codes.shape[1] == 0:
        raise ContractError(f"codes of shape {codes.shape} are not (images, codes) with at least one code each")
    if codes.size and int(codes.min()) < 0:
        raise ContractError(f"code {int(codes.min())} is negative; codebook indices start at 0")
    rows = pl.DataFrame({"codes": np.ascontiguousarray(codes)})
    return rows.select(block=image_block(pl.col("codes").arr.to_list())).to_series()


def image_block(codes: pl.Expr) -> pl.Expr:
    """Expression that writes a list column of codes, none of them empty or negative, as spans of an image."""
    return media_block(Modality.IMAGE, codes)


def media_block(modality: Modality, codes: pl.Expr) -> pl.Expr:
    """Expression that writes a list column of codes, none of them empty or negative, as spans of a medium."""
    name, (start, end) = CODE_NAMES[modality], SENTINELS[modality]
    joined = codes.cast(pl.List(pl.String)).list.join(f"><{name}_")
    return pl.lit(f"{start}<{name}_") + joined + pl.lit(f">{end}")
