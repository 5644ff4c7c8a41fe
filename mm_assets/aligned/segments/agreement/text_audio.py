# pyright: strict
"""How much of a text is heard: its tokens against those of the transcript, and a sample of pairs against chance."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

import numpy as np

from mm_assets.policy import SegmentPolicy

_TOKEN: Final = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0e7f]|[^\W\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0e7f]+"
    r"(?:['\u2019][^\W\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0e7f]+)*"
)
"""A word, or a character of a script that puts no space between words."""


@dataclass(frozen=True)
class SampleCheck:
    """A similarity sample of a batch.

    Attributes:
        segments: segments in it.
        own: mean token match of text and own transcript.
        mismatched: the same of re-paired texts and transcripts, the highest of the re-pairings.
        passed: whether texts go with their own transcripts better than with others'; True of too small a sample.
    """

    segments: int
    own: float | None
    mismatched: float | None
    passed: bool


def split_tokens(text: str) -> list[str]:
    """Words of a text, folded; of Chinese, Japanese and Thai its characters.

    >>> split_tokens("Don't stop, Ann!"), split_tokens("池の上 a")
    (["don't", 'stop', 'ann'], ['池', 'の', '上', 'a'])
    """
    return _TOKEN.findall(text.casefold().replace("\u2019", "'"))


def match_tokens(text: Sequence[str], heard: Sequence[str]) -> float | None:
    """Share of tokens that text and transcript have in common in order, of both together, 0 to 1.

    None where either has none: that tells nothing.

    >>> match_tokens("a duck on a pond".split(), "a duck is on the pond".split())
    0.7272727272727273
    """
    if not text or not heard:
        return None
    blocks = SequenceMatcher(None, text, heard, autojunk=False).get_matching_blocks()
    return 2.0 * sum(block.size for block in blocks) / (len(text) + len(heard))


def rank_tokens(
    row: int, texts: Sequence[Sequence[str]], heard: Sequence[Sequence[str]], others: Sequence[int]
) -> float | None:
    """Share of mismatched pairs with fewer tokens in common than a segment's own; None without any.

    Args:
        row: the segment.
        texts: tokens of every segment's text.
        heard: tokens of its transcript.
        others: segments of other clips that have both.
    """
    own = match_tokens(texts[row], heard[row])
    null = [match_tokens(texts[row], heard[other]) or 0.0 for other in others]
    null += [match_tokens(texts[other], heard[row]) or 0.0 for other in others]
    return float(np.mean(np.array(null) < own)) if null and own is not None else None


def check_sample(texts: Sequence[Sequence[str]], heard: Sequence[Sequence[str]], policy: SegmentPolicy) -> SampleCheck:
    """Check that a batch's texts go with their own transcripts; a pointer off by one passes every check of form.

    Args:
        texts: tokens of the text of each segment that has both.
        heard: tokens of its transcript.
        policy: size of the sample, re-pairings and seed.
    """
    count = min(len(texts), policy.sample_segments)
    if count < policy.min_sample:
        return SampleCheck(count, None, None, passed=True)
    random = np.random.default_rng(policy.seed)
    chosen = random.permutation(len(texts))[:count].tolist()
    own = _mean(texts, heard, chosen, chosen)
    shifts = random.permutation(np.arange(1, count))[: policy.sample_permutations].tolist()
    mismatched = max(_mean(texts, heard, chosen, chosen[shift:] + chosen[:shift]) for shift in shifts)
    return SampleCheck(count, own, mismatched, passed=own > mismatched)


def _mean(
    texts: Sequence[Sequence[str]], heard: Sequence[Sequence[str]], rows: Sequence[int], paired: Sequence[int]
) -> float:
    return float(np.mean([match_tokens(texts[a], heard[b]) or 0.0 for a, b in zip(rows, paired, strict=True)]))
