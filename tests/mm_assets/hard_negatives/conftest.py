import pytest

from mm_assets.hard_negatives.interfaces import WordNet
from mm_assets.hard_negatives.negatives import Positive
from resources.wordnet import read_wordnet


@pytest.fixture(scope="session")
def net() -> WordNet:
    return read_wordnet()


@pytest.fixture(scope="session")
def pairs() -> list[Positive]:
    texts = (
        "A red apple.",
        "A blue truck.",
        "A cello.",
        "An owl.",
        "A pigeon.",
        "A trumpet.",
        "A giraffe.",
        "A zebra.",
        "Two wild boars.",
        "Three sheep.",
        "An open book.",
        "A closed padlock.",
        "From left to right: a camel, a rose and an owl.",
        "A dog on a blue couch next to a red lamp.",
    )
    return [Positive(f"cap_{i}", f"img_{i}", text, position=i) for i, text in enumerate(texts)]
