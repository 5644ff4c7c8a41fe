"""Hard negatives out to Label Studio, and people's verdicts back in."""

import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, Final

import polars as pl

from mm_assets.commands.workspace import ResourceSet
from mm_assets.display.contact_sheet import thumbnail
from mm_assets.errors import RecordError
from mm_assets.gates.evidence import read_picture
from mm_assets.hard_negatives.label_studio import CONFIG, make_tasks, read_export
from mm_assets.hard_negatives.review_sheet import choose_for_review
from mm_assets.identifiers import validate_batch_id
from mm_assets.schemas import TABLES
from resources.delta_lake import DeltaLake
from resources.object_store import LandingStore

Reference = Mapping[str, Any]
"""A ``source_ref``: which bytes of which file."""
_EMBEDDED_PX: Final = 480
_EMBEDDED_QUALITY: Final = 85


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


class _LakeAddresses:
    """Addresses of the pictures and clips of a batch: by a pattern, or of pictures the pictures themselves."""

    def __init__(self, lake: DeltaLake, landing: LandingStore, batch: str, pattern: str | None) -> None:
        self._lake, self._landing, self._pattern = lake, landing, pattern
        self._pictures, self._clips = _references(lake, "images", "image_id", batch), dict[str, Reference]()
        for table in ("audio_clips", "video_clips"):
            self._clips |= _references(lake, table, "clip_id", batch)

    def of(self, item_id: str) -> str:
        picture = self._pictures.get(item_id)
        if picture is not None and self._pattern is None:
            return _embedded(read_picture(self._landing, picture))
        reference = picture or self._clips.get(item_id)
        return self._filled(item_id, "" if reference is None else reference["uri"])

    def of_edited(self, path: str) -> str:
        if self._pattern is None:
            return _embedded(self._lake.files.get_bytes(path))
        return self._filled(PurePosixPath(path).stem, f"{self._lake.root}/{path}")

    def is_clip(self, item_id: str) -> bool:
        return item_id in self._clips

    def _filled(self, item_id: str, uri: str) -> str:
        return (self._pattern or "{uri}").replace("{id}", item_id).replace("{uri}", uri)


def _embedded(encoded: bytes) -> str:
    """A picture as an address that holds all of it, made smaller."""
    buffer = BytesIO()
    thumbnail(encoded, _EMBEDDED_PX).save(buffer, "JPEG", quality=_EMBEDDED_QUALITY)
    return f"data:image/jpeg;base64,{b64encode(buffer.getvalue()).decode()}"


def _references(lake: DeltaLake, table: str, key: str, batch: str) -> dict[str, Reference]:
    return dict(lake.scan(table, batch).select(key, "source_ref").collect().iter_rows())


def write_tasks(workspace: ResourceSet, batch: str, out: Path, picture_url: str | None) -> WrittenTasks:
    """Write random kept negatives of each strategy that nobody has looked at.

    Args:
        workspace: the workspace.
        batch: the batch.
        out: file of the tasks; the interface goes beside it as ``.xml``.
        picture_url: address of a picture or clip, with ``{id}`` and ``{uri}`` to fill in; of an edited picture these
            are the name of its file and its place in the lake. None: the tasks hold the pictures, made smaller, and
            the uri of a clip.
    """
    lake = workspace.lake
    policy = workspace.policy
    settings = policy.hard_negatives
    rows = lake.scan("hard_negatives", validate_batch_id(batch))
    items = choose_for_review(rows, settings.review_per_strategy, seed=settings.seed)
    out.write_text(make_tasks(items, _LakeAddresses(lake, workspace.landing, batch, picture_url)), encoding="utf-8")
    interface = out.with_suffix(".xml")
    interface.write_text(CONFIG, encoding="utf-8")
    return WrittenTasks(len(items), interface)


def import_decisions(workspace: ResourceSet, path: Path) -> Imported:
    """Record the verdicts of an export; answers without a time count as given now.

    Args:
        workspace: the workspace.
        path: the export.

    Raises:
        RecordError: code ``EXPORT_UNREADABLE``.
    """
    lake = workspace.lake
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
