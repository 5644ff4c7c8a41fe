# ruff: noqa: ANN001, ANN202, C901, PLR0911, PLR0912, PLR0915, PLR2004 - numba infers types
"""Bulk proof of clean lines: one compiled pass over raw bytes, no Python object per line.

`scan_lines` accepts a line only if `mm_assets.fusion.line_rules` would find it clean as far as a line can be judged
alone. It says CLEAN, NESTED (clean but for the items of boxes, times and negatives and the details of segments and
documents, which a typed decoder has to see) or DOUBTFUL (the exact rules decide), and never reports a fault itself. As
long as it errs towards DOUBTFUL an oversight costs speed, not a verdict; a property test compares both.
"""

import hashlib
from pathlib import Path

import numba
import numpy as np

from mm_assets.fusion import json_kernel as j
from mm_assets.fusion import line_facts as f
from mm_assets.fusion.samples import KINDS

_PRIME, _BYTE = np.uint64(f.PRIME), np.uint64(256)
_FIELDS, _MEDIA = f.FIELD_KEYS, f.MEDIA_KEYS
_KINDS, _POOLS, _REVIEWS = f.KIND_KEYS, f.POOL_KEYS, f.REVIEW_KEYS
(_ID, _KIND, _MODALITIES, _CONTENT, _VISUAL, _AUDIO, _BOXES, _TIMES, _NEGATIVES,
 _POOL, _WEIGHT, _BATCH, _SOURCE, _LICENSE, _VERSION, _CHECKS, _REVIEW) = f.FIELD_NUMBERS  # fmt: skip
_ALL_FIELDS = (1 << len(_FIELDS)) - 1
_CLEAN, _NESTED, _DOUBTFUL = f.CLEAN, f.NESTED, f.DOUBTFUL
_IMAGE_TEXT, _OBJECT, _SEGMENT, _DOCUMENT = (
    KINDS.index(name) for name in ("image_text", "object", "segment", "document")
)
_N = ord("n")

_TEXT = np.zeros(256, dtype=np.uint8)  # 1 ends a run of ordinary bytes of content
_TEXT[:32] = 1
_TEXT[128:] = 1
_TEXT[list(b'"\\<&%')] = 1
_ENTITY_FIRST = np.zeros(256, dtype=np.bool_)  # of amp, lt, LT, gt, GT, vert, VerticalLine and numbers
_ENTITY_FIRST[list(b"alLgGvV#")] = True
_NAME_FIRST = np.zeros(256, dtype=np.bool_)  # of IMG_TK, AUD_TK, image_, audio_, video_
_NAME_FIRST[list(b"IAiav")] = True

_IMG = np.frombuffer(b"<IMG_TK_", dtype=np.uint8)
_AUD = np.frombuffer(b"<AUD_TK_", dtype=np.uint8)
_IMAGE_WORD = np.frombuffer(b"image_", dtype=np.uint8)
_AUDIO_WORD = np.frombuffer(b"audio_", dtype=np.uint8)
_VIDEO_WORD = np.frombuffer(b"video_", dtype=np.uint8)
_START_WORD = np.frombuffer(b"start|>", dtype=np.uint8)
_END_WORD = np.frombuffer(b"end|>", dtype=np.uint8)
_BOX_WORD = np.frombuffer(b"box", dtype=np.uint8)


@j.jit
def _medium(b, p):
    """1 image, 2 video, 3 audio, or 0: the medium whose name and underscore start at p (all are six bytes)."""
    if j.starts_with(b, p, _IMAGE_WORD):
        return 1
    if j.starts_with(b, p, _VIDEO_WORD):
        return 2
    return 3 if j.starts_with(b, p, _AUDIO_WORD) else 0


@j.jit
def _harmless(b, p):
    """Whether the <, & or % at p, outside a span, cannot begin a placeholder or an escaped one."""
    c, d = b[p], b[p + 1]
    if c == j.PERCENT:
        return d != j.ZERO + 3 and d != j.ZERO + 7
    if c == j.AMPERSAND:
        return not _ENTITY_FIRST[d]
    if _NAME_FIRST[d]:
        return not (j.starts_with(b, p, _IMG[:7]) or j.starts_with(b, p, _AUD[:7]) or _medium(b, p + 1) > 0)
    if d == j.SLASH:
        return not j.starts_with(b, p + 2, _BOX_WORD)
    return d != j.PIPE and not j.starts_with(b, p + 1, _BOX_WORD)


