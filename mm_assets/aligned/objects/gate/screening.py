# pyright: strict
"""One pass over the pictures of some boxes: edges under every reading, crops as given, and crops worth a look.

Cheap evidence decides what is encoded. Edges are measured under all readings. The crop as given is encoded once. A
reading is probed on a row only where it fits the picture's edges better than the box as given and the crop as given
did not find its label, and on few rows per reading, spread over the batch.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from mm_assets.aligned.objects.boxes.readings import AS_GIVEN
from mm_assets.aligned.objects.boxes.regions import BLOCK_BYTES, Pixels, RegionEncoder, read_pictures
from mm_assets.aligned.objects.gate.edge_fit import EdgeMap, place_shams
from mm_assets.aligned.objects.gate.gate_boxes import GateBoxes
from mm_assets.aligned.objects.gate.hypotheses import Hypotheses
from mm_assets.aligned.objects.gate.scale_search import SEARCHED, fit_scaled, place_scaled, read_unclipped
from mm_assets.gates.recall_input import Floats, Integers, Singles
from mm_assets.landing import Landing
from mm_assets.policy import Policy

_CLEAR_GAIN: Final = 0.3
"""Gain of fit that earns a probe whatever the crop as given said: edges a third stronger on the weakest sides."""
_ALWAYS: Final = "mirror_x"
"""Probed on its few rows in every batch: the commonest fault, drawn beside the boxes as given."""


@dataclass(frozen=True, eq=False)
class Screen:
    """What one pass found about n boxes.

    Attributes:
        fit: shape (n,), fit of boxes as given; NaN where not usable.
        read_fit: shape (H, n), under each reading.
        scaled_fit: shape (F, n), under each searched factor.
        shams: fits of boxes at random places.
    """

    fit: Floats
    read_fit: Floats
    scaled_fit: Floats
    shams: Floats


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture and the rows of its boxes."""

    pixels: Pixels
    rows: Integers


def stream_pictures(
    boxes: GateBoxes, rows: Integers, images: pl.DataFrame, landing: Landing, policy: Policy
) -> Iterator[Picture]:
    """Decode the pictures of some rows, each once, in delivery order.

    Args:
        boxes: the boxes.
        rows: which of them are of interest, increasing.
        images: rows of ``images``.
        landing: where their ``source_ref`` points.
        policy: bounds of the decoder.
    """
    order = rows[np.argsort(boxes.image_of[rows], kind="stable")]
    groups = np.split(order, np.flatnonzero(np.diff(boxes.image_of[order])) + 1) if len(order) else []
    ids = [boxes.image_ids[int(boxes.image_of[group[0]])] for group in groups]
    for group, (_, pixels) in zip(groups, read_pictures(images, ids, landing, policy.images), strict=True):
        yield Picture(pixels, group)


def screen_boxes(
    boxes: GateBoxes,
    hypotheses: Hypotheses,
    labels: Singles,
    pictures: Iterator[Picture],
    regions: RegionEncoder,
    policy: Policy,
) -> Screen:
    """Look at every picture once.

    Args:
        boxes: n boxes.
        hypotheses: about them.
        labels: embeddings of their distinct labels, shape (L, D).
        pictures: theirs.
        regions: takes the crops; rows are those of ``boxes``.
        policy: all sections.
    """
    count = len(boxes)
    gate = policy.object_gate
    fit = np.full(count, np.nan)
    read_fit = np.full((len(hypotheses.readings), count), np.nan)
    scaled_fit = np.full((len(SEARCHED), count), np.nan)
    unclipped, sizes = read_unclipped(boxes), boxes.sizes
    generator = np.random.default_rng(gate.seed)
    shams: list[Floats] = []
    probes = _Probes(len(hypotheses.readings), gate.probe_boxes, count)
    for block in _blocks(pictures, policy.features.batch_size):
        for picture in block:
            rows = picture.rows
            edges = EdgeMap(picture.pixels)
            seen = rows[hypotheses.given.usable[rows]]
            wanted = [rows[placed.usable[rows]] for placed in hypotheses.placed]
            candidates = [hypotheses.given.corners[seen]]
            candidates += [placed.corners[mine] for placed, mine in zip(hypotheses.placed, wanted, strict=True)]
            height, width = picture.pixels.shape[:2]
            drawn = place_shams(np.concatenate(candidates), width, height, gate.shams_per_box * len(rows), generator)
            together = np.concatenate([*candidates, drawn]).astype(np.float64)
            fits = np.split(edges.fit(together), np.cumsum([len(boxed) for boxed in candidates]))
            fit[seen] = fits[0]
            for place, mine in enumerate(wanted):
                read_fit[place, mine] = fits[place + 1]
            shams.append(fits[-1])
            scaled_fit[:, rows] = fit_scaled(
                edges, *place_scaled(unclipped[rows], sizes[rows], SEARCHED, gate, policy.objects)
            )
            for row in seen.tolist():
                regions.add(AS_GIVEN, row, picture.pixels, hypotheses.given.corners[row])
        regions.flush()
        block_rows = np.concatenate([picture.rows for picture in block])
        settled = _find_settled(boxes, labels, regions, block_rows)
        for picture in block:
            for place, row in probes.choose(picture.rows, fit, read_fit, hypotheses, settled):
                name = hypotheses.readings[place].name
                regions.add(name, row, picture.pixels, hypotheses.placed[place].corners[row])
    regions.flush()
    return Screen(fit, read_fit, scaled_fit, np.concatenate(shams) if shams else np.zeros(0))


class _Probes:
    """How many crops each reading may still have encoded, released evenly over the rows."""

    def __init__(self, readings: int, limit: int, rows: int) -> None:
        self._limit, self._rows = limit, max(rows, 1)
        self._spent = np.zeros(readings, dtype=np.int64)
        self._seen = 0

    def choose(
        self, rows: Integers, fit: Floats, read_fit: Floats, hypotheses: Hypotheses, settled: set[int]
    ) -> list[tuple[int, int]]:
        """Pairs of reading and row of one picture to encode."""
        self._seen += len(rows)
        released = math.ceil(self._limit * self._seen / self._rows)
        chosen: list[tuple[int, int]] = []
        for place, placed in enumerate(hypotheses.placed):
            gain = read_fit[place, rows] - np.nan_to_num(fit[rows])
            wanted = placed.usable[rows] & placed.moved[rows]
            always = hypotheses.readings[place].name == _ALWAYS
            if not always:
                wanted &= gain > 0.0
            for row, gained in zip(rows[wanted].tolist(), gain[wanted].tolist(), strict=True):
                if self._spent[place] >= released:
                    break
                if always or row not in settled or gained > _CLEAR_GAIN:
                    self._spent[place] += 1
                    chosen.append((place, row))
        return chosen


def _find_settled(boxes: GateBoxes, labels: Singles, regions: RegionEncoder, rows: Integers) -> set[int]:
    """Rows whose crop as given ranks its label first."""
    encoded, crops = regions.embeddings(AS_GIVEN, rows)
    similarity = crops @ labels.T
    own = similarity[np.arange(len(similarity)), boxes.label_of[encoded]]
    return set(encoded[own >= similarity.max(axis=1, initial=-np.inf)].tolist())


def _blocks(pictures: Iterator[Picture], boxes_per_block: int) -> Iterator[list[Picture]]:
    """Pictures in groups of at least this many boxes or bytes."""
    block: list[Picture] = []
    for picture in pictures:
        block.append(picture)
        held = sum(item.pixels.nbytes for item in block)
        if sum(len(item.rows) for item in block) >= boxes_per_block or held >= BLOCK_BYTES:
            yield block
            block = []
    if block:
        yield block
