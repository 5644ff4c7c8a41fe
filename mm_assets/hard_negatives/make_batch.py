"""Every strategy run on one batch, measured and settled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mm_assets.aligned.objects.claims.interfaces import Entailment
from mm_assets.hard_negatives.attribute_swap import AttributeSwap
from mm_assets.hard_negatives.batch_negatives import BatchNegatives, settle, unique
from mm_assets.hard_negatives.batch_sources import Floats
from mm_assets.hard_negatives.in_batch import InBatch
from mm_assets.hard_negatives.interfaces import LanguageModel, TextScorer, WordNet
from mm_assets.hard_negatives.llm_synthetic import LlmSynthetic, SyntheticReport
from mm_assets.hard_negatives.measures import Measures, measure, unmeasured
from mm_assets.hard_negatives.negatives import Negative, Positive
from mm_assets.hard_negatives.subtle_replacement import SubtleReplacement
from mm_assets.hard_negatives.temporal_shift import TemporalShift, Window
from mm_assets.hard_negatives.truth_rules import TruthRules
from mm_assets.policy import HardNegativePolicy


@dataclass(frozen=True)
class Sources:
    """What a batch's negatives are made from.

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


def make_batch(
    sources: Sources,
    net: WordNet,
    embed: TextScorer,
    policy: HardNegativePolicy,
    *,
    model: LanguageModel | None = None,
    entailment: Entailment | None = None,
    decisions: Mapping[str, str] | None = None,
) -> tuple[BatchNegatives, SyntheticReport]:
    """All negatives of a batch with their verdicts, and what a language model was asked.

    Args:
        sources: what they are made from.
        net: a net of words.
        embed: gives texts unit vectors of the space of ``sources``.
        policy: the policy.
        model: language model; None if none is configured.
        entailment: NLI model; None if none is configured.
        decisions: people's verdicts by negative id.
    """
    labels = sorted({label for positive in sources.positives for label in positive.labels})
    asked = LlmSynthetic(model, policy)
    worth = [positive for positive in sources.positives if not positive.similarity < policy.min_similarity]
    texts = unique(
        [
            *SubtleReplacement(net, policy, labels).make(sources.positives),
            *AttributeSwap(net, labels).make(sources.positives),
            *InBatch(sources.images, sources.texts, sources.encoder, policy).make(sources.positives),
            *asked.make(worth),
            *sources.edited,
        ]
    )
    timed = list(TemporalShift(net, policy).make(sources.windows))
    measured = measure(texts, sources.positives, sources.images, sources.texts, embed)
    result = settle(
        [*texts, *timed],
        [*sources.positives, *(window.positive for window in sources.windows)],
        _joined(measured, unmeasured(len(timed))),
        TruthRules(net, policy, labels),
        policy,
        entailment=entailment,
        decisions=decisions,
    )
    return result, asked.report


def _joined(one: Measures, other: Measures) -> Measures:
    return Measures(
        np.concatenate([one.similarity, other.similarity]),
        np.concatenate([one.positive_similarity, other.positive_similarity]),
        np.concatenate([one.text_similarity, other.text_similarity]),
        np.concatenate([one.picture_similarity, other.picture_similarity]),
    )
