"""Rewrites of one batch's bad captions: what is read for them, and what the batch can pay for."""

from collections.abc import Callable, Mapping

import polars as pl

from mm_assets.aligned.objects.claims.caption_claims import KEEP, CaptionChecker
from mm_assets.aligned.objects.claims.interfaces import VisionLanguage
from mm_assets.aligned.objects.claims.rewrite_checks import RewriteExaminer
from mm_assets.aligned.objects.claims.rewrites import NOT_CONFIGURED, RewriteReport, plan_rewrites, rewrite_captions
from mm_assets.gates.evidence import read_picture
from mm_assets.landing import Landing
from mm_assets.policy import Policy
from mm_assets.schemas import TABLES
from resources.delta_lake import DeltaLake

Look = Callable[[pl.DataFrame, Mapping[str, frozenset[str]]], pl.DataFrame]


def rewrite_batch(
    lake: DeltaLake,
    landing: Landing,
    batch: str,
    checker: CaptionChecker,
    look: Look | None,
    model: VisionLanguage | None,
    policy: Policy,
    *,
    max_requests: int,
    count: Callable[[float, float], None],
) -> RewriteReport:
    """Ask for rewrites of the surest faults in ``caption_claims`` and check them.

    Args:
        lake: the tables; claims of the batch are written.
        landing: where the pictures lie.
        batch: the batch.
        checker: the checks its captions went through.
        look: what the detector sees in images of which objects; None without one.
        model: the endpoint; None asks for nothing.
        policy: how many, how often, for how long; what a clean caption is.
        max_requests: what the batch can pay for.
        count: called with 1 and its seconds after each request.
    """
    if model is None:
        return RewriteReport(TABLES["caption_rewrites"].empty(), 0, NOT_CONFIGURED)
    most = policy.faithfulness.max_rewrites
    bad = lake.scan("caption_claims", batch).filter(pl.col("action") != KEEP)
    surest = bad.sort(
        pl.max_horizontal("evidence_weight", "conflict_confidence"), "caption_id", descending=[True, False]
    ).head(most)
    pictures = surest.select("image_id").unique().collect()["image_id"]
    theirs = pl.col("image_id").is_in(pictures.implode())
    claims = lake.scan("caption_claims", batch).filter(theirs).sort("position", "caption_index").collect()
    captions = lake.scan("captions", batch).filter(theirs).select("caption_id", "text").collect()
    boxes = lake.scan("boxes", batch).filter(theirs).select("image_id", "label").collect()
    images = lake.scan("images", batch).filter(theirs).select("image_id", "source_ref").collect()
    references = dict(images.iter_rows())
    examiner = RewriteExaminer(
        checker, boxes, None if look is None else lambda wanted: look(images, wanted), policy.captions
    )
    return rewrite_captions(
        list(plan_rewrites(claims, captions, most)),
        model,
        lambda image_id: read_picture(landing, references[image_id]),
        examiner.examine,
        policy=policy.faithfulness,
        max_requests=max_requests,
        count=count,
    )
