"""The frozen placeholder syntax, version 1: how media stand in text, how to write it and how to read it.

::

    <|image_start|><IMG_TK_451>…<IMG_TK_882><|image_end|> A <box>duck</box> on a pond.
    <|audio_start|><AUD_TK_7>…<|audio_end|>      <|video_start|><IMG_TK_3>…<|video_end|>

A span holds the codes of one medium in order, with nothing but white space between them; spans do not nest. Codes
are canonical decimals. One space after a span separates it from the text and belongs to neither.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from mm_assets.errors import ContractError, FormatError, PolicyError
from mm_assets.fusion.findings import LintCode
from mm_assets.policy import FusionPolicy


class Modality(StrEnum):
    """A medium that stands in text as a span of codes."""

    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"


CODE_NAMES: Final = {Modality.IMAGE: "IMG_TK", Modality.AUDIO: "AUD_TK", Modality.VIDEO: "IMG_TK"}

IMAGE_START: Final = "<|image_start|>"
IMAGE_END: Final = "<|image_end|>"
SENTINELS: Final = {modality: (f"<|{modality}_start|>", f"<|{modality}_end|>") for modality in Modality}

_NAME: Final = r"(?:(?:IMG|AUD)_TK|(?:image|audio|video)_(?:start|end))"
_ENTITY: Final = (
    r"(?:&(?:amp;|#0*38;|#[xX]0*26;)*(?:lt|LT|gt|GT|vert|verbar|VerticalLine|#0*(?:60|62|124)|#[xX]0*(?:3[cCeE]|7[cC]));?"
    r"|\\u00(?:3[cCeE]|7[cC])|\\x(?:3[cCeE]|7[cC])|%3[cCeE]|%7[cC])"
)
_SYNTAX: Final = (
    r"<\|(?P<medium>image|audio|video)_(?P<edge>start|end)\|>"
    r"|<(?P<code_name>IMG|AUD)_TK_(?P<code>0|-?[1-9][0-9]*)>|<(?P<box>/?)box>"
)
_ESCAPED: Final = (
    rf"{_ENTITY}(?:\||{_ENTITY})?{_NAME}|<{_ENTITY}{_NAME}|<\|?{_NAME}(?:_-?[0-9]*)?\|?{_ENTITY}"
    rf"|{_ENTITY}/?box(?:>|{_ENTITY})|</?box{_ENTITY}"
)
_BROKEN: Final = rf"<\|?{_NAME}"

PLACEHOLDER_LIKE: Final = rf"{_ESCAPED}|{_BROKEN}|</?box>"
"""What text may not contain: tokens, broken tokens and escaped tokens. The same in Python's and Rust's dialect."""

_SCANNER: Final = re.compile(rf"{_SYNTAX}|(?P<escaped>{_ESCAPED})|(?P<broken>{_BROKEN})")
_PLACEHOLDER_LIKE: Final = re.compile(PLACEHOLDER_LIKE)
_TRIGGER: Final = re.compile(r"[<&%\\]")
_SENTINEL_NAMES: Final = tuple(f"{medium}_{edge}" for medium in Modality for edge in ("start", "end"))
_BEFORE_BOX: Final = frozenset("</;tTreEcC0123456789")  # <box, /box, or the last character of an entity
_MAX_DIGITS: Final = 18
_STRUCTURE: Final = frozenset(
    {
        LintCode.ESCAPED_PLACEHOLDER,
        LintCode.MALFORMED_PLACEHOLDER,
        LintCode.UNPAIRED_SENTINEL,
        LintCode.MISSING_SENTINEL,
        LintCode.TEXT_IN_SPAN,
    }
)


@dataclass(frozen=True)
class Vocabulary:
    """Which token ids the codes of each medium take.

    Attributes:
        text_size: text tokens, ids 0 to text_size - 1.
        image_offset: token id of ``<IMG_TK_0>``.
        image_codes: size of the visual codebook.
        audio_offset: token id of ``<AUD_TK_0>``.
        audio_codes: size of the audio codebook; 0 if there is none.
    """

    text_size: int
    image_offset: int
    image_codes: int
    audio_offset: int
    audio_codes: int = 0

    def __post_init__(self) -> None:
        image_end = self.image_offset + self.image_codes
        if self.image_offset < self.text_size or self.audio_offset < image_end or min(self.sizes()) < 0:
            raise PolicyError(
                f"vocabulary {self}: text, image and audio tokens overlap; "
                "raise fusion.image_code_offset to at least fusion.text_vocab_size"
            )

    @classmethod
    def of(cls, policy: FusionPolicy, codebook_size: int, audio_codes: int = 0) -> Self:
        """The vocabulary of a policy and its codebooks."""
        offset = policy.image_code_offset
        behind = max(policy.audio_code_offset, offset + codebook_size)
        return cls(policy.text_vocab_size, offset, codebook_size, behind, audio_codes)

    def sizes(self) -> tuple[int, int]:
        """Number of image and of audio codes."""
        return self.image_codes, self.audio_codes

    def size(self, modality: Modality) -> int:
        """Number of codes of a medium."""
        return self.audio_codes if modality is Modality.AUDIO else self.image_codes

    def token_id(self, modality: Modality, code: int) -> int:
        """Token id of a code.

        Raises:
            ContractError: the code lies outside the codebook.
        """
        if not 0 <= code < self.size(modality):
            raise ContractError(f"code {code} lies outside the {modality} codebook of {self.size(modality)} codes")
        return code + (self.audio_offset if modality is Modality.AUDIO else self.image_offset)


@dataclass(frozen=True, slots=True)
class TextSegment:
    """Text between spans: its place in the content (characters) and the text, separator excluded."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class MediaSegment:
    """A span: its place in the content (characters, sentinels included) and its codes in order."""

    start: int
    end: int
    modality: Modality
    codes: tuple[int, ...]


