# pyright: strict
"""Rewrites of bad captions by a vision-language model, taken only if they pass the checks the caption failed.

Nothing is asked where no model is configured, and what comes back is a proposal: it is stored beside the caption, with
the model that wrote it, and replaces nothing by itself. Requests go out a few at a time and in rounds; after each round
its answers are checked together, and what was not accepted is asked again with the reason.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from mm_assets.aligned.objects.claims.caption_claims import KEEP
from mm_assets.aligned.objects.claims.interfaces import VisionLanguage
from mm_assets.aligned.objects.claims.rewrite_checks import Examined, RewriteTask
from mm_assets.cleaned.repair import repair_texts
from mm_assets.errors import InferenceError, InputError
from mm_assets.policy import FaithfulnessPolicy
from mm_assets.schemas import TABLES

NOT_CONFIGURED: Final = (
    "no vision-language endpoint is configured (MM_VLM_BASE_URL, MM_VLM_MODEL): no rewrite was asked for"
)
UNANSWERED: Final = "unanswered"
_PASSED: Final = "passes the checks that the caption failed"
_FAILURES_TO_STOP: Final = 8
"""Failed requests in a row after which the endpoint is taken to be down."""
_FENCE: Final = re.compile(r"^```\w*\s*|\s*```$")
_LEAD: Final = re.compile(r"(?i)^(?:here is|here's|sure|caption|rewritten caption|answer)[^:\n]{0,60}:\s*")
_QUOTES: Final = "\"'“”‘’` "  # noqa: RUF001 - the quotes models use
_LONGEST_STORED: Final = 4_000
Examine = Callable[[Sequence[tuple[RewriteTask, str]]], Sequence[Examined]]


@dataclass(frozen=True)
class RewriteReport:
    """What became of the rewrites.

    Attributes:
        rows: rows of ``caption_rewrites``, one per caption asked about.
        requests: requests made.
        note: what a person should know.
    """

    rows: pl.DataFrame
    requests: int
    note: str


@dataclass
class _Draft:
    """How far one task has come."""

    task: RewriteTask
    text: str = ""
    verdict: str = UNANSWERED
    objection: str | None = "not answered"
    attempts: int = 0
    closed: bool = False


class _Requests:
    """Asks, counts and stops: at the deadline, and at an endpoint that is down."""

    def __init__(
        self,
        model: VisionLanguage,
        read_picture: Callable[[str], bytes],
        count: Callable[[float, float], None],
        seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._model, self._read_picture, self._count, self._clock = model, read_picture, count, clock
        self._deadline = clock() + seconds
        self._counting = threading.Lock()
        self._failed_in_a_row = 0
        self.made = 0

    @property
    def stopped(self) -> str | None:
        """Why no more are made; None if they are."""
        if self._failed_in_a_row >= _FAILURES_TO_STOP:
            return f"{_FAILURES_TO_STOP} requests in a row failed"
        return "rewrite_seconds ran out" if self._clock() >= self._deadline else None

    def ask(self, draft: _Draft) -> bool:
        """Make one request; whether it brought an answer."""
        if self.stopped is not None:
            return False
        started = self._clock()
        prompt = write_prompt(draft.task, draft.objection if draft.attempts else None)
        draft.attempts += 1
        try:
            draft.text = tidy_answer(self._model.ask(self._read_picture(draft.task.claim["image_id"]), prompt))
        except (InputError, InferenceError) as error:
            draft.text, draft.verdict, draft.objection, draft.closed = "", UNANSWERED, str(error), True
        with self._counting:
            self.made += 1
            self._count(1.0, self._clock() - started)
            self._failed_in_a_row = self._failed_in_a_row + 1 if draft.closed else 0
        return not draft.closed


def rewrite_captions(
    tasks: Sequence[RewriteTask],
    model: VisionLanguage,
    read_picture: Callable[[str], bytes],
    examine: Examine,
    *,
    policy: FaithfulnessPolicy,
    max_requests: int,
    count: Callable[[float, float], None],
    clock: Callable[[], float] = time.monotonic,
) -> RewriteReport:
    """Ask for a rewrite of each bad caption, and check it.

    Args:
        tasks: from `plan_rewrites`.
        model: writes captions.
        read_picture: encoded bytes of an image by id; called from several threads.
        examine: the checks a rewrite must pass, one result per answer.
        policy: how often, how many at once, and for how long.
        max_requests: what the batch can pay for.
        count: called with 1 and its seconds after each request, whatever became of it.
        clock: seconds that only grow.
    """
    table = TABLES["caption_rewrites"]
    requests = _Requests(model, read_picture, count, policy.rewrite_seconds, clock)
    drafts = [_Draft(task) for task in tasks]
    with ThreadPoolExecutor(policy.rewrite_concurrency) as pool:
        for _ in range(policy.rewrite_attempts):
            unfinished = [draft for draft in drafts if not draft.closed][: max_requests - requests.made]
            answered = [
                draft for draft, told in zip(unfinished, pool.map(requests.ask, unfinished), strict=True) if told
            ]
            results = examine([(draft.task, draft.text) for draft in answered]) if answered else ()
            for draft, examined in zip(answered, results, strict=True):
                draft.verdict, draft.objection = examined.verdict, examined.objection
                draft.closed = examined.objection is None
    rows = [_row(draft, model) for draft in drafts if draft.attempts]
    accepted = sum(bool(row["accepted"]) for row in rows)
    note = f"{accepted} of {len(rows)} rewrites by {model.identity} pass the checks"
    if len(rows) < len(drafts):
        note += f"; {len(drafts) - len(rows)} were not asked for: {requests.stopped or 'the budget allows no more'}"
    return RewriteReport(table.conform(pl.DataFrame(rows, schema=table.schema)), requests.made, note)


def _row(draft: _Draft, model: VisionLanguage) -> dict[str, Any]:
    claim = draft.task.claim
    return {
        **{
            name: claim[name]
            for name in ("batch", "caption_id", "image_id", "position", "source", "annotator", "action")
        },
        "before": draft.task.text,
        "after": draft.text[:_LONGEST_STORED],
        "accepted": draft.objection is None,
        "verdict": draft.verdict,
        "reason": draft.objection or _PASSED,
        "attempts": draft.attempts,
        "model": str(model.identity),
    }


def plan_rewrites(claims: pl.DataFrame, captions: pl.DataFrame, most: int) -> Iterator[RewriteTask]:
    """The captions to rewrite, the surest faults first.

    Args:
        claims: rows of ``caption_claims`` of whole pictures.
        captions: caption_id and text of them.
        most: how many.
    """
    texts: dict[str, str] = dict(captions.select("caption_id", "text").iter_rows())
    kept: dict[str, list[str]] = {}
    for caption_id, image_id in claims.filter(pl.col("action") == KEEP).select("caption_id", "image_id").iter_rows():
        kept.setdefault(image_id, []).append(texts[caption_id])
    bad = claims.filter(pl.col("action") != KEEP).sort(
        pl.max_horizontal("evidence_weight", "conflict_confidence"), "caption_id", descending=[True, False]
    )
    for row in bad.head(most).iter_rows(named=True):
        yield RewriteTask(row, texts[row["caption_id"]], tuple(kept.get(row["image_id"], ())))


def tidy_answer(answer: str) -> str:
    """The caption in a model's answer: repaired as captions are, without fences, lead-ins, quotes and line breaks.

    >>> tidy_answer('Here is the caption: "A duck on a pond."')
    'A duck on a pond.'
    """
    text = _FENCE.sub("", answer.strip())
    text = _LEAD.sub("", text).strip(_QUOTES)
    return str(repair_texts(pl.Series([text], dtype=pl.String), keep_lines=False).item())


def write_prompt(task: RewriteTask, objection: str | None) -> str:
    """What the model is asked.

    Args:
        task: the caption and what is known.
        objection: why its last answer was not taken.
    """
    claim = task.claim
    faults = [f"It names {', '.join(claim['invented'])}, which may not be there."] if claim["invented"] else []
    faults += [f"It contradicts another caption of the picture ({told})." for told in claim["conflicts"]]
    lines = [
        "Rewrite the caption of this picture in one English sentence of about the same length.",
        "Name only what can be seen in the picture. Answer with the caption alone.",
        f"Caption: {task.text}",
        *faults,
        *([f"Objects known to be there: {', '.join(claim['known'])}."] if claim["known"] else []),
        *([f"Other captions of it: {' | '.join(task.siblings)}"] if task.siblings else []),
        *([f"Your last answer was not accepted: {objection}."] if objection else []),
    ]
    return "\n".join(lines)
