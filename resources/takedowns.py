"""The ledger of takedowns: what was ordered, what it blocks, and what is still to be carried out."""

import json
import time

import dagster as dg
import polars as pl

from mm_assets.errors import LineageError
from mm_assets.lineage.selectors import Choice, find_records, hash_value
from mm_assets.lineage.takedowns import DONE, ORDERED, RECORD, Blocks, open_takedowns, read_blocks, records_of
from mm_assets.schemas import TABLES
from resources.delta_lake import DeltaLake

TABLE = "takedowns"


def blocks_of(lake: DeltaLake) -> Blocks:
    """What readers turn away now."""
    return read_blocks(lake.scan(TABLE).collect())


class Takedowns(dg.ConfigurableResource):
    """Reads and appends to ``takedowns``."""

    lake: dg.ResourceDependency[DeltaLake]

    def order(self, choice: Choice, by: str, reason: str) -> str:
        """Record a takedown and the records that fall under it now; from here on they are blocked.

        Ordered again, it takes in what came since.

        Args:
            choice: what to forget.
            by: who orders it.
            reason: why.

        Raises:
            LineageError: no name or no reason is given, or the record does not exist and was not forgotten before.
        """
        if not by.strip() or not reason.strip():
            raise LineageError("a takedown needs a name (--by) and a reason (--reason)")
        earlier = self._of(choice.takedown_id)
        try:
            found = find_records(self.lake, choice)
        except LineageError:
            if earlier.is_empty():
                raise
            found = pl.DataFrame(schema={"batch": pl.String, "record_id": pl.String, "content_hash": pl.String})
        new = found.filter(~pl.col("record_id").is_in(earlier["record_id"].drop_nulls().implode()))
        usual = {
            "takedown_id": choice.takedown_id,
            "selector": choice.selector.value,
            "selector_hash": hash_value(choice.value),
            "by": by.strip(),
            "reason": reason.strip(),
            "at_us": time.time_ns() // 1_000,
        }
        rows = [{"event": ORDERED} | usual]
        rows += [
            {"event": RECORD} | usual | row
            for row in new.select("batch", "record_id", "content_hash").iter_rows(named=True)
        ]
        self.lake.append(TABLE, pl.DataFrame(rows, schema=TABLES[TABLE].schema))
        return choice.takedown_id

    def _of(self, takedown_id: str) -> pl.DataFrame:
        return self.lake.scan(TABLE).filter(pl.col("takedown_id") == takedown_id).collect()

    def known(self) -> set[str]:
        """Every takedown that was ever ordered."""
        return set(self.lake.scan(TABLE).select("takedown_id").unique().collect()["takedown_id"])

    def open(self) -> list[str]:
        """Takedowns that were ordered and not carried out to their end, oldest first."""
        return open_takedowns(self.lake.scan(TABLE).collect())

    def records(self, takedown_id: str) -> list[str]:
        """Ids of the records of a takedown."""
        return list(records_of(self._of(takedown_id), takedown_id))

    def batches(self, takedown_id: str) -> list[str]:
        """Batches of its records, sorted."""
        return sorted(self._of(takedown_id)["batch"].drop_nulls().unique())

    def close(self, takedown_id: str, rows: dict[str, int]) -> None:
        """Record that a takedown was carried out, and how many rows went from each table."""
        first = self._of(takedown_id).filter(pl.col("event") == ORDERED).sort("at_us").tail(1).to_dicts()[0]
        done = first | {
            "event": DONE,
            "rows_json": json.dumps(rows, sort_keys=True),
            "at_us": max(time.time_ns() // 1_000, first["at_us"] + 1),
        }
        self.lake.append(TABLE, pl.DataFrame([done], schema=TABLES[TABLE].schema))
