from itertools import pairwise

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.hard_negatives.batch_sources import (
    caption_positives,
    cue_windows,
    latest_decisions,
    position_ranges,
)


def test_captions_know_their_siblings_labels_and_score() -> None:
    captions = pl.DataFrame(
        {
            "caption_id": ["b", "a", "c", "d"],
            "image_id": ["i", "i", "j", "j"],
            "position": [1, 1, 0, 0],
            "caption_index": [1, 0, 0, 1],
            "text": ["A bird.", "A duck.", "A car.", "Une voiture."],
            "language": ["en", None, "en", "fr"],
        }
    )
    edges = {edge: [0.0, 1.0, 2.0] for edge in ("x1", "y1", "x2", "y2")}
    boxes = pl.DataFrame({"image_id": ["i", "i", "j"], "label": ["duck", "duck", None], **edges})
    images = pl.DataFrame({"image_id": ["i", "j"], "embedding": [[1.0, 0.0], [0.0, 1.0]]})
    texts = pl.DataFrame({"caption_id": list("abcd"), "embedding": [[0.6, 0.8], [1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]})
    positives, pictures, words = caption_positives(captions, boxes, images, texts)
    assert [positive.positive_id for positive in positives] == ["c", "a", "b"]
    assert positives[0].siblings == ("Une voiture.",)
    assert positives[1].siblings == ("A bird.",)
    assert positives[1].labels == ("duck",)
    assert [region.box[0] for region in positives[1].regions] == [0.0, 1.0]
    assert positives[0].regions == ()
    assert np.allclose([positive.similarity for positive in positives], [0.6, 0.6, 1.0])
    assert pictures.shape == words.shape == (3, 2)
    empty = caption_positives(captions.clear(), boxes.clear(), images.clear(), texts.clear())
    assert empty[0] == []


def test_cues_become_windows_in_order() -> None:
    cues = pl.DataFrame(
        {
            "cue_id": ["y", "x"],
            "clip_id": ["v", "v"],
            "text": ["A cow.", "A dog."],
            "position": [0, 0],
            "start_us": [5, 1],
            "end_us": [6, 2],
            "language": ["en", "en"],
        }
    )
    assert [(w.positive.positive_id, w.start_us, w.end_us) for w in cue_windows(cues)] == [("x", 1, 2), ("y", 5, 6)]


def test_the_latest_decision_counts() -> None:
    rows = [("n", "accepted", None, 3), ("m", "rejected", "True of the picture", 1), ("n", "rejected", None, 2)]
    assert latest_decisions(rows) == {"n": "accepted", "m": "rejected"}
    assert latest_decisions([*rows, ("m", "rejected", "No proper caption", 2)])["m"] == "improper"


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 9))
def test_chunks_cover_all_rows_once_and_cut_no_position(positions: list[int], rows: int) -> None:
    ranges = position_ranges(np.asarray(positions, np.int64), rows)
    found = [[place for place in positions if first <= place <= last] for first, last in ranges]
    assert sorted(place for chunk in found for place in chunk) == sorted(positions)
    assert all(one[1] < other[0] for one, other in pairwise(ranges))
    assert all(len(chunk) >= rows for chunk in found[:-1])
    assert all(len(chunk) - chunk.count(max(chunk)) < rows for chunk in found)
