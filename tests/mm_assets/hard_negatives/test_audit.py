import math

import numpy as np
import pytest

from mm_assets.hard_negatives.blind_readers import READERS, PairFeatures
from mm_assets.hard_negatives.fluency import Fluency
from mm_assets.hard_negatives.negatives import Negative, Strategy
from mm_assets.hard_negatives.shortcut_audit import audit, drop_shortcuts, text_pairs
from mm_assets.policy import HardNegativePolicy

_POLICY = HardNegativePolicy()
_NOUNS = ("duck", "owl", "zebra", "cello", "truck", "rose", "kettle", "camel", "fox", "mug", "drum", "pear")
_COLORS = ("red", "blue", "green", "white", "black", "brown")


def _exchanged(count: int, seed: int) -> list[Negative]:
    """Halves of exchanges in one frame: nothing tells true from false."""
    rng = np.random.default_rng(seed)
    made: list[Negative] = []
    for place in range(count // 2):
        one, other = rng.choice(len(_NOUNS), 2, replace=False)
        colors = rng.choice(_COLORS, 2)
        for half, (own, put) in enumerate(((one, other), (other, one))):
            true, false = (f"A {colors[half]} {_NOUNS[noun]} number {place}." for noun in (own, put))
            made.append(
                Negative(f"p{place}-{half}", "i", Strategy.SUBTLE_REPLACEMENT, true, false, mirror_id=f"m{place}")
            )
    return made


def _telling(kind: str, count: int, seed: int) -> list[Negative]:
    rng = np.random.default_rng(seed)
    made: list[Negative] = []
    for place in range(count):
        noun, other = rng.choice(_NOUNS, 2, replace=False)
        false = {
            "length": f"A {other} and much else besides.",
            "negation": f"Not a {noun} there.",
            "word": f"A {noun} or quetzal here.",
            "order": f"Here a {noun}.",
        }[kind]
        made.append(Negative(f"p{place}", "i", Strategy.LLM_SYNTHETIC, f"A {noun} here {place % 97}.", false))
    return made


@pytest.mark.parametrize("kind", ["length", "negation", "word", "order"])
def test_what_gives_itself_away_is_told(kind: str) -> None:
    found = audit(text_pairs(_telling(kind, 160, 1)), _POLICY, seed=0)
    assert not found.passed
    assert found.accuracy > 0.9
    assert {result.reader for result in found.readers} == set(READERS)


@pytest.mark.parametrize("seed", range(3))
def test_exchanges_tell_nothing(seed: int) -> None:
    found = audit(text_pairs(_exchanged(300, seed)), _POLICY, seed=seed)
    assert found.passed
    assert found.pairs == 300
    assert found.accuracy <= _POLICY.max_blind_accuracy


def test_few_pairs_are_not_judged() -> None:
    found = audit(text_pairs(_telling("length", 20, 1)), _POLICY, seed=0)
    assert found.passed
    assert np.isnan(found.accuracy)


def test_true_texts_beside_false_pictures_are_not_read() -> None:
    made = [Negative(f"p{i}", "i", Strategy.ATTRIBUTE_SWAP, "A duck.", "A duck.", media={"n": i}) for i in range(80)]
    assert audit(text_pairs(made), _POLICY, seed=0).pairs == 0


def test_the_balancer_drops_what_tells_and_leaves_the_rest() -> None:
    clean, spoiled = _exchanged(300, 5), _telling("word", 90, 6)
    report = drop_shortcuts(text_pairs([*clean, *spoiled]), _POLICY, seed=0)
    assert not report.before.passed
    assert report.after.passed
    assert report.rounds > 0
    gone = set(report.dropped)
    told = {negative.negative_id for negative in spoiled}
    assert len(gone & told) > 0.7 * len(told)
    by_mirror: dict[str | None, int] = {}
    for negative in clean:
        by_mirror[negative.mirror_id] = by_mirror.get(negative.mirror_id, 0) + (negative.negative_id in gone)
    assert set(by_mirror.values()) <= {0, 2}


@pytest.mark.parametrize(("kind", "count"), [("negation", 200), ("length", 60)])
def test_what_cannot_be_freed_of_its_shortcut_falls_whole(kind: str, count: int) -> None:
    pairs = text_pairs(_telling(kind, count, 7))
    report = drop_shortcuts(pairs, _POLICY, seed=0)
    assert not report.before.passed
    assert set(report.dropped) == {pair.negative_id for pair in pairs}
    assert report.after.pairs == 0
    assert report.refused is not None
    told = list(report.dropped.values())
    plainest = [reason for reason in told if reason in READERS]
    assert 0 < len(plainest) <= _POLICY.max_balancing_share * count
    rest = "of the rest" if count == 200 else "too few left to clear"
    assert all(rest in reason for reason in told if reason not in READERS)


def test_exchanges_outlast_what_was_written_alone() -> None:
    clean, spoiled = _exchanged(200, 8), _telling("word", 600, 9)
    report = drop_shortcuts(text_pairs([*clean, *spoiled]), _POLICY, seed=0)
    assert report.refused is None
    assert report.after.passed
    assert report.after.pairs > 100
    assert set(report.dropped) >= {negative.negative_id for negative in spoiled}
    assert any("no half of an exchange" in reason for reason in report.dropped.values())


def test_part_of_a_set_is_read_as_if_it_were_all() -> None:
    pairs = [(n.positive_text, n.text) for n in [*_exchanged(40, 3), *_telling("order", 20, 4)]]
    part = np.asarray([place for place in range(60) if place % 3], np.int64)
    whole, alone = PairFeatures(pairs), PairFeatures([pairs[place] for place in part.tolist()])
    learnt, held = np.arange(0, 30), np.arange(30, 40)
    for reader in READERS:
        for one, other in zip(
            whole.split(reader, part[learnt], part[held]), alone.split(reader, learnt, held), strict=True
        ):
            sides = [np.sort(np.abs(found.toarray()).sum(axis=1)) for found in (one, other)]
            assert sides[0] == pytest.approx(sides[1])


def test_fluency_is_that_of_a_model_of_counted_words() -> None:
    # Learnt: "a b" and "a c", each with two marks before and one behind: of 10 symbols, "a" is 2.
    model = Fluency(["a b", "a c", "a b"], ["a d", "b", "a b"])
    mean, least = model.read(np.asarray([0, 1]))[0, :2]
    known = [math.log(1.0), math.log(1 / 2), math.log(1.0)]
    unknown = [math.log(1.0), math.log(0.4 * 0.4 * 1e-6), math.log(0.4 * 0.4 * 2 / 10)]
    assert mean == pytest.approx(np.mean(known) - np.mean(unknown))
    assert least == pytest.approx(min(known) - min(unknown))
    assert model.read(np.asarray([0, 1]))[2] == pytest.approx(0.0)
