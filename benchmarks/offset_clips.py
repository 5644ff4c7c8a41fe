"""Constructed clips: speech activity with pauses, words, and cues made from them as people make them.

Everything is drawn from a seed and known exactly. Utterances last 0.6 to 6 s, pauses 0.12 to 3 s, with gaps of closures
inside. A detector sees them with blurred edges, noise, dropouts and music taken for speech. Cues start 0 to 150 ms
early and end up to 600 ms late, never after the next starts; some are missing, some take two utterances in. Words are
recognised with errors of text and time. Sound and motion share events, and have events of their own.
"""

from dataclasses import dataclass, replace

import numpy as np

from mm_assets.aligned.segments.offsets.timed_tracks import FRAME_US, ClipTracks, Envelope, SpeechActivity, TimedTexts

_SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
_COMMON = ["the", "and", "of", "to", "a", "in", "that", "it", "is", "was", "for", "on", "you", "we"]


@dataclass(frozen=True)
class Difficulty:
    """How far from perfect a clip is.

    Attributes:
        noise: standard deviation of the detector's noise.
        missing: share of utterances without a cue.
        music: share of clips with a stretch of music taken for speech.
        word_errors: share of words recognised wrongly.
        word_jitter_us: standard deviation of word times, microseconds.
        event_noise: events of sound and of motion alone, per common one.
    """

    noise: float = 0.15
    missing: float = 0.1
    music: float = 0.3
    word_errors: float = 0.15
    word_jitter_us: float = 60_000.0
    event_noise: float = 1.0


USUAL = Difficulty()


def draw_clip(
    generator: np.random.Generator,
    name: str,
    duration_us: int | None = None,
    difficulty: Difficulty = USUAL,
    *,
    words: bool = False,
    envelopes: bool = False,
) -> ClipTracks:
    """One clip whose tracks are in place.

    Args:
        generator: where everything is drawn from.
        name: its id.
        duration_us: its length; drawn from 20 to 60 s if None.
        difficulty: how far from perfect it is.
        words: whether its words were recognised.
        envelopes: whether it has onsets and motion.
    """
    if duration_us is None:
        duration_us = int(generator.uniform(20e6, 60e6))
    duration = duration_us / 1e6
    spans = _utterances(generator, duration)
    speech = _detect(generator, spans, duration, difficulty)
    vocabulary = generator.choice(_SYLLABLES, (120, 3))
    spoken = [_speak(generator, span, vocabulary) for span in spans]
    cues = _cues(generator, spans, spoken, duration, difficulty)
    heard = _recognise(generator, spoken, vocabulary, difficulty) if words else None
    onsets = motion = None
    if envelopes:
        onsets, motion = _events(generator, duration, difficulty)
    # a separate sound track is cut to the length of its pictures, give or take a packet
    sound_us = duration_us + round(generator.normal(0.0, 15_000.0)) if envelopes else None
    return ClipTracks(name, duration_us, 0, speech, cues, heard, onsets, motion, sound_us)


def move_cues(clip: ClipTracks, offset_us: float = 0.0, rate: float = 1.0) -> ClipTracks:
    """The clip with its cues late by an offset and running at a rate."""
    if clip.cues is None:
        return clip
    moved = [np.rint(times * rate + offset_us).astype(np.int64) for times in (clip.cues.start_us, clip.cues.end_us)]
    return replace(clip, cues=replace(clip.cues, start_us=moved[0], end_us=moved[1]))


def reverse_media(clip: ClipTracks) -> ClipTracks:
    """The clip played backwards under its cues."""
    speech, onsets = clip.speech, clip.onsets
    return replace(
        clip,
        speech=None if speech is None else replace(speech, probability=speech.probability[::-1].copy()),
        onsets=None if onsets is None else replace(onsets, strength=onsets.strength[::-1].copy()),
        words=None,
    )


def reverse_cues(clip: ClipTracks) -> ClipTracks:
    """The texts of its cues in reversed order, at the times as they were."""
    if clip.cues is None:
        return clip
    return replace(clip, cues=replace(clip.cues, texts=clip.cues.texts[::-1]))


def move_sound(clip: ClipTracks, offset_us: float) -> ClipTracks:
    """The clip with its sound late by an offset."""
    if clip.onsets is None:
        return clip
    return replace(clip, onsets=replace(clip.onsets, start_us=round(clip.onsets.start_us + offset_us)))


