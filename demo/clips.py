"""Constructed clips: photo stamps that move gently, a new one whenever its spoken name begins, and exact cues.

A picture cuts at the very moment a name starts to sound. Its cue comes up 80 ms before the name, as captioners do, and
stays 200 ms after it. All of it is known because we placed it; nothing here was filmed.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from deliveries import write_jsonl
from numpy.typing import NDArray
from pictures import read_caption, read_cutout
from PIL import Image
from sounds import RATE, Waveform, cut_to_sound, read_prompts, read_sound, read_spoken_name, sound_frames

SIZE_PX: Final = (320, 240)
CUE_LEAD_US: Final = 80_000
CUE_TAIL_US: Final = 200_000
_FRAME_RATE: Final = 25
_FIRST_US: Final = (320_000, 1_000_000)
_PAUSE_US: Final = (300_000, 1_300_000)
_END_US: Final = 1_200_000  # room for cues that come late
_BACKGROUNDS: Final = ("#f4f1e8", "#dfe8f2", "#e6f0de", "#f2dfe8", "#e4e4e4", "#f5e9c8", "#d9efed")
_STAMP_PX: Final = 190
_ZOOM: Final = 0.10
_PAN_PX: Final = 14
_KEPT_SHARE_OF_TRUNCATED: Final = 0.6
_BITEXACT: Final = {"fflags": "bitexact"}  # no random ids and no dates in the containers
_VIDEO_CODECS: Final = {
    ".mp4": ("libx264", {"preset": "slow", "crf": "27", "threads": "1"}),
    ".mkv": ("libx264", {"preset": "slow", "crf": "27", "threads": "1"}),
    ".webm": ("libvpx-vp9", {"b": "0", "crf": "38", "deadline": "good", "cpu-used": "4", "threads": "1"}),
}
_SOUND_CODECS: Final = {
    ".mp4": ("aac", 48_000),
    ".mkv": ("aac", 48_000),
    ".webm": ("libopus", 32_000),
    ".ogg": ("libopus", 32_000),
    ".wav": ("pcm_s16le", None),
    ".flac": ("flac", None),
}


@dataclass(frozen=True)
class Shot:
    """One stamp on screen: from when, and when its name sounds, microseconds."""

    stamp: str
    text: str
    start_us: int
    name_end_us: int


@dataclass(frozen=True)
class Clip:
    """What a clip is made of.

    Attributes:
        shots: in order; a shot lasts until the next.
        duration_us: its length.
        sound: at `RATE`, as long as the clip.
    """

    shots: tuple[Shot, ...]
    duration_us: int
    sound: Waveform


def write_clips(packages: Path, root: Path, folder: Path, choice: Mapping[str, Any]) -> dict[str, int]:
    """Write the video folder of a batch, and its audio folder if sounds or prompts are chosen.

    Returns:
        Records of video and of audio.
    """
    (folder / "video").mkdir(parents=True)
    draw = random.Random(choice["seed"])  # noqa: S311 - a repeatable draw, not a secret
    rows = [_write_clip(root, folder / "video", number, plan, draw) for number, plan in enumerate(choice["clips"], 1)]
    for real in choice.get("real", []):
        name = Path(real["path"]).name
        (folder / "video" / name).write_bytes((packages / real["package"] / real["path"]).read_bytes())
        told = {key: real[key] for key in ("text", "license", "source", "source_id")}
        rows.append({"file_name": name, **told})
    write_jsonl(folder / "video" / "metadata.jsonl", rows)
    sounds = _write_sounds(packages, root, folder / "audio", choice)
    return {"videos": len(rows), "sounds": sounds}


def _write_clip(root: Path, folder: Path, number: int, plan: Mapping[str, Any], draw: random.Random) -> dict[str, Any]:
    clip = _compose(root, plan["stamps"], draw)
    name = f"clip-{number:02d}"
    path = folder / (name + plan["form"])
    fault = plan.get("fault")
    separate = plan.get("sound")
    _encode(path, root, clip, with_sound=separate is None and fault != "no_audio", is_variable=plan.get("vfr", False))
    row: dict[str, Any] = {"file_name": path.name, "text": _sentence([shot.text for shot in clip.shots])}
    if separate is not None:
        row["audio"] = name + separate
        write_sound(folder / row["audio"], *_for_track(clip.sound, separate))
    if "cues" in plan:
        row["subtitles"] = name + plan["cues"]
        late_us = round(plan.get("late_ms", 0) * 1_000)
        (folder / row["subtitles"]).write_text(_subtitles(clip, plan["cues"], late_us), encoding="utf-8")
    if "start_us" in plan:
        row["start_us"] = plan["start_us"]
    if fault == "truncated":
        content = path.read_bytes()
        path.write_bytes(content[: round(len(content) * _KEPT_SHARE_OF_TRUNCATED)])
    row["source_id"] = ", ".join(Path(shot.stamp).stem for shot in clip.shots)
    return row


def _compose(root: Path, stamps: list[str], draw: random.Random) -> Clip:
    names = [read_spoken_name(root / stamp) for stamp in stamps]
    step = 1_000_000 // _FRAME_RATE
    time = draw.randrange(*_FIRST_US, step)
    shots: list[Shot] = []
    for stamp, name in zip(stamps, names, strict=True):
        end = time + round(len(name) * 1e6 / RATE)
        shots.append(Shot(stamp, read_caption(root / stamp).text, time, end))
        time = -(-(end + draw.randrange(*_PAUSE_US, step)) // step) * step
    duration = -(-(shots[-1].name_end_us + _END_US) // step) * step
    sound = np.zeros(round(duration * RATE / 1e6), np.float32)
    for shot, name in zip(shots, names, strict=True):
        at = round(shot.start_us * RATE / 1e6)
        sound[at : at + len(name)] += name
    return Clip(tuple(shots), duration, sound)


def _subtitles(clip: Clip, form: str, late_us: int) -> str:
    blocks: list[str] = []
    ends = [shot.start_us - CUE_LEAD_US for shot in clip.shots[1:]] + [clip.duration_us]
    for number, (shot, latest) in enumerate(zip(clip.shots, ends, strict=True), start=1):
        start = shot.start_us - CUE_LEAD_US + late_us
        end = min(shot.name_end_us + CUE_TAIL_US, latest) + late_us
        point = "," if form == ".srt" else "."
        blocks.append(f"{number}\n{_clock(start, point)} --> {_clock(end, point)}\n{shot.text}\n")
    return ("" if form == ".srt" else "WEBVTT\n\n") + "\n".join(blocks)


def _clock(time_us: int, point: str) -> str:
    seconds, milliseconds = divmod(round(time_us / 1_000), 1_000)
    return f"{seconds // 3_600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{milliseconds:03d}"


def _encode(path: Path, root: Path, clip: Clip, *, with_sound: bool, is_variable: bool) -> None:
    codec, options = _VIDEO_CODECS[path.suffix]
    with av.open(path, "w", options=_BITEXACT) as container:
        video: Any = container.add_stream(codec, rate=_FRAME_RATE, options=options)
        video.width, video.height = SIZE_PX
        video.pix_fmt = "yuv420p"
        video.codec_context.flags |= 1 << 23  # bitexact: no version of the encoder in the stream
        video.codec_context.time_base = Fraction(1, 1_000)
        sound: Any = None
        queue: list[tuple[int, int, Any]] = []
        if with_sound:
            sound_codec, rate = _SOUND_CODECS[path.suffix]
            sound = container.add_stream(sound_codec, rate=RATE, layout="mono")
            sound.bit_rate = rate
            sound.codec_context.flags |= 1 << 23
            queue += [(time, 1, frame) for time, frame in sound_frames(clip.sound, RATE)]
        queue += [(time, 0, time) for time in _frame_times(clip, is_variable=is_variable)]
        screen = _Screen(root, clip)
        for time, kind, item in sorted(queue, key=lambda entry: entry[:2]):
            if kind:
                container.mux(sound.encode(item))
            else:
                frame = av.VideoFrame.from_ndarray(_to_planes(screen.at(time)), format="yuv420p")
                frame.time_base, frame.pts = Fraction(1, 1_000), time // 1_000
                container.mux(video.encode(frame))
        for stream in (sound, video):
            if stream is not None:
                container.mux(stream.encode(None))


def _to_planes(picture: Image.Image) -> NDArray[np.uint8]:
    """The planes of yuv420p, limited range, BT.601, in fixed steps: swscale rounds as memory happens to be aligned."""
    red, green, blue = np.moveaxis(np.asarray(picture, np.int32), 2, 0)
    luma = (66 * red + 129 * green + 25 * blue + 4_224) >> 8
    chroma = [(-38 * red - 74 * green + 112 * blue) / 256 + 128, (112 * red - 94 * green - 18 * blue) / 256 + 128]
    height, width = luma.shape
    small = [plane.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)).round() for plane in chroma]
    planes = [luma.reshape(-1), *(plane.reshape(-1) for plane in small)]
    return np.concatenate(planes).astype(np.uint8).reshape(height * 3 // 2, width)


def write_sound(path: Path, waveform: Waveform, rate: int) -> None:
    """Encode a sound in the form its suffix names."""
    codec, bit_rate = _SOUND_CODECS[path.suffix]
    with av.open(path, "w", options=_BITEXACT) as container:
        stream: Any = container.add_stream(codec, rate=rate, layout="mono")
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        stream.codec_context.flags |= 1 << 23
        for _, frame in sound_frames(waveform, rate):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _for_track(sound: Waveform, suffix: str) -> tuple[Waveform, int]:
    """Compressed tracks stay at 48 kHz, plain ones come at 16 kHz."""
    if suffix == ".ogg":
        return sound, RATE
    resampler = av.AudioResampler(format="flt", layout="mono", rate=16_000)
    pieces = [item for _, frame in sound_frames(sound, RATE) for item in resampler.resample(frame)]
    pieces += resampler.resample(None)
    return np.concatenate([piece.to_ndarray()[0] for piece in pieces]).astype(np.float32), 16_000


def _frame_times(clip: Clip, *, is_variable: bool) -> list[int]:
    """Even times, or, as screen recorders do, every third frame left out where no cut is."""
    step = 1_000_000 // _FRAME_RATE
    times = range(0, clip.duration_us, step)
    if not is_variable:
        return list(times)
    cuts = {shot.start_us for shot in clip.shots}
    return [time for number, time in enumerate(times) if number % 3 or not number or time in cuts]


class _Screen:
    """Draws the picture of any moment: before the first name a plain ground, then each stamp, growing and drifting."""

    def __init__(self, root: Path, clip: Clip) -> None:
        self._shots = clip.shots
        self._ends = [shot.start_us for shot in clip.shots[1:]] + [clip.duration_us]
        self._stills = [_still(root / shot.stamp, number) for number, shot in enumerate(clip.shots)]
        self._ground = _still(None, len(clip.shots))

    def at(self, time_us: int) -> Image.Image:
        place = sum(shot.start_us <= time_us for shot in self._shots) - 1
        if place < 0:
            return _move(self._ground, time_us / self._shots[0].start_us, -1)
        shot = self._shots[place]
        return _move(self._stills[place], (time_us - shot.start_us) / (self._ends[place] - shot.start_us), place)


def _still(stamp: Path | None, number: int) -> Image.Image:
    """A stamp on a ground with stripes, half again as large as the screen so that it can move."""
    size = (SIZE_PX[0] * 3 // 2, SIZE_PX[1] * 3 // 2)
    canvas = Image.new("RGBA", size, _BACKGROUNDS[number % len(_BACKGROUNDS)])
    stripe = Image.new("RGBA", (size[0] // 8, size[1]), _BACKGROUNDS[(number + 3) % len(_BACKGROUNDS)])
    for at in range(number % 2, 8, 2):
        canvas.paste(stripe, (at * size[0] // 8, 0))
    if stamp is not None:
        cutout = read_cutout(stamp)
        cutout = cutout.crop(cutout.getchannel("A").getbbox())
        ratio = _STAMP_PX / max(cutout.size)
        cutout = cutout.resize(
            (max(1, round(cutout.width * ratio)), max(1, round(cutout.height * ratio))), Image.Resampling.LANCZOS
        )
        canvas.alpha_composite(cutout, ((size[0] - cutout.width) // 2, (size[1] - cutout.height) // 2))
    return canvas.convert("RGB")


def _move(still: Image.Image, share: float, place: int) -> Image.Image:
    """Zoom in and drift sideways; every other shot the other way."""
    way = 1 if place % 2 else -1
    scale = 1.0 - _ZOOM * share
    width, height = SIZE_PX[0] * scale, SIZE_PX[1] * scale
    left = (still.width - width) / 2 + way * _PAN_PX * (share - 0.5)
    top = (still.height - height) / 2
    box = (left, top, left + width, top + height)
    return still.resize(SIZE_PX, Image.Resampling.BICUBIC, box=box)


def _write_sounds(packages: Path, root: Path, folder: Path, choice: Mapping[str, Any]) -> int:
    rows: list[dict[str, Any]] = []
    effects, prompts = choice.get("effects", []), choice.get("prompts", {})
    if not effects and not prompts:
        return 0
    folder.mkdir()
    for effect in effects:
        name = Path(effect).stem + ".ogg"
        write_sound(folder / name, cut_to_sound(read_sound(root / effect)), RATE)
        caption = read_caption((root / effect).with_suffix(".png")).text
        rows.append({"file_name": name, "text": f"The sound of {_phrase(caption)}.", "source_id": effect})
    found = read_prompts(packages, prompts.get("names", []))
    for key, (waveform, said) in zip(prompts.get("names", []), found, strict=True):
        write_sound(folder / f"{key}.flac", waveform, 16_000)
        told = {"transcription": said, "speaker": "Allison Smith", "license": prompts["license"]}
        rows.append({"file_name": f"{key}.flac", **told, "source": prompts["source"], "source_id": key})
    write_jsonl(folder / "metadata.jsonl", rows)
    return len(rows)


def _phrase(caption: str) -> str:
    return caption[0].lower() + caption[1:].rstrip(".!")


def _sentence(captions: list[str]) -> str:
    phrases = [_phrase(caption) for caption in captions]
    told = f"{', '.join(phrases[:-1])} and {phrases[-1]}"
    return f"{told[0].upper()}{told[1:]}."
