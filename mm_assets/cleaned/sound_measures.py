"""Measure one sound as it streams by, and judge what was measured."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.cleaned.clip_tracks import SoundTracks, track_sound
from mm_assets.cleaned.interfaces import SoundEvents, VoiceActivity
from mm_assets.cleaned.sound_levels import (
    LEVEL_SAMPLES,
    LevelMeter,
    estimate_snr_db,
    find_pauses,
    silent_share,
    spread_to_levels,
)
from mm_assets.cleaned.sound_tones import ToneMeter
from mm_assets.errors import DecodeError
from mm_assets.media.messages import SAMPLE_RATE, AudioBlock, AudioStream, End
from mm_assets.policy import SoundPolicy

_EVENT_SAMPLES: Final = 20 * SAMPLE_RATE
_SINGING, _MUSIC = 1, 2
NO_SOUND: Final[dict[str, None]] = dict.fromkeys(
    (
        "codec",
        "sample_rate",
        "channels",
        "sound_start_us",
        "sound_end_us",
        "loudness_lufs",
        "peak",
        "silent_share",
        "clipped_share",
        "snr_db",
        "squeal_share",
        "speech_share",
        "music_share",
        "sound_class",
    )
)
"""The columns of a clip without sound."""


@dataclass(frozen=True)
class SoundMeasures:
    """What was measured of a sound; the columns of the clip tables, and two more.

    Attributes:
        seconds: duration of the samples.
        squeal_seconds: time under a lasting tone.
        pauses_us: start and end of each pause on the presentation clock, int64, shape (N, 2).
        tracks: what changes along it.
    """

    seconds: float
    peak: float
    silent_share: float
    clipped_share: float
    snr_db: float | None
    squeal_share: float
    squeal_seconds: float
    speech_share: float
    music_share: float | None
    sound_class: str
    pauses_us: NDArray[np.int64]
    tracks: SoundTracks

    def columns(self, stream: AudioStream, end: End, offset_us: int) -> dict[str, object]:
        """The sound's columns of a clip row, times moved to the global clock."""
        measured = {name: value for name, value in vars(self).items() if name in NO_SOUND}
        track = end.audio
        return measured | {
            "codec": stream.codec,
            "sample_rate": stream.sample_rate,
            "channels": stream.channels,
            "sound_start_us": None if track is None else track.start_us + offset_us,
            "sound_end_us": None if track is None else track.end_us + offset_us,
            "loudness_lufs": end.loudness_lufs,
        }


