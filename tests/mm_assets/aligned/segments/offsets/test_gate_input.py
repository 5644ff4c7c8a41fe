"""What the tables say becomes what the gate takes, row for row; texts become evidence of pointers."""

import hashlib

import numpy as np
import polars as pl
import pytest

from mm_assets.aligned.segments.offsets.gate_input import gather_tracks
from mm_assets.aligned.segments.offsets.pointers import find_pointers
from mm_assets.aligned.segments.offsets.text_channels import compare_delivered_texts
from mm_assets.policy import OffsetGatePolicy
from mm_assets.schemas import TABLES

NOUNS = ["duck", "cow", "dog", "rooster", "tiger", "pony", "whale", "spider", "robin", "salmon", "turtle", "camel"]


def test_every_delivery_row_keeps_its_place() -> None:
    delivered = pl.DataFrame({"clip_id": ["a", "gone", "b"], "place": [0, 1, 3], "is_video": [False, True, True]})
    clips = pl.DataFrame(
        {
            "clip_id": ["a", "b"],
            "start_us": [0, 5_000_000],
            "end_us": [2_000_000, 8_000_000],
            "sound_start_us": [0, 5_100_000],
            "sound_end_us": [2_000_000, 8_000_000],
            "has_separate_sound": [False, True],
        }
    )
    track = dict.fromkeys(TABLES["clip_tracks"].columns) | {"batch": "x", "sound_step_us": 10_000}
    tracks = pl.DataFrame(
        [
            track | {"clip_id": "a", "sound_start_us": 0, "speech": [0.5] * 200, "onsets": [0.0] * 200},
            track
            | {"clip_id": "b", "sound_start_us": 5_100_000, "speech": [1.0] * 290, "onsets": [1.0] * 290}
            | {"motion_start_us": 5_000_000, "motion_step_us": 40_000, "motion": [2.0] * 75},
        ],
        schema=TABLES["clip_tracks"].schema,
    ).with_columns(pl.col("motion_step_us").fill_null(40_000))
    cues = pl.DataFrame(
        {
            "clip_id": ["b", "b", "b"],
            "start_us": [5_500_000, 7_000_000, 6_000_000],
            "end_us": [6_000_000, 6_500_000, 6_400_000],
            "text": ["one", "ends before it starts", "of no clip"],
            "has_clip": [True, True, False],
        }
    )
    word = {
        "word": "one",
        "start_us": 5_400_000,
        "end_us": 5_900_000,
        "confidence": 1.0,
        "method": "m",
        "speaker": None,
    }
    blank = dict.fromkeys(TABLES["transcripts"].columns) | {"batch": "x", "text": "one"}
    transcripts = pl.DataFrame(
        [blank | {"clip_id": "b", "words": [word]}, blank | {"clip_id": "a", "words": []}],
        schema=TABLES["transcripts"].schema,
    )
    found = gather_tracks(delivered, clips, tracks, cues, transcripts)
    assert [clip.clip_id for clip in found] == ["a", "gone", "row 2", "b"]
    first, gone, _, last = found
    assert gone.speech is gone.cues is gone.words is None
    assert (first.cues, first.words, first.motion, first.audio_duration_us) == (None, None, None, None)
    assert (last.start_us, last.duration_us, last.audio_duration_us) == (5_000_000, 3_000_000, 2_900_000)
    assert last.speech is not None
    assert (last.speech.start_us, len(last.speech.probability)) == (5_100_000, 290)
    assert last.cues is not None
    assert last.cues.texts == ("one",)
    assert last.words is not None
    assert last.words.start_us.tolist() == [5_400_000]
    assert last.motion is not None
    assert (last.motion.start_us, last.motion.step_us) == (5_000_000, 40_000)


class BagOfWords:
    """An encoder whose embeddings are sums of a fixed random vector per word."""

    dimension = 64

    def encode_texts(self, texts):
        return np.stack([self._sum(text.split()) for text in texts])

    def _sum(self, words):
        seeds = [int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big") for word in words]
        total = np.sum([np.random.default_rng(seed).standard_normal(self.dimension) for seed in seeds], axis=0)
        return total / np.linalg.norm(total)


@pytest.mark.parametrize(("is_video", "side"), [(True, "audio"), (False, "subtitles")])
@pytest.mark.parametrize("k", [0, 1])
def test_texts_tell_whose_sound_it_is(is_video, side, k) -> None:
    count = len(NOUNS)
    rows = pl.DataFrame(
        {
            "place": list(range(count)),
            "is_video": [is_video] * count,
            "written": [f"a picture of a {noun} today" for noun in NOUNS],
            "said": [f"this is the {NOUNS[(row + k) % count]}" for row in range(count)],
        }
    )
    (channel,) = compare_delivered_texts(rows, BagOfWords())
    assert (channel.side, channel.match.shape) == (side, (count, count))
    finding = find_pointers([channel], side, OffsetGatePolicy())
    assert finding is not None
    assert finding.proven is bool(k)
    if k:
        assert finding.kind == "pointer_shift"
        assert abs(int(finding.parameters["k"])) == 1


def test_too_few_texts_say_nothing() -> None:
    rows = pl.DataFrame(
        {
            "place": [0, 1, 2, 3],
            "is_video": [True] * 4,
            "written": ["a", "b", "c", None],
            "said": ["a", "b", "", "d"],
        }
    )
    assert compare_delivered_texts(rows, BagOfWords()) == []
    assert compare_delivered_texts(rows.clear(), BagOfWords()) == []
