# pyright: strict
"""Corrections of times and pointers: events of the layer ``corrections`` at level ``segment``, and what they do.

============================ =============================== ====================================================
kind                         parameters                      undoes
============================ =============================== ====================================================
``time_shift``               side, offset_us                 a track that shows everything so much later
``time_rate``                side, rate, offset_us           a track that runs at a rate, from an offset on
``cue_order_reversal``       side                            texts of cues in reversed order at unchanged times
``pointer_shift``            side, k, wrap                   attachments of row i that belong to clip i + k
``pointer_reversal``         side, rows_sum                  attachments of row i that belong to clip rows_sum - i
============================ =============================== ====================================================

A correction is proposed by a verdict, made an event by
:func:`mm_assets.aligned.corrections.make_correction` and applied to the delivered rows again and again,
oldest first. Nothing that was delivered is touched.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from mm_assets.aligned.segments.offsets.pointers import restore_sources
from mm_assets.aligned.segments.offsets.timed_tracks import Booleans
from mm_assets.errors import ContractError

LEVEL: Final = "segment"
TIME_SHIFT: Final = "time_shift"
TIME_RATE: Final = "time_rate"
CUE_ORDER: Final = "cue_order_reversal"
POINTER_KINDS: Final = ("pointer_shift", "pointer_reversal")
KINDS: Final = (TIME_SHIFT, TIME_RATE, CUE_ORDER, *POINTER_KINDS)


class TimeShift(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``time_shift``: how much later the track shows everything, microseconds."""

    side: str
    offset_us: int


class TimeRate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``time_rate``: track seconds per clip second, and the offset at the clip's start, microseconds."""

    side: str
    rate: float
    offset_us: int


class CueOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``cue_order_reversal``."""

    side: str


class PointerShift(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``pointer_shift``: rows further, and whether what fell off one end came back at the other."""

    side: str
    k: int
    wrap: bool = False


class PointerReversal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of ``pointer_reversal``: first plus last position of the reversed rows."""

    side: str
    rows_sum: int


Parameters = TimeShift | TimeRate | CueOrder | PointerShift | PointerReversal
_TYPES: Final[dict[str, type[Parameters]]] = {
    TIME_SHIFT: TimeShift,
    TIME_RATE: TimeRate,
    CUE_ORDER: CueOrder,
    "pointer_shift": PointerShift,
    "pointer_reversal": PointerReversal,
}


@dataclass(frozen=True)
class ProposedCorrection:
    """What would undo a diagnosed fault.

    Attributes:
        kind: one of the kinds above.
        parameters: its parameters.
        rows: ids of the clips that have the fault.
    """

    kind: str
    parameters: dict[str, Any]
    rows: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON-able form."""
        return {"kind": self.kind, "parameters": self.parameters, "rows": list(self.rows)}


def read_parameters(kind: str, parameters_json: str) -> Parameters:
    """Check the parameters of a correction.

    Raises:
        ContractError: the kind is unknown, a parameter is missing, unknown or of no effect.

    >>> read_parameters("time_shift", '{"side": "subtitles", "offset_us": 800000}')
    TimeShift(side='subtitles', offset_us=800000)
    """
    if kind not in _TYPES:
        raise ContractError(f"correction {kind!r} of segments is unknown; use one of {sorted(_TYPES)}")
    try:
        found = msgspec.json.decode(parameters_json, type=_TYPES[kind])
    except msgspec.DecodeError as error:
        raise ContractError(f"{kind}: parameters {parameters_json[:80]!r}: {error}; pass those of the table") from error
    if isinstance(found, TimeRate) and not found.rate > 0.0:
        raise ContractError(f"time_rate: rate {found.rate} is not positive; pass track seconds per clip second")
    return found


def check_correction(kind: str, parameters_json: str) -> str:
    """Parameters of a correction of times or pointers as they are stored.

    Raises:
        ContractError: kind or parameters are unknown.
    """
    return msgspec.json.encode(read_parameters(kind, parameters_json), order="sorted").decode()


