"""Every strategy run on a chunk of a batch, measured and judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mm_assets.aligned.objects.claims.interfaces import Entailment
from mm_assets.aligned.objects.claims.object_classes import ObjectWords
from mm_assets.hard_negatives.attribute_swap import AttributeSwap
from mm_assets.hard_negatives.batch_negatives import judge_chunk, unique
from mm_assets.hard_negatives.batch_sources import Floats
from mm_assets.hard_negatives.in_batch import InBatch
from mm_assets.hard_negatives.interfaces import LanguageModel, NeighbourSearch, TextRater, TextScorer, WordNet
from mm_assets.hard_negatives.llm_synthetic import LlmSynthetic, SyntheticReport
from mm_assets.hard_negatives.measures import Measures, measure, unmeasured
from mm_assets.hard_negatives.negatives import Negative, Positive
from mm_assets.hard_negatives.subtle_replacement import SubtleReplacement
from mm_assets.hard_negatives.temporal_shift import TemporalShift, Window
from mm_assets.hard_negatives.terms import TermRelations
from mm_assets.hard_negatives.truth_rules import TruthRules
from mm_assets.hard_negatives.verdicts import Judged
from mm_assets.policy import HardNegativePolicy


@dataclass(frozen=True)
class Sources:
    """What the negatives of a chunk are made from.

    Attributes:
        positives: captions with pictures.
        images: unit vectors of their pictures, float32, shape (N, D).
        texts: the same of their texts.
        windows: texts with times.
        edited: negatives of edited pictures, made beforehand.
        encoder: name of the model the vectors came from.
    """

    positives: Sequence[Positive]
    images: Floats
    texts: Floats
    windows: Sequence[Window] = ()
    edited: Sequence[Negative] = ()
    encoder: str = ""

    def positions(self) -> dict[str, int]:
        """Place in the delivery, by positive."""
        every = (*self.positives, *(window.positive for window in self.windows))
        return {positive.positive_id: positive.position for positive in every}


class BatchMaker:
    """Makes and judges the negatives of a batch, chunk by chunk.

    Args:
        net: a net of words.
        embed: gives texts unit vectors of the space of the sources.
        policy: the policy.
        labels: labels in use in the batch.
        model: language model; None if none is configured.
        entailment: NLI model; None if none is configured.
        decisions: people's verdicts by negative id.
        search: finds neighbours on a device; None for this machine's cores.
        max_prompts: captions the language model is asked about at most; None: as many as the policy allows.
    """

    def __init__(
        self,
        net: WordNet,
        embed: TextScorer,
        policy: HardNegativePolicy,
        labels: Sequence[str] = (),
        *,
        model: LanguageModel | TextRater | None = None,
        entailment: Entailment | None = None,
        decisions: Mapping[str, str] | None = None,
        search: NeighbourSearch | None = None,
        max_prompts: int | None = None,
    ) -> None:
        self._search = search
        self._embed, self._policy, self._entailment, self._decisions = embed, policy, entailment, decisions
        relations = TermRelations(net, ObjectWords(labels))
        self._replace = SubtleReplacement(net, policy, relations)
        self._swap = AttributeSwap(relations)
        self._shift = TemporalShift(relations, policy)
        self._asked = LlmSynthetic(model, relations, policy, max_prompts)
        self._rules = TruthRules(relations, policy)

    @property
    def report(self) -> SyntheticReport:
        """What the language model was asked so far."""
        return self._asked.report

    def make(self, sources: Sources) -> list[Judged]:
        """All negatives of a chunk with their verdicts, those of the readers of the whole batch aside."""
        policy, positives = self._policy, sources.positives
        worth = [positive for positive in positives if not positive.similarity < policy.min_similarity]
        worded = [*self._replace.make(positives), *self._swap.make(positives)]
        texts = unique(
            [
                *worded,
                *InBatch(sources.images, sources.texts, sources.encoder, policy, self._search).make(positives),
                *self._asked.make(worth, {(made.positive_id, made.text.lower()) for made in worded}),
                *sources.edited,
            ]
        )
        timed = list(self._shift.make(sources.windows))
        measured = measure(texts, positives, sources.images, sources.texts, self._embed)
        return judge_chunk(
            [*texts, *timed],
            [*positives, *(window.positive for window in sources.windows)],
            _joined(measured, unmeasured(len(timed))),
            self._rules,
            policy,
            entailment=self._entailment,
            decisions=self._decisions,
        )


def _joined(one: Measures, other: Measures) -> Measures:
    return Measures(
        np.concatenate([one.similarity, other.similarity]),
        np.concatenate([one.positive_similarity, other.positive_similarity]),
        np.concatenate([one.text_similarity, other.text_similarity]),
        np.concatenate([one.picture_similarity, other.picture_similarity]),
    )
