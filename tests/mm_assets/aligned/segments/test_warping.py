"""Warping against a full matrix, against fastdtw, inside its band and inside its memory."""

import itertools
import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from fastdtw import fastdtw
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mm_assets.aligned.segments import warping, warping_search, warping_windows
from mm_assets.aligned.segments.warping import warp, warp_distances
from mm_assets.errors import ContractError, CrossModalCode, EmbeddingShapeError, InputError, MemoryQuotaError
from mm_assets.policy import WarpingPolicy

EXACT = WarpingPolicy()
NEUTRAL = WarpingPolicy(diagonal_weight=2)


def measure_distances(first, second):
    """Every distance, squares added dimension by dimension."""
    squares = np.zeros((len(first), len(second)))
    for c in range(first.shape[1]):
        squares += (first[:, None, c] - second[None, :, c]) ** 2
    return np.sqrt(squares) if first.shape[1] > 1 else np.abs(first - second.T)


def warp_fully(distances, diagonal_weight=1):
    """The textbook: every cell of the matrix in turn; ties go to the diagonal, then to (i, j - 1)."""
    rows, columns = distances.shape
    costs = np.full((rows + 1, columns + 1), np.inf)
    steps = {}
    for i, j in itertools.product(range(rows), range(columns)):
        d = distances[i, j]
        ways = [(i - 1, j - 1, diagonal_weight * d), (i, j - 1, d), (i - 1, j, d)]
        sums = [costs[a + 1, b + 1] + c for a, b, c in ways] if i or j else [d, np.inf, np.inf]
        best = int(np.argmin(sums))
        costs[i + 1, j + 1], steps[i, j] = sums[best], ways[best][:2]
    path = [(rows - 1, columns - 1)]
    while path[-1] != (0, 0):
        path.append(steps[path[-1]])
    return np.array(path[::-1]), costs[rows, columns]


def is_path(path, rows, columns):
    steps = {tuple(step) for step in np.diff(path, axis=0).tolist()}
    return (
        path[0].tolist() == [0, 0]
        and path[-1].tolist() == [rows - 1, columns - 1]
        and steps <= {(0, 1), (1, 0), (1, 1)}
    )


def make_alike(rows, columns, dimensions, noise, seed=0):
    """Two recordings of one smooth signal, the second at an uneven speed."""
    rng = np.random.default_rng(seed)
    grid = np.linspace(0.0, 1.0, rows + columns)
    signal = np.cumsum(rng.standard_normal((rows + columns, dimensions)), axis=0) / np.sqrt(rows + columns)
    even, uneven = np.linspace(0.0, 1.0, rows), np.linspace(0.0, 1.0, columns)
    uneven = uneven + 0.05 * np.sin(2 * np.pi * uneven)
    pair = [
        np.stack([np.interp(times, grid, signal[:, c]) for c in range(dimensions)], axis=1) for times in (even, uneven)
    ]
    return [frames + noise * rng.standard_normal(frames.shape) for frames in pair]


@st.composite
def sequences(draw, longest=14):
    """Whole numbers make many ties; others make few."""
    rows, columns = draw(st.integers(1, longest)), draw(st.integers(1, longest))
    dimensions = draw(st.integers(1, 4))
    values = draw(
        st.sampled_from([st.integers(0, 3).map(float), st.floats(-1e3, 1e3), st.sampled_from([0.1, 0.2, 0.3])])
    )
    first = draw(hnp.arrays(np.float64, (rows, dimensions), elements=values))
    second = draw(hnp.arrays(np.float64, (columns, dimensions), elements=values))
    return first, second


@given(sequences(), st.sampled_from([EXACT, NEUTRAL]))
@settings(max_examples=150, deadline=None)
@example((np.zeros((1, 1)), np.zeros((1, 1))), EXACT)
@example((np.zeros((9, 2)), np.zeros((1, 2))), NEUTRAL)
def test_equals_the_full_matrix(pair, policy):
    first, second = pair
    found = warp(first, second, policy)
    path, cost = warp_fully(measure_distances(first, second), policy.diagonal_weight)
    assert found.cost == cost
    assert found.path.tolist() == path.tolist()
    assert is_path(found.path, len(first), len(second))
    assert found.is_exact


