# pyright: strict
"""Where speech is in a clip, and the sound of those stretches as it streams by."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mm_assets.aligned.segments.interfaces import Waveform
from mm_assets.media.messages import SAMPLE_RATE, AudioBlock
from mm_assets.policy import SpeechPolicy


@dataclass(frozen=True)
class Window:
    """A stretch of a clip that is recognised in one piece.

    Attributes:
        start_us: on the clip's clock, with a margin before the speech.
        end_us: on the clip's clock, with a margin behind it.
        speech_start_us: where voice activity begins.
        speech_end_us: where it ends.
        voice_share: of the stretch between these two, with voice.
    """

    start_us: int
    end_us: int
    speech_start_us: int
    speech_end_us: int
    voice_share: float


def find_windows(speech: NDArray[np.float32], start_us: int, step_us: int, policy: SpeechPolicy) -> list[Window]:
    """Gather speech into windows, cut at its longest pauses.

    Args:
        speech: probability of speech, a value a step, shape (N,).
        start_us: clock of the first value.
        step_us: time between values.
        policy: what speech is, and how long windows are.

    Returns:
        Windows in order, apart, inside the track, none longer than the policy's; none where nothing is said.
    """
    runs = _runs(speech, step_us, policy)
    longest = max(1, int((policy.window_seconds - 2 * policy.margin_seconds) * 1e6 / step_us))
    groups: list[list[tuple[int, int]]] = []
    for run in _cut_long(runs, speech, longest):
        gap_joins = bool(groups) and (run[0] - groups[-1][-1][1]) * step_us <= policy.join_seconds * 1e6
        if gap_joins:
            groups[-1].append(run)
        else:
            groups.append([run])
    voiced = speech >= policy.speech_probability
    spans = [(part[0][0], part[-1][1]) for group in groups for part in _split(group, longest)]
    margin = int(policy.margin_seconds * 1e6 / step_us)
    windows: list[Window] = []
    for place, (first, last) in enumerate(spans):
        # Neighbours share the pause between them.
        earliest = 0 if place == 0 else (spans[place - 1][1] + first + 1) // 2
        latest = len(speech) if place == len(spans) - 1 else (last + spans[place + 1][0] + 1) // 2
        begin, end = max(earliest, first - margin), min(latest, last + margin)
        windows.append(
            Window(
                start_us + begin * step_us,
                start_us + end * step_us,
                start_us + first * step_us,
                start_us + last * step_us,
                float(np.mean(voiced[first:last])),
            )
        )
    return windows


def _runs(speech: NDArray[np.float32], step_us: int, policy: SpeechPolicy) -> list[tuple[int, int]]:
    """Runs of steps with speech, long enough to be some."""
    voiced = np.concatenate(([False], speech >= policy.speech_probability, [False]))
    edges = np.flatnonzero(np.diff(voiced.astype(np.int8))).reshape(-1, 2)
    kept = edges[(edges[:, 1] - edges[:, 0]) * step_us >= policy.min_speech_seconds * 1e6]
    return [(int(first), int(last)) for first, last in kept.tolist()]


def _cut_long(runs: list[tuple[int, int]], speech: NDArray[np.float32], longest: int) -> Iterator[tuple[int, int]]:
    """Cut a run that is longer than a window where speech is least likely in the second half of the window."""
    for first, last in runs:
        begin = first
        while last - begin > longest:
            half = begin + max(1, longest // 2)
            cut = half + int(np.argmin(speech[half : begin + longest + 1]))
            yield begin, cut
            begin = cut
        yield begin, last


def _split(group: list[tuple[int, int]], longest: int) -> Iterator[list[tuple[int, int]]]:
    """Cut a group of runs that is longer than a window at the longest pause in the second half of the window."""
    while group[-1][1] - group[0][0] > longest:
        begin = group[0][0]
        ends = [place for place in range(1, len(group)) if group[place - 1][1] - begin <= longest]
        late = [place for place in ends if group[place - 1][1] - begin > longest // 2] or ends[-1:]
        cut = max(late, key=lambda place: (group[place][0] - group[place - 1][1], place))
        yield group[:cut]
        group = group[cut:]
    yield group


def cut_windows(
    blocks: Iterable[AudioBlock], windows: list[Window], offset_us: int
) -> Iterator[tuple[Window, Waveform]]:
    """Yield the sound of each window once it has streamed by; no more than one window is held, and one block.

    Args:
        blocks: the sound of a clip, in order; time it leaves out is silent.
        windows: in order and apart, on the clip's clock.
        offset_us: that clock less presentation time.
    """
    left = iter(windows)
    window = next(left, None)
    sound = _silence(window)
    for block in blocks:
        samples = np.frombuffer(block.samples, "<f4")
        at = _samples(block.start_us + offset_us)
        while window is not None:
            first, last = _samples(window.start_us), _samples(window.end_us)
            begin, end = max(first, at), min(last, at + len(samples))
            if begin < end:
                sound[begin - first : end - first] = samples[begin - at : end - at]
            if at + len(samples) < last:
                break
            yield window, sound
            window = next(left, None)
            sound = _silence(window)
    while window is not None:
        yield window, sound
        window = next(left, None)
        sound = _silence(window)


def _silence(window: Window | None) -> Waveform:
    if window is None:
        return np.zeros(0, np.float32)
    return np.zeros(_samples(window.end_us) - _samples(window.start_us), np.float32)


def _samples(time_us: int) -> int:
    return round(time_us * SAMPLE_RATE / 1_000_000)
