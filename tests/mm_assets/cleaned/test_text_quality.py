from pathlib import Path

import polars as pl
import pytest

from mm_assets.cleaned.image_text_share import name_script, report_text_share
from mm_assets.cleaned.text_quality import REASONS, quality_code
from mm_assets.policy.text_quality import TextQualityPolicy

PROSE = (
    "The mill stands by the river and the miller grinds the corn that farmers bring with their carts in autumn. " * 4
)


def code_of(text, language="en"):
    rows = pl.DataFrame({"text": [text], "language": [language]}, schema={"text": pl.String, "language": pl.String})
    return rows.select(quality_code(pl.col("text"), pl.col("language"), TextQualityPolicy())).item()


def varied(words=80):
    return " ".join(f"{chr(97 + n % 23)}{chr(97 + n % 19)}{chr(97 + n % 7)}ord{n % 50}" for n in range(words))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (" ".join(f"{chr(97 + n % 26)} b" for n in range(60)), "WORD_LENGTH"),
        (" ".join(f"word{n} the and #" for n in range(40)), "TOO_MANY_SYMBOLS"),
        ("\n".join(f"- the corn of the farmer and number {n}" for n in range(12)), "TOO_MANY_BULLETS"),
        ("\n".join(f"the corn of the farmer and the cart of number {n} ..." for n in range(12)), "TOO_MANY_ELLIPSES"),
        (" ".join(f"the of and {n}12.5 {n}7" for n in range(40)), "NOT_WORDS"),
        (varied(), "NO_STOP_WORDS"),
        ("\n".join(["the corn of the farmer and the cart and the mill"] * 8), "REPEATED_LINES"),
        ("the mill of " * 30, "REPEATED_WORDS"),
        ("the mill " * 10, None),
    ],
)
def test_each_rule(text, code):
    assert code_of(text) == code
    assert code is None or code in REASONS


def test_prose_passes():
    assert code_of("\n".join(f"{n}: {PROSE[:100]}" for n in range(3))) is None
    for path in sorted(Path("docs/decisions").glob("*.md")):
        assert code_of(path.read_text()) is None, path


def test_other_languages_are_not_asked_for_english_words():
    assert code_of(varied(), "fi") is None
    assert code_of(varied(), None) is None
    assert code_of(varied(), "de") == "NO_STOP_WORDS"
    assert code_of("水車は川のそばに立っている。" * 60, "ja") is None


@pytest.mark.parametrize(
    ("text", "script"),
    [("A mill", "Latin"), ("Мельница A", "Cyrillic"), ("水車は川", "Japanese"), ("水車", "Han"), ("방앗간", "Hangul"),
     ("12 + 3", None), ("ⴰⴱⴳ", "Other"), ("mill は", "Latin")],
)  # fmt: skip
def test_scripts(text, script):
    assert pl.select(name_script(pl.lit(text))).item() == script


def test_share_of_text_in_pictures():
    rows = pl.DataFrame(
        {
            "kind": ["document", "document", "table", "document"],
            "language": ["en", "en", "en", "ru"],
            "text": ["mill river", "boat", "corn", "мельница"],
            "characters_in_images": [10, 0, 4, 2],
        }
    )
    report = report_text_share(rows)
    assert report.select("kind", "language", "script", "items", "characters", "characters_in_images").rows() == [
        ("document", "en", "Latin", 2, 14, 10),
        ("document", "ru", "Cyrillic", 1, 8, 2),
        ("table", "en", "Latin", 1, 4, 4),
    ]
    assert report["share"].to_list() == [10 / 14, 0.25, 1.0]
    assert report_text_share(rows.clear()).height == 0
