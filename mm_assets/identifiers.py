"""Deterministic ids and the rules an id must meet before it reaches a path or a predicate."""

import hashlib
import re
from typing import Final

from mm_assets.errors import BatchContractError

BATCH_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_DIGEST_CHARACTERS: Final = 24


def validate_batch_id(batch: str) -> str:
    """Return the id unchanged if it may name a folder, a partition and a predicate literal.

    Raises:
        BatchContractError: code ``BATCH_ID``.

    >>> validate_batch_id("vendor-a_01")
    'vendor-a_01'
    """
    if BATCH_ID.fullmatch(batch) is None:
        raise BatchContractError(
            "BATCH_ID",
            f"batch id {batch[:80]!r} is not allowed; rename the folder to match ^[a-z0-9][a-z0-9_-]{{0,62}}$",
        )
    return batch


def make_id(prefix: str, *parts: str | int) -> str:
    """Hash the parts into a stable id such as ``img_0f3a…``; equal parts give equal ids.

    >>> make_id("img", "a", 1) == make_id("img", "a", 1)
    True
    >>> make_id("img", "a", "1b") == make_id("img", "a1", "b")
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        encoded = str(part).encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return f"{prefix}_{digest.hexdigest()[:_DIGEST_CHARACTERS]}"
