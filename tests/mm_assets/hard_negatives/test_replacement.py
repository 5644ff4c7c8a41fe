import re
from collections import Counter

from mm_assets.hard_negatives.attribute_swap import AttributeSwap
from mm_assets.hard_negatives.interfaces import WordNet
from mm_assets.hard_negatives.negatives import EditKind, Positive, Region, apply_edits
from mm_assets.hard_negatives.subtle_replacement import SubtleReplacement
from mm_assets.hard_negatives.terms import TermRelations
from mm_assets.policy import HardNegativePolicy

_PAIRED = HardNegativePolicy(unpaired=False)


def test_every_negative_carries_the_edits_that_make_it(net: WordNet, pairs: list[Positive]) -> None:
    made = [*SubtleReplacement(net, HardNegativePolicy()).make(pairs), *AttributeSwap(TermRelations(net)).make(pairs)]
    assert len(made) > len(pairs)
    for negative in made:
        assert negative.edits
        assert apply_edits(negative.positive_text, negative.edits) == negative.text != negative.positive_text


def test_exchanged_words_stand_as_often_false_as_true(net: WordNet, pairs: list[Positive]) -> None:
    made = list(SubtleReplacement(net, _PAIRED).make(pairs))
    assert made
    put_in, taken_out = Counter[str](), Counter[str]()
    for negative in made:
        assert Counter(n.mirror_id for n in made)[negative.mirror_id] == 2
        for edit in negative.edits:
            put_in.update(word for word in edit.after.lower().split() if word not in {"a", "an"})
            taken_out.update(word for word in edit.before.lower().split() if word not in {"a", "an"})
    assert put_in == taken_out


def test_articles_and_numbers_fit(net: WordNet, pairs: list[Positive]) -> None:
    made = {negative.text for negative in SubtleReplacement(net, HardNegativePolicy()).make(pairs)}
    assert not [text for text in made if " a owl" in text.lower() or text.startswith(("A owl", "An giraffe"))]
    assert "Three wild boars." in made
    assert "Two sheep." in made


def test_states_take_the_opposites_that_the_net_knows(net: WordNet) -> None:
    pairs = [
        Positive("a", "1", "A frozen lake."),
        Positive("b", "2", "An indoor pool."),
        Positive("c", "3", "A hot air balloon."),
        Positive("d", "4", "A big digital camera."),
        Positive("e", "5", "A top hat."),
        Positive("f", "6", "A gift wrapped in foil."),
    ]
    edits = [edit for negative in SubtleReplacement(net, HardNegativePolicy()).make(pairs) for edit in negative.edits]
    of_states = {(edit.before, edit.after) for edit in edits if edit.kind is EditKind.ATTRIBUTE}
    assert of_states == {("A frozen", "An unfrozen"), ("indoor", "outdoor")}


def test_what_may_be_true_is_not_put_in(net: WordNet) -> None:
    pairs = [
        Positive("a", "1", "A duck.", siblings=("A bird by a pond.",)),
        Positive("b", "2", "A goose."),
        Positive("c", "3", "A mallard.", labels=("duck",)),
        Positive("d", "4", "A zebra.", labels=("zebra", "duck")),
    ]
    for negative in SubtleReplacement(net, _PAIRED).make(pairs):
        assert {negative.positive_id, negative.donor_id} <= {"b", "c", "d"}
        assert {negative.positive_id, negative.donor_id} != {"b", "c"}  # a mallard may pass for a goose
        assert {negative.positive_id, negative.donor_id} != {"c", "d"}  # there is a duck beside the zebra


def test_a_swap_keeps_every_word(net: WordNet, pairs: list[Positive]) -> None:
    made = list(AttributeSwap(TermRelations(net)).make(pairs))
    kinds = {negative.kind for negative in made}
    assert {EditKind.COLOR, EditKind.ORDER} <= kinds
    for negative in made:
        words = [Counter(re.findall(r"\w+", text.lower())) for text in (negative.text, negative.positive_text)]
        assert words[0] == words[1]
        assert len(negative.text) == len(negative.positive_text)
    assert "A dog on a red couch next to a blue lamp." in {negative.text for negative in made}


def test_a_plain_list_means_the_same_in_any_order(net: WordNet) -> None:
    assert not list(AttributeSwap(TermRelations(net)).make([Positive("a", "1", "A camel, a rose and an owl.")]))


def test_neighbours_trade_places_only_if_one_comes_first(net: WordNet) -> None:
    text = "From left to right: an owl, a camel and a rose."
    stacked = (Region("owl", (0, 0, 20, 20)), Region("camel", (5, 30, 25, 50)), Region("rose", (60, 0, 80, 20)))
    swap = AttributeSwap(TermRelations(net))
    apart = {negative.text for negative in swap.make([Positive("a", "1", text)])}
    assert "From left to right: a camel, an owl and a rose." in apart
    known = {negative.text for negative in swap.make([Positive("a", "1", text, regions=stacked)])}
    assert known == apart - {"From left to right: a camel, an owl and a rose."}


def test_half_a_pair_trades_no_places(net: WordNet) -> None:
    swap = AttributeSwap(TermRelations(net))
    made = swap.make([Positive("a", "1", "From left to right: an owl, a pair of binoculars and a rose.")])
    assert {negative.text for negative in made} == {"From left to right: a rose, a pair of binoculars and an owl."}


def test_ids_are_the_same_on_every_run(net: WordNet, pairs: list[Positive]) -> None:
    runs = [[n.negative_id for n in SubtleReplacement(net, HardNegativePolicy()).make(pairs)] for _ in range(2)]
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == len(runs[0])
