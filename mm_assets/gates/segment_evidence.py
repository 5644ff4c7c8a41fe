"""Clips that gave a batch away: their sound under cues and words, as delivered and as the diagnosis restores them."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
from PIL import Image

from mm_assets.aligned.segments.offsets.cue_placement import place_cues
from mm_assets.display.excerpts import read_sound
from mm_assets.display.waveform import MAX_SHOWN_US, ClipPicture, Span, draw_waveform, move_back
from mm_assets.errors import DecodeError
from mm_assets.landing import Landing
from mm_assets.media.decoder import MediaDecoder, open_landed
from mm_assets.policy import MediaPolicy
from mm_assets.schemas import TABLES
from resources.delta_lake import DeltaLake

_CLIPS: Final = 3
_MARGIN_US: Final = 2_000_000
_COLOURS: Final = 64
_RAW_CUE: Final = tuple(name for name in TABLES["raw_cues"].columns if name != "clip_id")


@dataclass(frozen=True)
class _Tables:
    """Rows about the clips of the sheet, by clip."""

    clips: Mapping[str, Mapping[str, Any]]
    cues: Mapping[str, list[Span]]
    words: Mapping[str, list[Span]]
    cuts_us: Mapping[str, list[int]]


def clip_sheet(
    lake: DeltaLake,
    landing: Landing,
    batch: str,
    examples: Sequence[Mapping[str, Any]],
    corrections: Sequence[Mapping[str, Any]] = (),
) -> bytes | None:
    """A PNG of up to three clips, one below the other; None if none of them was kept by cleaning.

    Args:
        lake: the tables of clips, cues, transcripts and shots.
        landing: where the media lie.
        batch: the batch.
        examples: clips in the order to show: ``clip_id``, and where a diagnosis says so ``told`` (what is wrong in
            words) and ``restored_clip_id`` (the clip whose cues belong here).
        corrections: what would undo it: ``kind``, ``parameters`` and ``rows`` as a diagnosis proposes them.

    Raises:
        LandingError: a medium cannot be read.
    """
    wanted = [example for example in examples if example.get("clip_id")]
    names = {str(example[key]) for example in wanted for key in ("clip_id", "restored_clip_id") if example.get(key)}
    found = _read(lake, batch, names)
    shown = [example for example in wanted if example["clip_id"] in found.clips][:_CLIPS]
    drawn: list[bytes] = []
    with MediaDecoder(MediaPolicy()) as decoder:
        for example in shown:
            try:
                drawn.append(draw_waveform(_picture(found, landing, decoder, example, corrections)))
            except DecodeError:
                continue  # the file has changed since it was cleaned; the next clip may tell as much
    return _stack(drawn) if drawn else None


def _picture(
    found: _Tables,
    landing: Landing,
    decoder: MediaDecoder,
    example: Mapping[str, Any],
    corrections: Sequence[Mapping[str, Any]],
) -> ClipPicture:
    clip_id = str(example["clip_id"])
    clip = found.clips[clip_id]
    cues, words = found.cues.get(clip_id, []), found.words.get(clip_id, [])
    first = min((cue.start_us for cue in cues), default=clip["start_us"])
    until = max(first, clip["start_us"]) + MAX_SHOWN_US + _MARGIN_US
    reference = clip["audio_ref"] or clip["source_ref"]
    with open_landed(landing, reference["uri"]) as stream:
        sound = read_sound(decoder, stream, clip["record_ref"], clip["sound_clock_offset_us"] or 0, until)
    return ClipPicture(
        title=_title(clip["file_name"], example),
        sound=sound,
        cues=cues,
        words=words,
        cuts_us=found.cuts_us.get(clip_id, []),
        restored_cues=_restore(found, clip, cues, example, corrections),
        sound_late_us=_sound_late(clip_id, corrections),
    )


def _title(name: str, example: Mapping[str, Any]) -> str:
    if example.get("told"):
        return f"{name} {example['told']}"
    if example.get("restored_clip_id"):
        return f"{name} goes better with what was delivered with {example['restored_clip_id']}"
    return f"{name}: {example['disorder'].replace('_', ' ')}" if example.get("disorder") else name


def _restore(
    found: _Tables,
    clip: Mapping[str, Any],
    cues: list[Span],
    example: Mapping[str, Any],
    corrections: Sequence[Mapping[str, Any]],
) -> list[Span] | None:
    """The cues where the diagnosis puts them; None if it leaves them alone."""
    for kind, parameters in _of_clip(clip["clip_id"], corrections):
        if parameters.get("side") != "subtitles":
            continue
        if kind == "time_shift":
            return move_back(cues, clip["start_us"], parameters["offset_us"])
        if kind == "time_rate":
            return move_back(cues, clip["start_us"], parameters["offset_us"], (parameters["rate"] - 1.0) * 1e6)
        if kind == "cue_order_reversal":
            texts = [cue.text for cue in reversed(cues)]
            return [Span(cue.start_us, cue.end_us, text) for cue, text in zip(cues, texts, strict=True)]
        other = str(example.get("restored_clip_id"))
        if kind.startswith("pointer") and other in found.clips:
            # cues of the other clip, on the clock of this one
            apart = clip["clock_offset_us"] - found.clips[other]["clock_offset_us"]
            return [Span(cue.start_us + apart, cue.end_us + apart, cue.text) for cue in found.cues.get(other, [])]
    return None


def _sound_late(clip_id: str, corrections: Sequence[Mapping[str, Any]]) -> int:
    shifts = [
        parameters["offset_us"]
        for kind, parameters in _of_clip(clip_id, corrections)
        if kind == "time_shift" and parameters.get("side") == "audio"
    ]
    return sum(shifts)


def _of_clip(clip_id: str, corrections: Sequence[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Corrections that act on a clip; one without rows acts on all."""
    return [(item["kind"], item["parameters"]) for item in corrections if not item["rows"] or clip_id in item["rows"]]


