# pyright: strict
"""Phrases by which a text refers to figures, tables, sections, equations and pages."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["figure", "table", "section", "equation", "page", "relative", "anchor"]
Direction = Literal["above", "below"]

_words = str.split
_KINDS: Final[dict[str, Kind]] = {
    **dict.fromkeys(
        _words("figure figures fig figs plate abbildung abbildungen abb figura figuras afbeelding"), "figure"
    ),
    **dict.fromkeys(_words("table tables tabelle tabellen tableau tableaux tabla tablas tabela tabella"), "table"),
    **dict.fromkeys(
        _words("section sections sect sec § §§ chapter chapters chap appendix appendices abschnitt kapitel anhang"),
        "section",
    ),
    **dict.fromkeys(_words("sección secciones capítulo chapitre chapitres capitolo sezione"), "section"),
    **dict.fromkeys(_words("equation equations eq eqs eqn eqns gleichung gl équation ecuación"), "equation"),
    **dict.fromkeys(_words("page pages p pp seite seiten página pagina"), "page"),
}
_SHORT: Final = frozenset(_words("fig figs abb sect sec chap eq eqs eqn eqns gl p pp"))  # need a full stop or a capital
_NUMBER: Final = r"(?:(?:[A-Z]{1,2}[.\-]?)?\d{1,4}(?:[.\-](?=\d)\d{1,4}){0,4}(?:\s?\([a-z]\)|[a-z](?![a-z]))?)"
_LETTER: Final = r"[A-Z]|[IVXL]{1,6}"
_NAME: Final = "|".join(sorted(map(re.escape, _KINDS), key=len, reverse=True))
_LINK: Final = (
    r"(?:\s*,\s*(?:(?:and|or|und|oder|et|y)\s+)?|\s+(?:and|or|und|oder|et|y|to|bis|through)\s+"
    r"|\s*[-\u2013\u2014&/]\s*)"
)
_NAMED: Final = re.compile(
    rf"(?<![^\W_])(?P<name>{_NAME})(?P<dot>\.?)[\s~]{{0,2}}"
    rf"(?P<numbers>\(?(?:{_NUMBER})\)?(?:{_LINK}\(?{_NUMBER}\)?){{0,12}}|(?:{_LETTER})(?![\w\-']))(?P<after>[\w%°$€]?)",
    re.IGNORECASE,
)
_ONE: Final = re.compile(rf"{_NUMBER}|\b(?:{_LETTER})\b")
_OF_MANY: Final = re.compile(_ONE.pattern.replace(r"[.\-]", r"\."))  # Figure 3-5 is one, Figures 3-5 are three
_RANGE: Final = re.compile(r"\)?\s*(?:[-\u2013\u2014]|to|bis|through)\s*\(?")
_LISTED: Final = re.compile(r"[IVXL]{1,6}|[A-Z]")
_BARE: Final = re.compile(
    r"\b(?:see|by|from|in|of|using|and|with|to|cf\.|via|into|equals?|satisf(?:y|ies))\s+\((\d{1,3}(?:\.\d{1,3}){0,3}[a-z]?)\)",
    re.IGNORECASE,
)
_EQUATION: Final = re.compile(
    r"(?:equation|eqn?\.|gleichung|\u00e9quation|ecuaci\u00f3n)\s+\(?(\d{1,3}(?:\.\d{1,3}){0,3}[a-z]?)\)?(?:[.:]\s|[.:]?$)",
    re.IGNORECASE,
)
_VERB: Final = re.compile(r"\b(?:i|we|you|they|to|can|could|would|will|must|not)\s+$", re.IGNORECASE)
_FULL_PAGES: Final = frozenset(_words("page pages seite seiten"))
_PLURALS: Final = frozenset(_words("figures tables sections chapters appendices equations pages"))
_ELSEWHERE: Final = re.compile(
    r"\s{0,3},?\s{0,3}(?:of|in)\s+(?:the\s+(?:book|paper|article|report|thesis|standard)\b|[\"\u201c\u2018\[]|ref(?:erence)?s?\b)",
    re.IGNORECASE,
)
_PAGE: Final = frozenset({"p", "pp"})
_ON: Final = re.compile(r"(?:\bsee|\bon|\bcf\.?|\bat|\()\s+$|\($", re.IGNORECASE)
_SHOWN: Final = (
    "figure image picture illustration screenshot diagram graph chart plot table example listing equation formula"
)
_NOUN: Final = f"(?:{'|'.join(_words(_SHOWN))})s?"
_RELATIVE: Final = re.compile(
    rf"\b(?:(?P<side>following|above|below|(?:next|preceding|previous|last)(?!\s+(?:image|picture)))\s+(?P<noun>{_NOUN})\b"
    rf"|(?P<noun2>{_NOUN})\s+(?:(?:shown|given)\s+)?(?P<side2>above|below|on\s+the\s+(?:next|previous)\s+page)\b"
    r"(?!\s+(?:each|one|it|the|this)\b)"
    r"|(?:see|shown|seen|illustrated|depicted)\s+(?:also\s+)?(?P<side3>above|below)\b(?!\s+(?:and|the|it)\b))",
    re.IGNORECASE,
)
_UP: Final = frozenset({"above", "preceding", "previous", "last"})
_TABLES: Final = ("table",)
_FORMULAS: Final = ("equation", "formula")
_CODES: Final = ("listing",)
_MAX_NUMBER: Final = 4_000  # longer ranges are no ranges


@dataclass(frozen=True, slots=True)
class Named:
    """A number of a figure, table, section, equation or page, as a text names it.

    Attributes:
        start: first character, with the word in front if it is the first of its list.
        end: character behind it.
        kind: what is named.
        number: as written, without brackets.
        sure: False for a bare number in brackets, which may be no equation at all.
    """

    start: int
    end: int
    kind: Kind
    number: str
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Relative:
    """Something shown above or below.

    Attributes:
        start: first character.
        end: character behind it.
        direction: where it stands.
        types: types of blocks that may be meant.
        bare: True if the text does not say what is shown.
    """

    start: int
    end: int
    direction: Direction
    types: frozenset[str]
    bare: bool


def find_named(text: str, max_range: int) -> Iterator[Named]:
    """Named numbers of a text; lists and ranges are taken apart, each number of them is one.

    >>> [(n.kind, n.number) for n in find_named("see Figs. 3-5, Table 2 and eq. (4.1); in 2 figures", 20)]
    [('figure', '3'), ('figure', '4'), ('figure', '5'), ('table', '2'), ('equation', '4.1')]
    """
    for found in _NAMED.finditer(text):
        name = found["name"].lower()
        if not _is_reference(found, name, text):
            continue
        kind = _KINDS[name]
        yield from _numbers(found, kind, max_range)
    for found in _BARE.finditer(text):
        yield Named(found.start(1) - 1, found.end(1) + 1, "equation", found[1], sure=False)


def number_of_equation(text: str) -> str | None:
    """The number of a title of an equation.

    >>> number_of_equation("Equation 8.2. Normal mode"), number_of_equation("Equation 8.2 says more")
    ('8.2', None)
    """
    found = _EQUATION.match(text)
    return found[1] if found else None


def find_relative(text: str) -> Iterator[Relative]:
    """What a text says is shown above or below.

    >>> [(text.direction, sorted(text.types)) for text in find_relative("The table below and the previous figure")]
    [('below', ['table']), ('above', ['figure'])]
    """
    for found in _RELATIVE.finditer(text):
        side = (found["side"] or found["side2"] or found["side3"]).lower()
        up = side in _UP or side.endswith("previous page")
        noun = found["noun"] or found["noun2"]
        yield Relative(found.start(), found.end(), "above" if up else "below", _types(noun), noun is None)


def _types(noun: str | None) -> frozenset[str]:
    if noun is None:
        return frozenset({"figure", "table", "formula", "code"})
    noun = noun.lower()
    if noun.startswith(_TABLES):
        return frozenset({"table"})
    if noun.startswith(_FORMULAS):
        return frozenset({"formula"})
    if noun.startswith(_CODES):
        return frozenset({"code"})
    return frozenset({"figure", "table", "code", "formula"}) if noun.startswith("example") else frozenset({"figure"})


def _is_reference(found: re.Match[str], name: str, text: str) -> bool:
    numbers, written = found["numbers"], found["name"]
    if found["after"] or text[found.end() : found.end() + 2].strip()[:1] in {"%", "\u00b0"}:
        return False
    if _is_cited(found, name, text) or _lacks_stop(found, name):
        return False
    if not any(character.isdigit() for character in numbers):  # a letter alone: appendices, Roman numbers
        known = name.startswith(("appendi", "anhang")) or len(numbers) > 1 or numbers in "IVX"
        return written[0].isupper() and numbers.isupper() and known
    verb = name == "figure" and written.islower()
    return not (verb and _VERB.search(text, max(0, found.start() - 12), found.start()))


def _is_cited(found: re.Match[str], name: str, text: str) -> bool:
    """Whether another work is cited, its chapters or pages, or a line of contents is read."""
    if _ELSEWHERE.match(text, found.end()):
        return True
    if name in _PAGE:
        return not (
            found["dot"] and found["name"] in _PAGE and _ON.search(text, max(found.start() - 12, 0), found.start())
        )
    if name in _PLURALS and len(_OF_MANY.findall(found["numbers"])) == 1:
        return True  # a line of contents: List of Figures 129
    before = text[max(found.start() - 3, 0) : found.start()].rstrip()
    return name in _FULL_PAGES and (before.endswith(",") or (not before and found["name"].islower()))


def _lacks_stop(found: re.Match[str], name: str) -> bool:
    """Whether a short form has no full stop, or a whole word has one, which ends a sentence."""
    if name in _SHORT:
        return not found["dot"] and not found["name"][0].isupper()
    return bool(found["dot"]) and not name.startswith("§")


def _numbers(found: re.Match[str], kind: Kind, max_range: int) -> Iterator[Named]:
    offset = found.start("numbers")
    numbers = found["numbers"]
    before: re.Match[str] | None = None
    many = found["name"].lower().endswith(("s", "pp", "§§", "en"))
    for index, one in enumerate((_OF_MANY if many else _ONE).finditer(numbers)):
        start = found.start() if index == 0 else offset + one.start()
        end = offset + one.end()
        closing = numbers[one.end() : one.end() + 1] == ")" and numbers[one.start() - 1 : one.start()] == "("
        if before is not None and _RANGE.fullmatch(numbers, before.end(), one.start()):
            for between in _between(before[0], one[0], max_range):
                yield Named(offset + before.start(), end, kind, between)
        yield Named(start, end + closing, kind, one[0].replace(" ", ""))
        before = one


def _between(first: str, last: str, max_range: int) -> list[str]:
    """Numbers strictly between two of the same series.

    >>> _between("3.1", "3.4", 20), _between("3", "2", 20), _between("1", "900", 20)
    (['3.2', '3.3'], [], [])
    """
    stem, low = _split(first)
    other, high = _split(last)
    if stem != other or low is None or high is None or not low < high <= _MAX_NUMBER or high - low > max_range:
        return []
    return [f"{stem}{number}" for number in range(low + 1, high)]


def _split(number: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"(.*?)(\d{1,4})", number)
    return (found[1], int(found[2])) if found else (number, None)
