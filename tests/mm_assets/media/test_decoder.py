"""What decodes, when it is presented, and what hostile files do."""

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mm_assets.errors import DecodeError
from mm_assets.media.decoder import MediaDecoder, limits_of
from mm_assets.media.messages import Fault, Request, Wanted
from mm_assets.media.reading import read_media
from mm_assets.policy import MediaPolicy

CLICKS = (500_000, 1_500_000, 2_750_000)
AUDIO = (".wav", ".flac", ".ogg", ".mp3", ".m4a")
VIDEO = (".mp4", ".mkv", ".webm")
VARIABLE = [0, 40_000, 80_000, 200_000, 240_000, 400_000, *range(500_000, 3_000_000, 40_000)]


def rate_of(suffix: str) -> int:
    return 48_000 if suffix in {".ogg", ".webm"} else 44_100


@pytest.mark.parametrize("suffix", AUDIO)
def test_sound_stands_where_it_was_put(decode: Callable, media_files: ModuleType, tmp_path: Path, suffix: str) -> None:
    rate = rate_of(suffix)
    path = media_files.write_media(tmp_path / f"a{suffix}", sound=media_files.clicks(4.0, CLICKS, rate), rate=rate)
    decoded = decode(path, audio=True)
    assert decoded.onsets_us() == pytest.approx(CLICKS, abs=1_500)
    assert decoded.end.audio.start_us == 0
    assert decoded.end.audio.end_us == pytest.approx(4_000_000, abs=25_000)  # AAC fills its last frame
    assert len(decoded.samples) == decoded.end.audio.units
    assert decoded.info.audio.sample_rate == rate
    assert decoded.info.video is None


@pytest.mark.parametrize("suffix", VIDEO)
def test_late_sound_and_variable_rates_keep_their_times(
    decode: Callable, media_files: ModuleType, tmp_path: Path, suffix: str
) -> None:
    rate = rate_of(suffix)
    path = media_files.write_media(
        tmp_path / f"v{suffix}",
        sound=media_files.clicks(3.0, CLICKS, rate),
        rate=rate,
        sound_start_us=300_000,
        pictures=[media_files.scene(index) for index in range(len(VARIABLE))],
        pts_us=VARIABLE,
    )
    decoded = decode(path, audio=True, video=True)
    assert decoded.pts_us == VARIABLE
    assert decoded.onsets_us() == pytest.approx([time + 300_000 for time in CLICKS], abs=2_500)
    assert 250_000 < decoded.end.audio.start_us < 302_000  # AAC's priming stands before its first sound
    assert decoded.end.video.start_us == 0
    assert decoded.end.video.units == len(VARIABLE)
    average = decoded.info.video.frame_rate
    by_number = [round(index * 1e6 / average) for index in range(len(VARIABLE))]
    # A frame's number over the rate would be wrong by this much.
    assert max(abs(a - b) for a, b in zip(by_number, VARIABLE, strict=True)) > 50_000


