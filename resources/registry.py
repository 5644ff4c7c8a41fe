"""The order in which batches arrived, and which earlier ones each is compared with."""

import dagster as dg
import polars as pl

from mm_assets.errors import ContractError
from mm_assets.schemas import TABLES
from resources.delta_lake import DeltaLake

_APPLICATION = "registry"
IMAGES, TEXTS, DOCUMENTS = "batches", "text_batches", "document_batches"


class BatchRegistry(dg.ConfigurableResource):
    """An append-only register, serialised by Delta's transaction identifiers.

    A batch registers after its fingerprints are committed, so whoever comes later sees them. The earlier batches it
    is compared with are written down once: a rerun compares with the same ones and gives the same answer. Batches
    held at that moment are left out, so that a corrected delivery is not thrown away as a copy of the spoiled one.
    Images, texts and documents have a register each: they are fingerprinted by different steps.
    """

    lake: dg.ResourceDependency[DeltaLake]

    def register(self, batch: str, source: str, license_name: str, held: set[str], register: str = IMAGES) -> list[str]:
        """Register the batch if it is new; returns the batches it is compared with, oldest first."""
        while True:
            expected = self.lake.transaction(register, _APPLICATION)
            known = self.lake.scan(register).sort("sequence").collect()
            mine = known.filter(pl.col("batch") == batch)
            if mine.height:
                return mine["compared_with"][0].to_list()
            earlier = [name for name in known["batch"].to_list() if name not in held]
            row = {
                "batch": batch,
                "sequence": expected + 1,
                "source": source,
                "license": license_name,
                "compared_with": earlier,
            }
            rows = pl.DataFrame([row], schema=TABLES[register].schema)
            if self.lake.append_once(register, rows, expected_version=expected, application=_APPLICATION):
                return earlier

    def of_same_source(self, batch: str) -> tuple[str, list[str]]:
        """Source of a registered batch, and the batches of that source registered before it, oldest first.

        Raises:
            ContractError: the batch is not registered; cleaning does that.
        """
        known = self.lake.scan("batches").sort("sequence").collect()
        mine = known.filter(pl.col("batch") == batch).to_dicts()
        if not mine:
            raise ContractError(f"batch {batch!r} is not registered; materialize its images first")
        source = mine[0]["source"]
        earlier = known.filter((pl.col("source") == source) & (pl.col("sequence") < mine[0]["sequence"]))
        return source, earlier["batch"].to_list()