@given(sequences(longest=24), st.floats(0.05, 1.0))
@settings(max_examples=150, deadline=None)
def test_band_holds_the_path_and_costs_nothing_where_it_allows_the_best(pair, share):
    first, second = pair
    rows, columns = len(first), len(second)
    found = warp(first, second, WarpingPolicy(band_share=share))
    path, cost = warp_fully(measure_distances(first, second))
    room = found.band_frames * (min(rows, columns) - 1)

    def inside(cells):
        return bool((np.abs(cells[:, 0] * (columns - 1) - cells[:, 1] * (rows - 1)) <= room).all())

    assert is_path(found.path, rows, columns)
    assert inside(found.path)
    assert found.cost >= cost
    if inside(path):
        assert found.path.tolist() == path.tolist()
        assert found.cost == cost


@given(sequences(longest=40), st.sampled_from([1, 2, 10]))
@settings(max_examples=60, deadline=None)
def test_never_costs_more_than_fastdtw(pair, radius):
    first, second = pair
    approximate = warp(first, second, WarpingPolicy(engine="fastdtw", fastdtw_radius=radius))
    assert is_path(approximate.path, len(first), len(second))
    assert warp(first, second, EXACT).cost <= approximate.cost * (1 + 1e-12)


@pytest.mark.parametrize(("rows", "columns", "dimensions"), [(900, 700, 1), (700, 901, 3)])
@pytest.mark.parametrize("every", [4, 16, 64])
@pytest.mark.parametrize("doubled", [False, True])
def test_long_sequences_equal_the_full_matrix_whatever_the_blocks(
    rows, columns, dimensions, every, doubled, monkeypatch
):
    first, second = make_alike(rows, columns, dimensions, 0.05)
    first, second = first.round(1), second.round(1)  # many equal distances
    path, cost = _by_rows(measure_distances(first, second), doubled)
    monkeypatch.setattr(warping_search, "_choose_blocks", lambda *_: (every, 10**7))
    pair = warping_search.pair_sequences(first, second, doubled=doubled)
    window = warping_windows.full_window(rows, columns)
    for bound in (np.inf, cost):
        found = warping_search.search(pair, window, 10**9, bound)
        assert found.cost == cost
        assert np.array_equal(found.path, path)


def _by_rows(distances, doubled):
    """The full matrix again, an anti-diagonal at a time in numpy; for sequences too long for plain Python."""
    rows, columns = distances.shape
    costs = np.full((rows + 1, columns + 1), np.inf)
    costs[0, 0] = -distances[0, 0] if doubled else 0.0
    for k in range(rows + columns - 1):
        i = np.arange(max(0, k - columns + 1), min(k, rows - 1) + 1)
        j = k - i
        d = distances[i, j]
        costs[i + 1, j + 1] = np.minimum(
            np.minimum(costs[i + 1, j] + d, costs[i, j + 1] + d), costs[i, j] + (2 * d if doubled else d)
        )
        if k == 0:
            costs[0, 0] = np.inf
    path, cell = [], (rows - 1, columns - 1)
    while cell != (0, 0):
        path.append(cell)
        i, j = cell
        d = distances[i, j]
        sums = [costs[i, j] + (2 * d if doubled else d), costs[i + 1, j] + d, costs[i, j + 1] + d]
        cell = ((i - 1, j - 1), (i, j - 1), (i - 1, j))[int(np.argmin(sums))]
    path.append((0, 0))
    return np.array(path[::-1]), costs[rows, columns]


