"""Constructed clips of real speech, as the graph's own steps hear them: what the offset gate is measured on.

Debian's Asterisk prompts are laid one after the other between silences, so that it is known when each is said, and
delivered as sounds. Reading, cleaning and recognition are the steps of the graph; cues are then made from the known
times as people make them, anew for every batch that is drawn.
"""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import av
import dagster as dg
import numpy as np
import polars as pl
from rich.console import Console

from benchmarks.offset_clips import Difficulty
from benchmarks.speech import LIBRIVOX, RATE, Prompt, lay_out, make_models, read_prompts, read_sound
from mm_assets.aligned.segments.offsets.assets import cleaned_clips
from mm_assets.aligned.segments.offsets.cue_placement import place_cues
from mm_assets.aligned.segments.offsets.gate_input import gather_tracks
from mm_assets.aligned.segments.offsets.timed_tracks import ClipTracks, TimedTexts
from mm_assets.cleaned.media_assets import delivered_clips
from mm_assets.commands.progress_bars import ConsoleBars
from mm_assets.commands.run import Runner
from mm_assets.commands.workspace import Workspace
from mm_assets.definitions import define
from resources.delta_lake import DeltaLake

BATCH = "spoken"
REAL_BATCH = "real"
POOL = 30
_SECONDS = (31.0, 45.0)
_STEPS = ("raw_pools", "raw_media", "cleaned_media", "transcripts", "cues")
_LEAD = (0.0, 0.15)
_TAIL = (0.0, 0.6)
_LEAST_GAP_US = 40_000
_CUE_WORDS = 4


@dataclass(frozen=True)
class SpokenClip:
    """A clip as it was heard, and when each of its prompts is really said."""

    tracks: ClipTracks
    texts: tuple[str, ...]
    spans_us: np.ndarray


def make_pool(prompts: Path, work: Path, seed: int = 7) -> list[SpokenClip]:
    """Deliver the clips and have the graph hear them; what a folder holds already is not heard again."""
    landing = work / "landing"
    if not (landing / BATCH / "_SUCCESS").exists():
        _deliver(landing / BATCH, read_prompts(prompts, "a", "m", least_words=3), seed)
    truth = json.loads((landing / "truth.json").read_text(encoding="utf-8"))
    found: list[SpokenClip] = []
    for name, tracks in _hear(work, BATCH).items():
        spans = np.rint(np.array([span for _, *span in truth[name]]) * 1e6).astype(np.int64)
        found.append(SpokenClip(tracks, tuple(text for text, *_ in truth[name]), spans))
    return found


def real_clips(work: Path) -> list[ClipTracks]:
    """The LibriVox sentences of the tests, with a cue for every few words where forced alignment puts them.

    Nobody subtitled these recordings. The cues rest on forced alignment; the words beside them are timed by the
    recogniser's own attention, and voice activity is measured for itself: none of the three knows of the others.
    """
    recognizer = make_models({}).recognizer
    folder = work / "landing" / REAL_BATCH
    if not (folder / "_SUCCESS").exists():
        (folder / "audio").mkdir(parents=True)
        for path in LIBRIVOX.glob("*.flac"):
            shutil.copy(path, folder / "audio" / path.name)
        _describe(folder, sorted(path.name for path in LIBRIVOX.glob("*.flac")), "librivox", "LicenseRef-public-domain")
    clips: list[ClipTracks] = []
    for name, tracks in _hear(work, REAL_BATCH).items():
        words = tracks.words
        if words is None:
            continue
        firsts = np.arange(0, len(words) - _CUE_WORDS + 1, _CUE_WORDS)
        texts = tuple(" ".join(words.texts[first : first + _CUE_WORDS]) for first in firsts)
        lasts = np.append(firsts[1:], len(words)) - 1
        cues = TimedTexts(texts, words.start_us[firsts], words.end_us[lasts])
        (own,) = recognizer.time_words([read_sound(LIBRIVOX / name)], [" ".join(words.texts)], ["en"])
        timed = np.array([(word.start_us, word.end_us) for word in own], dtype=np.int64).reshape(-1, 2)
        heard = TimedTexts(tuple(word.word for word in own), timed[:, 0], np.maximum(timed[:, 1], timed[:, 0]))
        clips.append(replace(tracks, cues=cues, words=heard))
    return clips