def correct_times(rows: pl.DataFrame, corrections: pl.DataFrame, side: str = "subtitles") -> pl.DataFrame:
    """Undo diagnosed faults of cue times, or of the times of a sound track.

    Args:
        rows: columns batch, clip_id, clip_start_us (global time of the clip's start), start_us, end_us and, for
            reversed cues, text; cues of a clip in file order.
        corrections: rows of ``corrections`` in force, oldest first; others than of this side and level are left out.
        side: subtitles or audio.

    Returns:
        The rows in their order with start_us, end_us and text corrected; ``correction_id`` is that of the last
        correction that changed a row, or null.
    """
    found = rows.with_columns(correction_id=pl.lit(None, dtype=pl.String))
    for event, parameters in _in_force(corrections, side):
        acts = _acts(event)
        if isinstance(parameters, TimeShift | TimeRate):
            rate = parameters.rate if isinstance(parameters, TimeRate) else 1.0
            start = pl.col("clip_start_us")
            restored = [
                ((pl.col(name) - start - parameters.offset_us) / rate).round().cast(pl.Int64) + start
                for name in ("start_us", "end_us")
            ]
            changes = {"start_us": restored[0], "end_us": pl.max_horizontal(restored[1], restored[0] + 1)}
        elif isinstance(parameters, CueOrder):
            changes = {"text": pl.col("text").reverse().over("batch", "clip_id")}
        else:
            continue
        changes["correction_id"] = pl.lit(event["correction_id"])
        found = found.with_columns(
            pl.when(acts).then(value).otherwise(pl.col(name)).alias(name) for name, value in changes.items()
        )
    return found


def sound_shifts(clips: pl.DataFrame, corrections: pl.DataFrame) -> pl.DataFrame:
    """How much later than it happens each clip's sound is heard, as corrections say.

    A rate of sound is not corrected here: the sound itself would have to be made again.

    Args:
        clips: columns batch and clip_id.
        corrections: rows of ``corrections`` in force, oldest first; others than of sound are left out.

    Returns:
        The rows in their order with ``sound_shift_us``, 0 where nothing is corrected.
    """
    shift = pl.lit(0, dtype=pl.Int64)
    for event, parameters in _in_force(corrections, "audio"):
        if isinstance(parameters, TimeShift):
            shift = shift + pl.when(_acts(event)).then(parameters.offset_us).otherwise(0)
    return clips.with_columns(sound_shift_us=shift)


def correct_pointers(
    rows: pl.DataFrame, corrections: pl.DataFrame, column: str, side: str = "subtitles"
) -> pl.DataFrame:
    """Lead displaced pointers to what belongs to their clips.

    Args:
        rows: one batch as delivered, rejected clips included: batch, clip_id, position and the pointer's column.
        corrections: rows of ``corrections`` in force, oldest first; others than of this side and level are left out.
        column: the pointer, such as subtitles or audio.
        side: subtitles or audio.

    Returns:
        The rows in their order with the pointer corrected; null where a displaced clip's own attachment is nowhere in
        the batch. ``correction_id`` is that of the last correction that changed a row, or null.

    Raises:
        ContractError: positions repeat, or rows of several batches are given.
    """
    if rows["batch"].n_unique() > 1 or rows["position"].n_unique() < len(rows):
        raise ContractError("pointers are corrected one batch at a time, each delivery position once")
    found = rows.with_columns(correction_id=pl.lit(None, dtype=pl.String))
    positions = rows["position"].to_numpy().astype(np.int64)
    last = int(positions.max()) + 1 if len(rows) else 0
    at = np.full(last, -1, dtype=np.int64)
    at[positions] = np.arange(len(rows))
    for event, parameters in _in_force(corrections, side):
        if not isinstance(parameters, PointerShift | PointerReversal):
            continue
        named: Booleans = np.zeros(last, dtype=np.bool_)
        named[positions] = rows.select(_acts(event)).to_series().to_numpy()
        sources = restore_sources(event["kind"], msgspec.structs.asdict(parameters), named)[positions]
        taken = np.where(sources >= 0, at[sources], -1)
        moved = pl.Series(named[positions])
        pointers = found[column].gather(pl.Series(np.where(taken >= 0, taken, 0), dtype=pl.UInt32))
        there = pl.Series(taken >= 0)
        found = found.with_columns(
            pl.when(there).then(pointers).otherwise(None).alias(column),
            correction_id=pl.when(moved).then(pl.lit(event["correction_id"])).otherwise(pl.col("correction_id")),
        )
    return found


def _in_force(corrections: pl.DataFrame, side: str) -> Iterator[tuple[dict[str, Any], Parameters]]:
    for event in corrections.iter_rows(named=True):
        if event["level"] == LEVEL:
            parameters = read_parameters(event["kind"], event["parameters_json"])
            if parameters.side == side:
                yield event, parameters


def _acts(event: dict[str, Any]) -> pl.Expr:
    """Which rows a correction acts on; one without rows acts on its whole batch."""
    of_batch = pl.col("batch") == event["batch"]
    return of_batch & pl.col("clip_id").is_in(event["rows"]) if event["rows"] else of_batch
