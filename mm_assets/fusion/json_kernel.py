# ruff: noqa: ANN001, ANN201, C901, PLR0912, PLR2004, SIM110 - numba infers types and compiles plain branches
"""Compiled JSON primitives over raw bytes: each takes a buffer and a position, and gives the position behind, or -1.

-1 means no valid JSON, or JSON that the exact rules should look at: long numbers, ASCII behind a u escape. The buffer
needs padding behind its end; a zero byte or a line feed ends every construct.
"""

from typing import Final

import numba
import numpy as np

from mm_assets.fusion import line_facts as f

QUOTE, BACKSLASH, COMMA, COLON, MINUS, DOT, ZERO, LINE_FEED = b'"\\,:-.0\n'
OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET, HASH, SLASH, PIPE = b"{}[]#/|"
LESS, GREATER, AMPERSAND, PERCENT, SPACE, TAB, RETURN = b"<>&% \t\r"
_T, _R, _U, _E, _N, _L, _F, _A, _S, _B, _X = b"truenlfasbx"
_PRIME, _BYTE = np.uint64(f.PRIME), np.uint64(256)
_MAX_DEPTH, _MAX_NUMBER = f.MAX_DEPTH, f.MAX_NUMBER_CHARACTERS

_PLAIN = np.zeros(256, dtype=np.uint8)  # 1 ends a run of ordinary string bytes
_PLAIN[:32] = 1
_PLAIN[128:] = 1
_PLAIN[[QUOTE, BACKSLASH]] = 1

# callers are compiled too, so no wrappers; numba's stub does not know these two options
jit: Final = numba.njit(nogil=True, boundscheck=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)  # pyright: ignore[reportCallIssue]


@jit
def is_digit(c):
    """Whether a byte is 0 to 9."""
    return 48 <= c < 58


@jit
def skip_space(b, p):
    """Position of the first byte at or behind p that is no white space of a line."""
    while b[p] == SPACE or b[p] == TAB or b[p] == RETURN:
        p += 1
    return p


@jit
def skip_utf8(b, p):
    """Position after the multi-byte sequence at p, or -1."""
    c = b[p]
    if 0xC2 <= c < 0xE0:
        return p + 2 if 0x80 <= b[p + 1] < 0xC0 else -1
    if 0xE0 <= c < 0xF0:
        low = 0xA0 if c == 0xE0 else 0x80
        high = 0xA0 if c == 0xED else 0xC0
        return p + 3 if low <= b[p + 1] < high and 0x80 <= b[p + 2] < 0xC0 else -1
    if 0xF0 <= c < 0xF5:
        low = 0x90 if c == 0xF0 else 0x80
        high = 0x90 if c == 0xF4 else 0xC0
        if low <= b[p + 1] < high and 0x80 <= b[p + 2] < 0xC0 and 0x80 <= b[p + 3] < 0xC0:
            return p + 4
    return -1


@jit
def skip_escape(b, p):
    """Position after the escape whose backslash is at p, or -1 where the exact rules have to look."""
    c = b[p + 1]
    if c in (QUOTE, _B, _F, _N, _R, _T):
        return p + 2
    if c == BACKSLASH:  # a backslash before u00, x3 or x7 could spell an escaped placeholder
        d, e = b[p + 2], b[p + 3]
        return -1 if (d == _U and e == ZERO) or (d == _X and (e == ZERO + 3 or e == ZERO + 7)) else p + 2
    if c != _U:
        return -1
    value = 0
    for i in range(2, 6):
        d = b[p + i]
        if is_digit(d):
            value = value * 16 + d - ZERO
        elif 97 <= d < 103:
            value = value * 16 + d - 87
        elif 65 <= d < 71:
            value = value * 16 + d - 55
        else:
            return -1
    return -1 if value < 0x80 or 0xD800 <= value < 0xE000 else p + 6


