# pyright: strict
"""The visual vocabulary: k-means over spatial features, so that a patch becomes one code."""

import hashlib
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from mm_assets.errors import ContractError
from mm_assets.policy import CodebookPolicy

_DIGEST_CHARACTERS: Final = 24
_VECTORS_PER_SEARCH: Final = 8_192  # 12 MB of float32 at 384 channels


@dataclass(frozen=True)
class Codebook:
    """Centroids and how well they describe the features they were trained on.

    Attributes:
        version: hash of the centroids.
        centroids: float32, shape (K, C).
        vectors: training vectors, after sampling.
        perplexity: exp(entropy) of code use on them, 1 to K.
        dead_codes: codes none of them uses.
        reconstruction_error: their mean squared distance to their code over their variance, 0 to 1; 0 without variance.
    """

    version: str
    centroids: NDArray[np.float32]
    vectors: int
    perplexity: float
    dead_codes: int
    reconstruction_error: float

    @property
    def size(self) -> int:
        """K."""
        return self.centroids.shape[0]

    @property
    def dimension(self) -> int:
        """C."""
        return self.centroids.shape[1]


def train_codebook(spatial: Iterable[NDArray[np.floating]], policy: CodebookPolicy) -> Codebook:
    """Train on spatial features that arrive in blocks; the same vectors and policy give the same codebook.

    A uniform sample of at most ``max_training_vectors`` is kept. K is ``size``, or less when there are not
    ``min_vectors_per_code`` of them for each code. faiss splits a large cluster to revive a dead one.

    Args:
        spatial: blocks of float vectors, shape (..., C), one C throughout; one array counts as its own blocks.
        policy: size, iterations, sample and seed.

    Raises:
        ContractError: there are no vectors, they differ in C, or one is not finite.

    Source: Lloyd 1982 as in faiss; sampling by algorithm R, Vitter 1985.
    """
    vectors = _sample(spatial, policy)
    size = max(1, min(policy.size, len(vectors) // policy.min_vectors_per_code))
    with _on_one_thread():
        kmeans: Any = faiss.Kmeans(
            vectors.shape[1],
            size,
            niter=policy.iterations,
            seed=policy.seed & 0x7FFF_FFFF,
            # The sample is drawn above, and K is already what it supports: faiss shall use all of it, silently.
            min_points_per_centroid=1,
            max_points_per_centroid=len(vectors),
        )
        kmeans.train(vectors)
    centroids = np.ascontiguousarray(kmeans.centroids, np.float32)
    codes, squared_distances = nearest_codes(centroids, vectors)
    used = np.bincount(codes, minlength=size)
    shares = used[used > 0] / len(vectors)
    variance = _variance(vectors)
    return Codebook(
        version=_version_of(centroids),
        centroids=centroids,
        vectors=len(vectors),
        perplexity=float(np.exp(-(shares * np.log(shares)).sum())),
        dead_codes=int((used == 0).sum()),
        reconstruction_error=float(squared_distances.mean(dtype=np.float64)) / variance if variance else 0.0,
    )


def codebook_to_row(codebook: Codebook) -> dict[str, Any]:
    """The columns of table ``codebook`` that the codebook itself knows."""
    return {
        "version": codebook.version,
        "size": codebook.size,
        "dimension": codebook.dimension,
        "centroids": codebook.centroids.astype("<f4").tobytes(),
        "vectors": codebook.vectors,
        "perplexity": codebook.perplexity,
        "dead_codes": codebook.dead_codes,
        "reconstruction_error": codebook.reconstruction_error,
    }


def codebook_from_row(row: Mapping[str, Any]) -> Codebook:
    """The codebook of a row of table ``codebook``.

    Raises:
        ContractError: the centroids are not those the version names.
    """
    centroids = np.frombuffer(row["centroids"], "<f4").astype(np.float32)
    if centroids.size == row["size"] * row["dimension"]:
        centroids = centroids.reshape(row["size"], row["dimension"])
    if _version_of(centroids) != row["version"]:
        raise ContractError(
            f"codebook {row['version']} is damaged: its centroids hash to another version; train it again"
        )
    return Codebook(
        version=row["version"],
        centroids=centroids,
        vectors=row["vectors"],
        perplexity=row["perplexity"],
        dead_codes=row["dead_codes"],
        reconstruction_error=row["reconstruction_error"],
    )


def nearest_codes(
    centroids: NDArray[np.float32], vectors: NDArray[np.floating]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Nearest centroid of each vector and its squared distance, exact, a block at a time.

    Args:
        centroids: float32, shape (K, C).
        vectors: float, shape (N, C).

    Returns:
        int32 (N,) and float32 (N,), the distances not below 0.
    """
    index: Any = faiss.IndexFlatL2(centroids.shape[1])
    index.add(np.ascontiguousarray(centroids, np.float32))
    codes = np.empty(len(vectors), np.int32)
    distances = np.empty(len(vectors), np.float32)
    with _on_one_thread():
        for start in range(0, len(vectors), _VECTORS_PER_SEARCH):
            block = slice(start, start + _VECTORS_PER_SEARCH)
            found, nearest = index.search(np.ascontiguousarray(vectors[block], np.float32), 1)
            codes[block], distances[block] = nearest[:, 0], found[:, 0]
    return codes, np.maximum(distances, 0.0)


def _variance(vectors: NDArray[np.float32]) -> float:
    """Mean squared distance of the vectors from their mean, a block at a time: the sample is held once."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    total = 0.0
    for start in range(0, len(vectors), _VECTORS_PER_SEARCH):
        total += float(np.square(vectors[start : start + _VECTORS_PER_SEARCH] - mean).sum())
    return total / len(vectors)


def _version_of(centroids: NDArray[np.float32]) -> str:
    digest = hashlib.sha256(repr(centroids.shape).encode())
    digest.update(centroids.astype("<f4").tobytes())
    return f"codebook_{digest.hexdigest()[:_DIGEST_CHARACTERS]}"


def _sample(spatial: Iterable[NDArray[np.floating]], policy: CodebookPolicy) -> NDArray[np.float32]:
    """Uniform sample without replacement of a stream of unknown length, float32 (N, C)."""
    random = np.random.default_rng(policy.seed)
    limit, seen = policy.max_training_vectors, 0
    kept: NDArray[np.float32] | None = None
    for block in spatial:
        vectors = np.asarray(block, np.float32).reshape(-1, block.shape[-1])
        if kept is None:
            kept = np.empty((limit, vectors.shape[1]), np.float32)  # pages are claimed as they fill
        if vectors.shape[1] != kept.shape[1]:
            raise ContractError(
                f"spatial features have {kept.shape[1]} and {vectors.shape[1]} channels; train on one encoder's batches"
            )
        if not np.isfinite(vectors).all():
            raise ContractError("a spatial feature is not finite; materialize image_embeddings of its batch again")
        room = min(max(0, limit - seen), len(vectors))
        kept[seen : seen + room] = vectors[:room]
        # Vector number i, from 0, replaces a kept one with probability limit / (i + 1); the last writer wins.
        places = random.integers(0, np.arange(seen + room, seen + len(vectors)) + 1)
        kept[places[places < limit]] = vectors[room:][places < limit]
        seen += len(vectors)
    if kept is None or seen == 0:
        raise ContractError("there are no spatial features to train a codebook on; materialize image_embeddings first")
    return kept[: min(seen, limit)]


@contextmanager
def _on_one_thread() -> Generator[None]:
    """Run faiss on the calling thread alone: sums in one order give one result, and the cores are shared."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
