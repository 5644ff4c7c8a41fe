"""The exact rules of one line, applied to every line that is not proven clean in bulk."""

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from mm_assets.fusion.box_markup import check_boxes
from mm_assets.fusion.detail_rules import find_detail_fault, find_kind_fault
from mm_assets.fusion.findings import LintCode
from mm_assets.fusion.negative_texts import find_negative_fault
from mm_assets.fusion.placeholders import (
    Modality,
    ParsedContent,
    Vocabulary,
    breaks_structure,
    inspect_content,
)
from mm_assets.fusion.samples import FIELDS, FusionLine
from mm_assets.fusion.shard_index import ShardIndex, UnresolvedReferenceError, split_reference
from mm_assets.fusion.usual_content import UsualContent

Faults = dict[LintCode, str]

_ID: Final = re.compile(rb'"id"\s*:\s*"([^"\\]{1,200})"')
_JSON_ESCAPE_OF_ASCII: Final = re.compile(rb"\\u00[2-7]|\\/")
_TOKEN_BYTES: Final = re.compile(rb"<\|(?:image|audio|video)_(?:start|end)\|>|<(?:IMG|AUD)_TK_-?[0-9]+>|</?box>")
_MEDIA: Final = frozenset(map(str, Modality))
_FORMAT_FIX: Final = "serialise with ensure_ascii=False and never escape HTML"


@dataclass(frozen=True, slots=True)
class LineVerdict:
    """What the rules say about a line.

    Attributes:
        id: the sample's id, None where the line does not yield one.
        faults: message per code; empty for a clean line.
        valid: whether the line is a sample at all, so that its id counts for duplicates.
    """

    id: str | None
    faults: Faults
    valid: bool


