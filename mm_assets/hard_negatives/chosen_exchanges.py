# pyright: strict
"""Exchanges of words that a language model chooses, so that false captions read as well as true ones.

Every word it puts into one caption it takes from another, so words tell nothing; and of the pairs that could change
places it takes those after which both captions are about as likely as before, so fluency tells little.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Final

from mm_assets.hard_negatives.exchange import exchange, false_in_both, possible_pairs, slots_of
from mm_assets.hard_negatives.interfaces import TextRater
from mm_assets.hard_negatives.negatives import Negative, Positive, Strategy
from mm_assets.hard_negatives.terms import TermRelations
from mm_assets.policy import HardNegativePolicy

Text = tuple[str, str]
"""A positive's id and a false text of it, lower case."""
LEAD_VERSION: Final = "lead-1"
_LEAD: Final = """\
Captions of pictures, one a line:
A yellow bus on a street.
Three apples on a table.
A black dog under a bench.
A boy holds a kite.
"""
_PAIRS_AT_ONCE: Final = 64


class ChosenExchanges:
    """Lets a model choose among exchanges.

    Args:
        model: rates captions.
        relations: compares names.
        policy: the policy.
    """

    def __init__(self, model: TextRater, relations: TermRelations, policy: HardNegativePolicy) -> None:
        self._model, self._relations, self._policy = model, relations, policy
        self._rated: dict[str, float] = {}
        self._found: list[tuple[float, tuple[Negative, Negative]]] = []

    def possible(
        self, positives: Sequence[Positive], taken: Collection[Text]
    ) -> Iterator[Sequence[tuple[Negative, Negative]]]:
        """Exchanges to be rated, some at a time, closest words first.

        Args:
            positives: true pairs that may lend each other words.
            taken: false texts that there are.
        """
        captions = [positive.text for positive in positives]
        slots, compatible = slots_of(positives, self._relations), false_in_both(positives, self._relations)
        pairs = possible_pairs(slots, captions, compatible, window=self._policy.rated_window)
        provenance = {"source": "exchange", "model": str(self._model.identity), "prompt_version": LEAD_VERSION}
        both = (exchange(positives, pair, Strategy.LLM_SYNTHETIC, provenance) for pair in pairs)
        free = (halves for halves in both if all((n.positive_id, n.text.lower()) not in taken for n in halves))
        while some := list(islice(free, _PAIRS_AT_ONCE)):
            yield some

    def rate(self, pairs: Sequence[tuple[Negative, Negative]]) -> None:
        """Have the model rate some exchanges."""
        texts = {text: None for halves in pairs for n in halves for text in (n.positive_text, n.text)}
        new = [text for text in texts if text not in self._rated]
        self._rated |= dict(zip(new, self._model.rate(_LEAD, new).tolist(), strict=True))
        for halves in pairs:
            self._found.append((max(abs(self._shift(half)) for half in halves), halves))

    def _shift(self, half: Negative) -> float:
        """Nats that a caption gains by its edit."""
        return self._rated[half.text] - self._rated[half.positive_text]

    def take(self) -> Iterator[Negative]:
        """Halves of the chosen exchanges, the evenest first; a word takes part in one, a caption in a few."""
        words: set[tuple[str, int]] = set()
        captions: Counter[str] = Counter()
        for shift, halves in sorted(self._found, key=lambda found: found[0]):
            places = [(half.positive_id, half.edits[0].end) for half in halves]
            if shift > self._policy.max_rated_shift:
                return
            room = all(captions[own] < self._policy.max_per_positive for own, _ in places)
            if room and words.isdisjoint(places):
                words.update(places)
                captions.update(own for own, _ in places)
                yield from halves
