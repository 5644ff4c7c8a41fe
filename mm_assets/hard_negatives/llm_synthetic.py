# pyright: strict
"""False captions by a language model, taken only in the form that was asked for.

A model that follows instructions writes whole captions, and where the batch has a caption for the other half of an
exchange, that half is made, too (`mm_assets.hard_negatives.written_exchanges`). A small one would give itself away by
every word it writes; it chooses instead, of the words that captions could lend each other, those that change places
with the least effect on how likely the captions are (`mm_assets.hard_negatives.chosen_exchanges`). Without a model
nothing is asked and nothing is made. Prompts carry a version; what comes back passes the same verdicts as every other
negative. A request that fails is counted, not repeated; several in a row end the work.
"""

import json
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from mm_assets.aligned.objects.anchoring.lexicon import read_lexicon
from mm_assets.display.counts import tell_count
from mm_assets.errors import InferenceError
from mm_assets.hard_negatives.chosen_exchanges import ChosenExchanges, Text
from mm_assets.hard_negatives.interfaces import LanguageModel, TextRater
from mm_assets.hard_negatives.lexicon import read_edit_lexicon
from mm_assets.hard_negatives.negatives import (
    Edit,
    EditKind,
    Negative,
    Positive,
    Strategy,
    find_edits,
)
from mm_assets.hard_negatives.terms import TermRelations
from mm_assets.hard_negatives.written_exchanges import WrittenExchanges
from mm_assets.policy import HardNegativePolicy

NOT_CONFIGURED: Final = (
    "no language model is configured (MM_LLM_MODEL, and MM_LLM_BASE_URL for an endpoint): "
    "no hard negative was written by one"
)
PROMPT_VERSION: Final = "1"
_PROMPT: Final = """\
A caption describes a picture truthfully. Write {count} captions that sound alike but are FALSE of the picture.
Change one fact each: the object, its colour or another attribute, the number, who does what, or where things are.
Keep the wording and the length; do not deny anything, use no synonym and no broader word.
Further true statements about the picture, which your captions must contradict or avoid: {siblings}
Answer with a JSON array of {count} strings and nothing else.
Caption: {caption}"""
_ARRAY: Final = re.compile(r"\[.*\]", re.DOTALL)
_NEGATION: Final = frozenset({"no", "not", "without", "never", "none"})
_LONGEST_RATIO: Final = 1.5
_MOST_CHANGED: Final = 0.6
_FAILURES_TO_STOP: Final = 5
_SIBLINGS_SHOWN: Final = 5
_WORD: Final = re.compile(r"[^\W_]+")


@dataclass
class SyntheticReport:
    """What the model was asked and what came of it.

    Attributes:
        note: why nothing was asked; empty if a model is configured.
        requests: requests made, or captions whose words a model chose among.
        failed: requests without an answer.
        malformed: answers, or texts in them, not in the form asked for.
        last_failure: what the last request without an answer met with.
        stopped: why captions were left unasked; empty if none were.
    """

    note: str = ""
    requests: int = 0
    failed: int = 0
    malformed: int = 0
    last_failure: str = ""
    stopped: str = ""

    def tell(self) -> str:
        """All of it in a line.

        >>> SyntheticReport(requests=3, failed=1, malformed=2, last_failure="no answer in 60 s").tell()
        '3 requests, 1 failed (the last: no answer in 60 s), 2 malformed'
        """
        if self.note:
            return self.note
        failed = f", {self.failed} failed (the last: {self.last_failure})" if self.failed else ""
        stopped = f"; stopped: {self.stopped}" if self.stopped else ""
        return f"{tell_count(self.requests, 'request')}{failed}, {self.malformed} malformed{stopped}"