class LineRules:
    """Checks single lines of one release.

    Args:
        vocabulary: the release's vocabulary.
        placeholder_version: version of the syntax the lines must declare.
        visual: shards behind ``visual_features_path``.
        audio: shards behind ``audio_features_path``.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        placeholder_version: str,
        visual: ShardIndex,
        audio: ShardIndex,
    ) -> None:
        self._vocabulary = vocabulary
        self._version = placeholder_version
        self._visual = visual
        self._audio = audio
        self._usual = UsualContent(vocabulary)
        self._decoder = msgspec.json.Decoder(FusionLine)
        self._fields = msgspec.json.Decoder(dict[str, msgspec.Raw])

    def check(self, raw: bytes) -> LineVerdict:
        """Check one line without its line feed. Never raises on what the line holds."""
        try:
            line = self._decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._undecodable(raw)
        if not raw.isascii() and not _is_utf8(raw):
            return LineVerdict(line.id, {LintCode.INVALID_UTF8: _utf8_message(raw)}, valid=True)
        faults: Faults = {}
        if line.placeholder_version != self._version:
            faults[LintCode.INVALID_FIELD] = (
                f"placeholder_version {line.placeholder_version!r} is not {self._version!r}; repack the line"
            )
        escaped = b"\\" in raw and _JSON_ESCAPE_OF_ASCII.search(raw) is not None
        codes = None if escaped else self._usual.image_codes(line.content)
        named = ("image" in line.modalities) == bool(codes) and "text" in line.modalities
        if codes is not None and named and not _has_other_media(line):
            self._check_proven(line, codes, faults)
        else:
            self._check_parsed(line, raw if escaped else None, faults)
        if (line.boxes or codes is None) and not breaks_structure(faults):
            found = check_boxes(line.content, line.boxes, tags_required=line.kind == "object")
            faults.update((code, f"{message}; repack the sample") for code, message in found.items())
        wrong = find_negative_fault(line.content, line.negatives)
        if wrong is not None:
            faults.setdefault(LintCode.INVALID_FIELD, f"{wrong}; leave it out")
        wrong = find_kind_fault(line)
        if wrong is None and not faults:
            wrong = find_detail_fault(raw, line)
        if wrong is not None:
            faults.setdefault(LintCode.INVALID_FIELD, wrong)
        return LineVerdict(line.id, faults, valid=True)

    def _check_proven(self, line: FusionLine, codes: list[int], faults: Faults) -> None:
        if codes or line.visual_features_path is not None:
            self._check_media(line.visual_features_path, codes or None, self._visual, "visual_features_path", faults)
        if line.audio_features_path is not None:
            self._check_media(line.audio_features_path, None, self._audio, "audio_features_path", faults)

    def _check_parsed(self, line: FusionLine, escaped_raw: bytes | None, faults: Faults) -> None:
        parsed, found = inspect_content(line.content, self._vocabulary)
        faults.update((code, f"{message}; {_FORMAT_FIX}") for code, message in found.items())
        if escaped_raw is not None and LintCode.ESCAPED_PLACEHOLDER not in faults:
            self._check_json_escapes(escaped_raw, line.content, faults)
        if breaks_structure(faults):
            return
        _check_modalities(line, parsed, faults)
        visual, audio = (Modality.IMAGE, Modality.VIDEO), (Modality.AUDIO,)
        for path, media, shards, name in (
            (line.visual_features_path, visual, self._visual, "visual_features_path"),
            (line.audio_features_path, audio, self._audio, "audio_features_path"),
        ):
            spans = any(span.modality in media for span in parsed.spans)
            if (spans or path is not None) and LintCode.MISSING_SENTINEL not in faults:
                self._check_media(path, list(parsed.codes(*media)) if spans else None, shards, name, faults)

    def _check_json_escapes(self, raw: bytes, content: str, faults: Faults) -> None:
        encoded = bytes(self._fields.decode(raw)["content"])
        if len(_TOKEN_BYTES.findall(encoded)) != len(_TOKEN_BYTES.findall(content.encode("utf-8", "surrogatepass"))):
            faults[LintCode.ESCAPED_PLACEHOLDER] = (
                f"placeholder written with JSON escapes such as \\u003c; {_FORMAT_FIX}"
            )

    def _check_media(
        self, reference: str | None, codes: list[int] | None, shards: ShardIndex, name: str, faults: Faults
    ) -> None:
        if reference is None:
            faults[LintCode.MISSING_FEATURES] = f"content holds a span but {name} is null; name its feature row"
            return
        if codes is None:
            faults.setdefault(
                LintCode.MISSING_SENTINEL, f"{name} is given but content has no span for it; restore the sentinels"
            )
            return
        try:
            path, row = split_reference(reference)
            shard = shards.shard(path)
            if row >= shard.rows:
                raise UnresolvedReferenceError(  # noqa: TRY301 - one place records the fault
                    LintCode.BAD_REFERENCE, f"{reference}: the shard has {shard.rows} rows; point at one of them"
                )
        except UnresolvedReferenceError as fault:
            faults.setdefault(fault.code, f"{name}: {fault.message}")
            return
        if len(codes) != shard.vectors:
            faults[LintCode.COUNT_MISMATCH] = (
                f"{len(codes)} placeholders, but {reference} has {shard.vectors} feature rows; repack the sample"
            )
        elif shard.codes_of is not None and LintCode.CODE_OUT_OF_VOCABULARY not in faults:
            stored = list(shard.codes_of(row))
            if stored != codes:
                place = next(i for i, (a, b) in enumerate(zip(stored, codes, strict=True)) if a != b)
                faults[LintCode.CODE_MISMATCH] = (
                    f"placeholder {place} is {codes[place]}, but the shard stores {stored[place]}; repack it"
                )

    def _undecodable(self, raw: bytes) -> LineVerdict:
        found = _ID.search(raw)
        identifier = found[1].decode("utf-8", "replace") if found else None
        if not _is_utf8(raw):
            return LineVerdict(identifier, {LintCode.INVALID_UTF8: _utf8_message(raw)}, valid=False)
        try:
            msgspec.json.decode(raw)
            fields = self._fields.decode(raw)
        except msgspec.ValidationError:
            message = "line is JSON but no object; write one object a line"
            return LineVerdict(None, {LintCode.INVALID_JSON: message}, valid=False)
        except (msgspec.DecodeError, RecursionError) as error:
            reason = "line is empty" if not raw.strip() else f"line is no JSON ({error})"
            return LineVerdict(identifier, {LintCode.INVALID_JSON: f"{reason}; write one object a line"}, valid=False)
        identifier = _string(fields.get("id"))
        missing = [name for name in FIELDS if name not in fields]
        if missing:
            message = f"fields {', '.join(missing)} are missing; write every field of the contract"
            return LineVerdict(identifier, {LintCode.MISSING_FIELD: message}, valid=identifier is not None)
        try:
            self._decoder.decode(raw)
        except (msgspec.ValidationError, RecursionError) as error:
            message = f"a field has a wrong type or value ({error}); write it as the contract says"
            return LineVerdict(identifier, {LintCode.INVALID_FIELD: message}, valid=identifier is not None)
        raise AssertionError  # pragma: no cover - the caller saw this very call fail


def _check_modalities(line: FusionLine, parsed: ParsedContent, faults: Faults) -> None:
    declared = _MEDIA.intersection(line.modalities)
    present = {str(modality) for modality in parsed.modalities}
    if declared - present:
        faults.setdefault(
            LintCode.MISSING_SENTINEL,
            f"modalities name {', '.join(sorted(declared - present))} but content has no such span; restore it",
        )
    if present - declared:
        faults.setdefault(
            LintCode.INVALID_FIELD,
            f"content has {', '.join(sorted(present - declared))} but modalities do not name it; add it",
        )
    if "text" not in line.modalities and parsed.text.strip():
        faults.setdefault(LintCode.INVALID_FIELD, "content has text but modalities do not name it; add it")


def _has_other_media(line: FusionLine) -> bool:
    return "audio" in line.modalities or "video" in line.modalities


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _utf8_message(raw: bytes) -> str:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"byte {error.start} (0x{raw[error.start]:02x}) is not UTF-8; write the file as UTF-8"
    raise AssertionError  # pragma: no cover - callers saw the bytes fail


def _string(raw: msgspec.Raw | None) -> str | None:
    if raw is None:
        return None
    try:
        value = msgspec.json.decode(raw, type=str)
    except msgspec.DecodeError:
        return None
    return value or None
