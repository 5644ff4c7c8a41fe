"""Write transcripts and alignments of a batch or a release for players and for scoring tools.

A format is an entry of `EXPORTERS`: what it is called, and a function that writes it.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Final, Literal, Self

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mm_assets.aligned.segments.exports.formats import TEXT_FORMATS, TextFormat
from mm_assets.aligned.segments.exports.gathering import (
    recordings_of_cues,
    recordings_of_segments,
    recordings_of_speech,
)
from mm_assets.aligned.segments.exports.timed_text import Recording, name_recordings
from mm_assets.commands.workspace import ResourceSet
from mm_assets.errors import ExportError
from mm_assets.identifiers import validate_batch_id
from resources.delta_lake import DeltaLake
from resources.release_store import releases_of_lake

_CLIPS_AT_ONCE: Final = 256
_SEGMENTS: Final = "segment_alignments"


@dataclass(frozen=True)
class Target:
    """What is exported.

    Attributes:
        name: of the batch or release.
        kind: batch or release.
        text: transcripts, cues or segments.
        segments: of a release, the ids of its segments by batch; of a batch, its name alone with None for all of it.
        versions: of a release, the version of each table that it was drawn from.
    """

    name: str
    kind: Literal["batch", "release"]
    text: str
    segments: Mapping[str, frozenset[str] | None]
    versions: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        target: batch or release.
        kind: which of them.
        format: name of the format.
        text: which text.
        files: what was written.
        recordings: clips that had text.
        without_text: clips that had none; nothing was written for them.
        lines: cues, utterances or segments.
        words: timed words in them.
        held: batches that are held, and by which gate: their times may be wrong.
    """

    target: str
    kind: str
    format: str
    text: str
    files: list[str] = field(default_factory=list[str])
    recordings: int = 0
    without_text: int = 0
    lines: int = 0
    words: int = 0
    held: Mapping[str, str] = field(default_factory=dict[str, str])

    def to_document(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


Exporter = Callable[[DeltaLake, Target, Path, Console], Exported]


def export(workspace: ResourceSet, name: str, form: str, out: Path, console: Console, text: str | None) -> Exported:
    """Write a batch or a release in a format.

    Args:
        workspace: where the lake is.
        name: of the batch or release.
        form: one of `EXPORTERS`.
        out: folder to write to; files of the same name are replaced.
        console: for progress.
        text: transcripts, cues or segments; None: transcripts of a batch, segments of a release.

    Raises:
        ExportError: there is no such batch or release, it has no such text, or the format cannot hold it.
    """
    lake = workspace.lake
    target = find_target(lake, name, text)
    done = EXPORTERS[form](lake, target, out, console)
    held = {batch: gate for batch, gate in workspace.holds.held_batches().items() if batch in target.segments}
    return replace(done, held=held)


def find_target(lake: DeltaLake, name: str, text: str | None) -> Target:
    """The release of this name, or else the batch.

    Raises:
        ExportError: there is none, or a release is asked for other text than its segments.
    """
    validate_batch_id(name)
    drawn = lake.scan("mixtures").filter(pl.col("release") == name).select("batch", "kind", "sample_id").collect()
    if drawn.height:
        if text not in {None, "segments"}:
            raise ExportError(f"release {name!r} holds segments, not {text}; export its batches one by one")
        segments = drawn.filter(pl.col("kind") == "segment")
        if segments.is_empty():
            raise ExportError(f"release {name!r} holds no segments; draw it from batches with sound or video")
        store = releases_of_lake(lake.root)
        versions = json.loads(store.read_manifest(name))["delta_versions"] if name in store.releases() else {}
        return Target(name, "release", "segments", _segments_of(lake, segments, versions), versions)
    counts = [lake.scan(table, name).select(pl.len()).collect().item() for table in ("video_clips", "audio_clips")]
    if not sum(counts):
        known = sorted({batch for table in ("video_clips", "audio_clips") for batch in _batches(lake, table)})
        raise ExportError(
            f"there is no release {name!r}, and no batch {name!r} with cleaned sound or video; "
            f"batches with some: {', '.join(known) or 'none, run them first with mm run'}"
        )
    return Target(name, "batch", text or "transcripts", {name: None})


def _batches(lake: DeltaLake, table: str) -> list[str]:
    return lake.scan(table).select(pl.col("batch").unique()).collect()["batch"].to_list()


def _segments_of(lake: DeltaLake, drawn: pl.DataFrame, versions: Mapping[str, int]) -> dict[str, frozenset[str] | None]:
    found: dict[str, frozenset[str] | None] = {}
    for (batch,), part in drawn.partition_by("batch", as_dict=True).items():
        rows = lake.scan("fusion_samples", str(batch), version=versions.get("fusion_samples"))
        samples = rows.filter(pl.col("sample_id").is_in(part["sample_id"].to_list()))
        found[str(batch)] = frozenset(samples.select("segment_id").collect()["segment_id"].drop_nulls().to_list())
    return dict(sorted(found.items()))


def export_text(form: str) -> Exporter:
    """The exporter of a format of timed text."""
    chosen = TEXT_FORMATS[form]

    def write(lake: DeltaLake, target: Target, out: Path, console: Console) -> Exported:
        if chosen.needs_words and target.text == "cues":
            raise ExportError(f"{form} times words and cues have none; export transcripts or segments")
        done = Exported(target.name, target.kind, form, target.text)
        with Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        ) as progress:
            for batch, wanted in target.segments.items():
                clips = _clips(lake, batch)
                bar = progress.add_task(batch, total=clips.height)
                with _Files(out, batch, chosen) as files:
                    for recordings in _recordings(lake, batch, clips, target, wanted, form):
                        written = [item for item in recordings if item.lines]
                        for item in written:
                            files.add(item)
                        progress.advance(bar, len(recordings))
                        done = replace(
                            done,
                            recordings=done.recordings + len(written),
                            without_text=done.without_text + len(recordings) - len(written),
                            lines=done.lines + sum(len(item.lines) for item in written),
                            words=done.words + sum(len(item.words) for item in written),
                        )
                done = replace(done, files=done.files + files.paths)
        if not done.recordings:
            raise ExportError(
                f"{target.kind} {target.name!r} has no {target.text} to export; run it with: mm run, or see mm holds"
            )
        return done

    return write


