# pyright: strict
"""How well each clip fits what each pointer of its batch leads to: one matrix per kind of evidence.

Rows are clips, columns are attachments (a subtitle file or a sound track) by the clip that was delivered with them.
Fits are turned into log-likelihood ratios of belonging together by how far they stand out: centred by row and column,
scaled by their median deviation, and compared with a Student distribution of six degrees of freedom, whose tail is
heavier than that of any fit here. A pair that as good a share ``u`` of unrelated ones would be has ``a u^(a - 1)``, as
in :mod:`mm_assets.gates.displacement`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import stdtr  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType] - it has none

from mm_assets.aligned.segments.offsets.cue_profile import score_tracks
from mm_assets.aligned.segments.offsets.envelope_profile import sample_envelope
from mm_assets.aligned.segments.offsets.speech_edges import SpeechEdges, weigh_edges
from mm_assets.aligned.segments.offsets.timed_tracks import FRAME_US, ClipTracks, Floats, Integers, TimedTexts
from mm_assets.aligned.segments.offsets.word_matches import split_tokens
from mm_assets.errors import EmbeddingShapeError
from mm_assets.gates.displacement import MATCH_EXPONENT
from mm_assets.policy import OffsetGatePolicy

SUBTITLES: Final = "subtitles"
AUDIO: Final = "audio"
_DEGREES: Final = 6.0
_LEAST_SHARE: Final = 1e-6
_NORMAL_DEVIATION: Final = 1.4826
"""Standard deviation of a Gaussian over its median absolute deviation."""
_SAME_LENGTH_US: Final = 20_000.0
"""Difference of two lengths below which they are one: half a picture."""
_TEXT_SPREAD: Final = 0.05
"""Cosine of texts: most unrelated ones share next to nothing, some a rare word."""
_LAG_STEP: Final = 5
_POINTER_REACH: Final = 300
"""Lags at which cues are compared, frames: an offset of 3 s must not hide whose cues they are."""
_STRIDE: Final = 4
_ENVELOPE_REACH: Final = 25
"""Sound and pictures are compared every 40 ms within 1 s."""
FEWEST: Final = 4


@dataclass(frozen=True, eq=False)
class PointerChannel:
    """One kind of evidence.

    Attributes:
        name: what is compared.
        side: which pointer it tests: subtitles or audio.
        match: shape (n, n), log-likelihood ratio of clip ``row`` and the attachment of clip ``column`` belonging
            together; 0 where nothing is known.
    """

    name: str
    side: str
    match: Floats


def measure_standing(fit: Floats, least_spread: float = 1e-12) -> Floats:
    """Log-likelihood ratio of every pair belonging together, shape (n, n), from any measure of fit.

    Args:
        fit: shape (n, n), larger is better; NaN where nothing is known.
        least_spread: smallest standard deviation that is believed, in units of the fit.
    """
    known = np.isfinite(fit)
    rows, columns = known.sum(axis=1) >= FEWEST, known.sum(axis=0) >= FEWEST
    known &= rows[:, None] & columns[None, :]
    if not known.any():
        return np.zeros_like(fit)
    values = np.where(known, fit, np.nan)
    centred = values.copy()
    for _ in range(2):
        centred[rows] -= np.nanmedian(centred[rows], axis=1, keepdims=True)
        centred[:, columns] -= np.nanmedian(centred[:, columns], axis=0, keepdims=True)
    spread = _NORMAL_DEVIATION * float(np.nanmedian(np.abs(centred)))
    spread = max(spread, 1e-9 * float(np.nanmax(np.abs(values))), least_spread)
    at_least = np.maximum(stdtr(_DEGREES, -np.where(known, centred, 0.0) / spread), _LEAST_SHARE)
    found = math.log(MATCH_EXPONENT) + (MATCH_EXPONENT - 1.0) * np.log(at_least)
    return np.where(known, found, 0.0)


def compare_cues(
    clips: Sequence[ClipTracks], edges: Sequence[SpeechEdges | None], policy: OffsetGatePolicy
) -> PointerChannel | None:
    """Cues of every clip against the speech of every other; None where fewer than four clips have both."""
    has_cues = [row for row, clip in enumerate(clips) if clip.cues is not None and len(clip.cues) >= policy.min_cues]
    has_speech = [row for row, found in enumerate(edges) if found is not None and len(found) >= policy.min_cues]
    if min(len(has_cues), len(has_speech)) < FEWEST:
        return None
    starts, ends, firsts = _join([clips[row] for row in has_cues])
    lags = np.arange(-_POINTER_REACH, _POINTER_REACH + 1, _LAG_STEP)
    fit = np.full((len(clips), len(clips)), np.nan)
    for row in has_speech:
        speech = edges[row]
        if speech is not None:
            fit[row, has_cues] = score_tracks(weigh_edges(speech, policy), starts, ends, firsts, lags)
    return PointerChannel("cue times and speech", SUBTITLES, measure_standing(fit))


def compare_texts(
    texts: Sequence[TimedTexts | None], attached: Sequence[TimedTexts | None], name: str, side: str
) -> PointerChannel | None:
    """Words of every clip against those of every attachment, by cosine of word counts weighed by rarity."""
    left, right = ([_count(track) for track in tracks] for tracks in (texts, attached))
    if min(sum(bool(counts) for counts in side_counts) for side_counts in (left, right)) < FEWEST:
        return None
    tokens = {
        token: place for place, token in enumerate(sorted({token for counts in left + right for token in counts}))
    }
    tables = [_tabulate(counts, tokens) for counts in (left, right)]
    spread = np.log((1.0 + len(texts)) / (1.0 + (tables[1] > 0).sum(axis=0)))
    tables = [_unit(table * spread) for table in tables]
    fit = tables[0] @ tables[1].T
    fit[[not counts for counts in left], :] = np.nan
    fit[:, [not counts for counts in right]] = np.nan
    return PointerChannel(name, side, measure_standing(fit, _TEXT_SPREAD))


def compare_embeddings(clips: Floats, attached: Floats, name: str, side: str) -> PointerChannel:
    """Embeddings of every clip (of its caption, of its frames) against those of every attachment.

    Args:
        clips: shape (n, D); rows of zeros where there is none.
        attached: shape (n, D), of the same space.
        name: what is compared.
        side: which pointer it tests.

    Raises:
        EmbeddingShapeError: the shapes differ.
    """
    if clips.shape != attached.shape or clips.ndim != 2:  # noqa: PLR2004 - rows of vectors
        raise EmbeddingShapeError(f"clips have embeddings of shape {clips.shape}, attachments {attached.shape}")
    fit = _unit(clips) @ _unit(attached).T
    fit[~clips.any(axis=1), :] = np.nan
    fit[:, ~attached.any(axis=1)] = np.nan
    return PointerChannel(name, side, measure_standing(fit))


def compare_durations(clips: Sequence[ClipTracks]) -> PointerChannel | None:
    """Lengths of the pictures against those of the sound tracks."""
    pictures = np.array([clip.duration_us for clip in clips], dtype=np.float64)
    sounds = np.array([np.nan if clip.audio_duration_us is None else clip.audio_duration_us for clip in clips])
    if int(np.isfinite(sounds).sum()) < FEWEST:
        return None
    apart = np.abs(pictures[:, None] - sounds[None, :])
    return PointerChannel("durations", AUDIO, measure_standing(-np.log1p(apart / _SAME_LENGTH_US)))


def compare_envelopes(clips: Sequence[ClipTracks]) -> PointerChannel | None:
    """Motion of every clip against the onsets of every other, by their best correlation near lag 0."""
    seen = [row for row, clip in enumerate(clips) if clip.motion is not None]
    heard = [row for row, clip in enumerate(clips) if clip.onsets is not None]
    if min(len(seen), len(heard)) < FEWEST:
        return None
    longest = max(clip.duration_us for clip in clips) // FRAME_US // _STRIDE + 1
    pictures, sounds = np.zeros((len(seen), longest)), np.zeros((len(heard), longest + 2 * _ENVELOPE_REACH))
    for place, row in enumerate(seen):
        clip = clips[row]
        if clip.motion is not None:
            coarse = _thin(sample_envelope(clip.motion, clip.start_us, clip.duration_us))
            pictures[place, : len(coarse)] = coarse
    for place, row in enumerate(heard):
        clip = clips[row]
        if clip.onsets is not None:
            coarse = _thin(sample_envelope(clip.onsets, clip.start_us, clip.duration_us))
            sounds[place, _ENVELOPE_REACH : _ENVELOPE_REACH + len(coarse)] = coarse
    pictures, sounds = _unit(pictures), _unit(sounds)
    best = np.full((len(seen), len(heard)), -np.inf)
    for lag in range(2 * _ENVELOPE_REACH + 1):
        np.maximum(best, pictures @ sounds[:, lag : lag + longest].T, out=best)
    fit = np.full((len(clips), len(clips)), np.nan)
    fit[np.ix_(seen, heard)] = best
    return PointerChannel("sound and motion", AUDIO, measure_standing(fit))


def _thin(values: Floats) -> Floats:
    whole = len(values) // _STRIDE * _STRIDE
    return values[:whole].reshape(-1, _STRIDE).mean(axis=1)


def _join(clips: Sequence[ClipTracks]) -> tuple[Floats, Floats, Integers]:
    """Cue edges of all clips one after the other, frames from the start of their clip, and where each clip starts."""
    starts: list[Floats] = []
    ends: list[Floats] = []
    for clip in clips:
        if clip.cues is not None:
            starts.append((clip.cues.start_us - clip.start_us) / FRAME_US)
            ends.append((clip.cues.end_us - clip.start_us) / FRAME_US)
    firsts = np.cumsum([0, *(len(track) for track in starts[:-1])]).astype(np.int64)
    return np.concatenate(starts), np.concatenate(ends), firsts


def _count(track: TimedTexts | None) -> dict[str, int]:
    counts: dict[str, int] = {}
    for text in track.texts if track is not None else ():
        for token in split_tokens(text):
            counts[token] = counts.get(token, 0) + 1
    return counts


def _tabulate(rows: Sequence[dict[str, int]], tokens: dict[str, int]) -> Floats:
    table = np.zeros((len(rows), len(tokens)))
    for row, counts in enumerate(rows):
        table[row, [tokens[token] for token in counts]] = list(counts.values())
    return table


def _unit(rows: Floats) -> Floats:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
