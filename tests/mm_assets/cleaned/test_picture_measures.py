from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.cleaned.picture_measures import PictureMeasures, PictureMeter, frozen_share, refuse_pictures
from mm_assets.cleaned.shots import ShotFinder, divide_into_shots
from mm_assets.errors import DecodeError
from mm_assets.media.messages import VideoStream
from mm_assets.policy import VideoPolicy

POLICY = VideoPolicy()
STREAM = VideoStream("h264", 640, 360, 25.0, None)
STEP = 40_000


def measure(frames: list[np.ndarray], times: list[int], end_us: int | None = None, block: int = 7) -> PictureMeasures:
    meter = PictureMeter(POLICY)
    for at in range(0, len(frames), block):
        meter.add(times[at : at + block], np.stack(frames[at : at + block]))
    return meter.finish(times[-1] + STEP if end_us is None else end_us)


def code_of(measured: PictureMeasures, stream: VideoStream = STREAM) -> str:
    try:
        refuse_pictures(measured, stream, "a record", POLICY)
    except DecodeError as error:
        return error.code
    return "OK"


def pan(media_files: ModuleType, count: int) -> list[np.ndarray]:
    return [media_files.scene(1, 160, 96, shift=index) for index in range(count)]


def test_moving_pictures_are_kept(media_files: ModuleType) -> None:
    measured = measure(pan(media_files, 50), [i * STEP for i in range(50)])
    assert (measured.black_share, measured.frozen_share, measured.has_variable_rate) == (0.0, 0.0, False)
    assert measured.frame_rate == pytest.approx(25.0)
    assert measured.seconds == pytest.approx(2.0)
    assert code_of(measured) == "OK"


def test_black_time_counts_by_the_clock_not_by_frames(media_files: ModuleType) -> None:
    dark, frames = np.full((96, 160, 3), 5, np.uint8), pan(media_files, 30)
    # One black frame shown for three seconds, then thirty bright ones in 1.2.
    times = [0, *range(3_000_000, 3_000_000 + 30 * STEP, STEP)]
    measured = measure([dark, *frames], times)
    assert measured.black_share == pytest.approx(3.0 / 4.2)
    assert measured.has_variable_rate
    assert code_of(measured) == "BLACK_VIDEO"


def test_a_still_picture_with_noise_below_sight_is_frozen(media_files: ModuleType) -> None:
    still, rng = media_files.scene(3, 160, 96), np.random.default_rng(1)
    frames = [np.where(rng.random((96, 160, 1)) < 0.001, 255 - still, still).astype(np.uint8) for _ in range(75)]
    measured = measure(frames, [i * STEP for i in range(75)])
    assert measured.frozen_share > 0.9
    assert code_of(measured) == "FROZEN_VIDEO"


def test_slides_that_change_are_not_frozen_for_short(media_files: ModuleType) -> None:
    frames = [media_files.scene(index // 40, 160, 96) for index in range(120)]  # one every 1.6 s
    assert measure(frames, [i * STEP for i in range(120)]).frozen_share == 0


@pytest.mark.parametrize(
    ("times", "stream", "code"),
    [
        ([0, STEP], STREAM, "TOO_SHORT"),
        (list(range(0, 20_000_000, 1_000_000)), STREAM, "FRAME_RATE_TOO_LOW"),
        (list(range(0, 2_000_000, 3_000)), STREAM, "FRAME_RATE_TOO_HIGH"),
        (list(range(0, 2_000_000, STEP)), VideoStream("h264", 640, 40, None, None), "TOO_SMALL"),
    ],
)
def test_bounds(media_files: ModuleType, times: list[int], stream: VideoStream, code: str) -> None:
    frames = [media_files.scene(1, 32, 16, shift=index) for index in range(len(times))]
    assert code_of(measure(frames, times), stream) == code


@given(
    st.lists(st.tuples(st.integers(1, 3_000_000), st.booleans()), min_size=1, max_size=30), st.integers(1, 3_000_000)
)
def test_frozen_time_is_that_between_changes(steps: list[tuple[int, bool]], last: int) -> None:
    times = np.cumsum([0, *(step for step, _ in steps)])
    moved = np.array([False, *(change for _, change in steps)])
    end = int(times[-1]) + last
    expected = since = 0
    for time in [*times[1:][moved[1:]].tolist(), end]:
        expected += time - since if time - since >= 2_000_000 else 0
        since = time
    assert frozen_share(times, moved, end, 2.0) == pytest.approx(expected / end)


def test_cuts_are_found_at_their_times_whatever_the_rate(media_files: ModuleType) -> None:
    rng = np.random.default_rng(5)
    times, frames, cuts = [], [], []
    time_us = 2_000_000
    for shot in range(5):
        if shot:
            cuts.append(time_us)
        for index in range(int(rng.integers(30, 60))):
            times.append(time_us)
            frames.append(media_files.scene(100 + shot, 160, 96, shift=index // 4))
            time_us += int(rng.choice([33_000, 40_000, 67_000]))
    finder = ShotFinder(POLICY.shot_threshold, POLICY.min_shot_seconds)
    for at in range(0, len(times), 11):
        finder.add(times[at : at + 11], np.stack(frames[at : at + 11]))
    found = finder.finish()
    assert found.tolist() == cuts
    shots = divide_into_shots(found, np.array(times), np.ones(len(times), np.float32), time_us)
    assert shots[:, 0].tolist() == [times[0], *cuts]
    assert shots[:, 1].tolist() == [*cuts, time_us]
    assert all(first <= key < last for first, last, key in shots.tolist())
    assert set(shots[:, 2].tolist()) <= set(times)


def test_the_key_frame_is_the_sharpest_away_from_the_ends() -> None:
    times = np.arange(10) * STEP
    sharpness = np.array([99, 1, 2, 3, 8, 4, 2, 1, 1, 99], np.float32)
    assert divide_into_shots(np.zeros(0, np.int64), times, sharpness, 10 * STEP).tolist() == [[0, 400_000, 4 * STEP]]