@pytest.mark.parametrize("noise", [0.01, 2.0])
def test_leaving_cells_out_changes_nothing(noise):
    first, second = make_alike(1_700, 1_600, 2, noise)
    pair = warping_search.pair_sequences(first, second, doubled=False)
    window = warping_windows.full_window(1_700, 1_600)
    bound = warping_search.bound_cost(pair, window, 10**9)
    assert np.isfinite(bound)
    whole = warping_search.search(pair, window, 10**9)
    found = warp(first, second, EXACT)
    assert whole.cost <= bound
    assert found.cost == whole.cost
    assert np.array_equal(found.path, whole.path)
    if noise < 1.0:  # sequences that are alike keep a small part of the matrix
        assert warping_search.search(pair, window, 10**9, bound).size_bytes < whole.size_bytes


def test_worked_by_hand():
    found = warp([1, 2, 3], [2, 3, 4, 5, 6], EXACT)
    # 1-2 costs 1, 2-2 and 3-3 nothing, 3-4, 3-5, 3-6 cost 1, 2, 3
    assert found.cost == 7.0
    assert found.path.tolist() == [[0, 0], [1, 0], [2, 1], [2, 2], [2, 3], [2, 4]]
    assert found.find_partners(0).tolist() == [[0, 0], [0, 0], [1, 4]]
    assert found.find_partners(1).tolist() == [[0, 1], [2, 2], [2, 2], [2, 2], [2, 2]]


@pytest.mark.parametrize("policy", [EXACT, NEUTRAL])
def test_matrix_of_the_cran_check(policy):
    # the matrix that R's dtw and dtw-python check themselves with: ones, a row and a column of zeros
    distances = np.ones((6, 6))
    distances[1, :] = 0
    distances[:, 4] = 0
    distances[1, 4] = 0.01
    found = warp_distances(distances, policy)
    path, cost = warp_fully(distances, policy.diagonal_weight)
    assert found.cost == cost
    assert found.path.tolist() == path.tolist()
    # along the row of zeros, then down the column: only the first and the last cell cost anything
    assert found.cost == 2.0


@given(sequences(), st.sampled_from([EXACT, NEUTRAL, WarpingPolicy(band_share=0.2)]))
@settings(max_examples=60, deadline=None)
def test_distances_give_the_path_of_their_sequences(pair, policy):
    first, second = pair
    by_frames = warp(first, second, policy)
    by_matrix = warp_distances(measure_distances(first, second), policy)
    assert by_matrix.cost == by_frames.cost
    assert by_matrix.path.tolist() == by_frames.path.tolist()


def test_takes_any_real_numbers_and_leaves_them_alone():
    first, second = make_alike(60, 50, 3, 0.1)
    kept = first.copy()
    expected = warp(first.astype(np.float32), second.astype(np.float32), EXACT)
    strided = warp(np.asfortranarray(first.astype(np.float32)), second.astype(np.float32)[::-1][::-1], EXACT)
    assert np.array_equal(expected.path, strided.path)
    first.flags.writeable = False
    assert warp(first, second, EXACT).cost == pytest.approx(expected.cost, rel=1e-5)
    assert np.array_equal(first, kept)
    assert warp([0, 5, 9], np.array([0, 9], dtype=np.int16), EXACT).cost == 4.0


def test_band_tells_when_it_binds():
    late = np.concatenate([np.zeros(40), np.ones(60)])
    early = np.concatenate([np.zeros(10), np.ones(90)])
    free, narrow = warp(late, early, EXACT), warp(late, early, WarpingPolicy(band_share=0.1))
    assert free.cost == 0.0
    assert not free.touches_band
    assert narrow.band_frames == 10
    assert narrow.touches_band
    assert narrow.cost > 0.0
    assert not warp(late, early, WarpingPolicy(band_share=0.5)).touches_band