def _hear(work: Path, batch: str) -> dict[str, ClipTracks]:
    """What the graph makes of a batch of sounds, by file name."""
    home, root = work / "home", str(work / "lake")
    home.mkdir(exist_ok=True)
    with dg.DagsterInstance.local_temp(str(home), overrides={"telemetry": {"enabled": False}}) as instance:
        runner = Runner(Workspace(instance, define(str(work / "landing"), root)), ConsoleBars(Console(stderr=True)))
        summary = runner.rerun(batch, _STEPS)
    if summary.failed:
        raise SystemExit(f"the clips could not be heard: {summary.failed}")
    lake = DeltaLake(root=root)
    names = dict(lake.scan("audio_clips", batch).select("clip_id", "file_name").collect().iter_rows())
    heard = gather_tracks(
        delivered_clips(lake, batch),
        cleaned_clips(lake, batch),
        lake.read("clip_tracks", batch),
        place_cues(lake.read("raw_cues", batch), lake.read("video_clips", batch)),
        lake.read("transcripts", batch),
    )
    return {names[tracks.clip_id]: replace(tracks, onsets=None) for tracks in heard if tracks.clip_id in names}


def _deliver(folder: Path, prompts: list[Prompt], seed: int) -> None:
    rng = np.random.default_rng(seed)
    (folder / "audio").mkdir(parents=True)
    order = [prompts[place] for _ in range(4) for place in rng.permutation(len(prompts))]
    truth: dict[str, list[tuple[str, float, float]]] = {}
    for number in range(POOL):
        chosen: list[Prompt] = []
        wanted = rng.uniform(*_SECONDS)
        while sum(len(prompt.sound) / RATE + 0.75 for prompt in chosen) < wanted:
            chosen.append(order.pop())
        sound, spans = lay_out(chosen, rng)
        name = f"spoken-{number:02}.wav"
        _write_wav(folder / "audio" / name, sound)
        truth[name] = [(prompt.text, *span) for prompt, span in zip(chosen, spans, strict=True)]
    (folder.parent / "truth.json").write_text(json.dumps(truth), encoding="utf-8")
    _describe(folder, list(truth), "asterisk prompts, constructed", "CC-BY-SA-3.0")


def _describe(folder: Path, names: list[str], source: str, license_name: str) -> None:
    rows = "".join(json.dumps({"file_name": name}) + "\n" for name in names)
    (folder / "audio" / "metadata.jsonl").write_text(rows, encoding="utf-8")
    contract = {"contract": "mm-batch/1", "source": source, "license": license_name, "language": "en"}
    (folder / "batch.json").write_text(json.dumps(contract), encoding="utf-8")
    (folder / "_SUCCESS").touch()


def _write_wav(path: Path, sound: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        samples = np.clip(sound * 32_767, -32_768, 32_767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def draw_spoken(
    pool: list[SpokenClip], generator: np.random.Generator, count: int, difficulty: Difficulty, *, words: bool
) -> list[ClipTracks]:
    """A sound batch: clips of the pool, each once, with cues as people make them.

    Cues start up to 150 ms early and end up to 600 ms late, never after the next starts; some are missing.
    """
    clips: list[ClipTracks] = []
    for place in generator.choice(len(pool), count, replace=False):
        clip = pool[place]
        kept = generator.random(len(clip.texts)) >= difficulty.missing
        starts = clip.spans_us[:, 0] - np.rint(generator.uniform(*_LEAD, len(kept)) * 1e6).astype(np.int64)
        ends = clip.spans_us[:, 1] + np.rint(generator.uniform(*_TAIL, len(kept)) * 1e6).astype(np.int64)
        ends[:-1] = np.minimum(ends[:-1], starts[1:] - _LEAST_GAP_US)
        texts = tuple(text for text, keep in zip(clip.texts, kept, strict=True) if keep)
        cues = TimedTexts(texts, np.maximum(starts, 0)[kept], ends[kept])
        tracks = replace(clip.tracks, cues=cues)
        clips.append(tracks if words else replace(tracks, words=None))
    return clips


def word_errors_ms(pool: list[SpokenClip]) -> list[float]:
    """How far the first word of each prompt starts from where it really does, where it was heard at all."""
    errors: list[float] = []
    for clip in pool:
        if clip.tracks.words is None:
            continue
        starts = clip.tracks.words.start_us
        tokens = pl.Series([word.lower().strip(".,?!") for word in clip.tracks.words.texts])
        for text, (start, _) in zip(clip.texts, clip.spans_us, strict=True):
            first = text.split()[0].lower().strip(".,?!")
            near = np.flatnonzero((tokens == first).to_numpy() & (np.abs(starts - start) < 1_000_000))
            if len(near):
                errors.append(float(np.abs(starts[near] - start).min()) / 1e3)
    return errors