@j.jit
def _content(b, p, image_codes, audio_codes, images, audios, n_image, n_audio):
    """(position after, image codes so far, audio codes so far, media seen as bits); position -1 where in doubt."""
    if b[p] != j.QUOTE:
        return -1, n_image, n_audio, 0
    p += 1
    media = span = count = 0
    while True:
        while span == 0 and _TEXT[b[p]] == 0:
            p += 1
        c = b[p]
        if c == j.LESS:
            if span > 0 and (j.starts_with(b, p, _AUD) if span == 3 else j.starts_with(b, p, _IMG)):
                p += 8
                code, start = 0, p
                while j.is_digit(b[p]) and p - start < 10:
                    code = code * 10 + b[p] - j.ZERO
                    p += 1
                if b[p] != j.GREATER or p == start or (b[start] == j.ZERO and p - start > 1):
                    return -1, n_image, n_audio, 0
                if code >= (audio_codes if span == 3 else image_codes):
                    return -1, n_image, n_audio, 0
                if span == 3:
                    audios[n_audio] = code
                    n_audio += 1
                else:
                    images[n_image] = code
                    n_image += 1
                p += 1
                count += 1
                continue
            if b[p + 1] == j.PIPE:
                medium = _medium(b, p + 2)
                if medium > 0 and span == 0 and j.starts_with(b, p + 8, _START_WORD):
                    span, count = medium, 0
                    media |= 1 << (medium - 1)
                    p += 15
                    continue
                if medium > 0 and medium == span and count > 0 and j.starts_with(b, p + 8, _END_WORD):
                    span = 0
                    p += 13
                    continue
                return -1, n_image, n_audio, 0
        if span > 0:
            if c != j.SPACE:
                return -1, n_image, n_audio, 0
            p += 1
        elif c == j.QUOTE:
            return p + 1, n_image, n_audio, media
        elif c == j.BACKSLASH:
            p = j.skip_escape(b, p)
        elif c >= 128:
            p = j.skip_utf8(b, p)
        elif c < 32 or not _harmless(b, p):
            p = -1
        else:
            p += 1
        if p < 0:
            return -1, n_image, n_audio, 0


@j.jit
def _modalities(b, p):
    """(position after, declared media and text as bits) of an array of known modalities; position -1 where in doubt."""
    media = 0
    if b[p] != j.OPEN_BRACKET:
        return -1, media
    p = j.skip_space(b, p + 1)
    if b[p] == j.CLOSE_BRACKET:
        return p + 1, media
    while True:
        p, name = j.read_string(b, p)
        which = j.index_of(name, _MEDIA)
        if p < 0 or which < 0:
            return -1, media
        media |= 1 << which
        p = j.skip_space(b, p)
        if b[p] == j.CLOSE_BRACKET:
            return p + 1, media
        if b[p] != j.COMMA:
            return -1, media
        p = j.skip_space(b, p + 1)


@j.jit
def _reference(b, p, facts, line, column):
    """Position after a null or path#row, written to the facts; -1 where in doubt."""
    if b[p] == _N:
        return j.skip_word(b, p)
    if b[p] != j.QUOTE:
        return -1
    p += 1
    start, path = p, np.uint64(1)
    while b[p] != j.HASH:
        if b[p] < 32 or b[p] >= 128 or b[p] == j.QUOTE or b[p] == j.BACKSLASH:
            return -1
        path = (path * _BYTE + np.uint64(b[p])) % _PRIME
        p += 1
    end = p
    row = 0
    p += 1
    while j.is_digit(b[p]) and p - end < 10:
        row = row * 10 + b[p] - j.ZERO
        p += 1
    if b[p] != j.QUOTE or p == end + 1 or end == start or (b[end + 1] == j.ZERO and p > end + 2):
        return -1
    facts[line, column + f.PATH] = path
    facts[line, column + f.PATH_START] = start
    facts[line, column + f.PATH_END] = end
    facts[line, column + f.ROW] = row
    return p + 1


@j.jit
def _fits(kind, declared):
    """Whether a sample of this kind may hold these media."""
    if kind in (_IMAGE_TEXT, _OBJECT):
        return declared & 1 > 0
    if kind == _SEGMENT:
        return declared & 6 > 0
    return kind == _DOCUMENT or declared & 7 == 0


