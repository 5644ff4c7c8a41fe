# pyright: strict
"""A caption taken apart: which things it names, how many, in what state, what it denies, and who is left of whom.

Only what stands in the words is read; what a caption implies is not. Where a sentence is too involved the reading is
poorer, not bolder: a quality that cannot be given to one thing is dropped.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mm_assets.aligned.objects.claims.grammar import Tag, Token, read_grammar
from mm_assets.aligned.objects.claims.object_classes import color_nouns
from mm_assets.aligned.objects.claims.phrase_drafts import (
    ABSENT,
    RUN,
    TRANSPARENT,
    Draft,
    NounPhrase,
    Pending,
    Relation,
    apply_measure,
    classify_measure,
    draft_phrase,
    end_of_run,
    lost_parts,
)
from mm_assets.aligned.objects.claims.word_tags import tag_caption

_RELATIONS: Final[Mapping[str, Relation]] = {"left": "left", "right": "right", "above": "above", "below": "below"}
_HAVE: Final = frozenset({"have", "wear", "hold", "carry", "feature", "contain", "include", "display", "grip"})
_OWNING: Final = frozenset(
    {"with", "without", "in", "wearing", "holding", "carrying", "featuring", "including", "containing"}
)
_DONE_TO_OTHERS: Final = frozenset(
    {"flying", "open", "closed", "spread", "folded", "on", "off", "lit", "parked", "driving", "dry", "clean", "full"}
    | {"running"}
)
_GERUND: Final = frozenset({"for", "of", "by", "from", "after", "before", "without"})
_READINGS_KEPT: Final = 8_192
_INDEFINITE: Final = frozenset({"a", "an", "any", "one", "another"})
_NEW_CLAUSE: Final = frozenset(
    {"while", "but", "whereas", "although", "though", "as", "where", "when", "because", "so", "if"}
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a caption says.

    Attributes:
        phrases: the things it names, in order.
        relations: (subject, relation, object) by place in ``phrases``.
        scenes: day, night, indoors, outdoors and other words for the whole picture.
    """

    phrases: tuple[NounPhrase, ...]
    relations: tuple[tuple[int, Relation, int], ...]
    scenes: frozenset[str]


@functools.lru_cache(maxsize=_READINGS_KEPT)
def read_caption(text: str) -> Reading:
    """Take one English caption apart; the last ones are remembered, since every check reads them.

    >>> reading = read_caption("Two white ducks and no dog")
    >>> [(phrase.words, phrase.count, phrase.denied) for phrase in reading.phrases]
    [(('white', 'ducks'), 2, False), (('dog',), None, True)]
    """
    return _Reader(tag_caption(text)).read()


