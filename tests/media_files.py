"""Real media files, made with PyAV: the sound and the pictures a test asks for, in the container it asks for."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Sound = NDArray[np.float32]  # (C, T)
Picture = NDArray[np.uint8]  # (H, W, 3)

AUDIO_CODECS = {
    ".wav": "pcm_s16le",
    ".flac": "flac",
    ".ogg": "libopus",
    ".mp3": "libmp3lame",
    ".m4a": "aac",
    ".mp4": "aac",
    ".mkv": "aac",
    ".webm": "libopus",
    ".avi": "libmp3lame",
}
VIDEO_CODECS = {".mp4": "libx264", ".mkv": "libx264", ".webm": "libvpx", ".avi": "mpeg4"}
_FRAME_SAMPLES = 1_024


def tone(seconds: float, hz: float = 440.0, rate: int = 16_000, level: float = 0.25) -> Sound:
    """A sine, shape (1, T)."""
    at = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hz * at)).astype(np.float32)[None]


def noise(seconds: float, seed: int = 1, rate: int = 16_000, level: float = 0.1) -> Sound:
    """White noise, shape (1, T)."""
    return (level * np.random.default_rng(seed).standard_normal((1, round(seconds * rate)))).astype(np.float32)


def clicks(seconds: float, at_us: Sequence[int], rate: int = 16_000) -> Sound:
    """Silence with single bursts of 5 ms, shape (1, T): their places can be found again to a millisecond."""
    samples = np.zeros((1, round(seconds * rate)), np.float32)
    for time_us in at_us:
        start = round(time_us * rate / 1e6)
        samples[0, start : start + rate // 200] = 0.8
    return samples


def voice(seconds: float, seed: int = 1, rate: int = 16_000, level: float = 0.3) -> Sound:
    """Speech-like sound, shape (1, T): a gliding buzz through moving formants in syllables, with pauses between."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    at = np.arange(count) / rate
    pitch = 120 + 25 * np.sin(2 * np.pi * 0.7 * at) + 10 * np.sin(2 * np.pi * 2.3 * at + rng.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    harmonics = np.arange(1, 25)[:, None]
    formant = 600 + 250 * np.sin(2 * np.pi * 1.9 * at + rng.uniform(0, 6))
    strength = np.exp(-(((harmonics * pitch - formant) / 300) ** 2)) + 0.3 / harmonics
    buzz = (strength * np.sin(harmonics * phase)).sum(axis=0)
    syllables = np.clip(np.sin(2 * np.pi * 3.1 * at + rng.uniform(0, 6)), 0, None) ** 0.7
    sentence = (np.sin(2 * np.pi * 0.4 * at - 1.2) > -0.5).astype(float)
    envelope = np.convolve(syllables * sentence, np.ones(rate // 50) / (rate // 50), mode="same")
    spoken = buzz * envelope
    return (level * spoken / np.abs(spoken).max()).astype(np.float32)[None]


def scene(index: int, width: int = 64, height: int = 48, shift: int = 0) -> Picture:
    """A blocky picture of its own colours; ``shift`` moves it sideways."""
    rng = np.random.default_rng(index)
    blocks = rng.integers(30, 226, (height // 8, width // 8, 3), dtype=np.uint8)
    return np.ascontiguousarray(np.roll(np.kron(blocks, np.ones((8, 8, 1), np.uint8)), shift, axis=1))


def write_media(
    path: Path,
    *,
    sound: Sound | None = None,
    rate: int = 16_000,
    sound_start_us: int = 0,
    pictures: Sequence[Picture] = (),
    pts_us: Sequence[int] = (),
    options: dict[str, str] | None = None,
    codecs: tuple[str | None, str | None] = (None, None),
) -> Path:
    """Write a file in the container its suffix names.

    Args:
        path: where to.
        sound: float32, shape (C, T), full scale 1.
        rate: of the sound, Hz.
        sound_start_us: presentation time of its first sample.
        pictures: frames.
        pts_us: presentation time of each.
        options: of the muxer.
        codecs: of sound and pictures, where not the usual ones.
    """
    with av.open(path, "w", options=options or {}) as container:
        video = audio = None
        if pictures:
            video = _add_video(container, codecs[1] or VIDEO_CODECS[path.suffix], pictures[0].shape)
        if sound is not None:
            layout = "mono" if len(sound) == 1 else "stereo"
            codec: Any = codecs[0] or AUDIO_CODECS[path.suffix]
            audio = container.add_stream(codec, rate=48_000 if codec == "libopus" else rate, layout=layout)
        pieces = [] if sound is None else _sound_frames(sound, rate, sound_start_us)
        frames = [(time_us, 0, None, picture) for time_us, picture in zip(pts_us, pictures, strict=True)]
        for time_us, _, piece, picture in sorted([*pieces, *frames], key=lambda item: item[:2]):
            if piece is not None and audio is not None:
                container.mux(audio.encode(piece))
            elif picture is not None and video is not None:
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.time_base = Fraction(1, 1_000_000)
                frame.pts = round(time_us)
                if path.suffix == ".avi":  # knows frame numbers only
                    frame.time_base, frame.pts = Fraction(1, 25), round(time_us * 25 / 1e6)
                container.mux(video.encode(frame))
        for stream in (audio, video):
            if stream is not None:
                container.mux(stream.encode(None))
    return path


def _add_video(container: Any, codec: str, shape: tuple[int, ...]) -> Any:
    stream = container.add_stream(codec, rate=25)
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = Fraction(1, 25) if codec == "mpeg4" else Fraction(1, 90_000)
    if codec == "libx264":
        stream.options = {"preset": "ultrafast", "crf": "18"}
    if codec == "libvpx":
        stream.options = {"deadline": "realtime", "cpu-used": "8", "b": "1M"}
    return stream


def _sound_frames(sound: Sound, rate: int, start_us: int) -> list[tuple[float, int, Any, None]]:
    frames = []
    for at in range(0, sound.shape[1], _FRAME_SAMPLES):
        piece = np.ascontiguousarray(sound[:, at : at + _FRAME_SAMPLES])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono" if len(sound) == 1 else "stereo")
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = round(start_us * rate / 1e6) + at
        frames.append((start_us + at * 1e6 / rate, 1, frame, None))
    return frames
