from dataclasses import replace

import numpy as np
import pytest

from mm_assets.aligned.segments.offsets.cue_order import Disorder, judge_order, measure_direction, measure_overlap
from mm_assets.aligned.segments.offsets.timed_tracks import ClipTracks, TimedTexts
from mm_assets.aligned.segments.offsets.word_matches import match_words
from mm_assets.policy import OffsetGatePolicy, WarpingPolicy

POLICY, WARPING = OffsetGatePolicy(), WarpingPolicy()


def cues(starts: list[int], ends: list[int]) -> TimedTexts:
    return TimedTexts(tuple("abcdefghij"[: len(starts)]), np.array(starts), np.array(ends))


def distances(seed: int, frames: int = 30, sentences: int = 8) -> np.ndarray:
    """Frames that show the sentences one after the other."""
    generator = np.random.default_rng(seed)
    told = np.arange(frames) * sentences // frames
    far = generator.uniform(0.6, 1.0, (frames, sentences))
    far[np.arange(frames), told] = generator.uniform(0.3, 0.8, frames)
    return far


@pytest.mark.parametrize("seed", range(4))
def test_the_path_tells_the_direction(seed: int) -> None:
    found = measure_direction(distances(seed), WARPING, 1)
    assert not found.is_reversed
    assert found.forward < found.backward
    backwards = measure_direction(distances(seed)[::-1], WARPING, 1)
    assert backwards.is_reversed
    assert backwards.backward == pytest.approx(found.forward)


def test_noise_has_no_direction() -> None:
    noise = [
        measure_direction(np.random.default_rng(seed).uniform(size=(20, 6)), WARPING, 1).is_reversed
        for seed in range(20)
    ]
    assert sum(noise) <= 1


def test_overlapping_and_unordered_cues_are_counted() -> None:
    assert measure_overlap(cues([0, 10, 20], [10, 20, 30])) == (0.0, 0.0)
    assert measure_overlap(cues([0, 10, 20], [11, 20, 30])) == (0.5, 0.0)
    assert measure_overlap(cues([20, 10, 0], [30, 20, 10])) == (0.0, 1.0)
    assert measure_overlap(cues([], [])) == (0.0, 0.0)


def test_each_disorder_has_its_name(scenes) -> None:
    generator = np.random.default_rng(5)
    clip = scenes.draw_clip(generator, "clip", 60_000_000, words=True)

    def judge(spoiled: ClipTracks) -> Disorder:
        return judge_order(spoiled, match_words(spoiled.cues, spoiled.words, POLICY), POLICY, WARPING).disorder

    assert judge(clip) is Disorder.NONE
    assert judge(scenes.overlap_cues(clip, generator)) is Disorder.OVERLAPPING
    assert judge(scenes.reverse_cues(clip)) is Disorder.REVERSED
    texts = list(clip.cues.texts)
    dealt = generator.permutation(len(texts))
    assert judge(replace(clip, cues=replace(clip.cues, texts=tuple(texts[row] for row in dealt)))) is Disorder.LOST
    backwards = TimedTexts(clip.cues.texts[::-1], clip.cues.start_us[::-1], clip.cues.end_us[::-1])
    assert judge(replace(clip, cues=backwards)) is Disorder.UNORDERED


def test_frames_against_sentences_tell_a_reversed_clip() -> None:
    clip = ClipTracks("clip", 30_000_000, sentence_distances=distances(1)[::-1].copy())
    assert judge_order(clip, None, POLICY, WARPING).disorder is Disorder.REVERSED
