# pyright: strict
"""What is said in a batch of windows, when, by whom and how: every model call of speech."""

import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from mm_assets.aligned.segments.interfaces import (
    RECOGNISER_METHOD,
    AlignedWords,
    RecognizedSpeech,
    SpeakerEmbedder,
    SpeakerTurn,
    SpeechRecognizer,
    Waveform,
    WordAligner,
)
from mm_assets.aligned.segments.speech.hallucinations import Doubt, doubt_text
from mm_assets.aligned.segments.speech.prosody import Prosody, measure_prosody
from mm_assets.aligned.segments.speech.utterances import Run, divide_at_turns, divide_into_utterances
from mm_assets.aligned.segments.speech.windows import Window
from mm_assets.aligned.segments.speech.word_times import ClipWord, place_words, spread_words, trim_silence
from mm_assets.media.messages import SAMPLE_RATE
from mm_assets.policy import SpeechPolicy

EVEN_METHOD = "even"
_SLACK_US = 100_000  # voice activity is late by a window or two


@dataclass(frozen=True)
class SpeechModels:
    """The models that turn sound into transcripts; without an aligner the recogniser's own word times are taken."""

    recognizer: SpeechRecognizer
    aligner: WordAligner | None
    speakers: SpeakerEmbedder | None


@dataclass(frozen=True)
class Spoken:
    """An utterance and how it is said."""

    words: Run
    prosody: Prosody


@dataclass(frozen=True)
class HeardWindow:
    """What became of a window.

    Attributes:
        window: where it is.
        heard: what the recogniser made of it.
        doubt: why its text was dropped; None: it was not.
        utterances: in order; none of a dropped text.
        turns: who speaks when, on the clip's clock.
    """

    window: Window
    heard: RecognizedSpeech
    doubt: Doubt | None
    utterances: tuple[Spoken, ...] = ()
    turns: tuple[SpeakerTurn, ...] = ()

    @property
    def words(self) -> Iterator[ClipWord]:
        """Words of all utterances."""
        return (word for spoken in self.utterances for word in spoken.words)


@dataclass
class HearingFigures:
    """What a step has heard so far.

    Attributes:
        seconds: of sound recognised.
        busy: seconds each model was busy.
        doubts: windows whose text was dropped, by reason.
        refusals: windows the aligner refused, by reason; a mismatch says that the text may not be what is said.
    """

    seconds: float = 0.0
    busy: Counter[str] = field(default_factory=Counter[str])
    doubts: Counter[str] = field(default_factory=Counter[str])
    refusals: Counter[str] = field(default_factory=Counter[str])

    @contextmanager
    def timing(self, model: str) -> Generator[None]:
        """Count the block's seconds."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.busy[model] += time.perf_counter() - started  # pyright: ignore[reportArgumentType] - seconds


def hear_windows(
    windows: Sequence[Window],
    waveforms: Sequence[Waveform],
    languages: Sequence[str | None],
    models: SpeechModels,
    policy: SpeechPolicy,
    figures: HearingFigures,
) -> list[HeardWindow]:
    """Recognise windows of any clips in one batch, and time what is believed of it.

    Args:
        windows: where each is on its clip's clock.
        waveforms: their sound.
        languages: the code each is delivered with, or None.
        models: what hears.
        policy: what is believed.
        figures: added to.

    Raises:
        ModelError: a model failed.
    """
    with figures.timing("recognizer"):
        heard = models.recognizer.recognize(waveforms, languages)
    figures.seconds += sum(map(len, waveforms)) / SAMPLE_RATE
    results = [
        HeardWindow(window, speech, doubt_text(speech, window, policy))
        for window, speech in zip(windows, heard, strict=True)
    ]
    figures.doubts.update(result.doubt for result in results if result.doubt is not None)
    believed = [place for place, result in enumerate(results) if result.doubt is None]
    if not believed:
        return results
    sounds = [waveforms[place] for place in believed]
    kept = [results[place] for place in believed]
    gap_us = round(policy.utterance_gap_seconds * 1e6)
    runs = [divide_into_utterances(words, gap_us) for words in _time_words(kept, sounds, models, figures)]
    turns = _find_turns(kept, sounds, runs, models, figures)
    with figures.timing("prosody"):
        for place, result, sound, of, spoken_by in zip(believed, kept, sounds, runs, turns, strict=True):
            results[place] = _describe(result, sound, of, spoken_by, policy)
    return results


def _time_words(
    kept: Sequence[HeardWindow], sounds: Sequence[Waveform], models: SpeechModels, figures: HearingFigures
) -> list[tuple[ClipWord, ...]]:
    """Words of each window, by the aligner where it can, else by the recogniser."""
    texts = [result.heard.text for result in kept]
    languages = [result.heard.language for result in kept]
    aligned: list[AlignedWords] = [AlignedWords((), None)] * len(kept)
    method = RECOGNISER_METHOD
    if models.aligner is not None:
        method = models.aligner.method
        with figures.timing("aligner"):
            aligned = models.aligner.align(sounds, texts, languages)
        figures.refusals.update(found.refusal for found in aligned if found.refusal is not None)
    placed = [
        place_words(found.words, method, result.window.start_us, result.window.start_us, result.window.end_us)
        for found, result in zip(aligned, kept, strict=True)
    ]
    left = [place for place, words in enumerate(placed) if not words]
    if left:
        with figures.timing("recognizer"):
            own = models.recognizer.time_words(
                [sounds[place] for place in left],
                [texts[place] for place in left],
                [languages[place] for place in left],
            )
        for place, words in zip(left, own, strict=True):
            window = kept[place].window
            # The recogniser lets its first word begin with the sound and its last end with it.
            bounds = (
                max(window.start_us, window.speech_start_us - _SLACK_US),
                min(window.end_us, window.speech_end_us + _SLACK_US),
            )
            trimmed = trim_silence(words, sounds[place])
            placed[place] = place_words(trimmed, RECOGNISER_METHOD, window.start_us, *bounds) or spread_words(
                texts[place], EVEN_METHOD, *bounds
            )
    return placed


def _find_turns(
    kept: Sequence[HeardWindow],
    sounds: Sequence[Waveform],
    runs: Sequence[Sequence[Run]],
    models: SpeechModels,
    figures: HearingFigures,
) -> list[list[SpeakerTurn]]:
    if models.speakers is None:
        return [[] for _ in kept]
    spans = [
        [(run[0].start_us - result.window.start_us, run[-1].end_us - result.window.start_us) for run in of]
        for result, of in zip(kept, runs, strict=True)
    ]
    with figures.timing("speakers"):
        return models.speakers.embed(sounds, spans)


def _describe(
    result: HeardWindow, sound: Waveform, runs: Sequence[Run], turns: Sequence[SpeakerTurn], policy: SpeechPolicy
) -> HeardWindow:
    origin_us = result.window.start_us
    divided = divide_at_turns(runs, turns, origin_us) if turns else list(runs)
    spoken = tuple(
        Spoken(run, measure_prosody(_cut(sound, run[0].start_us - origin_us, run[-1].end_us - origin_us), policy))
        for run in divided
    )
    placed = tuple(SpeakerTurn(turn.start_us + origin_us, turn.end_us + origin_us, turn.embedding) for turn in turns)
    return HeardWindow(result.window, result.heard, None, spoken, placed)


def _cut(sound: Waveform, start_us: int, end_us: int) -> Waveform:
    first, last = (round(time_us * SAMPLE_RATE / 1_000_000) for time_us in (start_us, end_us))
    return sound[first : max(last, first + 1)]
