import io

import numpy as np
import polars as pl
import pytest
from PIL import Image

from mm_assets.aligned.objects.boxes.readings import Reading
from mm_assets.aligned.objects.gate.object_figures import (
    draw_fault_evidence,
    draw_region_history,
    draw_region_similarities,
)
from mm_assets.display.box_sheet import BoxedPicture, box_sheet
from mm_assets.schemas import TABLES

BLUE, GREEN, RED, PURPLE = (0, 114, 178), (0, 158, 115), (213, 94, 0), (204, 121, 167)
CRIMSON, SEAGREEN = (220, 20, 60), (46, 139, 87)


def colours(png: bytes) -> set[tuple[int, ...]]:
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        assert 300 <= picture.width <= 3_000
        assert 100 <= picture.height <= 1_000
        return {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}


def is_among(colour: tuple[int, ...], found: set[tuple[int, ...]]) -> bool:
    return min(np.abs(np.array(colour) - np.array(other)).max() for other in found) <= 4


@pytest.fixture(scope="module")
def sound(scenes):
    return scenes.evaluate(scenes.deliver()).verdict


@pytest.fixture(scope="module")
def mirrored(scenes):
    return scenes.evaluate(scenes.deliver(fault=Reading("mirror_x"))).verdict


@pytest.fixture(scope="module")
def sparse(scenes):
    return scenes.evaluate(scenes.deliver().head(5)).verdict


def test_similarities_as_given_mirrored_and_restored(sound, mirrored):
    given = colours(draw_region_similarities(sound))
    assert {BLUE, PURPLE} <= given
    assert RED not in given
    assert {BLUE, RED} <= colours(draw_region_similarities(mirrored))


def test_the_named_hypothesis_is_marked(sound, mirrored):
    assert GREEN in colours(draw_fault_evidence(mirrored.to_json()))
    assert GREEN not in colours(draw_fault_evidence(sound.to_json()))


def test_unjudged_batches_have_pictures_too(sparse):
    for png in (draw_region_similarities(sparse), draw_fault_evidence(sparse.to_json())):
        assert len(colours(png)) > 5


def test_history_shows_passed_and_failed_batches(sound, mirrored, sparse):
    verdicts = (sound, mirrored, sparse)
    rows = pl.DataFrame(
        [verdict.to_row(f"batch-{place}", "s") for place, verdict in enumerate(verdicts)],
        schema=TABLES["object_recall"].schema,
    )
    assert {BLUE, RED} <= colours(draw_region_history(rows))
    assert RED not in colours(draw_region_history(rows.filter("passed")))
    assert colours(draw_region_history(rows.clear()))


def test_a_sheet_shows_both_boxes_and_stays_small():
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    lines = ("an apple — une pomme", "similarity given -0.10, restored 0.20", "worst: mirror_x, sure 0.99")
    picture = BoxedPicture(buffer.getvalue(), (10.0, 20.0, 90.0, 200.0), (310.0, 20.0, 390.0, 200.0), lines)
    bare = BoxedPicture(buffer.getvalue(), None, None, lines)
    png = box_sheet([picture] * 8)
    assert is_among(CRIMSON, colours(png))
    assert is_among(SEAGREEN, colours(png))
    assert not is_among(CRIMSON, colours(box_sheet([bare] * 8)))
    with Image.open(io.BytesIO(png)) as sheet:
        assert len(sheet.getcolors(256)) <= 256
