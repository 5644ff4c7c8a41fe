# pyright: strict
"""Which recognised words a cue shows, and what their times say of offset, rate and order.

A cue is looked up in the transcript by votes: every pair of equal tokens votes for the place where the cue would start,
and the place with most votes wins if it holds enough of the cue and clearly more than any other place.
"""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from mm_assets.aligned.segments.offsets.alignment_profile import Profile, list_lags, list_rates
from mm_assets.aligned.segments.offsets.cue_profile import sum_windows
from mm_assets.aligned.segments.offsets.speech_edges import edge_density
from mm_assets.aligned.segments.offsets.timed_tracks import FRAME_US, Booleans, Floats, Integers, TimedTexts
from mm_assets.policy import OffsetGatePolicy

_TOKEN: Final = re.compile(r"\w+(?:['\u2019]\w+)*")
_CLEARLY: Final = 0.67
"""Share of the best place's votes above which another place leaves a cue ambiguous."""
_NEAR: Final = 2
"""Places this close are one: a word more or less was recognised."""
_MOST_MATCHES: Final = 200


@dataclass(frozen=True, eq=False)
class WordMatches:
    """Cues that were found in the transcript.

    Attributes:
        cues: shape (m,), cue of each match, increasing.
        cue_us: shape (m,), when that cue starts.
        word_us: shape (m,), when its first word is spoken.
        place: shape (m,), place of that word in the transcript.
        looked_up: cues with words enough to be looked up.
    """

    cues: Integers
    cue_us: Integers
    word_us: Integers
    place: Integers
    looked_up: int

    def __len__(self) -> int:
        return len(self.cues)


def split_tokens(text: str) -> list[str]:
    """Words of a text, folded.

    >>> split_tokens("Don't stop, Ann!")
    ["don't", 'stop', 'ann']
    """
    return _TOKEN.findall(text.casefold())


def match_words(cues: TimedTexts, words: TimedTexts, policy: OffsetGatePolicy) -> WordMatches:
    """Find each cue in the transcript, wherever it stands.

    Args:
        cues: n cues.
        words: recognised words in the order they are spoken.
        policy: tokens a cue needs, and the share of them that must be found.
    """
    spoken: list[str] = []
    of_word: list[int] = []
    for place, text in enumerate(words.texts):
        tokens = split_tokens(text)
        spoken += tokens
        of_word += [place] * len(tokens)
    ids = {token: number for number, token in enumerate(dict.fromkeys(spoken))}
    heard = np.array([ids[token] for token in spoken], dtype=np.int64)
    order = np.argsort(heard, kind="stable")
    first = np.searchsorted(heard[order], np.arange(len(ids) + 1))
    found: list[tuple[int, int, int]] = []
    looked_up = 0
    for cue, text in enumerate(cues.texts):
        shown = [ids.get(token, -1) for token in split_tokens(text)]
        if len(shown) < policy.min_cue_tokens:
            continue
        looked_up += 1
        hits = [(row, place) for row, token in enumerate(shown) if token >= 0
                for place in order[first[token] : first[token + 1]].tolist()]  # fmt: skip
        if not hits:
            continue
        start = _locate(np.array(hits, dtype=np.int64), len(shown), policy.min_matched_tokens)
        if start is not None:
            found.append((cue, *start))
    table = np.array(found, dtype=np.int64).reshape(-1, 3)
    times = words.start_us[np.array(of_word, dtype=np.int64)[table[:, 2]]] if len(table) else np.zeros(0, np.int64)
    # a cue whose first words were not recognised starts as many words earlier
    pace = _pace_us(words)
    return WordMatches(
        cues=table[:, 0],
        cue_us=cues.start_us[table[:, 0]],
        word_us=(times - np.rint(table[:, 1] * pace)).astype(np.int64),
        place=table[:, 2] - table[:, 1],
        looked_up=looked_up,
    )


def fit_words(matches: WordMatches, start_us: int, duration_us: int, policy: OffsetGatePolicy) -> Profile | None:
    """Evidence of matched cues at every rate and lag; None where too few cues were found.

    Args:
        matches: cues and the words they show.
        start_us: when the clip starts.
        duration_us: how long it lasts.
        policy: search ranges, and how cues lie about their words.
    """
    if len(matches) < policy.min_cues:
        return None
    chosen = np.unique(np.linspace(0, len(matches) - 1, min(len(matches), _MOST_MATCHES)).astype(np.int64))
    centre = duration_us / 2.0
    shown = (matches.cue_us[chosen] - start_us).astype(np.float64)
    heard = (matches.word_us[chosen] - start_us).astype(np.float64)
    rates, lags = list_rates(duration_us, policy), list_lags(policy)
    reach = int(lags[-1])
    table = _tabulate_evidence(reach, duration_us, policy)
    forward = np.empty((len(rates), len(lags)))
    for row, rate in enumerate(rates):
        forward[row] = _sum_evidence(centre + (shown - centre) / rate - heard, table, reach)
    backward = _sum_evidence(2.0 * centre - shown - heard, table, reach)
    return Profile(rates, lags, forward, backward, duration_us)


def measure_order(matches: WordMatches) -> float:
    """Kendall's rank correlation of cue times and spoken places: 1 in order, -1 reversed, 0 lost; NaN of one match.

    Pairs of one time or one place are left out.
    """
    later = np.sign(matches.cue_us[:, None] - matches.cue_us[None, :])
    further = np.sign(matches.place[:, None] - matches.place[None, :])
    told: Booleans = (later != 0) & (further != 0)
    return float((later * further)[told].mean()) if told.any() else float("nan")


def _locate(hits: Integers, tokens: int, min_share: float) -> tuple[int, int] | None:
    """First matched token of a cue and its place in the transcript, or None."""
    diagonals, votes = np.unique(hits[:, 1] - hits[:, 0], return_counts=True)
    best = int(np.argmax(votes))
    near = np.abs(diagonals - diagonals[best]) <= _NEAR
    total = int(votes[near].sum())
    rival = int(votes[~near].max()) if (~near).any() else 0
    if min(total, tokens) < max(min_share * tokens, 2.0) or rival > _CLEARLY * total:
        return None
    on_best = hits[hits[:, 1] - hits[:, 0] == diagonals[best]]
    row = int(np.argmin(on_best[:, 0]))
    return int(on_best[row, 0]), int(on_best[row, 1])


def _pace_us(words: TimedTexts) -> float:
    gaps = np.diff(words.start_us)
    return float(np.median(gaps)) if len(gaps) else 0.0


def _sum_evidence(distance_us: Floats, table: Floats, reach: int) -> Floats:
    """Summed log-evidence of cue starts this far from their words, at every lag, shape (L,)."""
    return sum_windows(table, distance_us / FRAME_US + len(table) // 2, reach, outside=float(table[0]))


def _tabulate_evidence(reach: int, duration_us: int, policy: OffsetGatePolicy) -> Floats:
    """Log-evidence by distance of a cue's start from its word, frames about the middle."""
    away = np.arange(-reach, reach + 1).astype(np.float64) * FRAME_US + policy.cue_lead_us
    density = edge_density(away, policy.cue_lead_spread_us) * duration_us
    return np.log((1.0 - policy.stray_edge_share) * density + policy.stray_edge_share)
