# pyright: strict
"""Rewrites of bad captions by a vision-language model, taken only if they pass the checks the caption failed.

Nothing is asked where no model is configured, and what comes back is a proposal: it is stored beside the caption, with
the model that wrote it, and replaces nothing by itself.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from mm_assets.aligned.objects.claims.caption_claims import KEEP, CaptionChecker
from mm_assets.aligned.objects.claims.chair import INVENTED, PictureKnowledge
from mm_assets.aligned.objects.claims.interfaces import VisionLanguage
from mm_assets.errors import DecodeError, InferenceError
from mm_assets.policy import CaptionPolicy, FaithfulnessPolicy
from mm_assets.schemas import TABLES

NOT_CONFIGURED: Final = (
    "no vision-language endpoint is configured (MM_VLM_BASE_URL, MM_VLM_MODEL): no rewrite was asked for"
)
_FENCE: Final = re.compile(r"^```\w*\s*|\s*```$")
_LEAD: Final = re.compile(r"(?i)^(?:here is|here's|sure|caption|rewritten caption|answer)[^:\n]{0,60}:\s*")
_QUOTES: Final = "\"'“”‘’` "  # noqa: RUF001 - the quotes models use


@dataclass(frozen=True)
class RewriteReport:
    """What became of the rewrites.

    Attributes:
        rows: rows of ``caption_rewrites``, one per caption asked about.
        skipped: bad captions over the policy's number that were not asked about.
        note: what a person should know.
    """

    rows: pl.DataFrame
    skipped: int
    note: str


@dataclass(frozen=True)
class RewriteTask:
    """A bad caption, its siblings that stay, and what is known of its picture."""

    claim: Mapping[str, Any]
    text: str
    siblings: tuple[str, ...]
    known: PictureKnowledge


def rewrite_captions(
    tasks: Sequence[RewriteTask],
    checker: CaptionChecker,
    model: VisionLanguage | None,
    read_picture: Callable[[str], bytes],
    *,
    policy: FaithfulnessPolicy,
    captions: CaptionPolicy,
) -> RewriteReport:
    """Ask for a rewrite of each bad caption, and check it.

    Args:
        tasks: from `plan_rewrites`.
        checker: the checks a rewrite must pass.
        model: writes captions; None asks for nothing.
        read_picture: encoded bytes of an image by id.
        policy: how many and how often.
        captions: what a clean caption is.
    """
    table = TABLES["caption_rewrites"]
    if model is None:
        return RewriteReport(table.empty(), len(tasks), NOT_CONFIGURED)
    asked = tasks[: policy.max_rewrites]
    rows = [_rewrite(task, checker, model, read_picture, policy, captions) for task in asked]
    accepted = sum(bool(row["accepted"]) for row in rows)
    return RewriteReport(
        table.conform(pl.DataFrame(rows, schema=table.schema)),
        len(tasks) - len(asked),
        f"{accepted} of {len(rows)} rewrites by {model.identity} pass the checks",
    )


def plan_rewrites(
    claims: pl.DataFrame, captions: pl.DataFrame, known: Mapping[str, PictureKnowledge]
) -> Iterator[RewriteTask]:
    """The captions to rewrite, the surest faults first.

    Args:
        claims: rows of ``caption_claims`` of whole pictures.
        captions: caption_id, image_id and text of them.
        known: what is known of the pictures, from `CaptionChecker.know`.
    """
    texts: dict[str, str] = dict(captions.select("caption_id", "text").iter_rows())
    kept: dict[str, list[str]] = {}
    for caption_id, image_id, action in claims.select("caption_id", "image_id", "action").iter_rows():
        if action == KEEP:
            kept.setdefault(image_id, []).append(texts[caption_id])
    bad = claims.filter(pl.col("action") != KEEP).sort(
        pl.max_horizontal("evidence_weight", "conflict_confidence"), "caption_id", descending=[True, False]
    )
    for row in bad.iter_rows(named=True):
        image_id = row["image_id"]
        siblings = tuple(kept.get(image_id, ()))
        yield RewriteTask(row, texts[row["caption_id"]], siblings, known.get(image_id, PictureKnowledge()))


def check_rewrite(text: str, task: RewriteTask, checker: CaptionChecker, captions: CaptionPolicy) -> str | None:
    """Why a rewrite cannot be taken; None if it can."""
    if not captions.min_characters <= len(text) <= captions.max_characters:
        return f"{len(text)} characters, not {captions.min_characters} to {captions.max_characters}"
    if text.casefold() == task.text.casefold():
        return "the same caption again"
    invented = [item.mention.term.name for item in checker.judge_text(text, task.known) if item.outcome == INVENTED]
    if invented:
        return f"names {', '.join(invented)}, which nobody knows to be there"
    for sibling in task.siblings:
        conflicts = checker.compare_texts(text, sibling)
        if conflicts:
            return conflicts[0].tell()
    return None


def tidy_answer(answer: str) -> str:
    """The caption in a model's answer: without fences, lead-ins, quotes and line breaks.

    >>> tidy_answer('Here is the caption: "A duck on a pond."')
    'A duck on a pond.'
    """
    text = _FENCE.sub("", answer.strip())
    text = _LEAD.sub("", text)
    return " ".join(text.strip(_QUOTES).split())


def write_prompt(task: RewriteTask, objection: str | None) -> str:
    """What the model is asked.

    Args:
        task: the caption and what is known.
        objection: why its last answer was not taken.
    """
    faults = (
        [f"It names {', '.join(task.claim['invented'])}, which may not be there."] if task.claim["invented"] else []
    )
    faults += [f"It contradicts another caption of the picture ({told})." for told in task.claim["conflicts"]]
    known = sorted(term.name for term in task.known.labels or ())
    lines = [
        "Rewrite the caption of this picture in one English sentence of about the same length.",
        "Name only what can be seen in the picture. Answer with the caption alone.",
        f"Caption: {task.text}",
        *faults,
        *([f"Objects known to be there: {', '.join(known)}."] if known else []),
        *([f"Other captions of it: {' | '.join(task.siblings)}"] if task.siblings else []),
        *([f"Your last answer was not accepted: {objection}."] if objection else []),
    ]
    return "\n".join(lines)


def _rewrite(
    task: RewriteTask,
    checker: CaptionChecker,
    model: VisionLanguage,
    read_picture: Callable[[str], bytes],
    policy: FaithfulnessPolicy,
    captions: CaptionPolicy,
) -> dict[str, Any]:
    text, objection, attempts = "", None, 0
    try:
        picture = read_picture(task.claim["image_id"])
        for _ in range(policy.rewrite_attempts):
            attempts += 1
            text = tidy_answer(model.ask(picture, write_prompt(task, objection)))
            objection = check_rewrite(text, task, checker, captions)
            if objection is None:
                break
    except (DecodeError, InferenceError) as error:
        objection = str(error)
    return {
        "batch": task.claim["batch"],
        "caption_id": task.claim["caption_id"],
        "image_id": task.claim["image_id"],
        "position": task.claim["position"],
        "before": task.text,
        "after": text,
        "accepted": objection is None,
        "reason": objection or "passes the checks that the caption failed",
        "attempts": attempts,
        "model": str(model.identity),
    }
