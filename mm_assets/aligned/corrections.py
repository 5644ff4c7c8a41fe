# pyright: strict
"""The correction layer: append-only events that undo diagnosed faults, beside data that stays as it was delivered.

What a correction does to rows is told by its level: :mod:`mm_assets.aligned.objects.boxes.corrections` and
:mod:`mm_assets.aligned.segments.offsets.time_corrections`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import polars as pl

from mm_assets.aligned.objects.boxes import corrections as of_boxes
from mm_assets.aligned.segments.offsets import time_corrections as of_times
from mm_assets.errors import ContractError
from mm_assets.identifiers import make_id
from mm_assets.schemas import TABLES
from mm_assets.steps import BOX_CORRECTIONS, CUE_CORRECTIONS, SOUND_CORRECTIONS

APPLIED: Final = "applied"
WITHDRAWN: Final = "withdrawn"
_CHECKS: Final[dict[str, Callable[[str, str], str]]] = {
    of_boxes.LEVEL: of_boxes.check_correction,
    of_times.LEVEL: of_times.check_correction,
}


def make_correction(
    *,
    batch: str,
    level: str,
    kind: str,
    parameters: Mapping[str, object],
    rows: Sequence[str],
    evaluation_id: str,
    by: str,
    reason: str,
    at_us: int,
) -> pl.DataFrame:
    """One ``applied`` event, a row of ``corrections``.

    Its id hashes batch, level, kind, parameters and rows, so applying the same correction twice has one effect.

    Args:
        batch: the batch.
        level: object or segment.
        kind: the fault that is undone.
        parameters: its parameters.
        rows: ids of the rows that have it (``box_id``, ``clip_id``), in any order; empty for all rows of the batch.
        evaluation_id: the verdict whose diagnosis it follows.
        by: who applies it.
        reason: why.
        at_us: when, microseconds since 1970 UTC.

    Raises:
        ContractError: level, kind or parameters are unknown, or ``by`` or ``reason`` is blank.
    """
    if not by.strip() or not reason.strip():
        raise ContractError(f"correction {kind} of {batch}: who applies it and why must be said; pass by and reason")
    if level not in _CHECKS:
        raise ContractError(f"correction {kind} of {batch}: level {level!r} is unknown; use one of {sorted(_CHECKS)}")
    encoded = _CHECKS[level](kind, msgspec.json.encode(dict(parameters), order="sorted").decode())
    corrected = sorted(set(rows))
    event = {
        "event": APPLIED,
        "correction_id": make_id("cor", batch, level, kind, encoded, *corrected),
        "evaluation_id": evaluation_id,
        "batch": batch,
        "level": level,
        "kind": kind,
        "parameters_json": encoded,
        "rows": corrected,
        "by": by.strip(),
        "reason": reason.strip(),
        "at_us": at_us,
    }
    return pl.DataFrame([event], schema=TABLES["corrections"].schema)


def withdraw_correction(applied: pl.DataFrame, *, by: str, reason: str, at_us: int) -> pl.DataFrame:
    """The events that take corrections back.

    Args:
        applied: ``applied`` rows of ``corrections``, as of `active_corrections`.
        by: who.
        reason: why.
        at_us: when, microseconds since 1970 UTC.

    Raises:
        ContractError: ``by`` or ``reason`` is blank.
    """
    if not by.strip() or not reason.strip():
        raise ContractError("who withdraws a correction and why must be said; pass by and reason")
    return applied.with_columns(
        event=pl.lit(WITHDRAWN), by=pl.lit(by.strip()), reason=pl.lit(reason.strip()), at_us=pl.lit(at_us, pl.Int64)
    )


def active_corrections(events: pl.DataFrame) -> pl.DataFrame:
    """The corrections in force, oldest first: those whose last event applied them.

    Args:
        events: rows of ``corrections``. Of events at the same microsecond the later row counts.
    """
    latest = events.sort("at_us", maintain_order=True).unique("correction_id", keep="last", maintain_order=True)
    return latest.filter(pl.col("event") == APPLIED)


def layer_part(event: Mapping[str, Any]) -> str:
    """The part of the correction layer (see `mm_assets.steps.CORRECTIONS`) that an event, one of its rows, is in."""
    if event["level"] == of_boxes.LEVEL:
        return BOX_CORRECTIONS
    side = of_times.read_parameters(event["kind"], event["parameters_json"]).side
    return SOUND_CORRECTIONS if side == "audio" else CUE_CORRECTIONS
