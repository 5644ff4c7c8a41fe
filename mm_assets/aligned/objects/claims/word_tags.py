# pyright: strict
"""What each word of a caption does in its sentence.

Captions are short and say what is there; lists of the verbs and function words they use, and the place of a word, tell
most nouns from verbs. A word nobody lists is taken for a noun, which hides an object behind it ("a dog frolics" names a
"frolics") sooner than it invents one.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from mm_assets.aligned.objects.anchoring.lexicon import read_lexicon
from mm_assets.aligned.objects.claims.grammar import Tag, Token, is_plural, read_grammar

_TOKEN: Final = re.compile(
    r"(?P<word>[^\W\d_]\w*(?:[-'\u2019][^\W\d_]+)*)|(?P<number>\d+(?:[.,]\d+)*)|(?P<mark>[^\w\s])"
)
_SHORTEST_STEM: Final = 3
_QUOTES: Final = frozenset('"\u201c\u201d\u00ab\u00bb\u201e')
_LIKE_COMMAS: Final = frozenset(",()-/*'`\u2013\u2014\u2019")
_IDIOM_TAGS: Final[Mapping[str, tuple[Tag | None, str]]] = {
    "prep": (Tag.PREPOSITION, "next to"),
    "left": (Tag.SIDE, "left"),
    "right": (Tag.SIDE, "right"),
    "place_left": (Tag.PLACE, "left"),
    "place_right": (Tag.PLACE, "right"),
    "place_top": (Tag.PLACE, "top"),
    "place_bottom": (Tag.PLACE, "bottom"),
    "place_middle": (Tag.PLACE, "middle"),
    "skip": (None, ""),
    "like": (Tag.LIKENESS, ""),
    "instead": (Tag.NEGATION, "without"),
    "gone": (Tag.GONE, ""),
    "flying": (Tag.STATE, "flying"),
    "still": (Tag.STATE, "still"),
    "running": (Tag.STATE, "running"),
    "off": (Tag.STATE, "off"),
    "on": (Tag.STATE, "on"),
    "six": (Tag.NUMBER, "6"),
    "order_left": (Tag.ORDER, "left"),
    "order_right": (Tag.ORDER, "right"),
}
_VERTICAL: Final = {
    "above": "above",
    "over": "above",
    "atop": "above",
    "below": "below",
    "under": "below",
    "beneath": "below",
    "underneath": "below",
}
_LESS: Final = "less"
_BEFORE_VERB: Final = frozenset({Tag.AUXILIARY, Tag.VERB})
_PHRASE_LENGTH: Final = 5
_SPELLED_ALIKE: Final = frozenset({"spread", "shut", "cut", "set", "split"})
"""Participles that look like their verb."""
_DESCRIBING_ENDS: Final = ("ed", "ing", "shaped", "like", "less", "free")
_INSIDE_PHRASE: Final = frozenset({Tag.DETERMINER, Tag.NUMBER, Tag.QUALITY, Tag.NEGATION, Tag.OWNER})
_OPENS_PHRASE: Final = frozenset({Tag.PREPOSITION, Tag.SIDE, Tag.CONJUNCTION, Tag.COMMA, Tag.STOP})
_BEFORE_BARE_NOUN: Final = frozenset({Tag.PREPOSITION, Tag.SIDE, Tag.VERB, Tag.CONJUNCTION})
_NEGATIONS: Final[Mapping[str, str]] = {
    "no": "no",
    "neither": "no",
    "zero": "no",
    "without": "without",
    "not": "not",
    "never": "not",
}
_FUNCTION_WORDS: Final[Mapping[str, Tag]] = {
    "determiners": Tag.DETERMINER,
    "vague": Tag.NUMBER,
    "prepositions": Tag.PREPOSITION,
    "conjunctions": Tag.CONJUNCTION,
    "pronouns": Tag.PRONOUN,
    "auxiliaries": Tag.AUXILIARY,
    "adverbs": Tag.ADVERB,
}
_BEHIND_VERBS: Final = ("determiners", "prepositions", "adverbs", "conjunctions", "pronouns", "auxiliaries")
_Raw = tuple[int, int, str, str]


def tag_caption(text: str) -> list[Token]:
    """Split a caption into words and say what each does; adverbs and idioms without content are left out.

    >>> [(token.text, token.tag.value) for token in tag_caption("Two ducks swim.")]
    [('two', 'number'), ('ducks', 'noun'), ('swim', 'verb'), ('.', 'stop')]
    """
    raw = [
        (match.start(), match.end(), match[0].lower().replace("\u2019", "'"), str(match.lastgroup))
        for match in _TOKEN.finditer(text)
    ]
    tokens: list[Token] = []
    place = 0
    while place < len(raw):
        length, kind = _find_idiom(raw, place)
        if length:
            tag, value = _IDIOM_TAGS[kind]
            if tag is not None:
                spelled = " ".join(word for _, _, word, _ in raw[place : place + length])
                tokens.append(Token(raw[place][0], raw[place + length - 1][1], spelled, tag, value))
            place += length
            continue
        start, end, word, group = raw[place]
        following = raw[place + 1][2] if place + 1 < len(raw) else ""
        for tag, value, spelled in _tag_word(word, group, following, tokens):
            if tag is not Tag.ADVERB:
                tokens.append(Token(start, end, spelled, tag, value))
        place += 1
    return tokens


def _find_idiom(raw: list[_Raw], place: int) -> tuple[int, str]:
    for words, kind in read_grammar().idioms.get(raw[place][2], ()):
        if tuple(word for _, _, word, _ in raw[place : place + len(words)]) == words:
            return len(words), kind
    return 0, ""


def _tag_word(word: str, group: str, following: str, before: list[Token]) -> Iterable[tuple[Tag, str, str]]:
    if group == "mark":
        tag = Tag.QUOTE if word in _QUOTES else Tag.COMMA if word in _LIKE_COMMAS else Tag.STOP
        return [(tag, word, word)]
    if group == "number":
        return [(Tag.NUMBER, word, word)]
    if word.endswith("n't"):
        return [(Tag.AUXILIARY, word, word), (Tag.NEGATION, "not", "not")]
    if word.endswith("'s") and word not in read_grammar().lists["pronouns"]:
        owner = word.removesuffix("'s")
        return [(Tag.OWNER, owner, owner)]
    tag, value = _tag_function_word(word, following, before) or _tag_content_word(word, following, before)
    return [(tag, value, word)]


def _tag_function_word(word: str, following: str, before: list[Token]) -> tuple[Tag, str] | None:
    grammar = read_grammar()
    if word in _NEGATIONS:
        return Tag.NEGATION, _NEGATIONS[word]
    if word in _VERTICAL:
        return Tag.SIDE, _VERTICAL[word]
    if word in grammar.numbers:
        return Tag.NUMBER, word
    if word == "like":
        return (Tag.ADVERB, word) if before and before[-1].tag is Tag.AUXILIARY else (Tag.LIKENESS, "")
    if word == "that" and (following in grammar.lists["auxiliaries"] or following in grammar.verb_forms):
        return Tag.PRONOUN, word
    return next(((tag, word) for name, tag in _FUNCTION_WORDS.items() if word in grammar.lists[name]), None)


def _tag_content_word(word: str, following: str, before: list[Token]) -> tuple[Tag, str]:
    grammar = read_grammar()
    previous = before[-1].tag if before else Tag.STOP
    if word in read_lexicon().colors:
        return Tag.QUALITY, word
    if "-" in word:
        return (Tag.QUALITY if word.endswith(_DESCRIBING_ENDS) else Tag.NOUN), word
    if word in grammar.verb_forms and (previous not in _INSIDE_PHRASE or word.endswith(("ing", "ed"))):
        return _tag_verb(word, following, before), word
    if word in grammar.lists["adjectives"]:
        return Tag.QUALITY, word
    return _tag_by_ending(word, following, before), word


def _tag_by_ending(word: str, following: str, before: list[Token]) -> Tag:
    """A word that no list has."""
    lists = read_grammar().lists
    previous = before[-1].tag if before else Tag.STOP
    if word.endswith(_LESS) and word not in lists["endless"] and len(word) > _SHORTEST_STEM + len(_LESS):
        return Tag.QUALITY
    if word.endswith("ly") and word not in lists["not_adverbs"] and len(word) > _SHORTEST_STEM + 1:
        return Tag.ADVERB
    nouns = lists["not_participles"] | lists["not_ing"] | read_lexicon().nouns_in_ing
    if word.endswith(("ed", "ing")) and word not in nouns:
        return _tag_participle(following, before)
    acts = word.endswith("s") and previous is Tag.NOUN and not before[-1].text.endswith("s")
    return Tag.VERB if acts and following in lists["determiners"] else Tag.NOUN


def _tag_verb(word: str, following: str, tokens: list[Token]) -> Tag:
    """A verb, the participle of one, or a noun that is spelled like one."""
    grammar = read_grammar()
    before = tokens[-1] if tokens else Token(0, 0, "", Tag.STOP, "")
    verb = grammar.verb_forms[word]
    if word in read_lexicon().nouns_in_ing:
        return Tag.NOUN
    if word.endswith(("ing", "ed")) or (word != verb and not word.endswith("s")):
        return _tag_participle(following, tokens)
    if word in _SPELLED_ALIKE and before.tag is Tag.NOUN and following not in grammar.lists["determiners"]:
        return Tag.PARTICIPLE
    plain = Tag.QUALITY if word in grammar.lists["adjectives"] else Tag.NOUN
    if before.tag is Tag.NOUN or (before.tag is Tag.PRONOUN and word != verb):
        describes = plain is Tag.QUALITY and word == verb
        acts = not describes and _agrees(word, verb, following, tokens)
        return Tag.VERB if acts else Tag.QUALITY if describes else Tag.NOUN
    joined = before.tag is Tag.CONJUNCTION and word.endswith("s") and _follows_verb(following)
    acts = joined or before.text in {"to", "that"} or (before.tag in _BEFORE_VERB and plain is Tag.NOUN)
    return Tag.VERB if acts else plain


def _agrees(word: str, verb: str, following: str, tokens: list[Token]) -> bool:
    """Whether a word behind a noun is its verb: "a bus stops at" but "two bus stops", "with telephone lines in"."""
    if verb not in read_grammar().lists["nouns_too"]:
        return True
    compound = len(tokens) > 1 and tokens[-2].tag in _BEFORE_BARE_NOUN
    in_number = (word == verb) == is_plural(tokens[-1].text)
    # "A camel with two humps stands": the verb agrees with the camel.
    in_number |= word != verb and any(token.tag is Tag.PREPOSITION for token in tokens[-_PHRASE_LENGTH:-1])
    return in_number and not compound and _follows_verb(following)


def _tag_participle(following: str, tokens: list[Token]) -> Tag:
    """Before a noun it describes it; behind one, or behind "without", it says what is done."""
    previous = tokens[-1].tag if tokens else Tag.STOP
    if previous in _INSIDE_PHRASE:
        acts = previous is Tag.NEGATION and (tokens[-1].value == "without" or _follows_verb(following))
        return Tag.PARTICIPLE if acts else Tag.QUALITY
    describes = previous in _OPENS_PHRASE and not _follows_verb(following)
    return Tag.QUALITY if describes else Tag.PARTICIPLE


def _follows_verb(word: str) -> bool:
    return not word[:1].isalpha() or any(word in read_grammar().lists[name] for name in _BEHIND_VERBS)
