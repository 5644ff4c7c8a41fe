"""Edits the pictures of a batch that captions and boxes plan, a bounded number, one picture in memory at a time."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mm_assets.hard_negatives.negatives import Negative, Positive
from mm_assets.hard_negatives.region_edits import (
    Pixels,
    PlannedEdit,
    RegionEditor,
    edited_picture,
    exchange_regions,
    plan_edits,
    recolor_region,
    within_box,
)
from mm_assets.identifiers import make_id


@dataclass(frozen=True)
class EditTask:
    """One edit of one picture."""

    positive: Positive
    plan: PlannedEdit


def plan_tasks(positives: Sequence[Positive], most: int) -> Mapping[str, list[EditTask]]:
    """The first edits of some positives, by picture.

    Args:
        positives: captions with pictures and boxes.
        most: edits planned at most.
    """
    tasks = (EditTask(positive, plan) for positive in positives for plan in plan_edits(positive))
    found: dict[str, list[EditTask]] = {}
    for task in islice(tasks, most):
        found.setdefault(task.positive.image_id, []).append(task)
    return found


def edit_pictures(
    pictures: Iterable[tuple[str, NDArray[np.uint8]]],
    tasks: Mapping[str, Sequence[EditTask]],
    store: Callable[[str, bytes], str],
    editor: RegionEditor | None = None,
) -> Iterator[Negative]:
    """Negatives of edited pictures; a recolouring that changes nothing is not stored.

    Args:
        pictures: id and uint8 RGB pixels, shape (H, W, 3).
        tasks: by picture.
        store: keeps an encoded PNG under a name and says where.
        editor: an inpainting model that recolours in place of `recolor_region`; what it does outside the box is lost.

    Raises:
        InferenceError: the editor gave a picture of another shape.
    """
    for image_id, pixels in pictures:
        for task in tasks[image_id]:
            change = 0.0
            if task.plan.form == "recolored":
                edited, change = _recolor(pixels, task.plan, editor)
                if change == 0.0:
                    continue
            else:
                edited = exchange_regions(pixels, *task.plan.boxes)
            buffer = BytesIO()
            Image.fromarray(edited).save(buffer, "PNG")
            name = make_id("edit", task.positive.positive_id, task.plan.form, str(task.plan.boxes), task.plan.after)
            path = store(f"{name}.png", buffer.getvalue())
            yield edited_picture(task.positive, task.plan, path, change)


def _recolor(pixels: Pixels, plan: PlannedEdit, editor: RegionEditor | None) -> tuple[Pixels, float]:
    box, before, after = plan.boxes[0], plan.before, plan.after
    if editor is None:
        return recolor_region(pixels, box, before, after)
    told = f"Turn what is {before} in this region to {after}; keep everything else as it is."
    return within_box(pixels, editor.edit(pixels.copy(), box, told), box)