class _Reader:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._drafts: list[Draft] = []
        self._relations: list[tuple[int, Relation, int]] = []
        self._scenes: set[str] = set()
        self._pending = Pending()
        self._clause = 0
        self._chain: list[int] = []
        self._place: str | None = None
        self._order: Relation | None = None
        self._quoted = False
        self._readers: dict[Tag, Callable[[Token, int], None]] = {
            Tag.PREPOSITION: self._read_preposition,
            Tag.SIDE: self._read_preposition,
            Tag.VERB: self._read_verb,
            Tag.PARTICIPLE: self._read_verb,
            Tag.STATE: self._read_state,
            Tag.AUXILIARY: self._read_auxiliary,
            Tag.NEGATION: self._read_negation,
            Tag.LIKENESS: self._read_likeness,
            Tag.PLACE: self._read_place,
            Tag.GONE: self._read_gone,
            Tag.ORDER: self._read_order,
            Tag.CONJUNCTION: self._read_conjunction,
            Tag.COMMA: self._read_comma,
            Tag.QUOTE: self._read_quote,
            Tag.STOP: self._read_stop,
            Tag.PRONOUN: self._read_pronoun,
        }

    def read(self) -> Reading:
        place = 0
        while place < len(self._tokens):
            token = self._tokens[place]
            scene = read_grammar().scenes.get(token.text)
            if scene and self._next_tag(place) is not Tag.NOUN:
                self._scenes.add(scene)
            if token.tag in RUN:
                place = self._read_run(place)
                continue
            reader = self._readers.get(token.tag)
            if reader is not None:
                reader(token, place)
            place += 1
        return Reading(tuple(draft.finish() for draft in self._drafts), tuple(self._relations), frozenset(self._scenes))

    # -- words between phrases

    def _read_preposition(self, token: Token, _: int) -> None:
        self._pending.link, self._pending.side = token.value, _RELATIONS.get(token.value)

    def _read_verb(self, token: Token, place: int) -> None:
        grammar, pending = read_grammar(), self._pending
        verb = grammar.verb_forms.get(token.value, "")
        state = grammar.states.get(token.value) or grammar.states.get(verb)
        loose = (token.tag is Tag.PARTICIPLE and not pending.finite) or pending.relative
        holder = self._nearest() if loose else self._subject()
        acts_on = state in _DONE_TO_OTHERS and self._next_tag(place) in RUN
        if state and holder is not None and not (pending.negated or acts_on or pending.link in _GERUND):
            holder.states.add(state)
        pending.negated = pending.relative = False
        if pending.denied and verb not in _HAVE:
            pending.denied, pending.doubtful = False, True
        if place and self._tokens[place - 1].text == "to":
            pending.doubtful = True
        pending.link = "with" if verb in _HAVE else "verb"
        pending.side = None

    def _read_state(self, token: Token, _: int) -> None:
        nearest = self._nearest()
        if nearest is not None and not nearest.governed and not self._pending.negated:
            nearest.states.add(token.value)

    def _read_auxiliary(self, token: Token, place: int) -> None:
        self._pending.finite = True
        if token.text.startswith("ha") and self._next_tag(place) in RUN | {Tag.NEGATION}:
            self._pending.link = "with"

    def _read_negation(self, token: Token, place: int) -> None:
        pending = self._pending
        if token.value == "not":
            following = self._tokens[place + 1] if place + 1 < len(self._tokens) else None
            denies = following is not None and (following.tag is Tag.NOUN or following.text in _INDEFINITE)
            pending.denied, pending.negated = denies, not denies
            return
        pending.denied = True
        if token.value == "without":
            pending.link, pending.side = "without", None

    def _read_likeness(self, _: Token, __: int) -> None:
        self._pending.doubtful = True

    def _read_place(self, token: Token, _: int) -> None:
        nearest = self._nearest()
        if nearest is None:
            self._place = token.value
        else:
            nearest.places.add(token.value)

    def _read_gone(self, _: Token, place: int) -> None:
        subject = self._subject()
        if self._next_tag(place) in RUN:
            self._pending.denied = True
        elif subject is not None:
            subject.denied = True

    def _read_order(self, token: Token, _: int) -> None:
        self._order = _RELATIONS[token.value]

    def _read_conjunction(self, token: Token, _: int) -> None:
        if token.value in _NEW_CLAUSE:
            self._start_clause()
        elif token.value in {"or", "nor"}:
            self._read_or()
        else:
            self._pending.joined = True

    def _read_or(self) -> None:
        """Alternatives are doubtful; what is denied before "or" is denied behind it."""
        denied = any(self._drafts[place].denied for place in self._chain)
        for place in self._chain[-1:] if denied else self._chain:
            self._drafts[place].denied |= denied
            self._drafts[place].doubtful |= not denied
        self._pending.denied |= denied
        self._pending.either = not denied
        self._pending.joined = True

    def _read_comma(self, _: Token, __: int) -> None:
        self._pending = Pending(finite=True)

    def _read_quote(self, _: Token, __: int) -> None:
        self._quoted = not self._quoted

    def _read_stop(self, token: Token, _: int) -> None:
        if token.value != ":":
            self._order = None
        self._start_clause()

    def _read_pronoun(self, token: Token, _: int) -> None:
        if token.value in {"who", "which", "that"}:
            self._pending.relative = True
        elif token.value == "nobody":
            self._add(Draft(token.start, token.end, ("person",), denied=True))

    def _start_clause(self) -> None:
        self._pending = Pending()
        self._clause = len(self._drafts)
        self._chain = []

    def _next_tag(self, place: int) -> Tag:
        return self._tokens[place + 1].tag if place + 1 < len(self._tokens) else Tag.STOP

    def _nearest(self) -> Draft | None:
        return self._drafts[-1] if len(self._drafts) > self._clause else None

    def _subject(self) -> Draft | None:
        place = self._subject_place()
        return None if place is None else self._drafts[place]

    def _subject_place(self) -> int | None:
        """The last thing of the clause that no preposition or verb governs."""
        for place in range(len(self._drafts) - 1, self._clause - 1, -1):
            if not self._drafts[place].governed:
                return place
        if len(self._drafts) > self._clause:
            return len(self._drafts) - 1
        return 0 if len(self._drafts) == 1 else None

    # -- phrases

    def _read_run(self, first: int) -> int:
        """Read the phrase that starts here; returns the place behind it."""
        last = end_of_run(self._tokens, first)
        run = self._tokens[first:last]
        nouns = [token for token in run if token.tag in {Tag.NOUN, Tag.OWNER}]
        described = [token for token in run if token.tag is Tag.QUALITY]
        if not nouns:
            nouns = self._find_noun(run, described, last)
            if not nouns:
                self._describe({token.value for token in described})
                return last
            described = [token for token in described if token is not nouns[0]]
        self._name(run, nouns, described, last - 1)
        return last

    def _find_noun(self, run: list[Token], described: list[Token], last: int) -> list[Token]:
        """The noun of a run that seems to have none: "no one", "an orange"."""
        if self._pending.denied and any(token.value == "one" for token in run):
            return [Token(run[-1].start, run[-1].end, "person", Tag.NOUN, "person")]
        # "A slice of orange": the colour is the fruit.
        named = self._pending.link not in {"", "verb"} and bool(described) and described[-1].value in color_nouns()
        alone = named or (run[0].tag is Tag.DETERMINER and self._next_tag(last - 1) is not Tag.COMMA)
        return described[-1:] if alone and not ABSENT & {token.value for token in described} else []

    def _describe(self, qualities: set[str]) -> None:
        """Qualities without a noun: those of the subject."""
        subject = self._subject()
        if subject is not None and not self._pending.negated:
            subject.qualify(qualities)
            subject.denied |= not ABSENT.isdisjoint(qualities)
        self._pending.negated = False

    def _name(self, run: list[Token], nouns: list[Token], described: list[Token], end: int) -> None:
        pending = self._pending
        draft = draft_phrase(run, nouns, described)
        apply_measure(draft, pending.measure, pending.multiple)
        draft.link, draft.governed = pending.link, bool(pending.link)
        draft.denied |= pending.denied
        draft.doubtful = pending.doubtful or pending.either or self._quoted
        draft.doubtful |= pending.link == "for" or run[-1].tag is Tag.OWNER
        self._give_owner(draft)
        if self._place is not None:
            draft.places.add(self._place)
            self._place = None
        if self._is_measure(draft, end):
            return
        side, subject = pending.side, self._subject_place()
        self._add(draft)
        here = len(self._drafts) - 1
        if side is not None and subject is not None and not draft.denied:
            self._relations.append((subject, side, here))
        if self._order is not None and len(self._chain) > 1:
            self._relations.append((self._chain[-2], self._order, here))
        for lost in lost_parts(described):
            lost.owner = here
            self._drafts.append(lost)
        if run[-1].tag is Tag.OWNER:
            self._pending.owner = here

    def _give_owner(self, draft: Draft) -> None:
        """Say what the phrase belongs to; of "a hat and a broom" the broom belongs where the hat does."""
        pending = self._pending
        if pending.joined and self._chain and not pending.link:
            before = self._drafts[self._chain[-1]]
            draft.link, draft.governed, draft.owner = before.link, before.governed, before.owner
        elif pending.owner is not None:
            draft.owner, draft.link = pending.owner, "of"
        elif pending.link in _OWNING:
            draft.owner = self._subject_place()
        elif pending.link == "of" and self._drafts:
            draft.owner = len(self._drafts) - 1

    def _is_measure(self, draft: Draft, end: int) -> bool:
        """Whether "of" follows and the phrase counts, sorts, depicts or holds what comes."""
        if self._next_tag(end) is not Tag.PREPOSITION or self._tokens[end + 1].value != "of":
            return False
        measure = classify_measure(draft.words[-1], opens=not self._drafts)
        if not measure:
            return False
        held = Pending(denied=draft.denied, doubtful=draft.doubtful, measure=measure, multiple=draft.count)
        held.joined, held.either = self._pending.joined, self._pending.either
        if measure in TRANSPARENT:
            held.link, held.owner = draft.link, draft.owner
        else:
            if measure == "content":
                draft.states.add("full")
            self._add(draft)
            held.owner = len(self._drafts) - 1 if measure == "content" else None
            held.doubtful |= measure == "likeness"
        of = self._tokens[end + 1]
        self._tokens[end + 1] = Token(of.start, of.end, of.text, Tag.ADVERB, "")
        self._pending = held
        return True

    def _add(self, draft: Draft) -> None:
        self._drafts.append(draft)
        self._chain.append(len(self._drafts) - 1)
        self._pending = Pending()
