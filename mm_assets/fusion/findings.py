"""What the linter reports: codes, errors, and the report with its remedy."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from mm_assets.errors import REMEDIES, CrossModalCode


class LintCode(StrEnum):
    """What can be wrong with a line of a release."""

    INVALID_UTF8 = "INVALID_UTF8"
    INVALID_JSON = "INVALID_JSON"
    LINE_TOO_LONG = "LINE_TOO_LONG"
    MISSING_FIELD = "MISSING_FIELD"
    INVALID_FIELD = "INVALID_FIELD"
    ESCAPED_PLACEHOLDER = "ESCAPED_PLACEHOLDER"
    MALFORMED_PLACEHOLDER = "MALFORMED_PLACEHOLDER"
    UNPAIRED_SENTINEL = "UNPAIRED_SENTINEL"
    MISSING_SENTINEL = "MISSING_SENTINEL"
    TEXT_IN_SPAN = "TEXT_IN_SPAN"
    CODE_OUT_OF_VOCABULARY = "CODE_OUT_OF_VOCABULARY"
    BAD_REFERENCE = "BAD_REFERENCE"
    MISSING_FEATURES = "MISSING_FEATURES"
    COUNT_MISMATCH = "COUNT_MISMATCH"
    CODE_MISMATCH = "CODE_MISMATCH"
    INVALID_BOX = "INVALID_BOX"
    BOX_MISMATCH = "BOX_MISMATCH"
    DUPLICATE_ID = "DUPLICATE_ID"
    INVALID_SEQUENCE = "INVALID_SEQUENCE"
    SEQUENCE_MISMATCH = "SEQUENCE_MISMATCH"
    INVALID_MANIFEST = "INVALID_MANIFEST"


TOKEN_FORMAT_CODES: Final = frozenset(
    {
        LintCode.ESCAPED_PLACEHOLDER,
        LintCode.MALFORMED_PLACEHOLDER,
        LintCode.UNPAIRED_SENTINEL,
        LintCode.MISSING_SENTINEL,
        LintCode.TEXT_IN_SPAN,
        LintCode.CODE_OUT_OF_VOCABULARY,
        LintCode.COUNT_MISMATCH,
        LintCode.CODE_MISMATCH,
        LintCode.BOX_MISMATCH,
    }
)
_CODE_ORDER: Final = {code: position for position, code in enumerate(LintCode)}


@dataclass(frozen=True, slots=True)
class LintError:
    """One fault of one line.

    Attributes:
        file: path of the file, as found below the path that was given.
        line: line number from 1.
        id: the sample's id, None where the line does not yield one.
        code: what is wrong.
        message: culprit, cause and fix in one sentence.
    """

    file: str
    line: int
    id: str | None
    code: LintCode
    message: str

    @property
    def cross_modal_code(self) -> CrossModalCode | None:
        """``ERR_CROSS_MDL_TOKEN_FMT`` for a fault of the placeholder format, else None."""
        return CrossModalCode.TOKEN_FMT if self.code in TOKEN_FORMAT_CODES else None


@dataclass(frozen=True)
class LintReport:
    """What a lint of files, folders or releases found.

    Attributes:
        files: JSONL files read.
        rows: lines checked, which is every line.
        bytes: bytes of the JSONL files.
        errors: faults in order of file and line.
        omitted: faults beyond the listed ones, per code.
    """

    files: int
    rows: int
    bytes: int
    errors: list[LintError]
    omitted: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def clean(self) -> bool:
        """Whether no line has a fault."""
        return not self.errors

    @property
    def counts(self) -> dict[str, int]:
        """Faults per code, the omitted ones included."""
        counts = Counter[str](error.code for error in self.errors)
        counts.update(self.omitted)
        return dict(sorted(counts.items()))

    @property
    def cross_modal_code(self) -> CrossModalCode | None:
        """``ERR_CROSS_MDL_TOKEN_FMT`` when any fault is one of the placeholder format."""
        return CrossModalCode.TOKEN_FMT if any(code in TOKEN_FORMAT_CODES for code in self.counts) else None

    @property
    def fix(self) -> str | None:
        """The one-line fix of `cross_modal_code`."""
        return None if self.cross_modal_code is None else REMEDIES[self.cross_modal_code].fix

    def as_document(self) -> dict[str, object]:
        """The JSON document of ``mm lint --json``."""
        return {
            "files": self.files,
            "rows": self.rows,
            "bytes": self.bytes,
            "errors": [
                {"file": e.file, "line": e.line, "id": e.id, "code": str(e.code), "message": e.message}
                for e in self.errors
            ],
            "omitted": self.omitted,
            "code": self.cross_modal_code,
            "fix": self.fix,
        }


def in_report_order(errors: Iterable[LintError], files: Iterable[Path]) -> list[LintError]:
    """Sort faults by place of the file (others first), line and code."""
    places = {str(file): place for place, file in enumerate(files)}
    return sorted(errors, key=lambda error: (places.get(error.file, -1), error.line, _CODE_ORDER[error.code]))
