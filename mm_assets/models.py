"""Which model wrote a row, and proof that its weights are the ones that were pinned."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from mm_assets.errors import WeightsHashError, WeightsMissingError

_SHORT_DIGEST: Final = 12


@dataclass(frozen=True)
class ModelIdentity:
    """A model as it stands in provenance, costs and metadata.

    Attributes:
        name: what it is, never the name of a model it stands in for.
        revision: version of the package, tag or checkpoint.
        sha256: hexadecimal SHA-256 of its weights.

    >>> str(ModelIdentity("opennsfw", "0.1.0", "864bb37bf8863564" + "0" * 48))
    'opennsfw@0.1.0#864bb37bf886'
    """

    name: str
    revision: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}#{self.sha256[:_SHORT_DIGEST]}"


class Identified(Protocol):
    """A model that says which it is without loading its weights."""

    @property
    def identity(self) -> ModelIdentity:
        """Name, revision and hash of the weights."""
        ...


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in blocks.

    Raises:
        WeightsMissingError: there is no readable file at ``path``.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsMissingError(f"weights {path}: {error}; reinstall the package that carries them") from error


def verify_sha256(path: Path, expected: str) -> None:
    """Return only if the file is the one that was pinned.

    Args:
        path: weight file.
        expected: hexadecimal SHA-256, either case.

    Raises:
        WeightsMissingError: there is no readable file at ``path``.
        WeightsHashError: the file is another one; it must not be loaded.
    """
    found = sha256_of(path)
    if found != expected.lower():
        raise WeightsHashError(
            f"weights {path}: SHA-256 is {found}, pinned is {expected.lower()}; "
            "reinstall the package at its pinned version"
        )
