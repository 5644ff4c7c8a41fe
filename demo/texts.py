"""Text-pool records of the packages: prose, code, mathematics, logic and dialogue."""

import ast
import gzip
import random
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

JARGON: Final = "jargon-text/usr/share/doc/jargon-text/jargon.txt.gz"
PYTHON_DOC: Final = "python3.11-doc/usr/share/doc/python3.11/html/_sources"
METAMATH: Final = "metamath-databases/usr/share/metamath/databases/set.mm"
CHATTERBOT: Final = "chatterbot-corpus/chatterbot_corpus/data/english"

Row = dict[str, str]

_CODE_FOLDERS: Final = ("tutorial", "howto", "library")
_CODE_LINES: Final = (6, 40)
_CODE_PER_FILE: Final = 3
_UNSUITABLE: Final = re.compile("testicles|killed|assassinated|crash|pipe", re.IGNORECASE)
_DIALOGUE_FILES: Final = ("conversations", "ai", "trivia", "science", "computers", "history", "food")
_FIRST_ANSWER_ONLY: Final = ("computers", "history")  # further turns there are other answers to the same question
_LOGIC: Final = ("ax-mp $a", "ax-gen $a")
_MATH: Final = ("ax-resscn $a", "Begin $[ set-deprec.mm $]")
# Two spaces of indent: outside every block, so the claim stands without hypotheses.
_THEOREM: Final = re.compile(r"\n  \$\( (?P<comment>[^$]*?) \$\)\n  (?P<label>[\w.-]+) \$p (?P<claim>[^$]*?) \$=")
_COMMENT_CHARACTERS: Final = range(40, 401)
_LONGEST_CLAIM: Final = 200
_CREDIT: Final = re.compile(r"\s*\((?:Contributed|Revised|Proof shortened|Proof modification|New usage)[^)]*\)")


def read_prose(packages: Path, headwords: list[str]) -> list[Row]:
    """Entries of the Jargon File, unwrapped, without their cross-reference marks."""
    with gzip.open(packages / JARGON, "rt", encoding="utf-8") as file:
        entries = dict(_entries(file.read()))
    return [
        {
            "text": f"{word}: {entries[word]}",
            "kind": "prose",
            "source": "jargon-text",
            "license": "LicenseRef-public-domain",
        }
        for word in headwords
    ]


def read_code(packages: Path, count: int, seed: int) -> list[Row]:
    """Examples of the Python documentation that parse as Python."""
    found = []
    for folder in _CODE_FOLDERS:
        for path in sorted((packages / PYTHON_DOC / folder).glob("*.rst.txt")):
            found += list(_python_blocks(path.read_text(encoding="utf-8")))[:_CODE_PER_FILE]
    chosen = _draw(list(dict.fromkeys(found)), count, seed)
    return [{"text": text, "kind": "code", "source": "python3.11-doc", "license": "0BSD"} for text in chosen]


def read_theorems(packages: Path, math: int, logic: int, seed: int) -> list[Row]:
    """Theorems of set.mm with their comments: propositional logic, and mathematics from the real numbers on."""
    source = (packages / METAMATH).read_text(encoding="utf-8")
    parts = (("math", _MATH, math), ("logic", _LOGIC, logic))
    return [
        {"text": text, "kind": kind, "source": "metamath-set.mm", "license": "CC0-1.0"}
        for kind, (start, end), count in parts
        for text in _draw(_theorems(source[source.index(start) : source.index(end)]), count, seed)
    ]


def read_dialogues(packages: Path, count: int, seed: int) -> list[Row]:
    """Short English conversations, one turn a line."""
    found: dict[str, str] = {}
    for name in _DIALOGUE_FILES:
        document = yaml.safe_load((packages / CHATTERBOT / f"{name}.yml").read_text(encoding="utf-8"))
        for conversation in document["conversations"]:
            turns = conversation if isinstance(conversation, list) else []
            turns = [" ".join(str(turn).split()) for turn in turns][: 2 if name in _FIRST_ANSWER_ONLY else None]
            if len(turns) > 1 and not _UNSUITABLE.search(" ".join(turns)):
                lines = (f"{'AB'[i % 2]}: {turn}" for i, turn in enumerate(turns))
                found.setdefault(turns[0].casefold(), "\n".join(lines))
    chosen = _draw(list(found.values()), count, seed)
    return [
        {"text": text, "kind": "dialogue", "source": "chatterbot-corpus", "license": "BSD-3-Clause"} for text in chosen
    ]


def _draw(items: list[str], count: int, seed: int) -> list[str]:
    return random.Random(seed).sample(items, count)  # noqa: S311 - a repeatable draw, not a secret


def _entries(book: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"\n   :(?=[^\n]{1,40}?:)", book)[1:]:
        word, _, rest = part.partition(":")
        paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", rest)]
        yield word, re.sub(r"[{}]", "", " ".join(paragraphs[1:4]))


def _python_blocks(page: str) -> Iterator[str]:
    for match in re.finditer(r"::\n\n((?:[ ]{3,}[^\n]*\n|\n)+)", page):
        block = textwrap.dedent(match[1]).strip("\n")
        if not _CODE_LINES[0] <= block.count("\n") + 1 <= _CODE_LINES[1] or ">>>" in block:
            continue
        try:
            ast.parse(block)
        except SyntaxError:
            continue
        yield block + "\n"


def _theorems(source: str) -> list[str]:
    found = []
    for match in _THEOREM.finditer(source):
        comment = " ".join(_CREDIT.sub("", " ".join(match["comment"].split())).split())
        claim = " ".join(match["claim"].split())
        told = len(comment) in _COMMENT_CHARACTERS and "~" not in comment
        if told and len(claim) <= _LONGEST_CLAIM and "OLD" not in match["label"]:
            found.append(f"{comment}\n{match['label']} $p {claim}")
    return found
