# pyright: strict
"""Spans that windows cut: tables in several windows, figures parted from their captions. There must be none."""

import polars as pl


def count_cuts(windows: pl.DataFrame, bindings: pl.DataFrame) -> dict[str, int]:
    """Cut spans of each document that has any.

    Args:
        windows: document_id, window_index, block_position, type and role of the elements of windows.
        bindings: document_id, position and caption_position of figures and tables with a caption.
    """
    body = windows.filter(pl.col("role") == "body").select("document_id", "window_index", "block_position", "type")
    whole = ("document_id", "block_position")
    cut = (
        body.filter(pl.col("type").is_in(["table", "figure"]))
        .group_by(whole)
        .agg(pl.col("window_index").n_unique() > 1)
        .filter("window_index")
        .select("document_id")
    )
    first = body.group_by(whole).agg(pl.col("window_index").min())
    parted = (
        bindings.drop_nulls("caption_position")
        .join(first, left_on=("document_id", "position"), right_on=whole, how="inner")
        .join(first, left_on=("document_id", "caption_position"), right_on=whole, how="inner", suffix="_of_caption")
        .filter(pl.col("window_index") != pl.col("window_index_of_caption"))
        .select("document_id")
    )
    counted = pl.concat([cut, parted]).group_by("document_id").len().sort("document_id")
    return dict(counted.iter_rows())
