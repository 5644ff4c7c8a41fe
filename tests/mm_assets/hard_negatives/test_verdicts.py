from dataclasses import replace

import numpy as np
import pytest

from mm_assets.hard_negatives.batch_negatives import unique
from mm_assets.hard_negatives.interfaces import WordNet
from mm_assets.hard_negatives.measures import Measures, measure, unmeasured
from mm_assets.hard_negatives.negatives import Edit, EditKind, Negative, Outcome, Positive, Strategy, find_edits
from mm_assets.hard_negatives.terms import TermRelations
from mm_assets.hard_negatives.truth_rules import TruthRules
from mm_assets.hard_negatives.verdicts import Judged, balance, judge
from mm_assets.models import ModelIdentity
from mm_assets.policy import HardNegativePolicy

_POLICY = HardNegativePolicy()


def _negative(text: str, true: str = "A duck on a pond.", strategy: Strategy = Strategy.LLM_SYNTHETIC) -> Negative:
    return Negative("c", "i", strategy, true, text, find_edits(true, text, EditKind.OBJECT), donor_id="d")


def _judge(net: WordNet, negative: Negative, positive: Positive, *measured: float, **also: object) -> Judged:
    values = [*measured, *[float("nan")] * (4 - len(measured))]
    measures = Measures(*(np.array([value], np.float32) for value in values))
    rules = TruthRules(TermRelations(net), _POLICY)
    return judge([negative], {"c": positive}, measures, rules, _POLICY, **also)[0]  # type: ignore[arg-type]


def test_an_exchange_is_judged_by_its_word_wherever_it_stands(net: WordNet) -> None:
    true = "A duck, a mug and a zebra."
    free = _negative("A duck, a mug and a camel.", true)
    assert _judge(net, free, Positive("c", "i", true)).reason.startswith("unproven")
    half = replace(free, mirror_id="m")
    assert _judge(net, half, Positive("c", "i", true)).outcome is Outcome.KEPT
    for also_there in (Positive("c", "i", true, siblings=("A camel.",)), Positive("c", "i", true, labels=("camel",))):
        assert _judge(net, half, also_there).reason.startswith("shared_label")
    bird = replace(_negative("A duck, a mug and a mallard.", true), mirror_id="m")
    assert _judge(net, bird, Positive("c", "i", true)).outcome is Outcome.FALSE_NEGATIVE


@pytest.mark.parametrize(
    ("strategy", "text", "rule"),
    [
        (Strategy.LLM_SYNTHETIC, "a duck on a pond", "same_text"),
        (Strategy.LLM_SYNTHETIC, "A bird on a pond.", "shared_label"),
        (Strategy.LLM_SYNTHETIC, "A goose on a pond.", "shared_label"),
        (Strategy.LLM_SYNTHETIC, "A xanthia on a pond.", "unproven"),
        (Strategy.IN_BATCH, "A pond with a duck.", "lexical_cooccurrence"),
        (Strategy.IN_BATCH, "A bird swims.", "entailed_by_sibling"),
        (Strategy.IN_BATCH, "Mountains at dawn.", "unproven"),
    ],
)
def test_true_texts_are_found(net: WordNet, strategy: Strategy, text: str, rule: str) -> None:
    found = _judge(net, _negative(text, strategy=strategy), Positive("c", "i", "A duck on a pond."))
    assert found.outcome is Outcome.FALSE_NEGATIVE
    assert found.reason.startswith(rule)


@pytest.mark.parametrize("text", ["A zebra on a pond.", "A red tractor."])
@pytest.mark.parametrize("strategy", [Strategy.LLM_SYNTHETIC, Strategy.IN_BATCH])
def test_false_texts_are_kept(net: WordNet, strategy: Strategy, text: str) -> None:
    if strategy is Strategy.LLM_SYNTHETIC or "pond" not in text:
        found = _judge(net, _negative(text, strategy=strategy), Positive("c", "i", "A duck on a pond."))
        assert found.outcome is Outcome.KEPT


def test_what_siblings_and_labels_say_counts(net: WordNet) -> None:
    zebra = _negative("A zebra on a pond.")
    known = Positive("c", "i", "A duck on a pond.", siblings=("A zebra drinks.",))
    assert _judge(net, zebra, known).outcome is Outcome.FALSE_NEGATIVE
    labelled = Positive("c", "i", "A duck on a pond.", labels=("zebra",))
    assert _judge(net, zebra, labelled).reason.startswith("shared_label")


@pytest.mark.parametrize(
    ("measured", "outcome", "rule"),
    [
        ((0.3, 0.05), Outcome.TOO_EASY, "corrupted_positive"),
        ((0.8, 0.5), Outcome.FALSE_NEGATIVE, "band"),
        ((0.05, 0.5), Outcome.TOO_EASY, "band"),
        ((0.3, 0.5, 0.8), Outcome.FALSE_NEGATIVE, "band"),
        ((0.3, 0.5, 0.5, 0.97), Outcome.FALSE_NEGATIVE, "near_duplicate_picture"),
        ((0.3, 0.5, 0.5, 0.5), Outcome.KEPT, "false"),
    ],
)
def test_the_band_comes_first(net: WordNet, measured: tuple[float, ...], outcome: Outcome, rule: str) -> None:
    negative = _negative("A red tractor.", strategy=Strategy.IN_BATCH)
    found = _judge(net, negative, Positive("c", "i", "A duck on a pond."), *measured)
    assert found.outcome is outcome
    assert found.reason.startswith(rule)