def overlap_cues(clip: ClipTracks, generator: np.random.Generator) -> ClipTracks:
    """The clip with a third of its cues, or more, running into the next."""
    if clip.cues is None or len(clip.cues) < 2:
        return clip
    ends = clip.cues.end_us.copy()
    hit = generator.random(len(ends) - 1) < 0.5
    hit[: max(1, len(hit) // 3)] = True
    ends[:-1][hit] = clip.cues.start_us[1:][hit] + 400_000
    return replace(clip, cues=replace(clip.cues, end_us=np.maximum(ends, clip.cues.end_us)))


def take_attachments(clips: list[ClipTracks], sources: np.ndarray) -> list[ClipTracks]:
    """Clips whose subtitle and audio pointers lead to those of other clips."""
    chosen = [clips[source] for source in sources.tolist()]
    return [
        replace(clip, cues=other.cues, onsets=other.onsets, audio_duration_us=other.audio_duration_us)
        for clip, other in zip(clips, chosen, strict=True)
    ]


def _utterances(generator: np.random.Generator, duration: float) -> list[tuple[float, float]]:
    spans: list[tuple[float, float]] = []
    time = float(generator.uniform(0.1, 1.5))
    while True:
        length = float(np.clip(generator.lognormal(0.75, 0.5), 0.6, 6.0))
        if time + length > duration - 0.2:
            return spans
        spans.append((time, time + length))
        time += length + float(np.clip(generator.lognormal(-0.7, 0.7), 0.12, 3.0))


def _detect(
    generator: np.random.Generator, spans: list[tuple[float, float]], duration: float, difficulty: Difficulty
) -> SpeechActivity:
    frames = int(duration * 1e6) // FRAME_US
    active = np.zeros(frames)
    for start, end in spans:
        active[int(start * 100) : int(end * 100)] = 1.0
        for _ in range(generator.poisson((end - start) * 0.5)):  # closures and breaths inside an utterance
            gap = int(generator.uniform(start, end) * 100)
            active[gap : gap + int(generator.uniform(3, 18))] = 0.0
    if generator.random() < difficulty.music:
        start = int(generator.uniform(0, frames * 0.8))
        active[start : start + int(generator.uniform(200, 600))] = 1.0
    slow = np.convolve(generator.normal(size=frames + 24), np.ones(25) / 5.0, mode="valid")
    blurred = np.convolve(active, np.ones(5) / 5.0, mode="same")
    level = 0.08 + 0.84 * blurred + difficulty.noise * (0.7 * generator.normal(size=frames) + 0.5 * slow)
    return SpeechActivity(np.clip(level, 0.0, 1.0))


def _speak(
    generator: np.random.Generator, span: tuple[float, float], vocabulary: np.ndarray
) -> list[tuple[str, float, float]]:
    count = max(2, round((span[1] - span[0]) * 2.8))
    bounds = np.linspace(span[0], span[1], count + 1)
    bounds[1:-1] += generator.uniform(-0.08, 0.08, count - 1)
    return [(_word(generator, vocabulary), float(bounds[i]), float(bounds[i + 1])) for i in range(count)]


def _word(generator: np.random.Generator, vocabulary: np.ndarray) -> str:
    if generator.random() < 0.4:
        return str(generator.choice(_COMMON))
    return "".join(generator.choice(vocabulary))


def _cues(
    generator: np.random.Generator,
    spans: list[tuple[float, float]],
    spoken: list[list[tuple[str, float, float]]],
    duration: float,
    difficulty: Difficulty,
) -> TimedTexts:
    rows: list[tuple[str, float, float]] = []
    place = 0
    while place < len(spans):
        first = last = place
        if last + 1 < len(spans) and spans[last + 1][0] - spans[last][1] < 0.4 and generator.random() < 0.5:
            last += 1
        place = last + 1
        if generator.random() < difficulty.missing:
            continue
        start = max(spans[first][0] - float(generator.uniform(0.0, 0.15)), rows[-1][2] if rows else 0.0)
        late = spans[last][1] + float(generator.uniform(0.0, 0.6))
        following = spans[last + 1][0] - 0.15 if last + 1 < len(spans) else duration
        end = min(max(min(following, late), spans[last][1]), duration)
        text = " ".join(word for row in range(first, last + 1) for word, _, _ in spoken[row])
        rows.append((text, start, max(end, start + 0.1)))
    times = np.rint(np.array([row[1:] for row in rows]).reshape(-1, 2) * 1e6).astype(np.int64)
    return TimedTexts(tuple(row[0] for row in rows), times[:, 0], times[:, 1])


def _recognise(
    generator: np.random.Generator,
    spoken: list[list[tuple[str, float, float]]],
    vocabulary: np.ndarray,
    difficulty: Difficulty,
) -> TimedTexts:
    rows = [word for utterance in spoken for word in utterance]
    texts = [
        _word(generator, vocabulary) if generator.random() < difficulty.word_errors else text for text, _, _ in rows
    ]
    times = np.array([row[1:] for row in rows]).reshape(-1, 2) * 1e6
    times += generator.normal(0.0, difficulty.word_jitter_us, (len(rows), 1))
    whole = np.maximum(np.rint(times).astype(np.int64), 0)
    order = np.argsort(whole[:, 0], kind="stable")
    return TimedTexts(tuple(texts[row] for row in order), whole[order, 0], np.maximum(whole[order, 1], whole[order, 0]))


def _events(generator: np.random.Generator, duration: float, difficulty: Difficulty) -> tuple[Envelope, Envelope]:
    """Onsets every 10 ms, motion every 40 ms, of common events and of events of each alone."""
    common = np.sort(generator.uniform(0, duration, max(4, generator.poisson(duration * 0.5))))
    tracks: list[Envelope] = []
    for step_us, width in ((FRAME_US, 0.03), (40_000, 0.06)):
        own = generator.uniform(0, duration, generator.poisson(len(common) * difficulty.event_noise))
        events = np.concatenate([common + generator.normal(0, 0.02, len(common)), own])
        times = np.arange(int(duration * 1e6) // step_us) * step_us / 1e6
        strength = np.abs(generator.normal(0.0, 0.15, len(times)))
        for event, loud in zip(events, generator.lognormal(0.0, 0.5, len(events)), strict=True):
            near = np.abs(times - event) < 5 * width
            strength[near] += loud * np.exp(-0.5 * ((times[near] - event) / width) ** 2)
        tracks.append(Envelope(strength, 0, step_us))
    return tracks[0], tracks[1]
