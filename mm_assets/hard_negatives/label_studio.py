# pyright: strict
"""Review tasks for Label Studio, and its export read back as decisions.

Tasks and exports are Label Studio's documented JSON: a list of tasks with ``data``, and on export ``annotations`` with
``result`` entries of type ``choices``. An export may come from another project or a person's hand, so that everything
in it is checked and what does not fit is counted, not guessed.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any, Final, Protocol, cast

from mm_assets.errors import RecordError
from mm_assets.hard_negatives.negatives import edited_spans
from mm_assets.hard_negatives.review_sheet import ReviewItem, mark_html
from mm_assets.hard_negatives.verdicts import ACCEPTED, NO_CAPTION, REJECTED

QUESTION: Final = "truth"
FALSE: Final = "False of the picture"
TRUE: Final = "True of the picture"
UNGRAMMATICAL: Final = NO_CAPTION
CONFIG: Final = f"""\
<View>
  <Header value="$seen"/>
  <HyperText name="picture" value="$seen_html" selectionEnabled="false"/>
  <HyperText name="true_text" value="$positive_html"/>
  <HyperText name="false_text" value="$negative_html"/>
  <Choices name="{QUESTION}" toName="picture" choice="single" required="true">
    <Choice value="{FALSE}"/>
    <Choice value="{TRUE}"/>
    <Choice value="{UNGRAMMATICAL}"/>
  </Choices>
</View>
"""
"""The labelling interface the tasks are made for."""
_DECISIONS: Final = {FALSE: ACCEPTED, TRUE: REJECTED, UNGRAMMATICAL: REJECTED}
_SECOND_US: Final = 1_000_000
_LARGEST_EXPORT: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's verdict, as a row of ``review_decisions``.

    Attributes:
        subject_id: the negative.
        decision: accepted or rejected.
        reason: what was chosen.
        by: who, as far as the export says.
        at_us: when, microseconds since 1970 UTC; 0 if the export does not say.
    """

    subject_id: str
    decision: str
    reason: str
    by: str
    at_us: int

    def to_row(self) -> dict[str, Any]:
        """Columns of ``review_decisions``."""
        return {
            "subject_id": self.subject_id,
            "decision": self.decision,
            "reason": self.reason,
            "by": self.by,
            "at_us": self.at_us,
        }


@dataclass(frozen=True, slots=True)
class ReadExport:
    """What an export says.

    Attributes:
        decisions: the latest of each negative, by time and then place in the file.
        open: tasks without an annotation, or cancelled ones.
        unknown: tasks of negatives that are not known.
        malformed: annotations that are no answer to the question.
    """

    decisions: tuple[Decision, ...]
    open: int
    unknown: int
    malformed: int


class Addresses(Protocol):
    """Where the labelling server finds what is to be seen."""

    def of(self, item_id: str) -> str:
        """Address of a picture or clip."""
        ...

    def of_edited(self, path: str) -> str:
        """Address of an edited picture by its path in the lake."""
        ...

    def is_clip(self, item_id: str) -> bool:
        """Whether it plays: a sound or a video."""
        ...


def make_tasks(items: Sequence[ReviewItem], addresses: Addresses) -> str:
    """Tasks to import into Label Studio, as JSON.

    What is shown is what the false text is false of: an edited picture beside the picture it was made from, and of a
    clip the window in question.

    Args:
        items: negatives to look at.
        addresses: of pictures and clips.
    """
    tasks: list[dict[str, Any]] = []
    for item in items:
        negative, edited = item.judged.negative, item.edited_picture
        tasks.append(
            {
                "data": {
                    "negative_id": negative.negative_id,
                    "strategy": negative.strategy.value,
                    "image": addresses.of_edited(edited) if edited else addresses.of(negative.image_id),
                    "seen": item.seen,
                    "seen_html": _seen_html(item, addresses),
                    "positive": negative.positive_text,
                    "negative": negative.text,
                    "positive_html": mark_html(
                        negative.positive_text, [(edit.start, edit.end) for edit in negative.edits]
                    ),
                    "negative_html": mark_html(negative.text, edited_spans(negative.edits)),
                    "edits": [
                        {"start": e.start, "end": e.end, "before": e.before, "after": e.after} for e in negative.edits
                    ],
                    "verdict": item.judged.outcome.value,
                    "reason": item.judged.reason,
                }
            }
        )
    return json.dumps(tasks, ensure_ascii=False, indent=1)