@dataclass(frozen=True)
class ParsedContent:
    """Content taken apart, in order."""

    segments: tuple[TextSegment | MediaSegment, ...]

    @property
    def spans(self) -> tuple[MediaSegment, ...]:
        """The media spans."""
        return tuple(segment for segment in self.segments if isinstance(segment, MediaSegment))

    @property
    def modalities(self) -> frozenset[Modality]:
        """Media present."""
        return frozenset(span.modality for span in self.spans)

    def codes(self, *modalities: Modality) -> tuple[int, ...]:
        """All codes of the given media, in order."""
        return tuple(code for span in self.spans if span.modality in modalities for code in span.codes)

    @property
    def text(self) -> str:
        """The text without media and without box tags."""
        joined = "".join(segment.text for segment in self.segments if isinstance(segment, TextSegment))
        return joined.replace("<box>", "").replace("</box>", "")


def contains_placeholder(text: str) -> bool:
    """Whether text holds anything that reads as a placeholder, whole, broken or escaped.

    >>> contains_placeholder("x < y &amp; y > z"), contains_placeholder("see &lt;IMG_TK_3&gt;")
    (False, True)
    """
    return _PLACEHOLDER_LIKE.search(text) is not None


def render_image_block(codes: Sequence[int]) -> str:
    """Write one image as a span.

    Raises:
        ContractError: no codes, or a negative one.

    >>> render_image_block([451, 882])
    '<|image_start|><IMG_TK_451><IMG_TK_882><|image_end|>'
    """
    if not codes or min(codes) < 0:
        raise ContractError(f"codes {list(codes)[:5]}: a span holds at least one code, and none is negative")
    return f"{IMAGE_START}{''.join(f'<IMG_TK_{code}>' for code in codes)}{IMAGE_END}"


