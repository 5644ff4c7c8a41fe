"""The sound of a clip under its cues and words, as delivered and as a diagnosis puts them, on one axis of seconds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.display.figures import BLUE, GREY, open_figure, save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GIVEN: Final = "crimson"
RESTORED: Final = "seagreen"
CLIP_COLOURS: Final = "Crimson: cues as delivered, beside their speech. Green: where the diagnosis puts them."
MAX_SHOWN_US: Final = 20_000_000
"""A longer clip is shown in part: words of more than 20 s cannot be read."""
_COLUMNS: Final = 1_400
_LEAD_IN_US: Final = 500_000
_CHARACTERS: Final = 26
_LEAST_CHARACTERS: Final = 3
_CHARACTERS_ACROSS: Final = 175
_WORD_LANES: Final = 2
_MAX_WORDS: Final = 60


@dataclass(frozen=True)
class Span:
    """A cue or a word: its times on the clip's global clock, microseconds, and what it says."""

    start_us: int
    end_us: int
    text: str


@dataclass(frozen=True, eq=False)
class Sound:
    """Magnitude of the sound along a clip.

    Attributes:
        start_us: global clock of the first value.
        step_us: time between values, microseconds.
        peaks: largest magnitude within each step, float32, shape (T,), 0 to 1.
    """

    start_us: int
    step_us: int
    peaks: NDArray[np.float32]

    @property
    def end_us(self) -> int:
        """Global clock at which the last step ends."""
        return self.start_us + self.step_us * len(self.peaks)


@dataclass(frozen=True, eq=False)
class ClipPicture:
    """What is drawn of a clip.

    Attributes:
        title: above it: which clip, and what is wrong.
        sound: the sound as delivered.
        cues: as delivered.
        words: as recognised or aligned; empty if there are none.
        cuts_us: global clock of the starts of shots.
        restored_cues: where a diagnosis puts the cues; None if it does not move them.
        sound_late_us: how late the sound is against the pictures; the lower panel moves sound and words back by it.
    """

    title: str
    sound: Sound
    cues: Sequence[Span]
    words: Sequence[Span] = ()
    cuts_us: Sequence[int] = field(default_factory=tuple[int, ...])
    restored_cues: Sequence[Span] | None = None
    sound_late_us: int = 0


