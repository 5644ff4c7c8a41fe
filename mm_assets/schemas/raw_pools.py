"""Tables of the raw pools: records as delivered."""

from typing import Final

from mm_assets.schemas.columns import CAPTION_COLUMNS, IMAGE_COLUMNS, TEXT_COLUMNS
from mm_assets.schemas.table import Table

TABLES: Final[tuple[Table, ...]] = (
    Table(
        name="raw_images",
        grain="One row per image record that keeps the batch contract, before any look at its pixels.",
        columns=IMAGE_COLUMNS,
        order_by=("position",),
        constraints={"position_is_not_negative": "position >= 0", "size_is_positive": "size_bytes >= 0"},
    ),
    Table(
        name="raw_captions",
        grain="One row per caption as delivered.",
        columns=CAPTION_COLUMNS,
        order_by=("position", "caption_index"),
    ),
    Table(
        name="raw_texts",
        grain="One row per text record as delivered.",
        columns=TEXT_COLUMNS,
        order_by=("position",),
    ),
)
