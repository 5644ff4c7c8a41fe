"""Partitioned asset checks. Dagster calls them a preview; only this module knows their API."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from mm_assets.partitions import batches, releases

CheckBody = Callable[..., dg.AssetCheckResult]


def batch_check(asset: str, *, blocking: bool = True) -> Callable[[CheckBody], dg.AssetChecksDefinition]:
    """Declare a check that runs per batch; its name is the function's, its description the docstring."""
    return _partitioned(asset, batches, blocking=blocking)


def release_check(asset: str, *, blocking: bool = True) -> Callable[[CheckBody], dg.AssetChecksDefinition]:
    """Declare a check that runs per release."""
    return _partitioned(asset, releases, blocking=blocking)


def _partitioned(
    asset: str, partitions: dg.PartitionsDefinition, *, blocking: bool
) -> Callable[[CheckBody], dg.AssetChecksDefinition]:
    def declare(body: CheckBody) -> dg.AssetChecksDefinition:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=dg.PreviewWarning)
            return dg.asset_check(asset=asset, partitions_def=partitions, blocking=blocking, description=body.__doc__)(
                body
            )

    return declare


def judged(
    *,
    passed: bool,
    measured: float | None,
    threshold: float | None,
    description: str,
    code: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    """A check result with measured value, threshold and code in their usual places."""
    shown: dict[str, Any] = {"measured": measured, "threshold": threshold, "code": code}
    return dg.AssetCheckResult(
        passed=passed,
        severity=severity,
        description=description,
        metadata={name: value for name, value in shown.items() if value is not None} | dict(metadata or {}),
    )
