"""Princeton WordNet 3.0 from the files the package ``wn`` 0.0.23 carries; the package itself is never imported.

The files are those of wndb(5WN). Their synsets are named by byte offsets that no longer are places in these files, so
that reading finds each line by its name. Licence: WordNet 3.0, Princeton University (free use with its notice, which
lies beside the data); the package's code is Apache-2.0.
"""

import functools
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import dagster as dg

from mm_assets.errors import WeightsMissingError
from mm_assets.hard_negatives.interfaces import Sense, WordNet
from mm_assets.models import ModelIdentity, verify_sha256

FILES: Final = {
    "data.noun": "0be5cc3ab9bf4dc907652ab8f72500b53f66dacf42b89e2b04349a04226a7db2",
    "data.adj": "f8a6085616e67bf373d782a4f110102f74fe09891c494f66d9983b62a994c4bb",
    "index.noun": "c9828ab17300e93ca1caef25960921f11401b619e030f3ed1cbcc6f8e537435d",
    "index.adj": "bc9a9b5e258cdf1c17cde811f45df163b44ae341851d4aba6423337d49994318",
}
IDENTITY: Final = ModelIdentity("wordnet", "3.0", FILES["data.noun"])
_PACKAGE: Final = "wn"
_CATEGORIES: Final = (
    *("Tops", "act", "animal", "artifact", "attribute", "body", "cognition", "communication", "event", "feeling"),
    *("food", "group", "location", "motive", "object", "person", "phenomenon", "plant", "possession", "process"),
    *("quantity", "relation", "shape", "state", "substance", "time"),
)
_FIRST_CATEGORY: Final = 3
_SENSES_KEPT: Final = 20_000
_KIND_OF: Final = ("@", "@i")
_HAS_KINDS: Final = "~"
_OPPOSITE: Final = "!"
_MOST_SIBLINGS: Final = 200


def _folder() -> Path:
    """Where the pinned files lie.

    Raises:
        WeightsMissingError: the package is not installed.
        WeightsHashError: a file is not the pinned one.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsMissingError(f"the package {_PACKAGE}==0.0.23 is not installed; run make demo")
    folder = Path(next(iter(spec.submodule_search_locations))) / "data" / "wordnet-3.0"
    for name, digest in FILES.items():
        verify_sha256(folder / name, digest)
    return folder


class _Synset:
    """One line of a data file."""

    def __init__(self, line: str) -> None:
        facts, _, gloss = line.partition("|")
        fields = facts.split()
        count = int(fields[3], 16)
        self.offset = int(fields[0])
        self.category = int(fields[1])
        self.words = tuple(fields[4 : 4 + 2 * count : 2])
        pointers = fields[5 + 2 * count :][: 4 * int(fields[4 + 2 * count])]
        self.pointers = [(pointers[i], int(pointers[i + 1]), pointers[i + 3]) for i in range(0, len(pointers), 4)]
        self.gloss = gloss.split(';"' if ';"' in gloss else '; "')[0].strip()


class PrincetonWordNet:
    """A `WordNet` over the files of a folder.

    Args:
        folder: where the data and index files lie.
    """

    def __init__(self, folder: Path) -> None:
        self._data = {kind: _read_lines(folder / f"data.{kind}") for kind in ("noun", "adj")}
        self._index = {kind: _read_lines(folder / f"index.{kind}") for kind in ("noun", "adj")}
        self.nouns = functools.lru_cache(_SENSES_KEPT)(self._nouns)
        self._sense = functools.lru_cache(_SENSES_KEPT)(self._read_sense)

    @property
    def identity(self) -> ModelIdentity:
        """Version and hash of the nouns."""
        return IDENTITY

    def _nouns(self, term: str) -> tuple[Sense, ...]:
        """Meanings of a noun, the commonest first."""
        return tuple(self._sense(offset) for offset in self._offsets("noun", term)[1])

    def siblings(self, sense: Sense) -> tuple[str, ...]:
        """Words for the other kinds of its direct hypernyms."""
        found: dict[str, None] = {}
        for parent in self._parents(self._synset("noun", int(sense.key))):
            children = [to for symbol, to, _ in self._synset("noun", parent).pointers if symbol == _HAS_KINDS]
            for child in children[:_MOST_SIBLINGS]:
                word = self._synset("noun", child).words[0]
                if child != int(sense.key) and word.islower():
                    found[word.replace("_", " ")] = None
        return tuple(found)

    def antonyms(self, adjective: str) -> tuple[str, ...]:
        """Opposites of any meaning of an adjective."""
        found: dict[str, None] = {}
        for offset in self._offsets("adj", adjective)[1]:
            synset = self._synset("adj", offset)
            for symbol, to, places in synset.pointers:
                source, target = bytes.fromhex(places)
                if symbol == _OPPOSITE and _plain(synset.words[source - 1]) == adjective:
                    found[_plain(self._synset("adj", to).words[target - 1])] = None
        return tuple(found)

    def usage(self, term: str) -> int:
        """How many of a noun's meanings were tagged in running text; 0 for rare and unknown words."""
        return self._offsets("noun", term)[0]

    def _offsets(self, kind: str, term: str) -> tuple[int, tuple[int, ...]]:
        line = self._index[kind].get(term.lower().replace(" ", "_"))
        if line is None:
            return 0, ()
        fields = line.split()
        senses = int(fields[2])
        return int(fields[-senses - 1]), tuple(int(offset) for offset in fields[-senses:])

    def _synset(self, kind: str, offset: int) -> _Synset:
        return _Synset(self._data[kind][f"{offset:08d}"])

    def _parents(self, synset: _Synset) -> Iterator[int]:
        return (to for symbol, to, _ in synset.pointers if symbol in _KIND_OF)

    def _read_sense(self, offset: int) -> Sense:
        synset = self._synset("noun", offset)
        parents = [self._sense(parent) for parent in self._parents(synset)]
        key = f"{offset:08d}"
        return Sense(
            key=key,
            category=_CATEGORIES[synset.category - _FIRST_CATEGORY],
            path=(*(parents[0].path if parents else ()), key),
            broader=frozenset({key}).union(*(parent.broader for parent in parents)),
            words=tuple(_plain(word) for word in synset.words),
            gloss=synset.gloss,
        )


def _plain(word: str) -> str:
    """A word without its marker ``(p)`` and underscores."""
    return word.partition("(")[0].replace("_", " ").lower()


def _read_lines(path: Path) -> dict[str, str]:
    """Lines by their first word; those that begin with a blank are the licence."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return {line[: line.index(" ")]: line for line in lines if line and not line.startswith(" ")}


@functools.lru_cache(maxsize=1)
def read_wordnet() -> WordNet:
    """The net, read once. Raises as `_folder`."""
    return PrincetonWordNet(_folder())


class WordNetResource(dg.ConfigurableResource):
    """Gives assets a `WordNet`, one per process."""

    @property
    def handle(self) -> WordNet:
        """The net. Raises WeightsMissingError or WeightsHashError."""
        return read_wordnet()

    @property
    def identity(self) -> ModelIdentity:
        """Which net."""
        return IDENTITY