@pytest.mark.parametrize(("dimensions", "quotas"), [(1, (600_000, 400_000, 300_000)), (20, (1_200_000, 950_000))])
def test_stays_inside_its_quota_and_says_what_it_cost(dimensions, quotas):
    first, second = make_alike(2_000, 1_800, dimensions, 0.2)
    best = warp(first, second, EXACT)
    warp(first, second, WarpingPolicy(memory_bytes=quotas[-1]))  # compiled now
    exact = []
    for quota in quotas:
        tracemalloc.start()
        found = warp(first, second, WarpingPolicy(memory_bytes=quota))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= quota + 20_000  # small Python objects
        assert found.used_bytes <= quota
        assert is_path(found.path, 2_000, 1_800)
        assert best.cost <= found.cost <= 1.02 * best.cost
        exact.append(found.is_exact)
        if found.notice is not None:
            assert found.notice.code is CrossModalCode.DTW_OOM
            assert found.notice.downsampled_by > 1
            assert f"{quota:,}" in found.notice.message
            assert f"{found.notice.used_bytes:,}" in found.notice.message
    assert exact[0]
    assert not exact[-1]


def test_quota_keeps_the_band():
    first, second = make_alike(2_000, 1_800, 1, 0.2)
    found = warp(first, second, WarpingPolicy(memory_bytes=300_000, band_share=0.08))
    assert found.notice is not None
    room = found.band_frames * 1_799
    assert (np.abs(found.path[:, 0] * 1_799 - found.path[:, 1] * 1_999) <= room).all()
    best = warp(first, second, WarpingPolicy(band_share=0.08))
    assert best.cost <= found.cost <= 1.02 * best.cost


