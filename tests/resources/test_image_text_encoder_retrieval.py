"""The embedded encoder on real pictures and captions: matching pairs lie closer than others."""

import json
from pathlib import Path

import numpy as np
import pytest

from mm_assets.features.decode import decode_square
from resources import image_text_encoder
from resources.image_text_encoder.bridge import BridgeLite0MiniLM

DEMO = Path(__file__).parents[2] / "demo"


def pairs(batch):
    """Pictures and captions of an ImageFolder delivery, the first picture of each caption."""
    folder = DEMO / "data" / "landing" / batch / "images"
    found = {}
    for line in (folder / "metadata.jsonl").read_bytes().splitlines():
        try:
            row = json.loads(line)
            found.setdefault(row["text"], (folder / row["file_name"]).read_bytes())
        except (ValueError, KeyError, TypeError, OSError):
            continue  # the demo plants a few broken rows on purpose
    return list(found), list(found.values())


@pytest.fixture(scope="module")
def similarity():
    """Cosines of 48 stamps with their captions, own caption on the diagonal."""
    encoder = BridgeLite0MiniLM()
    captions, pictures = pairs("stamps-animals-01")
    pixels = np.stack(
        [decode_square(data, encoder.input_side_px, encoder.resize_mode, encoder.padding_rgb) for data in pictures[:48]]
    )
    return encoder.encode_images(pixels).embedding @ encoder.encode_texts(captions[:48]).T


def test_the_right_caption_often_comes_first(similarity):
    assert similarity.shape == (48, 48)
    assert (similarity.argmax(1) == np.arange(48)).mean() > 0.25  # chance is 1 in 48
    assert (similarity.argmax(0) == np.arange(48)).mean() > 0.25


def test_captions_shifted_by_one_fall_to_chance(similarity):
    shifted = np.roll(similarity, 1, axis=1)
    assert (shifted.argmax(1) == np.arange(48)).mean() < 0.15


def test_right_pairs_score_higher_than_wrong_ones(similarity):
    wrong = similarity[~np.eye(48, dtype=bool)]
    higher = (np.diag(similarity)[:, None] > wrong).mean()
    assert higher > 0.7  # 0.75 among animals alone, where wrong pairs are alike; chance is 0.5


def test_no_picture_of_the_mean_is_scored_in_the_demo():
    constants = Path(image_text_encoder.__file__).parent / "lite0_mean_feature.npz"
    names = np.load(constants, allow_pickle=False)["pictures"].tolist()
    selection = (DEMO / "selection.toml").read_text(encoding="utf-8")
    assert len(names) > 300
    assert [name for name in names if name in selection] == []