def measure_peaks(waveform: NDArray[np.float32], sample_rate: int, start_us: int, step_us: int = 5_000) -> Sound:
    """Largest magnitude of each step of a waveform.

    Args:
        waveform: mono, float32, shape (T,), full scale 1.
        sample_rate: of it, Hz.
        start_us: global clock of the first sample.
        step_us: time between values, microseconds.

    >>> measure_peaks(np.array([0.0, -0.5, 0.25, 0.0], np.float32), 400, 0).peaks.tolist()
    [0.5, 0.25]
    """
    size = max(1, round(sample_rate * step_us / 1e6))
    whole = np.zeros(-(-len(waveform) // size) * size, np.float32)
    whole[: len(waveform)] = np.abs(waveform)
    return Sound(start_us, round(size * 1e6 / sample_rate), whole.reshape(-1, size).max(axis=1))


def move_back(cues: Sequence[Span], clip_start_us: int, offset_us: float, drift_ppm: float = 0.0) -> list[Span]:
    """The cues without an offset and a drift, as the correction of the gate would place them.

    Args:
        cues: as delivered.
        clip_start_us: global clock of the clip's start; drift counts from it.
        offset_us: how late they are at the clip's start.
        drift_ppm: how much too slowly they run, parts per million.

    >>> move_back([Span(1_800_000, 2_800_000, "a")], 0, 800_000)
    [Span(start_us=1000000, end_us=2000000, text='a')]
    """
    rate = 1.0 + drift_ppm / 1e6

    def restore(time_us: int) -> int:
        return round((time_us - clip_start_us - offset_us) / rate) + clip_start_us

    return [Span(restore(cue.start_us), restore(cue.end_us), cue.text) for cue in cues]


def draw_waveform(clip: ClipPicture) -> bytes:
    """The clip as delivered and, below it, as restored; one panel where nothing is moved.

    Returns:
        A PNG; of a clip longer than 20 s the part that starts at its first cue.
    """
    is_moved = clip.restored_cues is not None or clip.sound_late_us != 0
    figure, first = open_figure(width=11.0, height=4.3 if is_moved else 2.6, title=clip.title)
    start, end = _shown(clip)
    origin = min(clip.sound.start_us, start)
    lower = None
    if is_moved:
        first.remove()
        first, lower = figure.subplots(2, 1, sharex=True).tolist()
        first.set_title(clip.title, fontsize=10, loc="left")
    sound_moved = clip.sound_late_us != 0
    given = GIVEN if is_moved else BLUE
    upper = _Panel(first, origin, end - start, "as delivered", given, GIVEN if sound_moved else GREY)
    upper.draw(clip.sound, clip.cues, clip.words, clip.cuts_us)
    if lower is not None:
        late = clip.sound_late_us
        moved = Sound(clip.sound.start_us - late, clip.sound.step_us, clip.sound.peaks)
        words = [Span(word.start_us - late, word.end_us - late, word.text) for word in clip.words]
        panel = _Panel(lower, origin, end - start, "restored", RESTORED, RESTORED if sound_moved else GREY)
        panel.draw(moved, clip.cues if clip.restored_cues is None else clip.restored_cues, words, clip.cuts_us)
        upper.mark(_displaced(clip), (start, end))
    bottom = lower or first
    bottom.set_xlim((start - origin) / 1e6, (end - origin) / 1e6)
    since = "" if origin == 0 else f" (its global clock starts at {origin / 1e6:.3f} s)"
    bottom.set_xlabel(f"time in the clip, s{since}")
    return save_png(figure)


def _displaced(clip: ClipPicture) -> list[tuple[int, int]]:
    """Where something is and where it belongs: cues, or the sound at each cut."""
    if clip.restored_cues is not None:
        pairs = zip(clip.cues, clip.restored_cues, strict=False)
        return [(cue.start_us, right.start_us) for cue, right in pairs if cue.start_us != right.start_us]
    return [(cut + clip.sound_late_us, cut) for cut in clip.cuts_us]


def _shown(clip: ClipPicture) -> tuple[int, int]:
    """The part that is drawn: all of a short clip, else from just before the first cue."""
    times = [clip.sound.start_us, clip.sound.end_us]
    times += [time for cue in (*clip.cues, *(clip.restored_cues or ())) for time in (cue.start_us, cue.end_us)]
    start, end = min(times), max(times)
    if end - start <= MAX_SHOWN_US:
        return start, end
    first = min((cue.start_us for cue in clip.cues), default=start) - _LEAD_IN_US
    start = max(start, first)
    return start, start + MAX_SHOWN_US


class _Panel:
    """One axis with the sound, cues above it and words below; times are seconds from ``origin_us``."""

    def __init__(self, axes: "Axes", origin_us: int, shown_us: int, name: str, colour: str, sound_colour: str) -> None:
        self._axes = axes
        self._characters = _CHARACTERS_ACROSS / max(shown_us / 1e6, 1e-3)  # a second of the axis holds so many
        self._origin_us = origin_us
        self._name = name
        self._colour = colour
        self._sound_colour = sound_colour
        axes.set_yticks([])
        axes.spines[["left", "top", "right"]].set_visible(False)
        axes.set_ylabel(name, fontsize=9, color=colour)

    def draw(self, sound: Sound, cues: Sequence[Span], words: Sequence[Span], cuts_us: Sequence[int]) -> None:
        self._draw_sound(sound)
        axes = self._axes
        for place, cut in enumerate(cuts_us):
            axes.axvline(self._at(cut), color="black", lw=0.9, ls=(0, (2, 2)), label=None if place else "cut")
        for place, cue in enumerate(cues):
            begin, until = self._at(cue.start_us), self._at(cue.end_us)
            label = None if place else f"cue, {self._name}"
            axes.fill_between([begin, until], -1.1, 1.1, facecolor=self._colour, alpha=0.2, lw=0.0, label=label)
            axes.plot([begin, begin], [-1.1, 1.25], color=self._colour, lw=1.8)
            following = self._at(cues[place + 1].start_us) if place + 1 < len(cues) else math.inf
            told = _shorten(cue.text, (following - begin) * self._characters)
            axes.text(begin, 1.32, told, color=self._colour, fontsize=7.5, va="bottom", clip_on=True)
        self._draw_words(words)
        axes.set_ylim(-2.0 if words else -1.3, 2.3)
        axes.legend(frameon=False, fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))

    def mark(self, moved: Sequence[tuple[int, int]], shown: tuple[int, int]) -> None:
        """Arrows from where things belong to where they are, and the distance of the first."""
        seen = [pair for pair in moved if all(shown[0] <= time <= shown[1] for time in pair)]
        for place, (there, right) in enumerate(seen):
            arrow = {"arrowstyle": "->", "color": GIVEN, "lw": 1.4}
            self._axes.annotate("", (self._at(there), 1.8), (self._at(right), 1.8), arrowprops=arrow)
            self._axes.plot([self._at(right)] * 2, [1.65, 1.95], color=GIVEN, lw=1.0)
            if not place:
                late = (there - right) / 1e6
                told = f"{abs(late):.2f} s {'late' if late > 0 else 'early'}"
                left = min(self._at(right), self._at(there))
                self._axes.text(left, 1.95, told, color=GIVEN, fontsize=8.5, va="bottom", weight="bold")

    def _draw_sound(self, sound: Sound) -> None:
        per_column = max(1, -(-len(sound.peaks) // (_COLUMNS * 4)))
        whole = np.zeros(-(-len(sound.peaks) // per_column) * per_column, np.float32)
        whole[: len(sound.peaks)] = sound.peaks
        peaks = whole.reshape(-1, per_column).max(axis=1)
        peaks = peaks / max(float(peaks.max(initial=0.0)), 1e-3)
        middle = sound.start_us + (np.arange(len(peaks)) + 0.5) * per_column * sound.step_us
        self._axes.fill_between(
            (middle - self._origin_us) / 1e6, -peaks, peaks, color=self._sound_colour, lw=0.0, label="sound"
        )

    def _draw_words(self, words: Sequence[Span]) -> None:
        for place, word in enumerate(words[:_MAX_WORDS]):
            begin, until = self._at(word.start_us), self._at(word.end_us)
            self._axes.plot([begin, until], [-1.3, -1.3], color=BLUE, lw=3.0, solid_capstyle="butt")
            self._axes.plot([begin, begin], [-1.4, -1.2], color="white", lw=1.2)  # parts it from the word before
            lane = -1.55 - 0.27 * (place % _WORD_LANES)
            self._axes.text(
                (begin + until) / 2, lane, word.text, color=BLUE, fontsize=6.5, ha="center", va="center", clip_on=True
            )
        if words:
            self._axes.plot([], [], color=BLUE, lw=3.0, label="words heard")

    def _at(self, time_us: float) -> float:
        return (time_us - self._origin_us) / 1e6


def _shorten(text: str, room: float) -> str:
    """The text in one line, as long as there is room for, in characters."""
    line = " ".join(text.split())
    most = int(min(max(room, _LEAST_CHARACTERS), _CHARACTERS))
    return line if len(line) <= most else f"{line[: most - 1]}…"
