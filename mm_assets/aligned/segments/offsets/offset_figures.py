"""Figures of the offset gate: how late each clip of a batch is, and how late batches were one after the other."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from mm_assets.display.counts import tell_count
from mm_assets.display.figures import BLUE, GREY, ORANGE, open_figure, save_png, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRACKS: Final = ("cues", "cues_speech", "cues_words", "audio_video")
"""What tolerances are asked for."""
AFFECTED: Final = "crimson"
_TOLD: Final = {"cues": "cues against speech", "audio_video": "sound against pictures"}
_BY: Final = {"cues_speech": "speech", "cues_words": "words", "audio_video": "onsets and motion"}
_MARKERS: Final = {"cues_speech": "o", "cues_words": "D", "cues": "o", "audio_video": "s"}
_MAX_NAMES: Final = 40
_MAX_BATCHES: Final = 60
_LEGEND: Final[Mapping[str, Any]] = {"frameon": False, "fontsize": 8, "loc": "lower left", "borderaxespad": 0.1}


def draw_clip_offsets(rows: pl.DataFrame, tolerances_us: Mapping[str, int], names: Mapping[str, str]) -> bytes:
    """How late the tracks of each clip are, with intervals, beside what the task bears.

    Args:
        rows: rows of ``clip_offsets`` of one batch in the order to show.
        tolerances_us: displacement that each pair of tracks may have, by ``tracks``.
        names: what to call clips, by id; others are called by their ids.

    Returns:
        A PNG, one panel per kind of tracks: cues above, sound against pictures below.
    """
    order = {clip_id: place for place, clip_id in enumerate(rows["clip_id"].unique(maintain_order=True))}
    parts = [
        ("cues", rows.filter(pl.col("tracks") != "audio_video")),
        ("audio_video", rows.filter(pl.col("tracks") == "audio_video")),
    ]
    parts = [(kind, part) for kind, part in parts if part.height]
    width = float(np.clip(2.4 + 0.42 * len(order), 8.0, 13.0))
    title = f"How late each clip is, of {tell_count(len(order), 'clip')}"
    figure, axes = open_figure(width=width, height=max(3.0, 0.6 + 2.9 * len(parts)), title=title)
    if not parts:
        say(axes, "no clip has two tracks to compare")
        return save_png(figure)
    axes.remove()
    panels: list[Axes] = figure.subplots(len(parts), 1, sharex=True, squeeze=False)[:, 0].tolist()
    for panel, (kind, part) in zip(panels, parts, strict=True):
        panel.set_title(_TOLD[kind].capitalize(), fontsize=10, pad=20, loc="left")
        _draw_clips(panel, part.to_dicts(), tolerances_us, order)
    if len(order) <= _MAX_NAMES:
        told = [names.get(clip_id, clip_id) for clip_id in order]
        panels[-1].set_xticks(range(len(order)), told, rotation=40, ha="right", fontsize=8)
    panels[-1].set_xlim(-0.7, len(order) - 0.3)
    panels[-1].set_xlabel("clip, in the order of the delivery")
    return save_png(figure)


def _draw_clips(
    axes: "Axes",
    rows: list[dict[str, Any]],
    tolerances_us: Mapping[str, int],
    order: Mapping[str, int],
) -> None:
    tolerance = max(tolerances_us[row["tracks"]] for row in rows) / 1e6
    axes.axhspan(-tolerance, tolerance, color=ORANGE, alpha=0.18, lw=0, label=f"within ±{tolerance * 1e3:.0f} ms")
    axes.axhline(0.0, color=GREY, lw=0.8)
    judged = [row for row in rows if row["offset_us"] is not None]
    is_held = [
        row["affected"] and (row["timing"] != "in_place" or abs(row["offset_us"]) > tolerance * 1e6) for row in judged
    ]
    for held, colour, told in ((False, BLUE, "judged"), (True, AFFECTED, "affected")):
        for tracks in dict.fromkeys(row["tracks"] for row in judged):
            chosen = [row for row, hit in zip(judged, is_held, strict=True) if hit == held and row["tracks"] == tracks]
            if not chosen:
                continue
            place = [order[row["clip_id"]] for row in chosen]
            value, low, high = (
                np.array([row[name] for row in chosen]) / 1e6
                for name in ("offset_us", "offset_low_us", "offset_high_us")
            )
            marker = "X" if held else _MARKERS[tracks]
            bars = [np.maximum(value - low, 0.0), np.maximum(high - value, 0.0)]
            label = f"{told}, by {_BY[tracks]}"
            axes.errorbar(place, value, bars, fmt=marker, color=colour, ms=7, capsize=3, lw=1.2, label=label)
    silent = [order[row["clip_id"]] for row in rows if row["offset_us"] is None]
    if silent:
        axes.plot(silent, [0.0] * len(silent), marker="|", ms=9, ls="", color=GREY, label="cannot tell")
    for row in judged:
        if row["timing"] in {"drift", "reversed"}:
            at = (order[row["clip_id"]], row["offset_us"] / 1e6)
            axes.annotate(row["timing"], at, (4, 6), textcoords="offset points", fontsize=7, color=AFFECTED)
    axes.set_ylabel("late by, s")
    axes.margins(y=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(**_LEGEND, ncols=5, bbox_to_anchor=(0.0, 1.0))


def history_rows(verdicts: pl.DataFrame, tolerances_us: Mapping[str, int]) -> pl.DataFrame:
    """What batches came to, one row per batch and pair of tracks that could be judged.

    Args:
        verdicts: rows of ``segment_offsets`` in the order to show.
        tolerances_us: of ``cues`` and ``audio_video``.
    """
    found: list[dict[str, Any]] = []
    for row in verdicts.iter_rows(named=True):
        for timing in json.loads(row["diagnosis_json"]).get("timings", []):
            if timing["median_offset_ms"] is None:
                continue
            low, high = timing["median_interval_ms"]
            found.append(
                {
                    "batch": row["batch"],
                    "passed": row["passed"],
                    "proven": timing["proven"],
                    "tracks": timing["tracks"],
                    "offset_us": timing["median_offset_ms"] * 1e3,
                    "low_us": low * 1e3,
                    "high_us": high * 1e3,
                    "tolerance_us": float(tolerances_us[timing["tracks"]]),
                }
            )
    numbers = dict.fromkeys(("offset_us", "low_us", "high_us", "tolerance_us"), pl.Float64)
    schema = {"batch": pl.String, "passed": pl.Boolean, "proven": pl.Boolean, "tracks": pl.String, **numbers}
    return pl.DataFrame(found, schema=schema)


def draw_offset_history(verdicts: pl.DataFrame, tolerances_us: Mapping[str, int]) -> bytes:
    """Median offset of each batch with its interval; what is displaced is marked, and the names of failed batches.

    Args:
        verdicts: rows of ``segment_offsets`` in the order to show; the last 60 batches are drawn.
        tolerances_us: displacement that ``cues`` and ``audio_video`` may have.

    Returns:
        A PNG.
    """
    rows = history_rows(verdicts, tolerances_us)
    shown = rows["batch"].unique(maintain_order=True).tail(_MAX_BATCHES).to_list()
    order = {batch: place for place, batch in enumerate(shown)}
    figure, axes = open_figure(width=max(7.0, 2.4 + 0.42 * len(shown)), height=3.8, title="Median offset of each batch")
    if not shown:
        say(axes, "no batch could be judged")
        return save_png(figure)
    axes.axhline(0.0, color=GREY, lw=0.8)
    for tracks, shift in (("cues", -0.14), ("audio_video", 0.14)):
        for proven, colour in ((False, BLUE), (True, AFFECTED)):
            chosen = rows.filter(
                pl.col("batch").is_in(shown), pl.col("tracks") == tracks, pl.col("proven") == pl.lit(proven)
            )
            if chosen.is_empty():
                continue
            place = [order[batch] + shift for batch in chosen["batch"]]
            value, low, high = (chosen[name].to_numpy() / 1e6 for name in ("offset_us", "low_us", "high_us"))
            bars = [np.maximum(value - low, 0.0), np.maximum(high - value, 0.0)]
            label = f"{_TOLD[tracks]}, {'displaced' if proven else 'in place'}"
            marker = "X" if proven else _MARKERS[tracks]
            axes.errorbar(place, value, bars, fmt=marker, color=colour, ms=7, capsize=3, lw=1.2, label=label)
    for number, row in enumerate(rows.filter(pl.col("batch").is_in(shown)).iter_rows(named=True)):
        at = order[row["batch"]] + (-0.14 if row["tracks"] == "cues" else 0.14)
        half = row["tolerance_us"] / 1e6
        label = None if number else "tolerance"
        axes.plot([at, at], [-half, half], color=ORANGE, alpha=0.35, lw=6, solid_capstyle="butt", zorder=0, label=label)
    axes.set_xticks(range(len(shown)), shown, rotation=40, ha="right", fontsize=8)
    failed = set(rows.filter(~pl.col("passed"))["batch"])
    for label, batch in zip(axes.get_xticklabels(), shown, strict=True):
        label.set_color(AFFECTED if batch in failed else "black")
    axes.set_xlim(-0.6, len(shown) - 0.4)
    axes.margins(y=0.15)
    axes.set_ylabel("late by, s")
    axes.set_title("Median offset of each batch", fontsize=10, pad=36, loc="left")
    axes.legend(**_LEGEND, ncols=2, bbox_to_anchor=(0.0, 1.0))
    return save_png(figure)
