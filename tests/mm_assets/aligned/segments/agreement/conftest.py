"""Batches of clips whose texts, words and pictures belong together, or do not."""

import sys
from dataclasses import dataclass, field
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

from mm_assets.aligned.segments.agreement.alignments import AlignedSegments, align_segments
from mm_assets.aligned.segments.agreement.segment_texts import CLIP_COLUMNS
from mm_assets.policy import Policy
from mm_assets.schemas import TABLES

SECOND = 1_000_000
WORDS = (
    "duck pond horse meadow train station violin teacher bridge river candle window garden ladder pepper kettle "
    "hammer blanket lantern harbour mirror orchard pocket saddle tunnel wagon anchor basket cradle dagger"
)
NOUNS = WORDS.split()


class WordEncoder:
    """Embeds a text as the sum of its words' own directions; a word behind a minus sign points the other way."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        self.texts += texts
        return np.stack([self.vector(text) for text in texts]).astype(np.float32)

    @staticmethod
    def vector(text: str) -> np.ndarray:
        summed = np.zeros(48)
        for signed in text.casefold().split():
            word = signed.removeprefix("-")
            summed += (-1 if signed.startswith("-") else 1) * np.random.default_rng(
                sum(word.encode()) * 31 + len(word)
            ).standard_normal(48)
        return summed / max(float(np.linalg.norm(summed)), 1e-9)


@dataclass
class Batch:
    """Tables of one batch under construction; clip i lasts ``seconds`` from its own start."""

    clips: list[dict[str, Any]] = field(default_factory=list)
    pieces: list[dict[str, Any]] = field(default_factory=list)
    cues: list[dict[str, Any]] = field(default_factory=list)
    transcripts: list[dict[str, Any]] = field(default_factory=list)
    offsets: list[dict[str, Any]] = field(default_factory=list)
    frames: list[dict[str, Any]] = field(default_factory=list)
    encoder: WordEncoder = field(default_factory=WordEncoder)

    def add(
        self,
        *,
        medium: str = "video",
        cues: list[tuple[float, float, str]] = (),
        words: list[tuple[float, float, str]] | None = None,
        pictures: list[tuple[float, str]] = (),
        cuts: list[float] = (),
        seconds: float = 10.0,
        start: float = 0.0,
        sound: str | None = None,
        cue_timing: tuple[str, int, float] | None = None,
        **clip: Any,
    ) -> str:
        """One clip. ``sound`` and ``cue_timing`` are what the offset gate found; times are seconds of its clock."""
        number = len(self.clips)
        clip_id = f"clp_{number:03d}"
        at = lambda value: round(value * SECOND)  # noqa: E731 - seconds to microseconds
        self.clips.append(
            dict.fromkeys(CLIP_COLUMNS)
            | {
                "clip_id": clip_id,
                "record_ref": f"b1/{medium}/metadata.jsonl:{number + 1}",
                "medium": medium,
                "clip_start_us": at(start),
                "clip_end_us": at(start + seconds),
                "has_sound": True,
                "declared_language": "en",
            }
            | clip
        )
        edges = [start, *cuts, start + seconds]
        for index, (first, last) in enumerate(pairwise(edges)):
            self.pieces.append(
                {
                    "batch": "b1",
                    "piece_id": f"pce_{number:03d}_{index}",
                    "clip_id": clip_id,
                    "position": number,
                    "piece_index": index,
                    "start_us": at(first),
                    "end_us": at(last),
                    "cut": "end",
                }
            )
            for place, (time, shown) in enumerate((t, s) for t, s in pictures if first <= t < last):
                self.frames.append(
                    {
                        "piece_id": f"pce_{number:03d}_{index}",
                        "clip_id": clip_id,
                        "frame_index": place,
                        "time_us": at(time),
                        "embedding": WordEncoder.vector(shown).tolist(),
                    }
                )
        for index, (first, last, text) in enumerate(cues):
            self.cues.append(
                {"clip_id": clip_id, "cue_id": f"cue_{number:03d}_{index}", "text": text, "language": "en"}
                | {"start_us": at(first), "end_us": at(last), "speaker": None}
            )
        if words is not None:
            told = [
                {"word": word, "start_us": at(first), "end_us": at(last), "confidence": 0.9, "method": "recogniser"}
                | {"speaker": "S0"}
                for first, last, word in words
            ]
            text = " ".join(word for _, _, word in words)
            self.transcripts.append({"clip_id": clip_id, "text": text, "language": "en", "words": told})
        for tracks, found in (("audio_video", (sound, 20_000, 0.01) if sound else None), ("cues_words", cue_timing)):
            if found:
                timing, offset, beyond = found
                beyond = 0.99 if timing in ("offset", "drift", "reversed") else beyond
                row = {"clip_id": clip_id, "tracks": tracks, "timing": timing, "offset_us": offset, "beyond": beyond}
                self.offsets.append(row | {"drift_ppm": 12.0})
        return clip_id

    def say(self, number: int, start: float = 1.0) -> list[tuple[float, float, str]]:
        """Six words of clip ``number``, half a second each."""
        chosen = [NOUNS[(number * 6 + place) % len(NOUNS)] for place in range(5)]
        return [(start + place * 0.5, start + place * 0.5 + 0.4, word) for place, word in enumerate(("the", *chosen))]

    def align(self, policy: Policy | None = None) -> AlignedSegments:
        policy = policy or Policy()
        return align_segments(
            pl.DataFrame(self.clips, schema=CLIP_COLUMNS),
            frame("clip_pieces", self.pieces),
            frame("cues", self.cues),
            frame("transcripts", self.transcripts),
            pl.DataFrame(
                self.offsets,
                schema={"clip_id": pl.String, "tracks": pl.String, "timing": pl.String, "offset_us": pl.Int64}
                | {"drift_ppm": pl.Float64, "beyond": pl.Float64},
            ),
            frame("key_frames", self.frames),
            self.encoder,
            policy.segments,
            policy.warping,
        )


def frame(table: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    schema = TABLES[table].schema
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


@pytest.fixture
def batch() -> Batch:
    return Batch()


@pytest.fixture
def kit() -> ModuleType:
    return sys.modules[__name__]