@given(
    st.integers(2, 400),
    st.integers(2, 400),
    st.integers(1, 3),
    st.integers(3_000, 30_000),
    st.sampled_from([None, 0.03, 0.2]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None)
def test_any_quota_gives_a_path_or_an_error(rows, columns, dimensions, room, band, seed):
    rng = np.random.default_rng(seed)
    first, second = (np.cumsum(rng.standard_normal((n, dimensions)), axis=0) for n in (rows, columns))
    fixed = warping_search.pair_bytes(rows, columns, dimensions) + warping_search.window_bytes(rows, columns)
    try:
        found = warp(first, second, WarpingPolicy(memory_bytes=fixed + room, band_share=band))
    except MemoryQuotaError:
        assert room < 20_000
        return
    best = warp(first, second, WarpingPolicy(band_share=band))
    assert is_path(found.path, rows, columns)
    assert found.used_bytes <= fixed + room
    assert found.cost >= best.cost
    assert found.cost == pytest.approx(measure_distances(first, second)[tuple(found.path.T)].sum())
    if found.notice is None:
        assert found.path.tolist() == best.path.tolist()
    if band is not None:
        offsets = np.abs(found.path[:, 0] * (columns - 1) - found.path[:, 1] * (rows - 1))
        assert (offsets <= found.band_frames * (min(rows, columns) - 1)).all()


def test_refuses_what_no_downsampling_fits():
    first, second = make_alike(2_000, 1_800, 20, 0.2)
    for quota in (100_000, 700_000):
        with pytest.raises(MemoryQuotaError, match="2000 x 1800 frames of 20 dimensions") as caught:
            warp(first, second, WarpingPolicy(memory_bytes=quota))
        assert caught.value.code == "ERR_CROSS_MDL_DTW_OOM"
    with pytest.raises(MemoryQuotaError):
        warp_distances(np.zeros((500, 500)), WarpingPolicy(memory_bytes=20_000))
    with pytest.raises(MemoryQuotaError, match="2,000,000 go before any search"):
        warp_distances(np.zeros((500, 500), dtype=np.float32), WarpingPolicy(memory_bytes=1_000_000))


MEASURED_CHILD = """
import json, sys
import numpy as np
from mm_assets.aligned.segments.warping import warp
from mm_assets.policy import WarpingPolicy

def read(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))

rng = np.random.default_rng(0)
first, second = (np.cumsum(rng.standard_normal((n, 20)), axis=0) for n in (4_500, 6_200))
peaks = {}
for name, policy in (("exact", WarpingPolicy()), ("banded", WarpingPolicy(band_share=0.1))):
    warp(first[:300], second[:300], policy)  # compiled or loaded now
    with open("/proc/self/clear_refs", "w") as peak:
        peak.write("5")
    before = read("VmRSS")
    found = warp(first, second, policy)
    peaks[name] = {"peak": read("VmHWM") - before, "used": found.used_bytes, "exact": found.is_exact}
print(json.dumps(peaks))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of resident memory is read from /proc")
def test_resident_memory_of_ninety_seconds():
    done = subprocess.run([sys.executable, "-c", MEASURED_CHILD], check=True, capture_output=True, text=True)
    measured = json.loads(done.stdout)
    assert measured["exact"]["exact"]
    assert measured["exact"]["peak"] < 64_000_000
    assert measured["banded"]["peak"] < 16_000_000


def test_fastdtw_spends_less_radius_under_a_quota():
    first, second = make_alike(2_000, 1_800, 3, 0.2)
    free = warp(first, second, WarpingPolicy(engine="fastdtw"))
    held = warp(first, second, WarpingPolicy(engine="fastdtw", memory_bytes=3_000_000))
    assert free.notice is None
    assert not free.is_exact
    assert held.notice.code is CrossModalCode.DTW_OOM
    assert 1 <= held.notice.half_width < 10
    assert held.path.tolist() == [list(cell) for cell in fastdtw(first, second, held.notice.half_width, 2)[1]]
    with pytest.raises(MemoryQuotaError):
        warp(first, second, WarpingPolicy(engine="fastdtw", memory_bytes=100_000))


def test_fastdtw_must_be_compiled(monkeypatch):
    warping._require_compiled_fastdtw.cache_clear()
    monkeypatch.setattr(warping.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ContractError, match=r"without its C\+\+ extension"):
        warp([1.0], [1.0], WarpingPolicy(engine="fastdtw"))


def test_fastdtw_knows_no_band():
    with pytest.raises(ContractError, match="knows no band"):
        warp([1.0], [1.0], WarpingPolicy(engine="fastdtw", band_share=0.1))


@pytest.mark.parametrize(
    ("first", "second", "error", "said"),
    [
        ([1.0, np.nan], [1.0], InputError, "NOT_FINITE: reference: frame 1 holds NaN"),
        ([1.0], [1.0, 2.0, -np.inf], InputError, "NOT_FINITE: query: frame 2 holds NaN, infinity"),
        ([[1.0, 1e200]], [[1.0, 1.0]], InputError, "NOT_FINITE: reference: frame 0"),
        ([], [1.0], InputError, r"EMPTY_SEQUENCE: reference: shape \(0, 1\)"),
        (np.zeros((3, 0)), np.zeros((3, 0)), InputError, "EMPTY_SEQUENCE"),
        (np.zeros((3, 2)), np.zeros((3, 4)), EmbeddingShapeError, "reference has 2 dimensions, query 4"),
        (np.zeros((3, 2, 2)), np.zeros((3, 2)), ContractError, r"reference: shape \(3, 2, 2\)"),
        (["a"], ["b"], ContractError, "real numbers"),
    ],
)
@pytest.mark.parametrize("engine", ["exact", "fastdtw"])
def test_names_what_cannot_be_warped(first, second, error, said, engine):
    with pytest.raises(error, match=said):
        warp(first, second, WarpingPolicy(engine=engine))


def test_refuses_distances_that_are_none():
    with pytest.raises(InputError, match="NEGATIVE_DISTANCE"):
        warp_distances([[1.0, -0.1]], EXACT)
    with pytest.raises(InputError, match="NOT_FINITE: distances: frame 0"):
        warp_distances([[1.0, np.inf]], EXACT)
    with pytest.raises(ContractError):
        warp_distances([1.0, 2.0], EXACT)
