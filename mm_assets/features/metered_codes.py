"""Codes of features, with the time the codebook took."""

from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from mm_assets.features.codebook import Codebook
from mm_assets.features.codes import assign_codes
from mm_assets.models import ModelIdentity
from resources.costs import Meter

CODES_UNIT = "codes"


def identity_of(codebook: Codebook) -> ModelIdentity:
    """The codebook as a model: its version is the hash of its centroids."""
    name, _, digest = codebook.version.partition("_")
    return ModelIdentity(name, str(codebook.size), digest)


def metered_codes(codebook: Codebook, spatial: NDArray[np.floating], meter: Meter) -> NDArray[np.int32]:
    """As `mm_assets.features.codes.assign_codes`; the meter counts codes and seconds."""
    started = perf_counter()
    codes = assign_codes(codebook, spatial)
    meter.add(codes.size, perf_counter() - started)
    return codes