def test_a_colour_must_exclude_the_known_one(net: WordNet) -> None:
    true = "A red car."
    for color, outcome in (("blue", Outcome.KEPT), ("orange", Outcome.FALSE_NEGATIVE)):
        negative = Negative(
            "c",
            "i",
            Strategy.SUBTLE_REPLACEMENT,
            true,
            f"A {color} car.",
            (Edit(2, 5, "red", color, EditKind.COLOR),),
        )
        assert _judge(net, negative, Positive("c", "i", true)).outcome is outcome


def test_an_edit_nobody_sees_is_no_negative(net: WordNet) -> None:
    media = {"form": "recolored", "before": "red", "after": "green", "change": 3.0}
    negative = Negative("c", "i", Strategy.ATTRIBUTE_SWAP, "A red car.", "A red car.", media=media)
    positive = Positive("c", "i", "A red car.")
    assert _judge(net, negative, positive).reason.startswith("same_region_content")
    assert _judge(net, replace(negative, media=media | {"change": 60.0}), positive).outcome is Outcome.KEPT


def test_people_win_over_every_rule(net: WordNet) -> None:
    positive = Positive("c", "i", "A duck on a pond.")
    bird, zebra = _negative("A bird on a pond."), _negative("A zebra on a pond.")
    decisions = {bird.negative_id: "accepted", zebra.negative_id: "rejected"}
    assert _judge(net, bird, positive, 0.9, decisions=decisions).outcome is Outcome.KEPT
    found = _judge(net, zebra, positive, decisions=decisions)
    assert (found.outcome, found.reviewed) == (Outcome.FALSE_NEGATIVE, True)
    decisions[zebra.negative_id] = "improper"  # it reads wrong, and is not true for that
    assert _judge(net, zebra, positive, decisions=decisions).outcome is Outcome.SHORTCUT


class _Reader:
    identity, device = ModelIdentity("nli", "1", "0" * 64), "cpu"

    def contradiction(self, pairs: list[tuple[str, str]]) -> np.ndarray:
        assert pairs == [("A duck on a pond.", "A zebra on a pond.")]
        return np.array([0.2], np.float32)


def test_an_entailment_model_may_doubt(net: WordNet) -> None:
    found = _judge(net, _negative("A zebra on a pond."), Positive("c", "i", "A duck on a pond."), entailment=_Reader())
    assert found.outcome is Outcome.FALSE_NEGATIVE
    assert found.reason == "not_contradicted: 0.20"


def _kept(place: int, strategy: Strategy, hardness: float, mirror: str | None, positive: str = "p") -> Judged:
    negative = Negative(positive, "i", strategy, "A duck.", f"A text {place}.", mirror_id=mirror)
    return Judged(negative, Outcome.KEPT, "false as far as is known", hardness, 0.0, float("nan"))


def test_two_of_a_positive_stay_strategies_in_turn_and_the_hardest_first() -> None:
    judged = [
        _kept(0, Strategy.SUBTLE_REPLACEMENT, 0.9, None),
        _kept(1, Strategy.SUBTLE_REPLACEMENT, 0.8, None),
        _kept(2, Strategy.IN_BATCH, 0.1, None),
        _kept(3, Strategy.IN_BATCH, 0.2, None),
    ]
    found = balance(judged, _POLICY)
    assert [one.outcome is Outcome.KEPT for one in found] == [True, False, False, True]
    assert {one.reason.partition(":")[0] for one in found if one.outcome is Outcome.TOO_EASY} == {"over_cap"}


def test_halves_stay_or_fall_together() -> None:
    judged = [
        _kept(0, Strategy.IN_BATCH, 0.9, "m", "p"),
        _kept(1, Strategy.IN_BATCH, 0.9, "m", "q"),
        _kept(2, Strategy.IN_BATCH, 0.9, "lone", "q"),
    ]
    found = balance(judged, _POLICY)
    assert [one.outcome for one in found] == [Outcome.KEPT, Outcome.KEPT, Outcome.SHORTCUT]


def test_similarities_are_of_the_right_pairs() -> None:
    positives = [Positive("a", "1", "A duck."), Positive("b", "2", "A truck.")]
    images, texts = np.eye(3, dtype=np.float32)[:2], np.eye(3, dtype=np.float32)[:2]
    made = [
        Negative("a", "1", Strategy.IN_BATCH, "A duck.", "A truck.", donor_id="b"),
        Negative("b", "2", Strategy.SUBTLE_REPLACEMENT, "A truck.", "A tractor."),
        Negative("b", "2", Strategy.TEMPORAL_SHIFT, "A truck.", "A truck.", media={"form": "window"}),
    ]
    asked: list[list[str]] = []

    def embed(new: list[str]) -> np.ndarray:
        asked.append(list(new))
        return np.full((len(new), 3), 0.5, np.float32)

    found = measure(made, positives, images, texts, embed)
    assert asked == [["A tractor."]]
    assert found.similarity[:2].tolist() == [0.0, 0.5]
    assert np.isnan(found.similarity[2])
    assert found.positive_similarity.tolist() == [1.0, 1.0, 1.0]
    assert found.text_similarity[0] == 0.0
    assert found.picture_similarity[0] == 0.0
    assert np.isnan(found.picture_similarity[1])
    assert len(unmeasured(2).similarity) == 2


def test_one_text_of_two_strategies_counts_once() -> None:
    first, second = _negative("A zebra."), _negative("A ZEBRA.", strategy=Strategy.IN_BATCH)
    assert unique([first, second]) == [first]
