"""What pictures of a clip need of its file: how loud it is along the way, and the frames that stand for its shots."""

import io
from collections.abc import Sequence
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mm_assets.cleaned.picture_measures import to_frames
from mm_assets.display.contact_sheet import Tile, contact_sheet
from mm_assets.display.waveform import Sound, measure_peaks
from mm_assets.media.decoder import MediaDecoder
from mm_assets.media.messages import SAMPLE_RATE, AudioBlock, FrameBlock, Wanted

_STEP_US: Final = 5_000
_SHOT_SIDE_PX: Final = 160
_SHOT_COLUMNS: Final = 6
_MAX_SHOTS: Final = 36


def read_sound(
    decoder: MediaDecoder, stream: BinaryIO, name: str, offset_us: int, until_us: int | None = None
) -> Sound:
    """How loud a file is along its clock, a value every 5 ms.

    Args:
        decoder: the decoding process.
        stream: the encoded file.
        name: the record, for messages.
        offset_us: global clock less presentation time of the sound, microseconds.
        until_us: global clock from which nothing is needed; None: all of it.

    Returns:
        The sound; time without any is silent. Of a file without sound, no values.

    Raises:
        DecodeError: the file does not decode.
    """
    pieces: list[tuple[int, Sound]] = []
    for message in decoder.decode(stream, name, Wanted(audio=True)):
        if isinstance(message, AudioBlock):
            start = message.start_us + offset_us
            if until_us is not None and start >= until_us:
                break
            samples = np.frombuffer(message.samples, "<f4")
            pieces.append((start, measure_peaks(samples, SAMPLE_RATE, start, _STEP_US)))
    if not pieces:
        return Sound(offset_us, _STEP_US, np.zeros(0, np.float32))
    first = pieces[0][0]
    end = max(sound.end_us for _, sound in pieces)
    peaks = np.zeros(-(-(end - first) // _STEP_US) + 1, np.float32)
    for start, sound in pieces:
        at = round((start - first) / _STEP_US)
        peaks[at : at + len(sound.peaks)] = np.maximum(peaks[at : at + len(sound.peaks)], sound.peaks)
    return Sound(first, _STEP_US, peaks)


def read_frames(
    decoder: MediaDecoder, stream: BinaryIO, name: str, times_us: Sequence[int], side_px: int
) -> dict[int, bytes]:
    """The frames shown at these presentation times, as PNG, their longer side at most ``side_px``.

    Args:
        decoder: the decoding process.
        stream: the encoded file.
        name: the record, for messages.
        times_us: presentation times, as the container states them.
        side_px: longer side.

    Returns:
        By time, the frame shown then: the last one not after it. A time before the first frame is left out.

    Raises:
        DecodeError: the file does not decode.
    """
    found: dict[int, bytes] = {}
    waiting = sorted(set(times_us))
    before: NDArray[np.uint8] | None = None
    for message in decoder.decode(stream, name, Wanted(video=True, max_side_px=side_px)):
        if not isinstance(message, FrameBlock):
            continue
        for time_us, pixels in zip(message.pts_us, to_frames(message), strict=True):
            while waiting and waiting[0] < time_us:
                missed = waiting.pop(0)
                if before is not None:
                    found[missed] = _png(before)
            if not waiting:
                return found
            before = pixels
    if before is not None:
        found |= dict.fromkeys(waiting, _png(before))
    return found


def draw_shots(
    decoder: MediaDecoder, stream: BinaryIO, name: str, offset_us: int, shots: Sequence[tuple[int, int, int]]
) -> bytes:
    """A contact sheet of the shots of a video: its key frames with their times, six a row, at most 36.

    Args:
        decoder: the decoding process.
        stream: the encoded file.
        name: the record, for messages.
        offset_us: global clock less presentation time of the pictures, microseconds.
        shots: start, end and key frame of each on the global clock, in order; more than 36 are thinned out evenly.

    Returns:
        A PNG.

    Raises:
        DecodeError: the file does not decode.
    """
    places = np.unique(np.linspace(0, len(shots) - 1, min(len(shots), _MAX_SHOTS)).round().astype(int)).tolist()
    origin = shots[0][0] if shots else 0
    frames = read_frames(decoder, stream, name, [shots[place][2] - offset_us for place in places], _SHOT_SIDE_PX)
    tiles = [
        Tile(
            frames[shots[place][2] - offset_us],
            (f"shot {place + 1}: {(shots[place][0] - origin) / 1e6:.2f} to {(shots[place][1] - origin) / 1e6:.2f} s",),
        )
        for place in places
        if shots[place][2] - offset_us in frames
    ]
    return contact_sheet(tiles, columns=min(_SHOT_COLUMNS, max(len(tiles), 1)), side=_SHOT_SIDE_PX)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