def _read(lake: DeltaLake, batch: str, names: set[str]) -> _Tables:
    def rows(table: str, *columns: str) -> pl.DataFrame:
        return lake.scan(table, batch).filter(pl.col("clip_id").is_in(names)).select("clip_id", *columns).collect()

    shared = ("record_ref", "file_name", "source_ref", "sound_clock_offset_us", "start_us")
    clips = pl.concat(
        [
            rows("video_clips", *shared, "audio_ref", "clock_offset_us"),
            rows("audio_clips", *shared).with_columns(
                audio_ref=pl.lit(None, dtype=lake.scan("video_clips").collect_schema()["audio_ref"]),
                clock_offset_us=pl.lit(0, dtype=pl.Int64),
            ),
        ]
    )
    shown = ("clip_id", "cue_index", "start_us", "end_us", "text")
    cues = rows("cues", *shown[1:])
    if cues.is_empty():  # the batch was held before its cues were cleaned
        placed = place_cues(rows("raw_cues", *_RAW_CUE), rows("video_clips", "start_us", "end_us", "clock_offset_us"))
        cues = placed.filter(pl.col("end_us") > pl.col("start_us")).select(shown)
    cues = cues.sort("clip_id", "cue_index")
    transcripts = rows("transcripts", "words")
    shots = rows("shots", "shot_index", "start_us").filter(pl.col("shot_index") > 0).sort("clip_id", "shot_index")
    return _Tables(
        clips={row["clip_id"]: row for row in clips.iter_rows(named=True)},
        cues={
            str(name): [Span(*cue) for cue in part.select("start_us", "end_us", "text").iter_rows()]
            for (name,), part in cues.partition_by("clip_id", as_dict=True).items()
        },
        words={
            name: [Span(word["start_us"], word["end_us"], word["word"]) for word in found]
            for name, found in transcripts.iter_rows()
        },
        cuts_us=dict(shots.group_by("clip_id").agg("start_us").iter_rows()),
    )


def _stack(pictures: Sequence[bytes]) -> bytes:
    """The pictures one below the other, of few colours."""
    opened = [Image.open(io.BytesIO(png)).convert("RGB") for png in pictures]
    sheet = Image.new("RGB", (max(image.width for image in opened), sum(image.height for image in opened)), "white")
    top = 0
    for image in opened:
        sheet.paste(image, (0, top))
        top += image.height
    buffer = io.BytesIO()
    sheet.quantize(_COLOURS, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