@j.jit
def _line(b, p, facts, line, vocabulary, version, images, audios, n_image, n_audio):
    """(status, image codes so far, audio codes so far) of the line that starts at p."""
    seen, nested, content_media, declared, kind = 0, _CLEAN, 0, 0, -1
    image_start, audio_start = n_image, n_audio
    p = j.skip_space(b, p)
    if b[p] != j.OPEN_BRACE:
        return _DOUBTFUL, n_image, n_audio
    while True:
        p, name = j.read_string(b, j.skip_space(b, p + 1))
        if p < 0:
            return _DOUBTFUL, n_image, n_audio
        p = j.skip_space(b, p)
        if b[p] != j.COLON:
            return _DOUBTFUL, n_image, n_audio
        p = j.skip_space(b, p + 1)
        field = j.index_of(name, _FIELDS)
        if field >= 0:
            if seen & (1 << field):
                return _DOUBTFUL, n_image, n_audio
            seen |= 1 << field
        if field == _ID:
            start = p
            p, name = j.read_string(b, p)
            facts[line, f.ID_KEY] = name
            p = -1 if p == start + 2 else p
        elif field in (_KIND, _POOL, _REVIEW):
            p, name = j.read_string(b, p)
            known = _KINDS if field == _KIND else (_POOLS if field == _POOL else _REVIEWS)
            which = j.index_of(name, known)
            kind = which if field == _KIND else kind
            p = -1 if which < 0 else p
        elif field == _MODALITIES:
            p, declared = _modalities(b, p)
        elif field == _CONTENT:
            p, n_image, n_audio, content_media = _content(
                b, p, vocabulary[0], vocabulary[1], images, audios, n_image, n_audio
            )
        elif field in (_VISUAL, _AUDIO):
            p = _reference(b, p, facts, line, f.VISUAL if field == _VISUAL else f.AUDIO)
        elif _BOXES <= field <= _NEGATIVES:
            if b[p] != j.OPEN_BRACKET:
                return _DOUBTFUL, n_image, n_audio
            nested = nested if b[j.skip_space(b, p + 1)] == j.CLOSE_BRACKET else _NESTED
            p = j.skip_value(b, p)
        elif field == _WEIGHT:
            p = j.skip_number(b, p) if b[p] != j.MINUS else -1
        elif field == _VERSION:
            p, name = j.read_string(b, p)
            p = -1 if name != version else p
        elif field == _CHECKS:
            p = j.skip_value(b, p) if b[p] == j.OPEN_BRACE else -1
        else:
            p = j.skip_string(b, p) if field >= 0 else j.skip_value(b, p)
        if p < 0:
            return _DOUBTFUL, n_image, n_audio
        p = j.skip_space(b, p)
        if b[p] != j.COMMA:
            break
    if b[p] != j.CLOSE_BRACE or seen != _ALL_FIELDS or content_media | 8 != declared or not _fits(kind, declared):
        return _DOUBTFUL, n_image, n_audio
    nested = _NESTED if kind in (_SEGMENT, _DOCUMENT) else nested
    p = j.skip_space(b, p + 1)
    visual, audio = facts[line, f.VISUAL + f.PATH_END] > 0, facts[line, f.AUDIO + f.PATH_END] > 0
    if p != facts[line, f.END] or visual != ((declared & 3) > 0) or audio != ((declared & 4) > 0):
        return _DOUBTFUL, n_image, n_audio
    facts[line, f.VISUAL + f.COUNT], facts[line, f.VISUAL + f.OFFSET] = n_image - image_start, image_start
    facts[line, f.AUDIO + f.COUNT], facts[line, f.AUDIO + f.OFFSET] = n_audio - audio_start, audio_start
    return nested, n_image, n_audio


def _compile(sources):
    """Compile `scan_lines`. The digest of the sources enters numba's cache key only as a variable of a closure."""

    @numba.njit(cache=True, nogil=True, boundscheck=False)
    def scan_lines(buffer, start, stop, facts, images, audios, vocabulary, version):
        """Judge the lines of buffer[start:stop].

        Args:
            buffer: uint8; a line feed or 64 zeros stand at `stop` or before it.
            start: first byte of the first line.
            stop: end of the last line; it need not have a line feed.
            facts: int64, shape (L, 16), zeros; filled for at most L lines.
            images: int32, room for every image code; filled.
            audios: int32, room for every audio code; filled.
            vocabulary: int64, shape (2,): image and audio codes.
            version: fingerprint of the placeholder version.

        Returns:
            (lines judged, first byte that was not judged)
        """
        n_image = n_audio = line = 0
        while start < stop and line < len(facts) and sources != 0:
            end = start
            while end < stop and buffer[end] != j.LINE_FEED:
                end += 1
            facts[line, f.START], facts[line, f.END] = start, end
            status, n_image, n_audio = _line(
                buffer, start, facts, line, vocabulary, version, images, audios, n_image, n_audio
            )
            facts[line, f.STATUS] = status
            start = end + 1
            line += 1
        return line, start

    return scan_lines


scan_lines = _compile(
    int.from_bytes(hashlib.sha256(b"".join(Path(m.__file__ or "").read_bytes() for m in (f, j))).digest()[:6], "big")
    | 1
)