class _Scan:
    """One pass over content: segments and the first fault of each kind."""

    def __init__(self, content: str, vocabulary: Vocabulary | None) -> None:
        self.content = content
        self.vocabulary = vocabulary
        self.segments: list[TextSegment | MediaSegment] = []
        self.faults: dict[LintCode, str] = {}
        self.open: Modality | None = None
        self.open_at = 0
        self.codes: list[int] = []
        self.box_at: int | None = None

    def run(self) -> None:
        text_from = position = 0
        for trigger in _TRIGGER.finditer(self.content):
            start = trigger.start()
            match = _SCANNER.match(self.content, start) if start >= position else None
            if match is None:
                continue
            if self.open is not None:
                self._span_text(position, start)
            position = match.end()
            if match["medium"]:
                if self.open is None and match["edge"] == "start":
                    self._text(text_from, start)
                text_from = position
            self._token(match)
        if self.open is not None:
            self._fault(LintCode.UNPAIRED_SENTINEL, f"<|{self.open}_start|> that is never closed", self.open_at)
        if self.box_at is not None:
            self._fault(LintCode.UNPAIRED_SENTINEL, "<box> that is never closed", self.box_at)
        self._text(text_from, len(self.content))

    def _token(self, match: re.Match[str]) -> None:
        if match["medium"]:
            self._sentinel(match, Modality(match["medium"]))
        elif match["code_name"]:
            self._code(match)
        elif match["box"] is not None:
            self._box(match)
        elif match["escaped"]:
            self._fault(LintCode.ESCAPED_PLACEHOLDER, "escaped placeholder", match.start())
        else:
            self._fault(LintCode.MALFORMED_PLACEHOLDER, "placeholder that breaks the syntax", match.start())

    def _fault(self, code: LintCode, what: str, position: int) -> None:
        seen = self.content[position : position + 40]
        self.faults.setdefault(code, f"{what} at character {position}: {seen!r}")

    def _text(self, start: int, end: int) -> None:
        after_span = bool(self.segments) and isinstance(self.segments[-1], MediaSegment)
        text_start = start + 1 if after_span and self.content.startswith(" ", start) and start < end else start
        if text_start < end:
            self.segments.append(TextSegment(start, end, self.content[text_start:end]))

    def _span_text(self, start: int, end: int) -> None:
        text = self.content[start:end]
        if text and not text.isspace():
            self._fault(LintCode.TEXT_IN_SPAN, f"text inside a span of {self.open} codes", start)

    def _sentinel(self, match: re.Match[str], medium: Modality) -> None:
        if match["edge"] == "start":
            if self.open is not None:
                self._fault(LintCode.UNPAIRED_SENTINEL, f"<|{self.open}_start|> that is never closed", self.open_at)
            if self.box_at is not None:
                self._fault(LintCode.UNPAIRED_SENTINEL, "<box> that holds a span", self.box_at)
            self.open, self.open_at, self.codes = medium, match.start(), []
        elif self.open is not medium:
            self._fault(LintCode.UNPAIRED_SENTINEL, f"<|{medium}_end|> without its start", match.start())
        else:
            self.segments.append(MediaSegment(self.open_at, match.end(), medium, tuple(self.codes)))
            self.open = None

    def _code(self, match: re.Match[str]) -> None:
        audio = match["code_name"] == "AUD"
        digits = match["code"]
        code = int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS
        in_other_medium = self.open is not None and audio != (self.open is Modality.AUDIO)
        if self.open is None or in_other_medium:
            self._fault(LintCode.MISSING_SENTINEL, "code outside the sentinels of its medium", match.start())
        self.codes.append(code)
        if self.vocabulary is not None and not in_other_medium:
            size = self.vocabulary.size(Modality.AUDIO if audio else Modality.IMAGE)
            if not 0 <= code < size:
                self._fault(LintCode.CODE_OUT_OF_VOCABULARY, f"code outside the vocabulary of {size}", match.start())

    def _box(self, match: re.Match[str]) -> None:
        if self.open is not None:
            self._fault(LintCode.TEXT_IN_SPAN, f"box tag inside a span of {self.open} codes", match.start())
        elif match["box"]:
            if self.box_at is None:
                self._fault(LintCode.UNPAIRED_SENTINEL, "</box> without its start", match.start())
            self.box_at = None
        else:
            if self.box_at is not None:
                self._fault(LintCode.UNPAIRED_SENTINEL, "<box> inside a box", match.start())
            self.box_at = match.start()


def inspect_content(content: str, vocabulary: Vocabulary | None = None) -> tuple[ParsedContent, dict[LintCode, str]]:
    """Take content apart and name every kind of fault once, with its place.

    A fault that only follows from another is left out: one escaped sentinel does not also count as unpaired.
    """
    scan = _Scan(content, vocabulary)
    scan.run()
    faults = scan.faults
    if LintCode.ESCAPED_PLACEHOLDER in faults or LintCode.MALFORMED_PLACEHOLDER in faults:
        derived = {LintCode.UNPAIRED_SENTINEL, LintCode.MISSING_SENTINEL, LintCode.TEXT_IN_SPAN}
    elif LintCode.UNPAIRED_SENTINEL in faults:
        derived = {LintCode.MISSING_SENTINEL, LintCode.TEXT_IN_SPAN}
    else:
        derived = set[LintCode]()
    return ParsedContent(tuple(scan.segments)), {code: text for code, text in faults.items() if code not in derived}


def breaks_structure(faults: dict[LintCode, str]) -> bool:
    """Whether the faults make a count of codes meaningless."""
    return not _STRUCTURE.isdisjoint(faults)


def parse_content(content: str, vocabulary: Vocabulary | None = None) -> ParsedContent:
    """Take content apart.

    Raises:
        FormatError: the content breaks the syntax, or a code lies outside the vocabulary if one is given.

    >>> parse_content("<|image_start|><IMG_TK_3><IMG_TK_9><|image_end|> A duck.").text
    'A duck.'
    """
    parsed, faults = inspect_content(content, vocabulary)
    if faults:
        raise FormatError("; ".join(f"{code}: {message}" for code, message in faults.items()))
    return parsed


def proves_plain(text: str) -> bool:
    """Whether text is proven free of placeholders by what every spelling of one has to contain.

    >>> proves_plain("if a < b: box &amp; tape; row_end"), proves_plain("a <box"), proves_plain("</box>")
    (True, False, False)
    """
    if "_" in text and (
        "IMG_TK" in text
        or "AUD_TK" in text
        or (("_start" in text or "_end" in text) and any(name in text for name in _SENTINEL_NAMES))
    ):
        return False
    at = text.find("box")
    while at >= 0:
        if at and text[at - 1] in _BEFORE_BOX:
            return False
        at = text.find("box", at + 1)
    return True
