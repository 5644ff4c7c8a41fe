"""The cost ledger: what every model call of a batch consumed, and what is left of its budget."""

import contextlib
import time
from collections.abc import Iterator

import dagster as dg
import polars as pl

from mm_assets.gates.verdicts import GateVerdict, budget_verdict
from mm_assets.models import ModelIdentity
from mm_assets.policy import BudgetPolicy
from mm_assets.schemas import TABLES
from resources.delta_lake import DeltaLake
from resources.policy_file import PolicyFile


def price(policy: BudgetPolicy, unit: str, units: float) -> float:
    """Price of model calls in the policy's currency.

    Raises:
        KeyError: the unit has no price.
    """
    per_unit = {
        "images": policy.price_per_1000_images / 1_000,
        "texts": policy.price_per_1000_texts / 1_000,
        "tokens": policy.price_per_1000_tokens / 1_000,
        "pairs": policy.price_per_1000_pairs / 1_000,
        "requests": policy.price_per_1000_requests / 1_000,
        "seconds": policy.price_per_audio_second,
        "codes": policy.price_per_1000_codes / 1_000,
    }
    return per_unit[unit] * units


class Meter:
    """Adds up the busy seconds and units of one step's model calls."""

    def __init__(self) -> None:
        self.units = 0.0
        self.device_seconds = 0.0

    def add(self, units: float, seconds: float) -> None:
        """Count one model call."""
        self.units += units
        self.device_seconds += seconds


class Costs(dg.ConfigurableResource):
    """Estimates, meters and records what batches cost."""

    lake: dg.ResourceDependency[DeltaLake]
    policy_file: dg.ResourceDependency[PolicyFile]

    def spent(self, batch: str) -> float:
        """What the batch has cost so far."""
        rows = self.lake.snapshot("costs").filter(pl.col("batch") == batch)
        return float(rows["price"].sum())

    def estimate(self, batch: str, asset: str, unit: str, units: float) -> GateVerdict:
        """Compare a step's estimated price with what the batch has left."""
        policy = self.policy_file.policy.budget
        return budget_verdict(
            batch,
            asset,
            estimate=price(policy, unit, units),
            spent=self.spent(batch),
            budget=policy.per_batch,
            currency=policy.currency,
        )

    def affordable(self, batch: str, unit: str, most: int) -> int:
        """How many units, up to a number, the batch's budget still allows."""
        policy = self.policy_file.policy.budget
        each = price(policy, unit, 1.0)
        left = max(0.0, policy.per_batch - self.spent(batch))
        return most if each * most <= left else int(left / each)

    @contextlib.contextmanager
    def metered(
        self, context: dg.AssetExecutionContext, asset: str, model: ModelIdentity, unit: str, device: str
    ) -> Iterator[Meter]:
        """Record what the block's model calls consumed, also when it fails half way."""
        meter = Meter()
        try:
            yield meter
        finally:
            if meter.units:
                self._record(context, asset, str(model), unit, device, meter)

    def _record(
        self, context: dg.AssetExecutionContext, asset: str, model: str, unit: str, device: str, meter: Meter
    ) -> None:
        row = {
            "batch": context.partition_key,
            "asset": asset,
            "model": model,
            "unit": unit,
            "units": meter.units,
            "device": device,
            "device_seconds": meter.device_seconds,
            "price": price(self.policy_file.policy.budget, unit, meter.units),
            "run_id": context.run.run_id,
            "at_us": time.time_ns() // 1_000,
        }
        self.lake.append("costs", pl.DataFrame([row], schema=TABLES["costs"].schema))
