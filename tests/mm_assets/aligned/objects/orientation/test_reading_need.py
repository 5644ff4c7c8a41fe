"""What it costs a batch that has no sides to read: nothing, not even the reader's weights."""

import json

import polars as pl
import pytest

from mm_assets.aligned.objects.orientation.assets import _read_markers
from mm_assets.aligned.objects.orientation.orientation_checks import list_medical, mentions_orientation
from mm_assets.policy import Policy
from resources.costs import Meter
from resources.ocr import OcrResource


class Unreadable:
    """A landing area that fails the test when anything is read from it."""

    def __getattr__(self, name: str) -> object:
        pytest.fail(f"{name} was asked of the landing area")


@pytest.mark.parametrize("declared", [None, {"objects": {"categories": ["orientation"]}}, {"orientation": {}}])
def test_photographs_are_not_read(declared: dict[str, object] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OcrResource, "handle", property(lambda _: pytest.fail("the reader was loaded")))
    images = pl.DataFrame(
        {
            "image_id": ["img_1", "img_2"],
            "source_ref": [{"uri": "b/images/1.png", "byte_offset": 0, "byte_size": 1}] * 2,
            "format": ["PNG", "JPEG"],
            "annotations_json": [None if declared is None else json.dumps(declared)] * 2,
        },
        schema_overrides={"annotations_json": pl.String},
    )
    policy, meter = Policy(), Meter()
    medical = list_medical(images, policy.orientation)
    assert medical.is_empty()
    assert list(_read_markers(medical, Unreadable(), OcrResource(), policy, meter)) == []
    assert meter.units == 0


def test_what_mentions_an_orientation_is_at_least_what_is_read() -> None:
    texts = [None, '{"orientation":{"laterality":"R"}}', '{"objects":{"categories":["orientation"]}}', None]
    images = pl.DataFrame(
        {"image_id": ["a", "b", "c", "d"], "format": ["PNG", "PNG", "PNG", "DICOM"], "annotations_json": texts}
    )
    assert images.filter(mentions_orientation())["image_id"].to_list() == ["b", "c", "d"]
    assert list_medical(images, Policy().orientation)["image_id"].to_list() == ["b", "d"]
