# pyright: strict
"""Sequences of a release: which samples share a window of N tokens, and where each begins in it.

A line of ``sequences/*.jsonl``::

    {"id": "seq_…", "split": "train", "samples": ["mm_…", "mm_…"], "positions": [3, 17],
     "boundaries": [0, 120, 181], "tokens": 181}

Sample i takes the tokens from ``boundaries[i]`` to ``boundaries[i + 1]`` and may attend to no others; kernels for
sequences of several lengths take such cumulative lengths. A position counts the lines of the release, from 0. Samples
are whole and of one split; one that is longer than a window stands by itself in ``too_long.jsonl``.
"""

import re
from typing import Final, NamedTuple

import msgspec

from mm_assets.fusion.samples import TRAIN

SEQUENCES_FOLDER: Final = "sequences"
TOO_LONG_NAME: Final = "too_long.jsonl"

_SPAN: Final = re.compile(r"<\|(?:image|audio|video)_start\|>.*?<\|(?:image|audio|video)_end\|>|</?box>", re.DOTALL)


class PlacedSample(msgspec.Struct, frozen=True):
    """What a line of ``samples/`` says of its place; one without a split is trained on."""

    id: str
    content: str
    weight: float = 1.0
    split: str = TRAIN


class SequenceLine(msgspec.Struct, frozen=True):
    """Whole samples of one split that share a window."""

    id: str
    split: str
    samples: list[str]
    positions: list[int]
    boundaries: list[int]
    tokens: int


class SequenceFormat(msgspec.Struct, frozen=True):
    """How the windows of a release were counted and filled.

    Attributes:
        window_tokens: tokens of a window.
        separator_tokens: tokens counted behind every sample.
        counter: what counted the tokens of texts.
        windows: number of windows.
        samples: samples in them; one of weight n counts n times.
        tokens: tokens in them.
        fill: share of the windows' tokens that samples take.
        too_long: samples that are longer than a window.
    """

    window_tokens: int
    separator_tokens: int
    counter: str
    windows: int
    samples: int
    tokens: int
    fill: float
    too_long: int


class TokenParts(NamedTuple):
    """Content as tokens see it: texts between placeholders, and the tokens that placeholders and tags take."""

    texts: list[str]
    placeholder_tokens: int


def split_for_tokens(content: str) -> TokenParts:
    """Take content apart for counting: every code, sentinel and box tag is one token of the vocabulary.

    >>> split_for_tokens("<|image_start|><IMG_TK_3><IMG_TK_9><|image_end|> A <box>duck</box>.")
    TokenParts(texts=[' A ', 'duck', '.'], placeholder_tokens=6)
    """
    texts: list[str] = []
    placeholders = position = 0
    for match in _SPAN.finditer(content):
        start, end = match.span()
        if position < start:
            texts.append(content[position:start])
        placeholders += content.count("<", start, end)
        position = end
    if position < len(content):
        texts.append(content[position:])
    return TokenParts(texts, placeholders)