class LlmSynthetic:
    """Makes negatives by asking a language model.

    Args:
        model: the model; None if none is configured.
        relations: knows which words of a caption may be replaced.
        policy: the policy.
        max_prompts: captions asked about at most; None: as many as the policy allows.
        clock: monotonic seconds.
    """

    strategy = Strategy.LLM_SYNTHETIC

    def __init__(
        self,
        model: LanguageModel | TextRater | None,
        relations: TermRelations,
        policy: HardNegativePolicy,
        max_prompts: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._relations, self._policy, self._clock = model, relations, policy, clock
        self._most = policy.max_prompts if max_prompts is None else min(max_prompts, policy.max_prompts)
        self._ends: float | None = None
        self._failed_in_a_row = 0
        self.report = SyntheticReport(note=NOT_CONFIGURED if model is None else "")

    def make(self, positives: Sequence[Positive], taken: Collection[Text] = ()) -> Iterator[Negative]:
        """False captions of the first positives of a batch, as many as the policy allows over all calls.

        Args:
            positives: true pairs; words are exchanged among them only.
            taken: ids of positives with false texts, lower case, that others have made of them.
        """
        if self._model is None:
            return
        chosen = positives[: self._most - self.report.requests]
        if len(chosen) < len(positives) and self._most < self._policy.max_prompts:
            self.report.stopped = f"the batch's budget allows {tell_count(self._most, 'request')}"
        if isinstance(self._model, TextRater):
            yield from self._choose(self._model, chosen, taken)
        else:
            others = WrittenExchanges(positives, self._relations, taken, self._policy.exchanges_per_word)
            for written in self._ask(self._model, chosen):
                yield from others.complete(written)

    def _is_over(self) -> bool:
        """Whether no more may be asked of this batch; the report then says so."""
        self._ends = self._ends or self._clock() + self._policy.prompt_seconds
        if self._failed_in_a_row >= _FAILURES_TO_STOP:
            self.report.stopped = f"{self._failed_in_a_row} requests in a row failed"
        elif self._clock() > self._ends:
            self.report.stopped = f"the {self._policy.prompt_seconds:g} s of [hard_negatives] prompt_seconds are over"
        return bool(self.report.stopped)

    def _ask(self, model: LanguageModel, positives: Sequence[Positive]) -> Iterator[Negative]:
        for positive in positives:
            if self._is_over():
                return
            self.report.requests += 1
            try:
                answer = model.ask(self.prompt(positive))
            except InferenceError as error:
                self.report.failed += 1
                self.report.last_failure = str(error)
                self._failed_in_a_row += 1
                continue
            self._failed_in_a_row = 0
            yield from self._read(positive, answer, str(model.identity))

    def _choose(self, model: TextRater, positives: Sequence[Positive], taken: Collection[Text]) -> Iterator[Negative]:
        """Exchanges whose captions read as likely as before, of those that are rated in time."""
        self.report.requests += len(positives)
        choice = ChosenExchanges(model, self._relations, self._policy)
        for some in choice.possible(positives, taken):
            if self._is_over():
                break
            choice.rate(some)
        yield from choice.take()

    def prompt(self, positive: Positive) -> str:
        """What is asked for one positive."""
        siblings = [*positive.siblings, *positive.labels][:_SIBLINGS_SHOWN]
        return _PROMPT.format(
            count=self._policy.max_per_positive, siblings=json.dumps(siblings), caption=json.dumps(positive.text)
        )

    def _read(self, positive: Positive, answer: str, model: str) -> Iterator[Negative]:
        texts = read_answer(answer)
        self.report.malformed += texts is None
        for text in (texts or [])[: self._policy.max_per_positive]:
            edits = find_edits(positive.text, text, EditKind.OBJECT)
            if not is_close(positive.text, text, edits):
                self.report.malformed += 1
                continue
            edits = tuple(Edit(e.start, e.end, e.before, e.after, kind_of(e)) for e in edits)
            yield Negative(
                positive_id=positive.positive_id,
                image_id=positive.image_id,
                strategy=self.strategy,
                positive_text=positive.text,
                text=text,
                edits=edits,
                provenance={"model": model, "prompt_version": PROMPT_VERSION},
            )


def read_answer(answer: str) -> list[str] | None:
    """The strings of the answer's JSON array; None if there is none.

    >>> read_answer('Sure: ["A blue cup.", "Two cups."]'), read_answer("A blue cup.")
    (['A blue cup.', 'Two cups.'], None)
    """
    match = _ARRAY.search(answer)
    if match is None:
        return None
    try:
        found: Any = json.loads(match[0])
    except (ValueError, RecursionError):
        return None
    texts = cast("list[Any]", found)
    if not all(isinstance(text, str) for text in texts):
        return None
    return [" ".join(str(text).split()) for text in texts]


def is_close(before: str, after: str, edits: Sequence[Edit]) -> bool:
    """Whether a text differs from its positive in some words, not in most, and is about as long."""
    if not edits or not after:
        return False
    longer, shorter = max(len(before), len(after)), min(len(before), len(after))
    changed = sum(max(edit.end - edit.start, len(edit.after)) for edit in edits)
    words = len(_WORD.findall(before))
    few = changed <= _MOST_CHANGED * longer or words <= 2  # noqa: PLR2004 - "A duck." has one word to change
    return few and longer <= _LONGEST_RATIO * shorter + 10


def kind_of(edit: Edit) -> EditKind:
    """What an edit is about, by the words it puts in.

    >>> kind_of(Edit(0, 3, "red", "blue", EditKind.OBJECT)).value
    'colour'
    """
    lexicon, palette = read_edit_lexicon(), read_lexicon().colors
    words = {word.lower() for word in _WORD.findall(f"{edit.before} {edit.after}")}
    if words & _NEGATION:
        return EditKind.NEGATION
    if words & set(palette):
        return EditKind.COLOR
    if words & set(lexicon.numbers):
        return EditKind.NUMBER
    for word in sorted(words & set(lexicon.opposites)):
        return lexicon.opposites[word][0][1]
    return EditKind.OBJECT
