# pyright: strict
"""Transcripts and utterances of clips, as their sound streams by."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl

from mm_assets.aligned.segments.interfaces import SpeakerTurn, Waveform
from mm_assets.aligned.segments.speech.hearing import HeardWindow, HearingFigures, SpeechModels, hear_windows
from mm_assets.aligned.segments.speech.utterances import nearest_turn
from mm_assets.aligned.segments.speech.voices import tell_voices_apart
from mm_assets.aligned.segments.speech.windows import Window, cut_windows, find_windows
from mm_assets.errors import InputError
from mm_assets.identifiers import make_id
from mm_assets.landing import Landing
from mm_assets.media.decoder import MediaDecoder, open_landed
from mm_assets.media.messages import AudioBlock, Wanted
from mm_assets.policy import SpeechPolicy
from mm_assets.schemas import TABLES

STAGE: Final = "transcripts"
_ROWS_TOGETHER: Final = 64
_UNSPACED: Final = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
Row = dict[str, Any]


@dataclass(frozen=True)
class TranscribedClips:
    """What became of some clips.

    Attributes:
        transcripts: rows of ``transcripts``.
        utterances: rows of ``utterances``.
        rejected: rows of ``rejected``.
    """

    transcripts: pl.DataFrame
    utterances: pl.DataFrame
    rejected: pl.DataFrame


@dataclass(eq=False)
class _Clip:
    """A clip on its way: windows that are not heard yet, and those that are."""

    row: Row
    waiting: int = 0
    decoded: bool = False
    heard: list[HeardWindow] = field(default_factory=list[HeardWindow])
    error: InputError | None = None

    @property
    def done(self) -> bool:
        return self.error is not None or (self.decoded and self.waiting == 0)


@dataclass(frozen=True)
class _Waiting:
    clip: _Clip
    window: Window
    sound: Waveform


def transcribe_clips(
    chunks: Iterable[pl.DataFrame],
    landing: Landing,
    decoder: MediaDecoder,
    models: SpeechModels,
    policy: SpeechPolicy,
    figures: HearingFigures,
) -> Iterator[TranscribedClips]:
    """Transcribe clips in their order; windows of several clips are recognised together, those of like length.

    Held at any time: the sound of some batches of windows, and the words of the clips they come from. Only clips with
    speech are decoded.

    Args:
        chunks: cleaned clips with sound: batch, clip_id, position, kind (``audio`` or ``video``), record_ref,
            sound_ref, sound_clock_offset_us, language, sound_start_us, sound_step_us and speech.
        landing: where their ``sound_ref`` points.
        decoder: the decoding process.
        models: what hears.
        policy: what speech is and what is believed.
        figures: added to.

    Raises:
        ModelError: a model failed.
    """
    clips: deque[_Clip] = deque()
    gathered: list[_Waiting] = []

    def hear() -> None:
        ready = sorted((waiting for waiting in gathered if waiting.clip.error is None), key=lambda w: len(w.sound))
        gathered.clear()
        for at in range(0, len(ready), policy.batch_size):
            batch = ready[at : at + policy.batch_size]
            heard = hear_windows(
                [waiting.window for waiting in batch],
                [waiting.sound for waiting in batch],
                [waiting.clip.row["language"] for waiting in batch],
                models,
                policy,
                figures,
            )
            for waiting, result in zip(batch, heard, strict=True):
                waiting.clip.waiting -= 1
                waiting.clip.heard.append(result)

    def take(waiting: _Waiting) -> None:
        waiting.clip.waiting += 1
        gathered.append(waiting)
        if len(gathered) >= policy.batch_size * policy.gathered_batches:
            hear()

    for chunk in chunks:
        for row in chunk.iter_rows(named=True):
            clip = _Clip({name: value for name, value in row.items() if name != "speech"})
            clips.append(clip)
            _listen(clip, row["speech"], landing, decoder, policy, take)
            if len(clips) >= _ROWS_TOGETHER and clips[0].done:
                yield _finish(clips, models, policy)
    hear()
    yield _finish(clips, models, policy)


def _listen(
    clip: _Clip,
    speech: list[float] | None,
    landing: Landing,
    decoder: MediaDecoder,
    policy: SpeechPolicy,
    take: Callable[[_Waiting], None],
) -> None:
    """Hand on the windows of a clip; one that cannot be decoded keeps its error."""
    row = clip.row
    track = np.asarray([] if speech is None else speech, np.float32)
    windows = find_windows(track, row["sound_start_us"] or 0, row["sound_step_us"], policy)
    if windows:
        try:
            with open_landed(landing, row["sound_ref"]["uri"]) as stream:
                messages = decoder.decode(stream, row["record_ref"], Wanted(audio=True))
                blocks = (message for message in messages if isinstance(message, AudioBlock))
                for window, sound in cut_windows(blocks, windows, row["sound_clock_offset_us"]):
                    take(_Waiting(clip, window, sound))
        except InputError as error:
            clip.error = error
    clip.decoded = True


def _finish(clips: deque[_Clip], models: SpeechModels, policy: SpeechPolicy) -> TranscribedClips:
    """Rows of the clips that are done, from the first on."""
    transcripts: list[Row] = []
    utterances: list[Row] = []
    rejected: list[Row] = []
    while clips and clips[0].done:
        clip = clips.popleft()
        clip.heard.sort(key=lambda heard: heard.window.start_us)
        if clip.error is not None:
            rejected.append(_rejection(clip.row, clip.error))
            continue
        row, of = _rows(clip, str(models.recognizer.identity), policy)
        transcripts.append(row)
        utterances += of
    return TranscribedClips(
        *(
            TABLES[table].conform(pl.DataFrame(rows, schema=TABLES[table].schema))
            for table, rows in (("transcripts", transcripts), ("utterances", utterances), ("rejected", rejected))
        )
    )


def _rows(clip: _Clip, model: str, policy: SpeechPolicy) -> tuple[Row, list[Row]]:
    believed = [heard for heard in clip.heard if heard.doubt is None]
    turns = [turn for heard in believed for turn in heard.turns]
    voices = tell_voices_apart(turns, policy)
    place = {name: clip.row[name] for name in ("batch", "clip_id", "position")}
    words: list[Row] = []
    utterances: list[Row] = []
    for heard in believed:
        joint = "" if heard.heard.language in _UNSPACED else " "
        for spoken in heard.utterances:
            start_us, end_us = spoken.words[0].start_us, spoken.words[-1].end_us
            speaker = _speaker(turns, voices, start_us, end_us)
            text = joint.join(word.word for word in spoken.words)
            words += [
                {
                    "word": word.word,
                    "start_us": word.start_us,
                    "end_us": word.end_us,
                    "confidence": word.confidence,
                    "method": word.method,
                    "speaker": speaker,
                }
                for word in spoken.words
            ]
            utterances.append(
                place
                | {
                    "utterance_id": make_id("utt", clip.row["clip_id"], start_us, end_us, text),
                    "utterance_index": len(utterances),
                    "start_us": start_us,
                    "end_us": end_us,
                    "text": text,
                    "speaker": speaker,
                    "pitch_hz": spoken.prosody.pitch_hz,
                    "pitch_range_semitones": spoken.prosody.pitch_range_semitones,
                    "energy_db": spoken.prosody.energy_db,
                    "words_per_second": len(spoken.words) * 1e6 / (end_us - start_us),
                    "avg_logprob": heard.heard.avg_logprob,
                    "no_speech_probability": heard.heard.no_speech_probability,
                }
            )
    language, probability, avg_logprob = _sum_up(believed)
    return (
        place
        | {
            "text": " ".join(heard.heard.text for heard in believed),
            "language": language,
            "language_probability": probability,
            "words": words,
            "speakers": len(set(voices)),
            "avg_logprob": avg_logprob,
            "dropped_segments": len(clip.heard) - len(believed),
            "model": model,
        },
        utterances,
    )


def _speaker(turns: list[SpeakerTurn], voices: list[int], start_us: int, end_us: int) -> str | None:
    turn = nearest_turn(turns, start_us, end_us)
    return None if turn is None else f"S{voices[turn]}"


def _sum_up(believed: list[HeardWindow]) -> tuple[str | None, float | None, float | None]:
    """Language of the longest part of the clip with its mean probability, and mean log probability, by duration."""
    if not believed:
        return None, None, None
    durations = [heard.window.end_us - heard.window.start_us for heard in believed]
    spoken: Counter[str] = Counter()
    for heard, duration in zip(believed, durations, strict=True):
        spoken[heard.heard.language] += duration
    language = max(spoken, key=lambda code: spoken[code])
    told = [
        (heard.heard.language_probability, duration)
        for heard, duration in zip(believed, durations, strict=True)
        if heard.heard.language == language and heard.heard.language_probability is not None
    ]
    probability = sum(p * duration for p, duration in told) / sum(duration for _, duration in told) if told else None
    total = sum(heard.heard.avg_logprob * duration for heard, duration in zip(believed, durations, strict=True))
    return language, probability, total / sum(durations)


def _rejection(row: Row, error: InputError) -> Row:
    return {
        "batch": row["batch"],
        "stage": STAGE,
        "record_kind": row["kind"],
        "record_ref": row["record_ref"],
        "record_id": row["clip_id"],
        "code": error.code,
        "reason": error.reason,
    }
