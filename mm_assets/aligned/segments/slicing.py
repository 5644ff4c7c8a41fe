"""Cut long clips into pieces at pauses and shot boundaries, never inside a word or a cue.

The pieces of a clip tile it: the first starts where it starts, each starts where the one before ends, the last ends
where it ends, to the microsecond.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.errors import InputError
from mm_assets.identifiers import make_id
from mm_assets.policy import SlicingPolicy
from mm_assets.schemas import TABLES

Cut = Literal["end", "shot", "silence", "gap", "forced"]
_KINDS: Final[tuple[Cut, ...]] = ("shot", "silence", "gap", "forced")
_KIND_COSTS: Final = np.array([0.0, 0.1, 0.4, 1.0])  # a gap between words may lie in the middle of a breath
_EDGE_COST: Final = 0.4  # where a word ends its sound may not
_PIECE_COST: Final = 1.0
_SHORT_COST: Final = 2.0
Spans = NDArray[np.int64]


@dataclass(frozen=True)
class Piece:
    """A part of a clip, and why it ends where it does.

    Attributes:
        start_us: on the clip's clock.
        end_us: on the clip's clock.
        cut: ``end`` of the clip, ``shot`` boundary, ``silence``, ``gap`` between words or cues, or ``forced``.
    """

    start_us: int
    end_us: int
    cut: Cut


def slice_clip(
    start_us: int, end_us: int, *, busy: Spans, pauses: Spans, shots: NDArray[np.int64], policy: SlicingPolicy
) -> list[Piece]:
    """Cut a clip into as few pieces as the policy's length allows, at the best of the places where it may be cut.

    A place may be a shot boundary, the middle of a pause, or a gap between words and cues; none lies inside one of
    these. Where nothing is said for longer than half a piece it may be cut anywhere: ``forced``. So a piece is longer
    than the policy's length only if it is one word, cue, or run of overlapping ones that is.

    Args:
        start_us: of the clip.
        end_us: of the clip.
        busy: start and end of every word and cue, in any order, overlapping or not, shape (N, 2).
        pauses: start and end of every pause, shape (M, 2).
        shots: start of every shot, shape (K,).
        policy: longest and shortest pieces.

    Raises:
        InputError: code ``CLIP_DURATION``, the clip does not end behind its start.
    """
    if end_us <= start_us:
        raise InputError("CLIP_DURATION", f"a clip from {start_us} to {end_us} us has no duration; measure it again")
    longest, shortest = round(policy.piece_seconds * 1e6), round(policy.min_piece_seconds * 1e6)
    if end_us - start_us <= round(policy.max_seconds * 1e6):
        return [Piece(start_us, end_us, "end")]
    busy = merge_spans(busy)
    places, kinds, costs = _places(start_us, end_us, busy, pauses, shots, longest)
    chosen = _choose(start_us, end_us, places, costs, longest, shortest)
    edges = [start_us, *places[chosen].tolist(), end_us]
    cuts: list[Cut] = [*(_KINDS[kind] for kind in kinds[chosen]), "end"]
    return [Piece(first, last, cut) for first, last, cut in zip(edges[:-1], edges[1:], cuts, strict=True)]


def merge_spans(spans: Spans) -> Spans:
    """Join spans that overlap or touch nothing between; sorted, apart, shape (M, 2).

    >>> merge_spans(np.array([[5, 9], [0, 3], [2, 4]])).tolist()
    [[0, 4], [5, 9]]
    """
    spans = spans.reshape(-1, 2)
    spans = spans[spans[:, 1] > spans[:, 0]]
    if not len(spans):
        return np.zeros((0, 2), np.int64)
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    reach = np.maximum.accumulate(spans[:, 1])
    first = np.concatenate(([True], spans[1:, 0] >= reach[:-1]))
    last = np.append(first[1:], True)
    return np.stack((spans[first, 0], reach[last]), axis=1).astype(np.int64)


def _places(
    start_us: int, end_us: int, busy: Spans, pauses: Spans, shots: NDArray[np.int64], longest: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Every place where the clip may be cut, increasing, with the best kind of each and its cost."""
    free = _free_spans(start_us, end_us, busy)
    quiet = _intersect(merge_spans(pauses), free)
    silences = quiet.mean(axis=1).astype(np.int64) if len(quiet) else np.zeros(0, np.int64)
    # Outside words and cues every place will do: middles and ends of gaps, and steps through long ones.
    gaps = free.mean(axis=1).astype(np.int64) if len(busy) else np.zeros(0, np.int64)
    edges = free.reshape(-1)
    steps = [np.arange(a + longest // 2, b, longest // 2) for a, b in free.tolist() if b - a > longest // 2]
    forced = np.concatenate(steps) if steps else np.zeros(0, np.int64)
    of_kind = (shots.astype(np.int64), silences, np.concatenate((gaps, edges)), forced)
    places = np.concatenate(of_kind)
    kinds = np.repeat(np.arange(len(_KINDS)), [len(found) for found in of_kind])
    costs = _KIND_COSTS[kinds]
    at_edge = len(shots) + len(silences) + len(gaps)
    costs[at_edge : at_edge + len(edges)] += _EDGE_COST
    inside = (places > start_us) & (places < end_us) & ~_within(places, busy)
    places, kinds, costs = places[inside], kinds[inside], costs[inside]
    order = np.lexsort((costs, places))
    places, kinds, costs = places[order], kinds[order], costs[order]
    first = np.concatenate(([True], np.diff(places) > 0))[: len(places)]
    return places[first], kinds[first], costs[first]


def _choose(
    start_us: int, end_us: int, places: NDArray[np.int64], costs: NDArray[np.float64], longest: int, shortest: int
) -> NDArray[np.int64]:
    """The cheapest way through the places by dynamic programming: pieces too long last of all, then their number."""
    nodes = np.concatenate(([start_us], places, [end_us]))
    arrival = np.concatenate(([0.0], costs, [0.0]))
    best = np.zeros(len(nodes))
    came_from = np.zeros(len(nodes), np.int64)
    for node in range(1, len(nodes)):
        earliest = int(np.searchsorted(nodes, nodes[node] - longest))
        # If no place lies within reach the piece is too long; the shortest such starts at the place just before.
        origins = np.arange(earliest, node) if earliest < node else np.array([node - 1])
        lengths = nodes[node] - nodes[origins]
        short = np.clip((shortest - lengths) / max(1, shortest), 0.0, 1.0)
        over = len(nodes) * 10.0 * (lengths > longest)
        through = best[origins] + _PIECE_COST + _SHORT_COST * short + over + arrival[node]
        pick = int(np.argmin(through))
        best[node], came_from[node] = through[pick], origins[pick]
    path: list[int] = []
    node = int(came_from[-1])
    while node > 0:
        path.append(node - 1)
        node = int(came_from[node])
    return np.array(path[::-1], np.int64)


def _free_spans(start_us: int, end_us: int, busy: Spans) -> Spans:
    """What lies between busy spans, from the start to the end; a gap of no length is a place too."""
    starts = np.concatenate(([start_us], busy[:, 1]))
    ends = np.append(busy[:, 0], end_us)
    spans = np.stack((starts, ends), axis=1)
    return spans[spans[:, 1] >= spans[:, 0]]


def _intersect(left: Spans, right: Spans) -> Spans:
    """Overlaps of two sorted lists of disjoint spans."""
    if not len(left) or not len(right):
        return np.zeros((0, 2), np.int64)
    first = np.searchsorted(right[:, 1], left[:, 0], side="right")
    behind = np.searchsorted(right[:, 0], left[:, 1], side="left")
    counts = np.maximum(behind - first, 0)
    of_left = np.repeat(np.arange(len(left)), counts)
    of_right = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    return np.stack(
        (np.maximum(left[of_left, 0], right[of_right, 0]), np.minimum(left[of_left, 1], right[of_right, 1])), axis=1
    )


def _within(places: NDArray[np.int64], busy: Spans) -> NDArray[np.bool_]:
    """Which places lie strictly inside a busy span."""
    if not len(busy):
        return np.zeros(len(places), np.bool_)
    span = np.searchsorted(busy[:, 0], places, side="left") - 1
    return (span >= 0) & (places < busy[np.maximum(span, 0), 1])


def slice_clips(
    clips: pl.DataFrame,
    *,
    busy: pl.DataFrame,
    pauses: pl.DataFrame,
    shots: pl.DataFrame,
    policy: SlicingPolicy,
) -> pl.DataFrame:
    """Cut every clip of a batch.

    Args:
        clips: rows of ``audio_clips`` or ``video_clips``.
        busy: words and cues: columns clip_id, start_us and end_us.
        pauses: rows of ``pauses``.
        shots: rows of ``shots``.
        policy: longest and shortest pieces.

    Returns:
        Rows of ``clip_pieces``; one at least of each clip.
    """
    spans_of = {"busy": _by_clip(busy), "pauses": _by_clip(pauses), "shots": _by_clip(shots)}
    none = np.zeros((0, 2), np.int64)
    rows: list[dict[str, object]] = []
    for clip in clips.select("batch", "clip_id", "position", "start_us", "end_us").iter_rows(named=True):
        pieces = slice_clip(
            clip["start_us"],
            clip["end_us"],
            busy=spans_of["busy"].get(clip["clip_id"], none),
            pauses=spans_of["pauses"].get(clip["clip_id"], none),
            shots=spans_of["shots"].get(clip["clip_id"], none)[:, 0],
            policy=policy,
        )
        rows += [
            {
                "batch": clip["batch"],
                "piece_id": make_id("pce", clip["clip_id"], piece.start_us, piece.end_us),
                "clip_id": clip["clip_id"],
                "position": clip["position"],
                "piece_index": index,
                "start_us": piece.start_us,
                "end_us": piece.end_us,
                "cut": piece.cut,
            }
            for index, piece in enumerate(pieces)
        ]
    return TABLES["clip_pieces"].conform(pl.DataFrame(rows, schema=TABLES["clip_pieces"].schema))


def _by_clip(spans: pl.DataFrame) -> dict[str, Spans]:
    return {
        str(clip): part.select("start_us", "end_us").to_numpy().astype(np.int64)
        for (clip,), part in spans.select("clip_id", "start_us", "end_us").partition_by("clip_id", as_dict=True).items()
    }
