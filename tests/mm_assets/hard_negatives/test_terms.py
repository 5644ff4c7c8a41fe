import pytest

from mm_assets.hard_negatives.interfaces import WordNet
from mm_assets.hard_negatives.terms import Kinship, TermRelations, closeness


@pytest.mark.parametrize(
    ("one", "other", "kin"),
    [
        ("caribou", "reindeer", Kinship.SAME),
        ("car", "sports car", Kinship.BROADER),
        ("fire truck", "truck", Kinship.NARROWER),
        ("drake", "duck", Kinship.NARROWER),
        ("doe", "deer", Kinship.POSSIBLY_SAME),
        ("cello", "viola", Kinship.POSSIBLY_SAME),
        ("lion", "sea lion", Kinship.POSSIBLY_SAME),
        ("lemon", "orange", Kinship.APART),
        ("elephant", "tiger", Kinship.APART),
        ("xanthia", "tiger", Kinship.UNKNOWN),
    ],
)
def test_names_relate_as_people_use_them(net: WordNet, one: str, other: str, kin: Kinship) -> None:
    relations = TermRelations(net)
    found = relations.compare(tuple(one.split()), tuple(other.split()))
    if kin is Kinship.POSSIBLY_SAME:
        assert found not in {Kinship.APART, Kinship.UNKNOWN}
    else:
        assert found is kin


def test_nothing_is_apart_from_itself_or_one_sided(net: WordNet) -> None:
    relations = TermRelations(net)
    names = [("duck",), ("goose",), ("truck",), ("rubber", "duck"), ("hat",), ("fedora",)]
    for one in names:
        assert relations.compare(one, one) is Kinship.SAME
        for other in names:
            apart = relations.compare(one, other) is Kinship.APART
            assert apart == (relations.compare(other, one) is Kinship.APART)


def test_closer_kinds_share_more_of_the_way(net: WordNet) -> None:
    relations = TermRelations(net)
    zebra, horse, cello = (relations.name((word,)) for word in ("zebra", "horse", "cello"))
    assert closeness(zebra, horse) > closeness(zebra, relations.name(("frog",))) > closeness(zebra, cello) == 0
