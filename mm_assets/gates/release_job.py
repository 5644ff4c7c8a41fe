"""Release a hold from the UI: a job with a mandatory name and reason."""

import dagster as dg

from mm_assets.errors import HoldError
from resources.holds import Holds


class ReleaseRequest(dg.Config):
    """Which hold to release, and who says so.

    Attributes:
        batch: the held batch.
        gate: the gate that holds it.
        by: who releases it.
        reason: why it may go on.
    """

    batch: str
    gate: str
    by: str
    reason: str


@dg.op(description="Append a release to the ledger; the resume sensor then runs the batch once.")
def append_release(context: dg.OpExecutionContext, config: ReleaseRequest, holds: Holds) -> None:
    """Release one hold."""
    try:
        evaluation = holds.release(config.batch, config.gate, config.by, config.reason)
    except HoldError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
    context.log.info("released %s of batch %s (verdict %s)", config.gate, config.batch, evaluation)


@dg.job(description="Release a held batch; needs who and why.")
def release_hold() -> None:
    """Release one hold."""
    append_release()
