import io

import numpy as np
import polars as pl
import pytest
from PIL import Image

from mm_assets.gates.recall import evaluate_recall
from mm_assets.gates.recall_baseline import floor_baseline
from mm_assets.gates.recall_figures import draw_hypotheses, draw_recall_history, draw_similarities
from mm_assets.policy import Policy

POLICY = Policy()


def judge(batch):
    return evaluate_recall(batch, floor_baseline(POLICY.recall_gate), POLICY.recall_gate, POLICY.captions)


def colours(png: bytes) -> set[tuple[int, ...]]:
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        assert 300 <= picture.width <= 3_000
        assert 100 <= picture.height <= 1_000
        return {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}


BLUE, GREEN, RED = (0, 114, 178), (0, 158, 115), (213, 94, 0)


@pytest.fixture(scope="module")
def verdicts(make_batch):
    return [judge(make_batch(60)), judge(make_batch(60, order=np.roll(np.arange(60), 1))), judge(make_batch(5))]


def test_pictures_of_a_failure(verdicts):
    _, shifted, _ = verdicts
    assert {BLUE, RED} <= colours(draw_similarities(shifted))
    assert {BLUE, GREEN} <= colours(draw_hypotheses(shifted))


def test_sound_batch_has_nothing_restored(verdicts):
    sound, _, _ = verdicts
    assert RED not in colours(draw_similarities(sound))
    assert GREEN not in colours(draw_hypotheses(sound))


def test_unjudged_batches_have_pictures_too(verdicts):
    *_, few = verdicts
    for png in (draw_similarities(few), draw_hypotheses(few)):
        assert len(colours(png)) > 5


def test_history_shows_passed_and_failed_batches(verdicts):
    rows = pl.DataFrame([verdict.to_row(f"batch-{place}", "s") for place, verdict in enumerate(verdicts)])
    assert {BLUE, RED} <= colours(draw_recall_history(rows))
    assert RED not in colours(draw_recall_history(rows.filter("passed")))
    assert colours(draw_recall_history(rows.clear()))
    many = pl.concat([rows.head(1)] * 70)
    assert colours(draw_recall_history(many))


def test_equal_verdicts_give_equal_pictures(verdicts):
    assert draw_hypotheses(verdicts[1]) == draw_hypotheses(verdicts[1])