def _seen_html(item: ReviewItem, addresses: Addresses) -> str:
    """What the false text is to be judged by, as HTML."""
    own = escape(addresses.of(item.judged.negative.image_id))
    if item.edited_picture is not None:
        edited = escape(addresses.of_edited(item.edited_picture))
        return (
            f'<figure><img src="{edited}" height="400"><figcaption>edited: judge this one</figcaption></figure>'
            f'<figure><img src="{own}" height="200"><figcaption>as delivered</figcaption></figure>'
        )
    if addresses.is_clip(item.judged.negative.image_id):
        window = item.window_us
        part = "" if window is None else f"#t={window[0] / _SECOND_US:.3f},{window[1] / _SECOND_US:.3f}"
        return f'<video src="{own}{part}" controls height="400"></video>'
    return f'<img src="{own}" height="400">'


def read_export(text: str, known: Callable[[str], bool]) -> ReadExport:
    """Decisions of an exported file.

    Args:
        text: the file.
        known: whether a negative of this id exists.

    Raises:
        RecordError: code ``EXPORT_UNREADABLE``: it is no JSON list of tasks.
    """
    if len(text) > _LARGEST_EXPORT:
        raise RecordError("EXPORT_UNREADABLE", f"the export has {len(text)} characters; export fewer tasks at a time")
    try:
        raw: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError("EXPORT_UNREADABLE", f"the export is no JSON: {error}; export it as JSON") from error
    if not isinstance(raw, list):
        raise RecordError("EXPORT_UNREADABLE", "the export is no list of tasks; export it as JSON, not as JSON_MIN")
    latest: dict[str, Decision] = {}
    waiting = unknown = malformed = 0
    for task in cast("list[Any]", raw):
        subject = _subject(task)
        if subject is None:
            malformed += 1
            continue
        if not known(subject):
            unknown += 1
            continue
        answers = _answers(task)
        found = [_decision(subject, answer) for answer in answers]
        malformed += sum(decision is None for decision in found)
        waiting += not answers
        for decision in found:
            if decision is not None and (subject not in latest or decision.at_us >= latest[subject].at_us):
                latest[subject] = decision
    return ReadExport(tuple(latest.values()), waiting, unknown, malformed)


def _mapping(value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _subject(task: Any) -> str | None:  # noqa: ANN401 - JSON
    subject = _mapping(_mapping(task).get("data")).get("negative_id")
    return subject if isinstance(subject, str) else None


def _answers(task: Any) -> list[Mapping[str, Any]]:  # noqa: ANN401 - JSON
    """Annotations of a task that were not cancelled."""
    annotations = _mapping(task).get("annotations")
    if not isinstance(annotations, list):
        return []
    found = [_mapping(annotation) for annotation in cast("list[Any]", annotations)]
    return [annotation for annotation in found if not annotation.get("was_cancelled")]


def _decision(subject: str, annotation: Mapping[str, Any]) -> Decision | None:
    results = annotation.get("result")
    if not isinstance(results, list):
        return None
    for result in (_mapping(entry) for entry in cast("list[Any]", results)):
        if result.get("type") != "choices" or result.get("from_name") != QUESTION:
            continue
        choices: Any = _mapping(result.get("value")).get("choices")
        if isinstance(choices, list) and len(cast("list[Any]", choices)) == 1:
            choice = str(cast("list[Any]", choices)[0])
            if choice in _DECISIONS:
                return Decision(subject, _DECISIONS[choice], choice, _who(annotation), _when(annotation))
    return None


def _who(annotation: Mapping[str, Any]) -> str:
    """Who annotated: a number, or a person with an address."""
    who: Any = annotation.get("completed_by")
    person = _mapping(who)
    return str(person.get("email") or person.get("id") or who or "label-studio")


def _when(annotation: Mapping[str, Any]) -> int:
    """When it was last changed, microseconds; 0 if it does not say."""
    text = annotation.get("updated_at") or annotation.get("created_at")
    if not isinstance(text, str):
        return 0
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        return 0
