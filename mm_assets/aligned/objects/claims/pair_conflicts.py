# pyright: strict
"""Which captions of one picture contradict each other: rules first, an NLI model for the pairs they leave open.

The model reads a pair both ways and must find a contradiction in either direction. It gets the open pairs of many
pictures at once, and never one whose captions share nothing: of two things that are not the same, both can be true.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final

from mm_assets.aligned.objects.claims.caption_reading import read_caption
from mm_assets.aligned.objects.claims.conflicts import Conflict, ReadCaption, find_conflicts, share_things
from mm_assets.aligned.objects.claims.interfaces import Entailment
from mm_assets.aligned.objects.claims.object_classes import ObjectWords
from mm_assets.policy import FaithfulnessPolicy

Pair = tuple[int, int]
ENTAILMENT: Final = "entailment"
"""The rule of a conflict that only the model sees."""


@dataclass
class PairJudge:
    """Finds contradicting pairs of captions.

    Attributes:
        words: the vocabulary.
        policy: confidences that count, and how many pairs the model may read.
        entailment: asked about pairs the rules leave open; None for rules only.
        asked: pairs the model has read.
        unread: open pairs over the policy's number, which it has not read.
    """

    words: ObjectWords
    policy: FaithfulnessPolicy
    entailment: Entailment | None = None
    asked: int = field(default=0, init=False)
    unread: int = field(default=0, init=False)

    def find(self, pictures: Sequence[Sequence[tuple[int, str]]]) -> list[dict[Pair, Conflict]]:
        """The surest contradiction of each pair of captions that has one.

        Args:
            pictures: per picture, its captions and the places by which they are told.

        Returns:
            Per picture, contradictions by pair of places.
        """
        found: list[dict[Pair, Conflict]] = []
        undecided: list[tuple[int, Pair, str, str]] = []
        for number, captions in enumerate(pictures):
            read = [(place, ReadCaption(text, read_caption(text), self.words)) for place, text in captions]
            sure: dict[Pair, Conflict] = {}
            for (a, first), (b, second) in combinations(read, 2):
                conflicts = find_conflicts(first, second)
                if conflicts and conflicts[0].confidence >= self.policy.min_conflict_confidence:
                    sure[a, b] = conflicts[0]
                elif self.entailment is not None and first.text != second.text and share_things(first, second):
                    undecided.append((number, (a, b), first.text, second.text))
            found.append(sure)
        for number, pair, conflict in self._ask(undecided):
            found[number][pair] = conflict
        return found

    def _ask(self, undecided: Sequence[tuple[int, Pair, str, str]]) -> list[tuple[int, Pair, Conflict]]:
        chosen = undecided[: max(0, self.policy.max_entailment_pairs - self.asked)]
        self.unread += len(undecided) - len(chosen)
        if self.entailment is None or not chosen:
            return []
        self.asked += len(chosen)
        both = [pair for _, _, first, second in chosen for pair in ((first, second), (second, first))]
        probability = self.entailment.contradiction(both).reshape(-1, 2).min(axis=1).tolist()
        return [
            (number, pair, Conflict(ENTAILMENT, first, second, sure))
            for (number, pair, first, second), sure in zip(chosen, probability, strict=True)
            if sure >= self.policy.min_contradiction
        ]
