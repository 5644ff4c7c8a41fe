from pathlib import Path

import polars as pl
import pytest

from mm_assets.cleaned.interfaces import LanguageIdentifier
from mm_assets.cleaned.languages import fill_languages
from mm_assets.errors import WeightsHashError, WeightsMissingError
from mm_assets.timed_models import timed
from resources import language_identifier
from resources.language_identifier import IDENTITY, LanguageIdentifierResource, Py3LangId

SENTENCES = {
    "en": "A brown duck swims slowly across the quiet pond behind the house.",
    "de": "Eine braune Ente schwimmt langsam über den stillen Teich hinter dem Haus.",
    "fr": "Un canard brun nage lentement sur l'étang tranquille derrière la maison.",
    "es": "Un pato marrón nada despacio por el estanque tranquilo detrás de la casa.",
    "it": "Un'anatra marrone nuota lentamente nello stagno tranquillo dietro la casa.",
    "ru": "Коричневая утка медленно плывёт по тихому пруду за домом.",
    "ja": "茶色のアヒルが家の裏の静かな池をゆっくり泳いでいます。",
    "zh": "一只棕色的鸭子在房子后面安静的池塘里慢慢地游泳。",
    "ar": "بطة بنية تسبح ببطء في البركة الهادئة خلف المنزل.",
    "pl": "Brązowa kaczka płynie powoli po cichym stawie za domem.",
}


@pytest.fixture(scope="module")
def identifier() -> Py3LangId:
    return Py3LangId()


def test_sentences_are_named_with_confidence(identifier: Py3LangId) -> None:
    found = identifier.identify(list(SENTENCES.values()))
    assert [item.code for item in found] == list(SENTENCES)
    assert all(0.5 <= item.confidence <= 1.0 for item in found)


def test_hostile_texts_get_an_answer(identifier: Py3LangId) -> None:
    found = identifier.identify(["", " ", "\x00", "12345", "🙂" * 50, "a" * 100_000, "\ufffd\ufffd"])
    assert len(found) == 7
    assert all(0.0 <= item.confidence <= 1.0 for item in found)
    assert identifier.identify([]) == []


def test_short_captions_get_no_language(identifier: Py3LangId) -> None:
    # Short captions are named wrongly and with confidence; that is why they are not asked about.
    texts = ["red rose", "Ente", "IMG", "a tuba", "lotus", SENTENCES["en"], SENTENCES["de"]]
    rows = pl.DataFrame(
        {"text": texts, "language": [None] * len(texts)}, schema={"text": pl.String, "language": pl.String}
    )
    named = rows.with_columns(fill_languages(pl.col("text"), rows, identifier))
    assert named["language"].to_list() == [None] * 5 + ["en", "de"]


def test_real_captions_are_hardly_ever_called_foreign(identifier: Py3LangId) -> None:
    captions = [
        "A red double-decker bus drives past a clock tower.",
        "Two children play chess under an oak tree.",
        "Close-up of a dragonfly on a lotus leaf",
        "An old tractor rusting in a wheat field",
        "A tray of pastries in a bakery window",
        "Sailing boats at anchor in a small harbour",
        "A violin and a bow on sheet music",
        "The lighthouse stands on a rocky cliff.",
    ]
    rows = pl.DataFrame({"text": captions, "language": [None] * 8}, schema={"text": pl.String, "language": pl.String})
    named = rows.with_columns(fill_languages(pl.col("text"), rows, identifier))["language"]
    assert named.drop_nulls().ne("en").sum() == 0
    assert named.null_count() <= 4


def test_another_model_is_never_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "model.npz.xz").write_bytes(b"something else")
    monkeypatch.setattr(language_identifier.importlib.resources, "files", lambda _: tmp_path)
    with pytest.raises(WeightsHashError, match="pinned is f4f4a2c3465c"):
        Py3LangId().identify(["A duck"])
    (tmp_path / "data" / "model.npz.xz").unlink()
    with pytest.raises(WeightsMissingError):
        Py3LangId().identify(["A duck"])


def test_the_resource_gives_one_identifier_per_process() -> None:
    resource = LanguageIdentifierResource()
    handle: LanguageIdentifier = resource.handle
    assert handle is LanguageIdentifierResource().handle
    assert handle.identity == resource.identity == IDENTITY


def test_the_stopwatch_counts_the_texts_that_were_asked_about(identifier: Py3LangId) -> None:
    calls: list[tuple[float, float]] = []
    watched = timed(identifier, "identify", lambda texts, seconds: calls.append((texts, seconds)))
    rows = pl.DataFrame({"text": ["Ente", SENTENCES["de"], SENTENCES["fr"]], "language": [None, None, "fr"]})
    named = rows.with_columns(fill_languages(pl.col("text"), rows, watched))
    assert named["language"].to_list() == [None, "de", "fr"]
    assert [texts for texts, _ in calls] == [1]
    assert calls[0][1] > 0.0
    assert watched.identity == identifier.identity
