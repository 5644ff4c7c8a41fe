# pyright: strict
"""What a check of sides comes to, whatever was checked."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a check came to."""

    CONSISTENT = "consistent"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"


class Subject(StrEnum):
    """What was checked: declared metadata, a burned-in marker, or a caption."""

    DECLARED = "declared"
    MARKER = "marker"
    CAPTION = "caption"


@dataclass(frozen=True)
class Finding:
    """One check of one picture.

    Attributes:
        subject: what was checked.
        verdict: what it came to.
        confidence: how sure that is, 0 to 1; 0 where nothing was decided.
        evidence: what speaks for or against, in one sentence.
        caption_id: the caption it is about, if it is about one.
    """

    subject: Subject
    verdict: Verdict
    confidence: float
    evidence: str
    caption_id: str | None = None