EXPORTERS: Final[Mapping[str, Exporter]] = {form: export_text(form) for form in TEXT_FORMATS}


class _Files:
    """Files of one batch: one a recording in a folder of the batch, or one for all of them."""

    def __init__(self, out: Path, batch: str, chosen: TextFormat) -> None:
        self.paths: list[str] = []
        self._out = out
        self._batch = batch
        self._format = chosen
        self._shared: IO[str] | None = None

    def __enter__(self) -> Self:
        folder = self._out if self._format.is_shared else self._out / self._batch
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ExportError(f"{folder}: {error.strerror}; choose another folder with --out") from error
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._shared is None:
            return
        self._shared.close()
        part = Path(self._shared.name)
        if error is None:
            part.replace(part.with_suffix(""))
            self.paths.append(str(part.with_suffix("")))
        else:
            part.unlink()

    def add(self, recording: Recording) -> None:
        """Write the text of a recording; a file is there whole or not at all."""
        text = self._format.render(recording)
        if self._format.is_shared:
            if self._shared is None:
                part = self._out / f"{self._batch}{self._format.suffix}.part"
                self._shared = part.open("w", encoding="utf-8", newline="\n")
                self._shared.write(self._format.head)
            self._shared.write(text)
            return
        path = self._out / self._batch / f"{recording.name}{self._format.suffix}"
        part = path.with_name(f"{path.name}.part")
        part.write_text(self._format.head + text, encoding="utf-8", newline="\n")
        part.replace(path)
        self.paths.append(str(path))


def _clips(lake: DeltaLake, batch: str) -> pl.DataFrame:
    """Clips of a batch in the order of their records: id, name, clock of the pictures and of the sound."""
    sound = pl.col("sound_clock_offset_us")
    videos = lake.scan("video_clips", batch).select(
        "clip_id", "file_name", "position", "clock_offset_us", pl.coalesce(sound, "clock_offset_us").alias("sound_us")
    )
    sounds = lake.scan("audio_clips", batch).select(
        "clip_id",
        "file_name",
        "position",
        sound.fill_null(0).alias("clock_offset_us"),
        sound.fill_null(0).alias("sound_us"),
    )
    return pl.concat([rows.sort("position") for rows in (sounds, videos)]).collect()


def _recordings(
    lake: DeltaLake, batch: str, clips: pl.DataFrame, target: Target, wanted: frozenset[str] | None, form: str
) -> Iterator[Sequence[Recording]]:
    """The recordings of a batch, some at a time.

    Subtitles are shown over the pictures and take their clock; words and turns are scored on the sound and take its.
    """
    names = name_recordings(clips.select("clip_id", "file_name").iter_rows())
    clock = "clock_offset_us" if form in {"vtt", "srt"} else "sound_us"
    for chunk in clips.iter_slices(_CLIPS_AT_ONCE):
        ids = chunk["clip_id"].to_list()
        chosen = {clip_id: names[clip_id] for clip_id in ids}
        clocks = dict(chunk.select("clip_id", clock).iter_rows())

        def rows(table: str, ids: list[str] = ids) -> pl.DataFrame:
            found = lake.scan(table, batch, version=target.versions.get(table))
            return found.filter(pl.col("clip_id").is_in(ids)).collect()

        if target.text == "transcripts":
            yield recordings_of_speech(rows("utterances"), rows("transcripts"), chosen, clocks)
        elif target.text == "cues":
            yield recordings_of_cues(rows("cues"), chosen, clocks)
        else:
            segments = rows(_SEGMENTS)
            if wanted is not None:
                segments = segments.filter(pl.col("sample_id").is_in(list(wanted)))
            yield recordings_of_segments(segments, chosen, clocks, by_speaker=form == "rttm")
