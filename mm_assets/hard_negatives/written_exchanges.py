# pyright: strict
"""Counterparts of what a language model writes freely.

A word that a model writes into one caption tells nothing where another caption, that truly says it, gets the word it
replaced: the two are halves of one exchange. A text that finds no counterpart stays as it was written, and is left to
the balancer.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

from mm_assets.hard_negatives.chosen_exchanges import Text
from mm_assets.hard_negatives.exchange import exchange, false_in_both, slots_of
from mm_assets.hard_negatives.negatives import Negative, Positive
from mm_assets.hard_negatives.slots import Slot
from mm_assets.hard_negatives.terms import TermRelations


class WrittenExchanges:
    """Finds counterparts among the captions of a batch.

    Args:
        positives: true pairs that may lend a word.
        relations: compares names.
        taken: false texts that others have made.
        per_word: most exchanges a word of a caption takes part in.
    """

    def __init__(
        self, positives: Sequence[Positive], relations: TermRelations, taken: Collection[Text], per_word: int
    ) -> None:
        self._positives, self._taken, self._per_word = positives, set(taken), per_word
        self._compatible = false_in_both(positives, relations)
        self._used = Counter[tuple[int, int]]()
        self._places: dict[tuple[str, int], Slot] = {}
        self._words: dict[tuple[tuple[str, ...], str], list[Slot]] = defaultdict(list)
        for slot in slots_of(positives, relations):
            self._places[positives[slot.owner].positive_id, slot.end] = slot
            self._words[slot.group, slot.text.lower()].append(slot)

    def complete(self, written: Negative) -> tuple[Negative, ...]:
        """Both halves of the exchange that a written text is half of; the text alone if there is no other half.

        Args:
            written: a negative of one of the captions.

        Returns:
            Two negatives, one, or none if there is such a text already.
        """
        own = written.positive_id, written.text.lower()
        if own in self._taken:
            return ()
        found = self._exchange(written) or (written,)
        self._taken.update((half.positive_id, half.text.lower()) for half in found)
        return found

    def _exchange(self, written: Negative) -> tuple[Negative, ...]:
        slot = self._places.get((written.positive_id, written.edits[0].end)) if len(written.edits) == 1 else None
        if slot is None:
            return ()
        before = slot.context(self._positives[slot.owner].text)[0]
        provenance = {**written.provenance, "source": "exchange"}
        for donor in self._words.get((slot.group, _word(written, slot).lower()), ()):
            if donor.owner == slot.owner or donor.context(self._positives[donor.owner].text)[0] != before:
                continue
            if self._used[donor.owner, donor.start] >= self._per_word or not self._compatible(slot, donor):
                continue
            halves = exchange(self._positives, (slot, donor), written.strategy, provenance)
            texts = {(half.positive_id, half.text.lower()) for half in halves}
            if halves[0].text == written.text and self._taken.isdisjoint(texts):
                self._used.update([(slot.owner, slot.start), (donor.owner, donor.start)])
                return halves
        return ()


def _word(written: Negative, slot: Slot) -> str:
    """What was written into a slot, without the article before it; empty if more than the slot was changed."""
    edit = written.edits[0]
    if edit.start == slot.start:
        return edit.after
    return edit.after.partition(" ")[2] if edit.start == slot.article_start else ""
