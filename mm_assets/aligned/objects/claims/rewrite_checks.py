# pyright: strict
"""The checks a rewritten caption must pass: those its caption failed, on a fresh look at the picture.

A detector looked at the picture for what the captions named; a rewrite names other things, so it looks again. A rewrite
that names nothing anybody knows of is no repair: an empty phrase invents nothing either.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from mm_assets.aligned.objects.claims.caption_claims import CONTRADICTED, CaptionChecker
from mm_assets.aligned.objects.claims.caption_reading import read_caption
from mm_assets.aligned.objects.claims.chair import INVENTED, SUPPORTED, UNVERIFIED, PictureKnowledge
from mm_assets.aligned.objects.claims.conflicts import ReadCaption, share_things
from mm_assets.aligned.objects.claims.pair_conflicts import PairJudge
from mm_assets.fusion.placeholders import PLACEHOLDER_LIKE
from mm_assets.policy import CaptionPolicy

UNUSABLE: Final = "unusable"
_PLACEHOLDER: Final = re.compile(PLACEHOLDER_LIKE)
Look = Callable[[Mapping[str, frozenset[str]]], pl.DataFrame]


@dataclass(frozen=True)
class RewriteTask:
    """A bad caption and its siblings that stay.

    Attributes:
        claim: its row of ``caption_claims``.
        text: the caption.
        siblings: captions of the picture that are kept.
    """

    claim: Mapping[str, Any]
    text: str
    siblings: tuple[str, ...]


@dataclass(frozen=True)
class Examined:
    """What the checks say of a rewrite.

    Attributes:
        verdict: as a caption's, or ``unusable``.
        objection: why it cannot be taken; None if it can.
    """

    verdict: str
    objection: str | None


class RewriteExaminer:
    """Holds rewrites against their pictures, the captions that stay, and one another.

    Args:
        checker: the checks of captions.
        boxes: image_id and label of the boxes of their pictures.
        look: what a detector sees of the objects named by picture; None without one.
        captions: what a clean caption is.
    """

    def __init__(
        self, checker: CaptionChecker, boxes: pl.DataFrame, look: Look | None, captions: CaptionPolicy
    ) -> None:
        self._checker = checker
        self._boxes = boxes
        self._look = look
        self._captions = captions
        # The model's allowance of pairs is the captions'; that of rewrites is their number.
        self._pairs = PairJudge(checker.words, checker.policy, checker.entailment)
        self._taken: dict[str, list[str]] = {}

    def examine(self, answers: Sequence[tuple[RewriteTask, str]]) -> list[Examined]:
        """Judge rewrites, in order; what is taken is a sibling of the later ones.

        Args:
            answers: tasks and the captions that came back.
        """
        columns = ("image_id", "text", "language")
        named = pl.DataFrame(
            [(task.claim["image_id"], text, "en") for task, text in answers], schema=columns, orient="row"
        )
        wanted = self._checker.wanted(named, self._boxes) if answers else {}
        detections = self._look(wanted) if self._look is not None and wanted else None
        known = self._checker.know(self._boxes, detections)
        found: list[Examined] = []
        for task, text in answers:
            image_id = task.claim["image_id"]
            examined = self._examine(task, text, known.get(image_id, PictureKnowledge()))
            if examined.objection is None:
                self._taken.setdefault(image_id, []).append(text)
            found.append(examined)
        return found

    def _examine(self, task: RewriteTask, text: str, known: PictureKnowledge) -> Examined:
        unusable = self._find_unusable(task, text)
        if unusable is not None:
            return unusable
        judged = self._checker.judge_text(text, known)
        invented = [item.mention.term.name for item in judged if item.outcome == INVENTED]
        if invented:
            return Examined(INVENTED, f"names {', '.join(invented)}, which nobody knows to be there")
        siblings = [*task.siblings, *self._taken.get(task.claim["image_id"], ())]
        pairs = self._pairs.find([[(0, text), (1, sibling)] for sibling in siblings])
        conflict = next((conflict for found in pairs for conflict in found.values()), None)
        if conflict is not None:
            return Examined(CONTRADICTED, conflict.tell())
        if any(item.outcome == SUPPORTED for item in judged):
            return Examined(SUPPORTED, None)
        empty = task.claim["checked"] or not self._share_things(task.text, text)
        return Examined(UNVERIFIED, "names nothing that anybody knows to be there" if empty else None)

    def _find_unusable(self, task: RewriteTask, text: str) -> Examined | None:
        least, most = self._captions.min_characters, self._captions.max_characters
        if not least <= len(text) <= most:
            return Examined(UNUSABLE, f"{len(text)} characters, not {least} to {most}")
        if _PLACEHOLDER.search(text):
            return Examined(UNUSABLE, "it holds what reads as a placeholder")
        if text.casefold() == task.text.casefold():
            return Examined(task.claim["verdict"], "the same caption again")
        return None

    def _share_things(self, first: str, second: str) -> bool:
        one, other = (ReadCaption(text, read_caption(text), self._checker.words) for text in (first, second))
        return share_things(one, other)
