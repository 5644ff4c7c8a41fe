# pyright: strict
"""Each spatial feature as the index of its nearest code."""

import numpy as np
from numpy.typing import NDArray

from mm_assets.errors import ContractError
from mm_assets.features.codebook import Codebook, nearest_codes


def assign_codes(codebook: Codebook, spatial: NDArray[np.floating]) -> NDArray[np.int32]:
    """Nearest code of every patch.

    Args:
        codebook: K codes of dimension C.
        spatial: float, shape (N, T, C).

    Returns:
        int32, shape (N, T), 0 to K - 1.

    Raises:
        ContractError: the channels are not the codebook's: it was trained on another encoder's features.
    """
    if spatial.shape[-1] != codebook.dimension:
        raise ContractError(
            f"spatial features have {spatial.shape[-1]} channels, {codebook.version} has {codebook.dimension}: "
            "it was trained for another encoder; train one on this encoder's features"
        )
    vectors = spatial.reshape(-1, codebook.dimension)
    return nearest_codes(codebook.centroids, vectors)[0].reshape(spatial.shape[:-1])