class SoundMeter:
    """Takes the blocks of one sound; memory does not grow by more than 30 bytes a window of 10 ms."""

    def __init__(self, voice: VoiceActivity, events: SoundEvents | None, policy: SoundPolicy) -> None:
        self._policy = policy
        self._levels = LevelMeter()
        self._tones = ToneMeter(policy.squeal_min_hz)
        self._speech = voice.begin()
        self._window_samples = voice.window_samples
        self._probabilities: list[NDArray[np.float32]] = []
        self._events = None if events is None else _EventMeter(events, policy.event_probability)
        self._starts: list[tuple[int, int]] = []
        self._samples = self._clipped = self._native = 0
        self._peak = 0.0

    def add(self, block: AudioBlock) -> None:
        """Take the next block."""
        samples = np.frombuffer(block.samples, "<f4")
        self._starts.append((self._samples, block.start_us))
        self._samples += len(samples)
        self._clipped += block.clipped
        self._native += block.native
        self._peak = max(self._peak, block.peak)
        self._levels.add(samples)
        self._tones.add(samples)
        self._probabilities.append(self._speech.add(samples))
        if self._events is not None:
            self._events.add(samples)

    def finish(self) -> SoundMeasures:
        """What the sound turned out to be."""
        policy = self._policy
        powers = self._levels.finish()
        probabilities = spread_to_levels(
            np.concatenate((*self._probabilities, self._speech.finish())), self._window_samples, len(powers)
        )
        squeal = self._tones.finish(
            dominance=policy.squeal_dominance,
            run_seconds=policy.squeal_run_seconds,
            silence_dbfs=policy.silence_dbfs,
        )
        silent = silent_share(powers, policy.silence_dbfs)
        speech_share = float((probabilities >= policy.speech_probability).mean()) if len(probabilities) else 0.0
        music_share = None if self._events is None else self._events.finish()
        pauses = find_pauses(
            powers,
            probabilities,
            pause=policy.pause_probability,
            silence_dbfs=policy.silence_dbfs,
            min_seconds=policy.min_pause_seconds,
        )
        return SoundMeasures(
            seconds=self._samples / SAMPLE_RATE,
            peak=self._peak,
            silent_share=silent,
            clipped_share=self._clipped / max(1, self._native),
            snr_db=estimate_snr_db(
                powers, probabilities, speech=policy.speech_probability, pause=policy.pause_probability
            ),
            squeal_share=squeal.share,
            squeal_seconds=squeal.seconds,
            speech_share=speech_share,
            music_share=music_share,
            sound_class=classify_sound(silent, speech_share, music_share or 0.0, policy),
            pauses_us=self._on_clock(np.minimum(pauses, self._samples)),
            tracks=track_sound(self._window_times(len(powers)), powers, probabilities),
        )

    def _window_times(self, count: int) -> NDArray[np.int64]:
        """Presentation time at which each level window starts."""
        if not self._starts:
            return np.zeros(0, np.int64)
        first, start_us = np.array(self._starts, np.int64).T
        samples = np.arange(count, dtype=np.int64) * LEVEL_SAMPLES
        block = np.clip(np.searchsorted(first, samples, side="right") - 1, 0, None)
        return start_us[block] + np.rint((samples - first[block]) * (1e6 / SAMPLE_RATE)).astype(np.int64)

    def _on_clock(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Presentation time of samples, counted over all blocks."""
        if not self._starts or not len(samples):
            return np.zeros((0, 2), np.int64)
        first, start_us = np.array(self._starts, np.int64).T
        block = np.clip(np.searchsorted(first, samples, side="right") - 1, 0, None)
        # The end of a pause that ends with its block belongs to that block, not to the next one behind a gap.
        block[:, 1] = np.clip(np.searchsorted(first, samples[:, 1], side="left") - 1, 0, None)
        return start_us[block] + np.rint((samples - first[block]) * (1e6 / SAMPLE_RATE)).astype(np.int64)


class _EventMeter:
    """Music and singing, 20 s at a time: the model takes a whole sound, and memory is bounded."""

    def __init__(self, events: SoundEvents, probability: float) -> None:
        self._events = events
        self._probability = probability
        self._waiting: list[NDArray[np.float32]] = []
        self._samples = 0
        self._musical = self._windows = 0

    def add(self, samples: NDArray[np.float32]) -> None:
        self._waiting.append(samples)
        self._samples += len(samples)
        if self._samples < _EVENT_SAMPLES:
            return
        joined = np.concatenate(self._waiting)
        whole = len(joined) // _EVENT_SAMPLES * _EVENT_SAMPLES
        for start in range(0, whole, _EVENT_SAMPLES):
            self._score(joined[start : start + _EVENT_SAMPLES])
        self._waiting, self._samples = [joined[whole:]], len(joined) - whole

    def finish(self) -> float:
        if self._samples:
            self._score(np.concatenate(self._waiting))
        return self._musical / max(1, self._windows)

    def _score(self, samples: NDArray[np.float32]) -> None:
        scores = self._events.score(samples)
        self._musical += int((scores[:, [_SINGING, _MUSIC]].max(axis=1) >= self._probability).sum())
        self._windows += len(scores)


def classify_sound(silent: float, speech: float, music: float, policy: SoundPolicy) -> str:
    """What a sound mostly is: ``silence``, ``speech``, ``music`` or ``other``.

    >>> classify_sound(0.1, 0.8, 0.0, SoundPolicy())
    'speech'
    """
    if silent > policy.max_silent_share:
        return "silence"
    if speech >= policy.min_speech_share:
        return "speech"
    return "music" if music >= policy.min_music_share else "other"


def refuse_sound(
    measured: SoundMeasures, stream: AudioStream, where: str, policy: SoundPolicy, *, declares_speech: bool = False
) -> None:
    """Refuse a sound that nothing can be learnt from.

    Args:
        measured: of the whole sound.
        stream: as the container declares it.
        where: the record, for messages.
        policy: what a clean sound is.
        declares_speech: the record comes with a transcription.

    Raises:
        DecodeError: code ``TOO_SHORT``, ``SAMPLE_RATE_TOO_LOW``, ``SILENT``, ``CLIPPED``, ``SQUEAL``, ``LOW_SNR`` or
            ``NO_SPEECH``.
    """
    if measured.seconds < policy.min_seconds:
        raise DecodeError(
            "TOO_SHORT", f"{where}: {measured.seconds:.3f} s of sound, at least {policy.min_seconds:g} are needed"
        )
    if stream.sample_rate < policy.min_sample_rate:
        raise DecodeError(
            "SAMPLE_RATE_TOO_LOW",
            f"{where}: {stream.sample_rate} Hz, at least {policy.min_sample_rate} are needed; deliver the original",
        )
    if measured.silent_share > policy.max_silent_share:
        raise DecodeError(
            "SILENT",
            f"{where}: silence below {policy.silence_dbfs:g} dBFS for {measured.silent_share:.1%} of the time; deliver "
            "the sound, or the record without it",
        )
    if measured.clipped_share > policy.max_clipped_share:
        raise DecodeError(
            "CLIPPED",
            f"{where}: {measured.clipped_share:.1%} of the samples stand at full scale, at most "
            f"{policy.max_clipped_share:.1%} may; deliver it recorded at a lower level",
        )
    if measured.squeal_share > policy.max_squeal_share and measured.squeal_seconds >= policy.max_squeal_seconds:
        raise DecodeError(
            "SQUEAL",
            f"{where}: one tone over everything for {measured.squeal_seconds:.1f} s, {measured.squeal_share:.0%} of "
            "the sound; remove the feedback or the record",
        )
    if measured.snr_db is not None and measured.sound_class == "speech" and measured.snr_db < policy.min_snr_db:
        raise DecodeError(
            "LOW_SNR",
            f"{where}: speech only {measured.snr_db:.1f} dB over its background, {policy.min_snr_db:g} are needed; "
            "denoise it or remove the record",
        )
    if declares_speech and measured.sound_class == "other":
        raise DecodeError(
            "NO_SPEECH",
            f"{where}: a transcription, but speech in {measured.speech_share:.0%} of the time only; deliver the right "
            "sound, a cleaner one, or the record without transcription",
        )
