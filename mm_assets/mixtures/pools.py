"""What a release holds of each pool, and the floor under its text."""

from collections.abc import Mapping
from typing import Final

from mm_assets.errors import ReleaseError
from mm_assets.policy import MixturePolicy

TEXT_RETENTION: Final = "text_retention"
USUAL_FLOOR: Final = MixturePolicy().min_text_retention


def text_retention_share(pools: Mapping[str, float]) -> float:
    """Share of the samples, or of the draws, that lies in the text retention pool.

    >>> text_retention_share({"text_retention": 1, "coarse_image_text": 3})
    0.25
    """
    total = sum(pools.values())
    return pools.get(TEXT_RETENTION, 0) / total if total else 0.0


def told_of_floor(min_text_retention: float, allow_no_text_retention: str) -> str:
    """What has to be said of a floor that was lowered or waived; nothing of the usual one.

    >>> told_of_floor(0.05, "")
    ''
    >>> told_of_floor(0.01, "")
    'the text floor was lowered to 1.0% from the usual 5.0%'
    """
    waived = allow_no_text_retention.strip()
    if waived:
        return f"the text floor is waived: {waived}"
    if min_text_retention < USUAL_FLOOR:
        return f"the text floor was lowered to {min_text_retention:.1%} from the usual {USUAL_FLOOR:.1%}"
    return ""


def refuse_below_floor(release: str, pools: Mapping[str, float], policy: MixturePolicy) -> None:
    """Refuse a mixture that would let a model forget how to handle plain text.

    Args:
        release: its name.
        pools: draws per pool.
        policy: the floor, and the reason for going without it, if there is one.

    Raises:
        ReleaseError: the share lies below ``mixtures.min_text_retention``, or that floor is off.
    """
    floor = policy.min_text_retention
    share = text_retention_share(pools)
    if floor <= 0:
        raise ReleaseError(
            f"release {release!r}: mixtures.min_text_retention is {floor}, which turns the floor off; set it above 0, "
            "and say in mixtures.allow_no_text_retention why a release may do without it"
        )
    if share < floor and not policy.allow_no_text_retention.strip():
        raise ReleaseError(
            f"release {release!r}: {share:.1%} of its samples are {TEXT_RETENTION}, below the floor of {floor:.1%} "
            f"({pools.get(TEXT_RETENTION, 0):g} of {sum(pools.values()):g}); include batches with math, code, logic or "
            "prose, lower mixtures.min_text_retention, or say why in mixtures.allow_no_text_retention"
        )