@jit
def skip_string(b, p):
    """Position after the string that starts at p, or -1."""
    if b[p] != QUOTE:
        return -1
    p += 1
    while True:
        while _PLAIN[b[p]] == 0:
            p += 1
        c = b[p]
        if c == QUOTE:
            return p + 1
        p = skip_escape(b, p) if c == BACKSLASH else (skip_utf8(b, p) if c >= 128 else -1)
        if p < 0:
            return -1


@jit
def read_string(b, p):
    """(position after, fingerprint) of an ASCII string without escapes that starts at p; position -1 otherwise."""
    key = np.uint64(1)
    if b[p] != QUOTE:
        return -1, key
    p += 1
    while b[p] != QUOTE:
        c = b[p]
        if c < 32 or c >= 128 or c == BACKSLASH:
            return -1, key
        key = (key * _BYTE + np.uint64(c)) % _PRIME
        p += 1
    return p + 1, key


@jit
def skip_number(b, p):
    """Position after a short JSON number without exponent, or -1."""
    start = p
    if b[p] == MINUS:
        p += 1
    if b[p] == ZERO:
        p += 1
    elif is_digit(b[p]):
        while is_digit(b[p]):
            p += 1
    else:
        return -1
    if b[p] == DOT:
        p += 1
        if not is_digit(b[p]):
            return -1
        while is_digit(b[p]):
            p += 1
    if b[p] == _E or b[p] == 69 or p - start > _MAX_NUMBER:
        return -1
    return p


@jit
def skip_word(b, p):
    """Position after true, false or null, or -1."""
    if b[p] == _T and b[p + 1] == _R and b[p + 2] == _U and b[p + 3] == _E:
        return p + 4
    if b[p] == _N and b[p + 1] == _U and b[p + 2] == _L and b[p + 3] == _L:
        return p + 4
    if b[p] == _F and b[p + 1] == _A and b[p + 2] == _L and b[p + 3] == _S and b[p + 4] == _E:
        return p + 5
    return -1


@jit
def skip_value(b, p):
    """Position after any JSON value that starts at p, or -1. Objects and arrays by an explicit stack of bits."""
    stack = depth = 0
    while True:
        c = b[p]
        if c in (OPEN_BRACE, OPEN_BRACKET):
            if depth == _MAX_DEPTH:
                return -1
            closing = CLOSE_BRACE if c == OPEN_BRACE else CLOSE_BRACKET
            p = skip_space(b, p + 1)
            if b[p] == closing:
                p += 1
            else:
                stack = stack * 2 + (1 if c == OPEN_BRACE else 0)
                depth += 1
                if c == OPEN_BRACE:
                    p = skip_key(b, p)
                    if p < 0:
                        return -1
                continue
        elif c == QUOTE:
            p = skip_string(b, p)
        elif c == MINUS or is_digit(c):
            p = skip_number(b, p)
        else:
            p = skip_word(b, p)
        if p < 0:
            return -1
        while depth > 0:
            p = skip_space(b, p)
            is_object = stack & 1
            if b[p] == COMMA:
                p = skip_space(b, p + 1)
                if is_object:
                    p = skip_key(b, p)
                    if p < 0:
                        return -1
                break
            if b[p] != (CLOSE_BRACE if is_object else CLOSE_BRACKET):
                return -1
            p += 1
            stack //= 2
            depth -= 1
        else:
            return p


@jit
def skip_key(b, p):
    """Position of the value behind the key that starts at p, or -1."""
    p = skip_string(b, p)
    if p < 0:
        return -1
    p = skip_space(b, p)
    return skip_space(b, p + 1) if b[p] == COLON else -1


@jit
def starts_with(b, p, word):
    """Whether the bytes of the word stand at p."""
    for i in range(len(word)):
        if b[p + i] != word[i]:
            return False
    return True


@jit
def index_of(value, choices):
    """Place of the value among the choices, or -1."""
    for i in range(len(choices)):
        if value == choices[i]:
            return i
    return -1
