"""k-means and codes against values worked by hand and by brute force."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_assets.errors import ContractError
from mm_assets.features.codebook import codebook_from_row, codebook_to_row, nearest_codes, train_codebook
from mm_assets.features.codes import assign_codes
from mm_assets.policy import CodebookPolicy
from mm_assets.schemas import TABLES


def clusters(points=200, spread=0.05, seed=3):
    """Four corners of a square with ``points`` vectors around each."""
    random = np.random.default_rng(seed)
    corners = np.repeat([[0.0, 0.0], [0.0, 4.0], [4.0, 0.0], [4.0, 4.0]], points, axis=0)
    return (corners + random.normal(0, spread, corners.shape)).astype(np.float32)


def test_four_clusters_four_codes():
    codebook = train_codebook([clusters()], CodebookPolicy(size=4))
    found = codebook.centroids[np.lexsort(codebook.centroids.round().T[::-1])]
    np.testing.assert_allclose(found, [[0, 0], [0, 4], [4, 0], [4, 4]], atol=0.03)
    assert codebook.perplexity == pytest.approx(4.0)
    assert codebook.dead_codes == 0
    # Variance of the corners is 4 + 4; what is left is the spread's 2 * 0.05 ** 2.
    assert codebook.reconstruction_error == pytest.approx(2 * 0.05**2 / 8, rel=0.1)
    assert codebook.vectors == 800


def test_same_vectors_same_codebook_however_they_arrive():
    vectors = clusters().astype(np.float16)
    policy = CodebookPolicy(size=16, max_training_vectors=500, seed=5)
    whole = train_codebook([vectors], policy)
    pieces = train_codebook(np.split(vectors.reshape(50, 16, 2), [1, 7, 30]), policy)
    assert whole.version == pieces.version
    assert (whole.centroids == pieces.centroids).all()
    assert whole.vectors == 500
    assert train_codebook([vectors], CodebookPolicy(size=16, max_training_vectors=500, seed=6)).version != whole.version


def test_few_vectors_few_codes():
    policy = CodebookPolicy(size=1_024, min_vectors_per_code=39)
    assert train_codebook([clusters(points=39)], policy).size == 4
    assert train_codebook([clusters(points=1)[:3]], policy).size == 1


def test_identical_vectors_leave_dead_codes_and_no_error():
    codebook = train_codebook([np.ones((400, 2), np.float32)], CodebookPolicy(size=4))
    assert codebook.dead_codes == 3
    assert codebook.perplexity == pytest.approx(1.0)
    assert codebook.reconstruction_error == 0.0


def test_sample_is_uniform_over_the_stream():
    """Each of 4,000 numbers is kept with probability 1/8, wherever in the stream it stood."""
    kept = np.zeros(4_000)
    numbers = np.arange(4_000, dtype=np.float32)[:, None]
    for seed in range(40):
        codebook = train_codebook(
            np.split(numbers, 40), CodebookPolicy(size=500, max_training_vectors=500, min_vectors_per_code=1, seed=seed)
        )
        kept[np.unique(codebook.centroids.round().astype(int))] += 1
    by_quarter = kept.reshape(4, 1_000).sum(1) / (40 * 1_000)
    # Standard error of a quarter's share: sqrt(1/8 * 7/8 / 40000) = 0.0017.
    np.testing.assert_allclose(by_quarter, 0.125, atol=4 * 0.0017)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([], "no spatial features"),
        ([np.empty((0, 49, 8), np.float16)], "no spatial features"),
        ([np.ones((5, 2)), np.ones((5, 3))], "2 and 3 channels"),
        ([np.array([[0.0, np.nan]])], "not finite"),
        ([np.array([[0.0, np.inf]], np.float16)], "not finite"),
    ],
)
def test_unusable_features_are_refused(blocks, message):
    with pytest.raises(ContractError, match=message):
        train_codebook(blocks, CodebookPolicy(size=2))


def test_the_sample_is_held_once():
    random = np.random.default_rng(0)
    blocks = [random.normal(size=(4_096, 96)).astype(np.float16) for _ in range(16)]
    policy = CodebookPolicy(size=8, iterations=2, max_training_vectors=65_536)
    tracemalloc.start()
    codebook = train_codebook(iter(blocks), policy)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    sample = 65_536 * 96 * 4
    assert codebook.vectors == 65_536
    assert sample <= peak < 1.7 * sample


def test_row_and_back():
    codebook = train_codebook([clusters()], CodebookPolicy(size=4))
    row = codebook_to_row(codebook)
    assert set(row) <= set(TABLES["codebook"].columns)
    again = codebook_from_row(row)
    assert (again.centroids == codebook.centroids).all()
    assert codebook_to_row(again) == row


@pytest.mark.parametrize("spoil", [{"size": 5}, {"dimension": 1}, {"centroids": b"\0" * 32}])
def test_damaged_row_is_refused(spoil):
    row = codebook_to_row(train_codebook([clusters()], CodebookPolicy(size=4)))
    with pytest.raises(ContractError, match="damaged"):
        codebook_from_row(row | spoil)


@settings(max_examples=25, deadline=None)
@given(
    codes=st.integers(1, 40),
    pictures=st.integers(1, 6),
    patches=st.integers(1, 9),
    channels=st.integers(1, 12),
    seed=st.integers(0, 1_000),
)
def test_codes_are_the_nearest_centroids(codes, pictures, patches, channels, seed):
    random = np.random.default_rng(seed)
    training = random.standard_normal((codes * 2, channels)).astype(np.float32)
    codebook = train_codebook([training], CodebookPolicy(size=codes, min_vectors_per_code=1))
    spatial = random.standard_normal((pictures, patches, channels)).astype(np.float16)
    assigned = assign_codes(codebook, spatial)
    assert assigned.shape == (pictures, patches)
    assert assigned.dtype == np.int32
    differences = spatial.astype(np.float64)[:, :, None] - codebook.centroids.astype(np.float64)
    distances = (differences**2).sum(-1)
    chosen = np.take_along_axis(distances, assigned[..., None].astype(np.int64), -1)[..., 0]
    np.testing.assert_allclose(chosen, distances.min(-1), rtol=1e-4, atol=1e-4)


def test_many_vectors_are_searched_in_blocks():
    vectors = np.random.default_rng(0).standard_normal((20_000, 3)).astype(np.float32)
    centroids = vectors[:50]
    codes, distances = nearest_codes(centroids, vectors)
    assert (codes[:50] == np.arange(50)).all()
    assert (distances >= 0).all()
    brute = ((vectors[19_990:, None] - centroids) ** 2).sum(-1)
    assert (codes[19_990:] == brute.argmin(1)).all()


def test_codes_of_another_encoder_are_refused():
    codebook = train_codebook([clusters()], CodebookPolicy(size=4))
    with pytest.raises(ContractError, match=r"3 channels.*2"):
        assign_codes(codebook, np.ones((1, 4, 3), np.float16))
