from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_assets.aligned.segments.offsets.pointer_channels import (
    AUDIO,
    SUBTITLES,
    PointerChannel,
    compare_cues,
    compare_durations,
    compare_embeddings,
    compare_envelopes,
    compare_texts,
    measure_standing,
)
from mm_assets.aligned.segments.offsets.pointer_evidence import (
    _CLUSTERING,
    _SHARES,
    list_hypotheses,
    measure_gains,
    rate_rows,
    weigh_hypotheses,
)
from mm_assets.aligned.segments.offsets.pointers import blame_pointer, find_pointers, restore_sources
from mm_assets.aligned.segments.offsets.speech_edges import find_edges
from mm_assets.aligned.segments.offsets.timed_tracks import ClipTracks
from mm_assets.errors import ContractError, EmbeddingShapeError
from mm_assets.policy import OffsetGatePolicy

POLICY = OffsetGatePolicy()


def fits(owners: np.ndarray, seed: int, strength: float = 6.0) -> np.ndarray:
    """Fits of every clip and attachment; the attachment at row j is that of clip ``owners[j]``."""
    fit = np.random.default_rng(seed).normal(size=(len(owners), len(owners)))
    fit[owners, np.arange(len(owners))] += strength
    return fit


def channel(owners: np.ndarray, seed: int, side: str = SUBTITLES, strength: float = 6.0) -> PointerChannel:
    return PointerChannel("fit", side, measure_standing(fits(owners, seed, strength)))


def enumerate_likelihood(gains: np.ndarray) -> tuple[float, np.ndarray]:
    """Likelihood and posteriors by adding up every sequence of states."""
    total, displaced = 0.0, np.zeros(len(gains))
    for share, cluster in product(_SHARES, _CLUSTERING):
        stay, enter = cluster + (1 - cluster) * share, (1 - cluster) * share
        for states in product((0, 1), repeat=len(gains)):
            weight = share if states[0] else 1 - share
            for before, after in pairwise(states):
                chance = stay if before else enter
                weight *= chance if after else 1 - chance
            weight *= np.exp(gains[np.array(states, dtype=bool)].sum()) / (len(_SHARES) * len(_CLUSTERING))
            total += weight
            displaced += weight * np.array(states)
    return np.log(total), displaced / total


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-4, 4), min_size=1, max_size=6))
def test_the_chain_adds_up_every_sequence(values: list[float]) -> None:
    gains = np.array(values)
    expected, posterior = enumerate_likelihood(gains)
    each, together = weigh_hypotheses(gains[None], np.zeros(1))
    assert each[0] == pytest.approx(expected, abs=1e-9)
    assert float(together) == pytest.approx(expected, abs=1e-9)
    assert rate_rows(gains) == pytest.approx(posterior, abs=1e-9)


def test_evidence_is_at_most_1_in_expectation_where_nothing_is_displaced() -> None:
    """So that it bounds a p-value."""
    found: list[float] = []
    hypotheses = list_hypotheses(12, 5)
    for seed in range(150):
        match = measure_standing(fits(np.arange(12), seed, strength=1.0))
        found.append(float(weigh_hypotheses(measure_gains(match, hypotheses.targets), hypotheses.log_prior)[1]))
    assert np.mean(np.exp(found)) <= 1.0
    assert max(found) < -np.log(POLICY.false_hold_rate)


