"""Hard negatives out to Label Studio, and people's verdicts back in."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from mm_assets.commands.workspace import Workspace
from mm_assets.errors import RecordError
from mm_assets.hard_negatives.label_studio import CONFIG, make_tasks, read_export
from mm_assets.hard_negatives.review_sheet import choose_for_review
from mm_assets.identifiers import validate_batch_id
from mm_assets.policy import Policy
from mm_assets.schemas import TABLES
from resources.delta_lake import DeltaLake


@dataclass(frozen=True)
class WrittenTasks:
    """Tasks written, and where their labelling interface lies."""

    tasks: int
    interface: Path


@dataclass(frozen=True)
class Imported:
    """What an export held.

    Attributes:
        decisions: decisions recorded.
        batches: batches they are of, which will run again.
        open: tasks nobody has answered.
        unknown: tasks of negatives that do not exist.
        malformed: answers that are none to the question.
    """

    decisions: int
    batches: list[str]
    open: int
    unknown: int
    malformed: int


def _lake(workspace: Workspace) -> DeltaLake:
    return workspace.resources["lake"]  # pyright: ignore[reportReturnType] - keyed by definitions.py


def write_tasks(workspace: Workspace, batch: str, out: Path, picture_url: str) -> WrittenTasks:
    """Write random kept negatives of each strategy that nobody has looked at.

    Args:
        workspace: the workspace.
        batch: the batch.
        out: file of the tasks; the interface goes beside it as ``.xml``.
        picture_url: address of a picture, with ``{id}`` and ``{uri}`` to fill in.
    """
    lake = _lake(workspace)
    policy: Policy = workspace.resources["policy_file"].policy  # pyright: ignore[reportAttributeAccessIssue] - as above
    settings = policy.hard_negatives
    rows = lake.scan("hard_negatives", validate_batch_id(batch))
    items = choose_for_review(rows, settings.review_per_strategy, seed=settings.seed)
    uris: dict[str, str] = dict(
        lake.scan("images", batch).select("image_id", pl.col("source_ref").struct.field("uri")).collect().iter_rows()
    )

    def address(image_id: str) -> str:
        return picture_url.replace("{id}", image_id).replace("{uri}", uris.get(image_id, ""))

    out.write_text(make_tasks(items, address), encoding="utf-8")
    interface = out.with_suffix(".xml")
    interface.write_text(CONFIG, encoding="utf-8")
    return WrittenTasks(len(items), interface)


def import_decisions(workspace: Workspace, path: Path) -> Imported:
    """Record the verdicts of an export; answers without a time count as given now.

    Args:
        workspace: the workspace.
        path: the export.

    Raises:
        RecordError: code ``EXPORT_UNREADABLE``.
    """
    lake = _lake(workspace)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError("EXPORT_UNREADABLE", f"{path}: {error}; name a JSON export of Label Studio") from error
    batch_of: dict[str, str] = dict(lake.scan("hard_negatives").select("negative_id", "batch").collect().iter_rows())
    found = read_export(text, batch_of.__contains__)
    now_us = time.time_ns() // 1_000
    rows: list[dict[str, Any]] = [
        row | {"at_us": row["at_us"] or now_us} for row in (decision.to_row() for decision in found.decisions)
    ]
    if rows:
        lake.append("review_decisions", pl.DataFrame(rows, schema=TABLES["review_decisions"].schema))
    batches = sorted({batch_of[decision.subject_id] for decision in found.decisions})
    return Imported(len(rows), batches, found.open, found.unknown, found.malformed)
