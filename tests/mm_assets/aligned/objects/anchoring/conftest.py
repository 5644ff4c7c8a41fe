from collections.abc import Callable, Sequence

import polars as pl
import pytest

from mm_assets.aligned.objects.anchoring.phrases import ExtractedPhrases, extract_phrases
from mm_assets.schemas import TABLES
from resources.phrase_extractor import SpacyPhrases

Box = tuple[str, str | None, tuple[float, float, float, float]]


@pytest.fixture(scope="session")
def english() -> SpacyPhrases:
    return SpacyPhrases()


@pytest.fixture(scope="session")
def make_boxes() -> Callable[[Sequence[Box]], pl.DataFrame]:
    """Boxes as (image, label, corners) in pictures of 400 x 300."""

    def make(boxes: Sequence[Box]) -> pl.DataFrame:
        images = list(dict.fromkeys(image for image, _, _ in boxes))
        rows = [
            {
                "batch": "b1",
                "box_id": f"box_{index}",
                "image_id": image,
                "position": images.index(image),
                "box_index": index,
                "record_ref": f"images/metadata.jsonl:{index}",
                "source": "vendor-a",
                "annotator": None,
                "label": label,
                **dict(zip(("x1", "y1", "x2", "y2"), corners, strict=True)),
                "image_width": 400,
                "image_height": 300,
                "clipped": False,
                "declared": list(corners),
                "source_convention": "xyxy_pixels",
                "conversion_version": "1",
                "correction_id": None,
            }
            for index, (image, label, corners) in enumerate(boxes)
        ]
        return pl.DataFrame(rows, schema=TABLES["boxes"].schema)

    return make


@pytest.fixture(scope="session")
def read_captions(english: SpacyPhrases) -> Callable[..., ExtractedPhrases]:
    """Phrases of captions given as image and text."""

    def read(captions: Sequence[tuple[str, str]], language: str | None = "en") -> ExtractedPhrases:
        rows = [
            {"caption_id": f"cap_{number}", "image_id": image, "text": text, "language": language}
            for number, (image, text) in enumerate(captions)
        ]
        schema = {"caption_id": pl.String, "image_id": pl.String, "text": pl.String, "language": pl.String}
        return extract_phrases(pl.DataFrame(rows, schema=schema), english)

    return read