@pytest.mark.parametrize("k", [-3, -1, 1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_a_rolled_batch_is_found_and_undone(k: int, seed: int) -> None:
    rows = np.arange(20)
    found = find_pointers([channel((rows + k) % 20, seed)], SUBTITLES, POLICY)
    assert found.proven
    assert found.parameters == {"side": SUBTITLES, "k": k, "wrap": True}
    assert found.named.mean() > 0.9
    assert np.array_equal(found.sources[found.named & (found.sources >= 0)], ((rows - k) % 20)[
        found.named & (found.sources >= 0)
    ])  # fmt: skip
    assert found.restored.mean() > found.own.mean() + 3


@pytest.mark.parametrize("seed", range(3))
def test_scattered_rows_are_named(seed: int) -> None:
    rows = np.arange(20)
    struck = np.random.default_rng(seed).choice(19, 6, replace=False)
    owners = rows.copy()
    owners[struck] += 1
    found = find_pointers([channel(owners, seed, strength=12.0)], SUBTITLES, POLICY)
    assert (found.proven, found.hypothesis) == (True, "shift(+1)")
    assert set(np.flatnonzero(found.named)) <= set(struck.tolist())
    assert found.named.sum() >= 5


@pytest.mark.parametrize(("first", "length"), [(0, 20), (4, 6), (11, 7)])
def test_reversed_rows_are_found_about_their_centre(first: int, length: int) -> None:
    owners = np.arange(20)
    owners[first : first + length] = owners[first : first + length][::-1].copy()
    found = find_pointers([channel(owners, 1, strength=12.0)], SUBTITLES, POLICY)
    assert (found.proven, found.kind) == (True, "pointer_reversal")
    assert found.parameters["rows_sum"] == 2 * first + length - 1
    assert np.array_equal(owners[found.sources[found.named]], np.flatnonzero(found.named))


def test_nothing_is_found_without_evidence() -> None:
    assert find_pointers([], SUBTITLES, POLICY) is None
    flat = PointerChannel("flat", AUDIO, measure_standing(np.ones((8, 8))))
    assert find_pointers([flat], SUBTITLES, POLICY) is None
    found = find_pointers([channel(np.random.default_rng(0).permutation(20), 0)], SUBTITLES, POLICY)
    assert not found.proven or found.share < 0.5


def test_sound_at_fault_explains_subtitles_that_seem_displaced_the_other_way() -> None:
    rows = np.arange(16)
    sound = find_pointers([channel((rows + 1) % 16, 1, AUDIO)], AUDIO, POLICY)
    cues = find_pointers([channel((rows - 1) % 16, 2)], SUBTITLES, POLICY)
    alike = find_pointers([channel((rows + 1) % 16, 2)], SUBTITLES, POLICY)
    assert blame_pointer(cues, sound) == [sound]
    assert blame_pointer(alike, sound) == [sound, alike]
    assert blame_pointer(cues, None) == [cues]


@given(st.integers(2, 30), st.integers(-5, 5), st.data())
def test_every_row_is_restored_at_most_once(count: int, k: int, data) -> None:
    named = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    sources = restore_sources("pointer_shift", {"k": k, "wrap": False}, named)
    taken = sources[named & (sources >= 0)]
    assert len(set(taken.tolist())) == len(taken)
    assert np.array_equal(sources[~named], np.flatnonzero(~named))
    assert named[taken].all()


def test_unknown_corrections_of_pointers_are_refused() -> None:
    with pytest.raises(ContractError, match="no correction of pointers"):
        restore_sources("time_shift", {}, np.ones(3, dtype=bool))
    with pytest.raises(ContractError, match="'wrap' is missing"):
        restore_sources("pointer_shift", {"k": 1}, np.ones(3, dtype=bool))


def test_windows_of_a_batch_join() -> None:
    rows = np.arange(16)
    parts = [find_pointers([channel((rows + 1) % 16, seed)], SUBTITLES, POLICY).at(16 * seed, 32) for seed in (0, 1)]
    both = parts[0].joined(parts[1])
    assert both.log_ratio == parts[0].log_ratio + parts[1].log_ratio
    assert both.named[:16].any()
    assert both.named[16:].any()
    assert (both.sources[16:] >= 16).all()


def test_channels_know_whose_attachment_it_is(draw_batch) -> None:
    clips = draw_batch(1, count=8, duration_us=None, words=True, envelopes=True)
    found = [
        compare_cues(clips, [find_edges(clip.speech) for clip in clips], POLICY),
        compare_texts([clip.words for clip in clips], [clip.cues for clip in clips], "texts", SUBTITLES),
        compare_durations(clips),
        compare_envelopes(clips),
        compare_embeddings(np.eye(8), np.eye(8), "captions", AUDIO),
    ]
    for each in found:
        own = np.diagonal(each.match)
        others = each.match[~np.eye(8, dtype=bool)]
        assert own.mean() > 1.0 > others.mean(), each.name


def test_clips_without_tracks_say_nothing(draw_batch) -> None:
    clips = [*draw_batch(2, count=6), ClipTracks("rejected", 1_000_000)]
    edges = [None if clip.speech is None else find_edges(clip.speech) for clip in clips]
    found = compare_cues(clips, edges, POLICY)
    assert not found.match[-1].any()
    assert not found.match[:, -1].any()
    assert compare_durations(clips) is None
    assert compare_envelopes(clips) is None
    assert compare_texts([None] * 7, [clip.cues for clip in clips], "texts", SUBTITLES) is None


def test_embeddings_of_two_spaces_are_refused() -> None:
    with pytest.raises(EmbeddingShapeError, match="attachments"):
        compare_embeddings(np.zeros((3, 4)), np.zeros((3, 5)), "captions", AUDIO)
