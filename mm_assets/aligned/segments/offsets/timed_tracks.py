# pyright: strict
"""What the offset gate is told about a clip: speech, cues, words and envelopes, all on the media's clock."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from mm_assets.errors import InputError

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Booleans: TypeAlias = npt.NDArray[np.bool_]

FRAME_US = 10_000
"""Grid of speech activity and of every profile, microseconds."""
MICROSECONDS = 1_000_000


@dataclass(frozen=True, eq=False)
class SpeechActivity:
    """Probability of speech along a clip.

    Attributes:
        probability: shape (T,), 0 to 1, one value per 10 ms.
        start_us: when the first frame starts, microseconds on the media's clock.

    Raises:
        InputError: a value is not a probability.
    """

    probability: Floats
    start_us: int = 0

    def __post_init__(self) -> None:
        values = self.probability
        if values.ndim != 1 or not bool(np.all((values >= 0.0) & (values <= 1.0))):
            raise InputError(
                "SPEECH_ACTIVITY", f"speech activity of shape {values.shape} holds no probabilities; measure it again"
            )

    @property
    def duration_us(self) -> int:
        """Length, microseconds."""
        return len(self.probability) * FRAME_US


@dataclass(frozen=True, eq=False)
class TimedTexts:
    """Cues of a subtitle file in the order of the file, or words of a transcript.

    Attributes:
        texts: n texts.
        start_us: shape (n,), when each starts, microseconds on the media's clock.
        end_us: shape (n,), when each ends.

    Raises:
        InputError: lengths differ, or one ends before it starts.
    """

    texts: tuple[str, ...]
    start_us: Integers
    end_us: Integers

    def __post_init__(self) -> None:
        if not (self.start_us.shape == self.end_us.shape == (len(self.texts),)):
            raise InputError(
                "TIMED_TEXTS", f"{len(self.texts)} texts with {len(self.start_us)} times; give one of each"
            )
        if bool((self.end_us < self.start_us).any()):
            place = int(np.argmax(self.end_us < self.start_us))
            raise InputError("TIMED_TEXTS", f"text {place} ends before it starts; correct its times")

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def from_frame(cls, rows: pl.DataFrame) -> "TimedTexts":
        """From columns text, start_us and end_us, in file order."""
        return cls(
            tuple(rows["text"].to_list()),
            rows["start_us"].to_numpy().astype(np.int64),
            rows["end_us"].to_numpy().astype(np.int64),
        )


@dataclass(frozen=True, eq=False)
class Envelope:
    """Strength of something over time: audio onsets, or motion and cuts of the picture.

    Attributes:
        strength: shape (T,), finite, 0 or more.
        start_us: when the first value was taken, microseconds on the media's clock.
        step_us: time between values, microseconds.

    Raises:
        InputError: a value is not finite, or the step is not positive.
    """

    strength: Floats
    start_us: int = 0
    step_us: int = FRAME_US

    def __post_init__(self) -> None:
        if self.strength.ndim != 1 or not bool(np.isfinite(self.strength).all()) or self.step_us <= 0:
            raise InputError("ENVELOPE", f"envelope of shape {self.strength.shape} is not finite; measure it again")

    @property
    def duration_us(self) -> int:
        """Length, microseconds."""
        return len(self.strength) * self.step_us


@dataclass(frozen=True, eq=False)
class ClipTracks:
    """One clip as delivered, row ``position`` of its batch. Tracks that were not delivered or not measured are None.

    Attributes:
        clip_id: the clip.
        duration_us: its length, microseconds.
        start_us: global time of its start, microseconds; tracks are on the same clock.
        speech: activity of the speech heard in it.
        cues: the cues its subtitle pointer leads to.
        words: recognised words with times.
        onsets: strength of audio onsets of the track its audio pointer leads to.
        motion: strength of motion and cuts of its pictures.
        audio_duration_us: length of the track its audio pointer leads to, where that is a file of its own.
        sentence_distances: shape (frames, sentences), 1 - similarity of its frames and the sentences said of it, both
            in the order they claim.
    """

    clip_id: str
    duration_us: int
    start_us: int = 0
    speech: SpeechActivity | None = None
    cues: TimedTexts | None = None
    words: TimedTexts | None = None
    onsets: Envelope | None = None
    motion: Envelope | None = None
    audio_duration_us: int | None = None
    sentence_distances: Floats | None = None

    def __post_init__(self) -> None:
        if self.duration_us <= 0:
            raise InputError("CLIP_DURATION", f"clip {self.clip_id} lasts {self.duration_us} us; measure it again")