def test_avi_decodes(decode: Callable, media_files: ModuleType, tmp_path: Path) -> None:
    times = list(range(0, 2_000_000, 40_000))
    pictures = [media_files.scene(index // 10) for index in range(50)]
    decoded = decode(media_files.write_media(tmp_path / "v.avi", pictures=pictures, pts_us=times), video=True)
    assert decoded.pts_us == times
    error = np.abs(decoded.frames[5].astype(int) - pictures[5].astype(int)).mean()
    assert error < 20


def test_pictures_are_scaled_and_thinned_on_request(decode: Callable, media_files: ModuleType, tmp_path: Path) -> None:
    times = list(range(0, 2_000_000, 40_000))
    path = media_files.write_media(
        tmp_path / "v.mp4", pictures=[media_files.scene(1, 128, 64)] * len(times), pts_us=times
    )
    decoded = decode(path, video=True, max_side_px=32, every_us=500_000)
    assert decoded.pts_us == [0, 520_000, 1_040_000, 1_560_000]
    assert {frame.shape for frame in decoded.frames} == {(16, 32, 3)}
    assert decoded.end.video.units == len(times)
    assert decode(path).info.video.width == 128


def test_stereo_is_mixed_without_gain_and_loudness_is_that_of_ebu_r_128(
    decode: Callable, media_files: ModuleType, tmp_path: Path
) -> None:
    # EBU Tech 3341, case 1: a stereo sine of 1 kHz at -23 dBFS measures -23 LUFS.
    left = media_files.tone(20.0, 1_000.0, 48_000, 10 ** (-23 / 20))
    path = media_files.write_media(tmp_path / "a.flac", sound=np.concatenate((left, left)), rate=48_000)
    decoded = decode(path, audio=True)
    assert decoded.end.loudness_lufs == pytest.approx(-23.0, abs=0.1)
    assert np.abs(decoded.samples[1_000:-1_000]).max() == pytest.approx(10 ** (-23 / 20), rel=0.01)


def test_clipping_is_counted_before_resampling(decode: Callable, media_files: ModuleType, tmp_path: Path) -> None:
    sound = np.clip(media_files.tone(2.0, 300.0, 44_100, 2.0), -1.0, 1.0)
    blocks = decode(media_files.write_media(tmp_path / "a.wav", sound=sound, rate=44_100), audio=True).blocks
    assert sum(block.clipped for block in blocks) / sum(block.native for block in blocks) > 0.5
    clean = decode(
        media_files.write_media(tmp_path / "b.wav", sound=media_files.tone(2.0, 300.0, 44_100, 0.9), rate=44_100),
        audio=True,
    )
    assert sum(block.clipped for block in clean.blocks) == 0


def test_a_gap_in_the_sound_stays_a_gap(decode: Callable, media_files: ModuleType, tmp_path: Path) -> None:
    av = media_files.av
    with av.open(tmp_path / "a.mkv", "w") as container:
        stream = container.add_stream("flac", rate=16_000, layout="mono")
        sound = media_files.clicks(1.0, [200_000])
        for start in (0, 32_000):  # the second piece stands two seconds in
            for at in range(0, 16_000, 1_000):
                frame = av.AudioFrame.from_ndarray(
                    (sound[:, at : at + 1_000] * 32_767).astype(np.int16), format="s16", layout="mono"
                )
                frame.sample_rate, frame.pts = 16_000, start + at
                frame.time_base = media_files.Fraction(1, 16_000)
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    decoded = decode(tmp_path / "a.mkv", audio=True)
    assert decoded.onsets_us() == pytest.approx([200_000, 2_200_000], abs=2_000)
    assert decoded.end.audio.gaps_us == pytest.approx(1_000_000, abs=300_000)
    assert decoded.end.audio.end_us == pytest.approx(3_000_000, abs=2_000)
    assert len(decoded.samples) == pytest.approx(32_000, abs=10)


@pytest.mark.parametrize("suffix", [*AUDIO, ".mp4", ".mkv", ".webm", ".avi"])
def test_a_truncated_file_is_rejected(decode: Callable, media_files: ModuleType, tmp_path: Path, suffix: str) -> None:
    rate, times = rate_of(suffix), list(range(0, 2_000_000, 40_000))
    has_pictures = suffix not in AUDIO
    path = media_files.write_media(
        tmp_path / f"a{suffix}",
        sound=None if suffix == ".avi" else media_files.voice(2.0, rate=rate),
        rate=rate,
        pictures=[media_files.scene(index) for index in range(50)] if has_pictures else (),
        pts_us=times if has_pictures else (),
    )
    whole = path.read_bytes()
    assert decode(whole, audio=True, video=True).end is not None
    for share in (0.3, 0.6):
        with pytest.raises(DecodeError) as caught:
            decode(whole[: round(len(whole) * share)], audio=True, video=True)
        assert caught.value.code in {"TRUNCATED_MEDIA", "UNREADABLE_MEDIA", "NO_STREAMS"}
        assert caught.value.reason.startswith("a record: ")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no medium at all" * 100,
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile '/etc/hostname'\n",
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00\x01\x00",
    ],
    ids=["empty", "text", "playlist", "concat", "half-a-header"],
)
def test_what_is_no_medium_is_refused(decode: Callable, content: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(content, audio=True, video=True)
    assert caught.value.code == "UNREADABLE_MEDIA"


@pytest.mark.parametrize(
    ("bounds", "code"),
    [
        ({"max_seconds": 1.0}, "MEDIA_TOO_LONG"),
        ({"max_pixels": 1_000}, "FRAME_TOO_LARGE"),
        ({"max_streams": 1}, "TOO_MANY_STREAMS"),
        ({"max_sample_rate": 8_000}, "SAMPLE_RATE_TOO_HIGH"),
        ({"max_channels": 1}, "TOO_MANY_CHANNELS"),
        ({"max_decoded_bytes": 100_000}, "DECOMPRESSION_BOMB"),
    ],
)
def test_bounds_refuse(media_files: ModuleType, tmp_path: Path, bounds: dict[str, float], code: str) -> None:
    sound = np.concatenate((media_files.tone(2.0), media_files.tone(2.0)))
    times = list(range(0, 2_000_000, 40_000))
    path = media_files.write_media(
        tmp_path / "v.mp4", sound=sound, pictures=[media_files.scene(1)] * len(times), pts_us=times
    )
    request = Request(Wanted(audio=True, video=True), limits_of(MediaPolicy.model_validate(bounds)))
    with path.open("rb") as stream:
        *_, last = read_media(stream, request)
    assert isinstance(last, Fault)
    assert last.code == code


def test_flipped_bytes_reject_or_decode_but_never_break(
    decode: Callable, media_files: ModuleType, tmp_path: Path
) -> None:
    times = list(range(0, 1_000_000, 40_000))
    path = media_files.write_media(
        tmp_path / "v.mp4",
        sound=media_files.voice(1.0),
        pictures=[media_files.scene(index) for index in range(25)],
        pts_us=times,
    )
    whole, rng, outcomes = path.read_bytes(), random.Random(4), set()  # noqa: S311 - no secret
    for _ in range(30):
        content = bytearray(whole)
        for _ in range(rng.choice((1, 10, 100))):
            content[rng.randrange(len(content))] = rng.randrange(256)
        try:
            decode(bytes(content), audio=True, video=True, max_side_px=32)
            outcomes.add("OK")
        except DecodeError as error:
            outcomes.add(error.code)
    assert len(outcomes) >= 2


def test_a_killed_process_costs_one_file(decode: Callable, media_files: ModuleType, tmp_path: Path) -> None:
    path = media_files.write_media(tmp_path / "a.wav", sound=media_files.tone(20.0))
    with MediaDecoder(MediaPolicy(block_seconds=1.0)) as fragile:
        with path.open("rb") as stream:
            messages = fragile.decode(stream, "a record", Wanted(audio=True))
            next(messages)
            os.kill(fragile._process._child.pid, signal.SIGSEGV)
            with pytest.raises(DecodeError) as caught:
                list(messages)
        assert caught.value.code == "MEDIA_CRASHED"
        assert "SIGSEGV" in caught.value.reason
        assert decode(path, fragile, audio=True).end.audio.end_us == 20_000_000


def test_a_stopped_process_is_ended(decode: Callable, media_files: ModuleType, tmp_path: Path) -> None:
    path = media_files.write_media(tmp_path / "a.wav", sound=media_files.tone(20.0))
    with MediaDecoder(MediaPolicy(block_seconds=1.0)) as stalled, path.open("rb") as stream:
        messages = stalled.decode(stream, "a record", Wanted(audio=True))
        next(messages)
        os.kill(stalled._process._child.pid, signal.SIGSTOP)
        stalled._process._channel.settimeout(0.2)
        with pytest.raises(DecodeError) as caught:
            list(messages)
    assert caught.value.code == "MEDIA_STALLED"


def test_sound_that_falls_back_a_little_loses_what_was_heard(
    decode: Callable, media_files: ModuleType, tmp_path: Path
) -> None:
    av = media_files.av
    with av.open(tmp_path / "a.mkv", "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        sound = (media_files.clicks(1.0, [500_000]) * 32_767).astype(np.int16)
        for start in (0, 15_200):  # the second piece starts 50 ms before the first one ends
            for at in range(0, 16_000, 1_600):
                frame = av.AudioFrame.from_ndarray(sound[:, at : at + 1_600].copy(), format="s16", layout="mono")
                frame.sample_rate, frame.pts = 16_000, start + at
                frame.time_base = media_files.Fraction(1, 16_000)
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    decoded = decode(tmp_path / "a.mkv", audio=True)
    assert decoded.onsets_us() == pytest.approx([500_000, 1_450_000], abs=2_000)
    assert decoded.end.audio.end_us == pytest.approx(1_950_000, abs=2_000)
    ends = [block.start_us + round(len(block.samples) / 4 * 62.5) for block in decoded.blocks]
    starts = [block.start_us for block in decoded.blocks]
    assert all(start >= end for start, end in zip(starts[1:], ends[:-1], strict=True))


def test_a_file_left_early_does_not_disturb_the_next(decode: Callable, media_files: ModuleType, tmp_path: Path) -> None:
    path = media_files.write_media(tmp_path / "a.wav", sound=media_files.tone(30.0))
    with MediaDecoder(MediaPolicy(block_seconds=1.0)) as used, path.open("rb") as stream:
        left = used.decode(stream, "a record", Wanted(audio=True))
        next(left)
        assert decode(path, used, audio=True).end.audio.end_us == 30_000_000
        left.close()
        with path.open("rb") as again:
            assert used.probe(again, "a record").duration_us == 30_000_000
