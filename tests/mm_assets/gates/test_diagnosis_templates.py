import pytest

from mm_assets.gates.templates import find_templates

PLAIN = [
    "Two dogs chase a red ball across wet sand.",
    "A kettle whistles on the stove.",
    "Old bridge over the river at dusk",
    "She repairs a violin in her workshop.",
    "Fresh bread, still warm.",
    "Children fly kites above the dunes",
    "A map of the northern stars",
    "Rain on the tin roof of a shed",
]


def find(texts):
    return find_templates(texts, min_images=5, min_share=0.05)


def test_plain_captions_are_not_templated():
    assert find(PLAIN).share == 0.0
    assert find(PLAIN).distinct == 8


def test_one_sentence_on_many_pictures():
    found = find(PLAIN + ["Vehicles drive through a green light."] * 8)
    assert found.share == pytest.approx(0.5)
    assert found.templated == (False,) * 8 + (True,) * 8
    assert found.examples == (("vehicles drive through a green light.", 8),)


def test_numbers_and_slots_do_not_hide_a_template():
    numbered = [f"Product photo number {place} of the summer catalogue" for place in range(10)]
    assert find(PLAIN + numbered).share == pytest.approx(10 / 18)
    slots = [
        f"Picture of a {name} taken in the city park" for name in ("dog", "tram", "kiosk", "swan", "bench", "sign")
    ]
    assert find(PLAIN + slots).share == pytest.approx(6 / 14)


def test_single_words_and_texts_without_spaces():
    assert find(["cat", "dog", "bird", "fish"] * 2).share == 0.0
    assert find(["cat"] * 6 + ["dog", "鸟在树上", "鱼在水里"]).share == pytest.approx(6 / 9)


def test_common_means_a_share_of_large_batches():
    texts = [f"{chr(97 + row % 26)}{chr(97 + row // 26)} something else" for row in range(400)]
    repeated = ["the very same words"] * 10
    assert find(texts + repeated).templated[-1] is False
    assert find(repeated + texts[:50]).templated[0] is True
