# pyright: strict
"""One word or name of a caption replaced, so that it is false of its picture and still reads like a caption.

Words change places between two captions where they can (`mm_assets.hard_negatives.exchange`); a word that finds no
partner takes a sibling from the net of words, an opposite, or another colour, material or number.
"""

import functools
from collections.abc import Iterator, Sequence

import numpy as np

from mm_assets.aligned.objects.anchoring.lexicon import read_lexicon
from mm_assets.aligned.objects.claims.colors import are_near, colors_agree
from mm_assets.hard_negatives.exchange import exchange, false_in_both, pair_slots, slots_of
from mm_assets.hard_negatives.interfaces import Sense, WordNet
from mm_assets.hard_negatives.known_things import KnownThings, false_color, false_name, known_things
from mm_assets.hard_negatives.lexicon import read_edit_lexicon
from mm_assets.hard_negatives.negatives import EditKind, Negative, Positive, Strategy, edited
from mm_assets.hard_negatives.slots import Slot, replace_slot
from mm_assets.hard_negatives.terms import Kinship, TermRelations
from mm_assets.policy import HardNegativePolicy

_SINGULAR = "singular"
_SENSES_KEPT = 4_096


class SubtleReplacement:
    """Makes negatives by replacing one word or name.

    Args:
        net: a net of words.
        policy: the policy.
        relations: compares names; made of the net alone if None.
    """

    strategy = Strategy.SUBTLE_REPLACEMENT

    def __init__(self, net: WordNet, policy: HardNegativePolicy, relations: TermRelations | None = None) -> None:
        self._net = net
        self._policy = policy
        self._relations = relations or TermRelations(net)
        self._common_siblings = functools.lru_cache(_SENSES_KEPT)(self._find_siblings)

    def make(self, positives: Sequence[Positive]) -> Iterator[Negative]:
        """All replacements found in the captions, exchanges first.

        Args:
            positives: true pairs of one batch or of a chunk of it; words are exchanged among them only.
        """
        known = [known_things(positive) for positive in positives]
        slots = slots_of(positives, self._relations)
        served: set[tuple[int, int]] = set()
        pairs = pair_slots(
            slots,
            [positive.text for positive in positives],
            false_in_both(positives, self._relations),
            window=self._policy.exchange_window,
            per_slot=self._policy.exchanges_per_word,
        )
        provenance = {"source": "exchange", "net": str(self._net.identity)}
        for pair in pairs:
            served.update((slot.owner, slot.start) for slot in pair)
            yield from exchange(positives, pair, self.strategy, provenance)
        if self._policy.unpaired:
            rng = np.random.default_rng(self._policy.seed)
            spoken = {slot.value for slot in slots}
            for slot in slots:
                if (slot.owner, slot.start) not in served:
                    yield from self._replaced(positives[slot.owner], slot, known[slot.owner], spoken, rng)

    def _replaced(
        self,
        positive: Positive,
        slot: Slot,
        known: KnownThings,
        spoken: set[str],
        rng: np.random.Generator,
    ) -> Iterator[Negative]:
        """At most one replacement from the lists, words that the batch uses first."""
        source, words = self._candidates(slot, known)
        if not words:
            return
        shared = [word for word in words if word in spoken] or words
        edit = replace_slot(positive.text, slot, shared[int(rng.integers(len(shared)))])
        yield edited(positive, self.strategy, [edit], {"source": source, "net": str(self._net.identity)})

    def _candidates(self, slot: Slot, known: KnownThings) -> tuple[str, list[str]]:
        lexicon = read_edit_lexicon()
        if slot.kind is EditKind.OBJECT:
            return "siblings", self._siblings(slot, known)
        if slot.kind is EditKind.COLOR:
            return "colours", [color for color in _far_colors(slot.value) if false_color(color, slot.head, known)]
        if slot.kind is EditKind.NUMBER:
            place = lexicon.numbers.index(slot.value)
            return "numbers", [lexicon.numbers[i] for i in (place - 1, place + 1) if 0 <= i < len(lexicon.numbers)]
        if slot.group == ("material",):
            return "materials", [word for word in lexicon.materials if word != slot.value]
        if slot.kind in {EditKind.NEGATION, EditKind.ORDER}:  # one way only would give them away
            return "opposites", []
        return "opposites", [word for word, _ in self._relations.opposites(slot.value)]

    def _siblings(self, slot: Slot, known: KnownThings) -> list[str]:
        """Common words for other kinds of the same; singulars only, for the net spells no plurals."""
        if slot.name is None or not slot.name.senses or _SINGULAR not in slot.group:
            return []
        return [
            word
            for word in self._common_siblings(slot.name.senses[0])
            if false_name(word.split(), known, self._relations) is Kinship.APART
        ]

    def _find_siblings(self, sense: Sense) -> tuple[str, ...]:
        """Words for other kinds of the same that running text uses."""
        return tuple(
            word for word in self._net.siblings(sense) if self._net.usage(word) and word.replace(" ", "").isalpha()
        )


def _far_colors(color: str) -> list[str]:
    palette, lexicon = read_lexicon().colors, read_edit_lexicon()
    bits = palette.get(color, 0)
    named = lexicon.color_pairs.get(color) or tuple(lexicon.hues)
    return [other for other in named if not colors_agree(bits, palette[other]) and not are_near(bits, palette[other])]
