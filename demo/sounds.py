"""Spoken names and sounds of stamps, and prompts with their transcripts, decoded and put on one level."""

import gzip
import re
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray

RATE: Final = 48_000
LEVEL_DBFS: Final = -21.0
_PEAK: Final = 0.7
_WINDOW: Final = RATE // 200
_FLOOR: Final = 0.02  # of the loudest 5 ms: quieter edges are cut off
_PROMPTS: Final = "usr/share/asterisk/sounds/en_US_f_Allison"
_TRANSCRIPTS: Final = "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"

Waveform = NDArray[np.float32]  # (T,), full scale 1


def read_sound(path: Path, rate: int = RATE) -> Waveform:
    """Decode a sound file to one channel at ``rate``."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
    pieces: list[Any] = []
    with av.open(path) as container:
        for frame in container.decode(audio=0):
            pieces += [item.to_ndarray()[0] for item in resampler.resample(frame)]
        pieces += [item.to_ndarray()[0] for item in resampler.resample(None)]
    return np.concatenate(pieces).astype(np.float32)


def cut_to_sound(waveform: Waveform) -> Waveform:
    """Cut the silence before and after, to 5 ms, and bring the rest to one level."""
    windows = waveform[: len(waveform) // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
    loud = np.sqrt((windows.astype(np.float64) ** 2).mean(axis=1))
    heard = np.flatnonzero(loud >= _FLOOR * loud.max())
    cut = waveform[heard[0] * _WINDOW : (heard[-1] + 1) * _WINDOW]
    root = float(np.sqrt((cut.astype(np.float64) ** 2).mean()))
    gain = min(10 ** (LEVEL_DBFS / 20) / root, _PEAK / float(np.abs(cut).max()))
    return (cut * gain).astype(np.float32)


def read_spoken_name(stamp: Path) -> Waveform:
    """The spoken description of a stamp, from its first audible moment to its last."""
    return cut_to_sound(read_sound(stamp.with_name(f"{stamp.stem}_desc.ogg")))


def read_prompts(packages: Path, names: list[str]) -> list[tuple[Waveform, str]]:
    """Prompts at 16 kHz, as the package has them, with what is said.

    Raises:
        SystemExit: a prompt has no transcript.
    """
    lines = gzip.decompress((packages / "asterisk-core-sounds-en" / _TRANSCRIPTS).read_bytes()).decode()
    said = dict(re.findall(r"^([\w-]+): (.+)$", lines, flags=re.MULTILINE))
    if missing := set(names) - said.keys():
        raise SystemExit(f"no transcript of {sorted(missing)}; fix demo/selection.toml")
    folder = packages / "asterisk-core-sounds-en-g722" / _PROMPTS
    return [(read_sound(folder / f"{name}.g722", 16_000), " ".join(said[name].split())) for name in names]


def sound_frames(waveform: Waveform, rate: int) -> list[tuple[int, Any]]:
    """Frames to encode, each with its time in microseconds."""
    frames: list[tuple[int, Any]] = []
    for at in range(0, len(waveform), 1_024):
        frame = av.AudioFrame.from_ndarray(waveform[None, at : at + 1_024], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), at
        frames.append((at * 1_000_000 // rate, frame))
    return frames
