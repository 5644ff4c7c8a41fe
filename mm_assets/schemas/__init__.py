"""One schema per Delta table: columns with units and descriptions, and the constraints Delta enforces.

Assets write with these schemas, checks compare against them, and the UI shows their descriptions.
"""

from typing import Final

from mm_assets.schemas import (
    cleaned,
    documents,
    features,
    gates,
    hard_negatives,
    ledgers,
    media,
    objects,
    raw_pools,
    samples,
    segments,
    speech,
)
from mm_assets.schemas.columns import SOURCE_REF
from mm_assets.schemas.table import Column, Table

__all__ = ["SOURCE_REF", "TABLES", "Column", "Table"]

TABLES: Final[dict[str, Table]] = {
    table.name: table
    for module in (
        raw_pools,
        cleaned,
        media,
        speech,
        documents,
        features,
        segments,
        objects,
        hard_negatives,
        gates,
        samples,
        ledgers,
    )
    for table in module.TABLES
}
