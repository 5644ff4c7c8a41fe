"""Decoded sound: from frames of any rate and layout to mono blocks on the presentation clock."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

import av
import numpy as np
from av import error as av_error
from av.audio.frame import AudioFrame
from av.filter import Graph
from numpy.typing import NDArray

from mm_assets.errors import DecodeError
from mm_assets.media.containers import to_us
from mm_assets.media.messages import SAMPLE_RATE, AudioBlock, Track

JITTER_US: Final = 5_000
"""Timestamps may stray this far from the samples before a gap is seen; Matroska rounds them to 1,000."""
MAX_OVERLAP_US: Final = 200_000
"""Sound that starts this much before the end of what precedes it loses its first samples; more is an error."""
_FULL_SCALE: Final = 0.99
_RUN: Final = 3
_LOUDNESS: Final = "lavfi.r128.I"
_LOUDNESS_FLOOR: Final = -70.0  # EBU R 128's absolute gate: what the filter says of silence


class SoundReader:
    """Turns the frames of one stream into blocks.

    Sound without a gap is one run: its first sample stands at its timestamp, the others follow at their rate. A run
    ends where timestamps leave the samples by more than `JITTER_US`, so the clock is the container's throughout; where
    they fall back a little, as of a recorder whose clock runs slow, the samples that were heard already are left out.
    """

    def __init__(self, block_us: int, origin_us: int = 0) -> None:
        self._origin_us = origin_us
        self._block_samples = max(1, block_us * SAMPLE_RATE // 1_000_000)
        self._resampler: av.AudioResampler | None = None
        self._meter: _LoudnessMeter | None = None
        self._rate = 0
        self._run_start_us = 0
        self._run_samples_in = 0
        self._run_samples_out = 0
        self._waiting: list[NDArray[np.float32]] = []
        self._waiting_samples = 0
        self._clipped = self._native = 0
        self._peak = 0.0
        self._first_us: int | None = None
        self._end_us = 0
        self._gaps_us = 0
        self._total = 0

    @property
    def loudness_lufs(self) -> float | None:
        """Integrated loudness of what was read so far."""
        return None if self._meter is None else self._meter.integrated

    @property
    def track(self) -> Track | None:
        """Where the sound begins and ends; None if there was none."""
        if self._first_us is None:
            return None
        return Track(self._first_us, self._end_us, self._total, self._gaps_us)

    @property
    def end_us(self) -> int:
        """Presentation time at which what was read so far ends."""
        return self._end_us

    def add(self, frame: AudioFrame) -> Iterator[AudioBlock]:
        """Take the next frame.

        Raises:
            DecodeError: code ``NO_TIMESTAMPS`` or ``TIMESTAMPS_REVERSED``.
        """
        if frame.samples == 0:
            return
        if frame.pts is None or frame.time_base is None:
            raise DecodeError("NO_TIMESTAMPS", "a piece of its sound has no presentation time; remux the file")
        at = to_us(frame.pts, frame.time_base) - self._origin_us
        if self._first_us is None:
            self._first_us = self._end_us = at
        stray, skipped = at - self._end_us, 0
        if stray < -MAX_OVERLAP_US:
            raise DecodeError(
                "TIMESTAMPS_REVERSED",
                f"its sound goes back by {-stray / 1e6:.3f} s at {at / 1e6:.3f} s; remux the file",
            )
        if self._rate != frame.sample_rate or abs(stray) > JITTER_US:
            skipped = round(max(0, -stray) * frame.sample_rate / 1_000_000)
            if skipped >= frame.samples:
                return
            yield from self._end_run()
            self._gaps_us += max(0, stray)
            self._begin_run(frame.sample_rate, max(at, self._end_us))
        planes = np.ascontiguousarray(_as_float(frame)[:, skipped:])
        if self._meter is None:
            self._meter = _LoudnessMeter()
        self._meter.add(planes, frame.sample_rate, frame.layout.name)
        self._clipped += _count_clipped(planes)
        self._native += planes.size
        self._peak = max(self._peak, float(np.abs(planes).max()))
        mono = planes.mean(axis=0, dtype=np.float32)
        self._run_samples_in += len(mono)
        self._end_us = self._run_start_us + round(self._run_samples_in * 1_000_000 / self._rate)
        yield from self._resample(mono)

    def finish(self) -> Iterator[AudioBlock]:
        """What is left at the end of the stream."""
        yield from self._end_run()

    def _begin_run(self, rate: int, start_us: int) -> None:
        self._rate = rate
        self._run_start_us = start_us
        self._run_samples_in = self._run_samples_out = 0
        self._resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)

    def _end_run(self) -> Iterator[AudioBlock]:
        if self._resampler is None:
            return
        if self._rate != SAMPLE_RATE:
            for out in self._resampler.resample(None):
                self._wait(out.to_ndarray()[0])
        # The filter's tail can be a sample longer or shorter than the time it stands for.
        wanted = round(self._run_samples_in * SAMPLE_RATE / self._rate) - self._run_samples_out - self._waiting_samples
        if wanted > 0:
            self._wait(np.zeros(wanted, np.float32))
        if self._waiting_samples:
            yield self._take(self._waiting_samples + min(0, wanted))
        self._waiting, self._waiting_samples = [], 0
        self._resampler = None

    def _resample(self, mono: NDArray[np.float32]) -> Iterator[AudioBlock]:
        if self._rate == SAMPLE_RATE:
            self._wait(mono)
        elif self._resampler is not None:
            frame = AudioFrame.from_ndarray(mono[None, :], format="flt", layout="mono")
            frame.sample_rate = self._rate
            for out in self._resampler.resample(frame):
                self._wait(out.to_ndarray()[0])
        while self._waiting_samples > self._block_samples:
            yield self._take(self._block_samples)

    def _wait(self, samples: NDArray[np.float32]) -> None:
        self._waiting.append(samples)
        self._waiting_samples += len(samples)

    def _take(self, count: int) -> AudioBlock:
        joined = np.concatenate(self._waiting) if len(self._waiting) > 1 else self._waiting[0]
        start_us = self._run_start_us + round(self._run_samples_out * 1_000_000 / SAMPLE_RATE)
        block = AudioBlock(
            start_us, joined[:count].astype("<f4").tobytes(), self._clipped, self._native, round(self._peak, 6)
        )
        self._waiting = [joined[count:]]
        self._waiting_samples = len(joined) - count
        self._run_samples_out += count
        self._total += count
        self._clipped = self._native = 0
        self._peak = 0.0
        return block


class _LoudnessMeter:
    """EBU R 128 by FFmpeg's filter, fed frame by frame; a change of format starts it anew."""

    def __init__(self) -> None:
        self._format: tuple[int, str] | None = None
        self._graph = Graph()
        self._samples = 0
        self.integrated: float | None = None

    def add(self, planes: NDArray[np.float32], rate: int, layout: str) -> None:
        if self._format != (rate, layout):
            self._build(rate, layout)
        frame = AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), self._samples
        self._samples += planes.shape[1]
        self._graph.push(frame)
        while True:
            try:
                measured = self._graph.pull()
            except (av_error.BlockingIOError, av_error.EOFError):
                return
            value = float(measured.metadata.get(_LOUDNESS, _LOUDNESS_FLOOR))
            self.integrated = value if value > _LOUDNESS_FLOOR else None

    def _build(self, rate: int, layout: str) -> None:
        graph = Graph()
        source = graph.add_abuffer(sample_rate=rate, format="fltp", layout=layout, time_base=Fraction(1, rate))
        meter = graph.add("ebur128", "metadata=1:framelog=quiet")
        sink = graph.add("abuffersink")
        source.link_to(meter)
        meter.link_to(sink)
        graph.configure()
        self._graph, self._format, self._samples = graph, (rate, layout), 0


def _as_float(frame: AudioFrame) -> NDArray[np.float32]:
    """Samples as float32, shape (C, T), full scale 1."""
    raw = frame.to_ndarray()
    if not frame.format.is_planar:
        raw = raw.reshape(-1, frame.layout.nb_channels).T
    if raw.dtype.kind == "u":
        middle = 1 << (8 * raw.dtype.itemsize - 1)
        samples = (raw.astype(np.float32) - middle) / middle
    elif raw.dtype.kind == "i":
        samples = raw.astype(np.float32) / float(1 << (8 * raw.dtype.itemsize - 1))
    else:
        samples = np.nan_to_num(raw.astype(np.float32), nan=0.0, posinf=1.0, neginf=-1.0)
    return np.ascontiguousarray(samples, np.float32)


def _count_clipped(planes: NDArray[np.float32]) -> int:
    """Samples at full scale that have at least two such neighbours in a row with them."""
    full = np.abs(planes) >= _FULL_SCALE
    if not full.any():
        return 0
    starts = full[:, :-2] & full[:, 1:-1] & full[:, 2:]
    flat = np.zeros_like(full)
    for shift in range(_RUN):
        flat[:, shift : shift + starts.shape[1]] |= starts
    return int(flat.sum())
