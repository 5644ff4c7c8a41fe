from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_assets.cleaned.captions import STAGE, clean_captions
from mm_assets.cleaned.interfaces import IdentifiedLanguage
from mm_assets.models import ModelIdentity
from mm_assets.policy import CaptionPolicy
from mm_assets.schemas import TABLES


class EnglishUnlessUmlaut:
    """A language identifier whose answer is known, and that remembers what it was asked."""

    identity = ModelIdentity("umlaut", "1", "0" * 64)

    def __init__(self, confidence: float = 0.9) -> None:
        self.confidence = confidence
        self.asked: list[str] = []

    def identify(self, texts: Sequence[str]) -> list[IdentifiedLanguage]:
        self.asked += texts
        return [IdentifiedLanguage("de" if "ü" in text else "en", self.confidence) for text in texts]


def _captions(
    texts: Sequence[str], *, images: Sequence[int] | None = None, language: str | None = None
) -> pl.DataFrame:
    images = range(len(texts)) if images is None else images
    return pl.DataFrame(
        [
            {
                "batch": "b",
                "caption_id": f"cap_{index:04d}",
                "image_id": f"img_{image:04d}",
                "position": image,
                "caption_index": 0,
                "record_ref": f"images/metadata.jsonl:{index + 1}",
                "text": text,
                "language": language,
            }
            for index, (text, image) in enumerate(zip(texts, images, strict=True))
        ],
        schema=TABLES["raw_captions"].schema,
    )


def _clean(
    captions: pl.DataFrame,
    *,
    kept: Sequence[str] | None = None,
    share: float = 0.5,
    identifier: EnglishUnlessUmlaut | None = None,
    **policy: object,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    ids = captions["image_id"] if kept is None else pl.Series(kept, dtype=pl.String)
    cleaned, rejected = clean_captions(
        captions,
        ids,
        identifier or EnglishUnlessUmlaut(),
        CaptionPolicy.model_validate(policy),
        max_template_share=share,
    )
    assert cleaned.height + rejected.height == captions.height
    assert set(cleaned["caption_id"]) | set(rejected["record_id"]) == set(captions["caption_id"])
    TABLES["captions"].conform(cleaned)
    TABLES["rejected"].conform(rejected)
    return cleaned, rejected


def _code(text: str, **policy: object) -> str | None:
    _, rejected = _clean(_captions([text]), **policy)
    return rejected["code"].item() if rejected.height else None


@pytest.mark.parametrize(
    ("raw", "repaired"),
    [
        ("A duck &amp; a goose", "A duck & a goose"),
        ("A duck &amp;amp; a goose", "A duck & a goose"),
        ("The cafÃ© on the corner", "The café on the corner"),
        ("The cafe\u0301 on the corner", "The café on the corner"),
        ("A  duck\t on\n a pond ", "A duck on a pond"),
        ("A duck\x00\x07 on a pond\u200b", "A duck on a pond"),
        ("\ufeffA duck on a pond", "A duck on a pond"),
        ("A \u202educk\u202c on a pond", "A duck on a pond"),
        ("A family \U0001f468\u200d\U0001f469", "A family \U0001f468\u200d\U0001f469"),
        ("\x1b[31mA duck\x1b[0m on a pond", "A duck on a pond"),
        ("一只鸭子在池塘里", "一只鸭子在池塘里"),
        ("“Quoted” duck", "“Quoted” duck"),
    ],
)
def test_text_is_repaired_and_the_raw_text_kept(raw: str, repaired: str) -> None:
    cleaned, _ = _clean(_captions([raw]))
    assert cleaned["text"].item() == repaired
    assert cleaned["raw_text"].item() == raw


@pytest.mark.parametrize(
    "junk",
    [
        "IMG_1234.jpg",
        "holiday photos 2019.JPEG",
        "DSC00012",
        "image 7",
        "Untitled",
        "https://example.org/duck?id=7",
        "www.example.org",
        "hash(0x8a0a540)",
        "HASH(0x8A0A540)",
        "12345",
        "12.03.2019 14:05",
        "?!?!",
        "-----",
        "aaaaaaaaaa",
        "。。。。",
    ],
)
def test_junk(junk: str) -> None:
    assert _code(junk) == "JUNK_CAPTION"


@pytest.mark.parametrize(
    "caption",
    [
        "A duck on a pond.",
        "Photo of a duck",
        "Scan of a letter from 1912",
        "Image of the Eiffel tower at night",
        "See https://example.org for the duck",
        "Boeing 747",
        "ox",
        "牛が二頭",
        "Утка на пруду",
        "بطة على بركة",
        "A picture named duck.png on a wall",
        "Pikachu",
        "PICTURE FRAME",
    ],
)
def test_no_junk(caption: str) -> None:
    assert _code(caption, min_characters=2) is None


def test_lengths_are_those_of_the_repaired_text() -> None:
    assert _code("   ") == "EMPTY_CAPTION"
    assert _code("\x00\u200b") == "EMPTY_CAPTION"
    assert _code("ab") == "TOO_SHORT"
    assert _code("  abc  ") is None
    assert _code("duck " * 20, max_characters=98) == "TOO_LONG"
    assert _code("duck " * 20, max_characters=99) is None
    assert _code("duck " * 200_000) == "TOO_LONG"


def test_the_reason_of_a_huge_caption_is_short() -> None:
    _, rejected = _clean(_captions(["duck " * 200_000]))
    reason = rejected["reason"].item()
    assert reason.startswith("images/metadata.jsonl:1: caption 'duck duck")
    assert "max_characters" in reason
    assert len(reason) < 300


def test_captions_of_rejected_images_say_so() -> None:
    captions = _captions(["A duck on a pond", "A goose in the grass"])
    cleaned, rejected = _clean(captions, kept=["img_0001"])
    assert cleaned["caption_id"].to_list() == ["cap_0001"]
    assert rejected.select("stage", "record_kind", "record_id", "code").rows() == [
        (STAGE, "caption", "cap_0000", "IMAGE_REJECTED")
    ]


def test_one_caption_twice_on_one_image() -> None:
    captions = _captions(["A duck", "a DUCK", "A duck", "A goose"], images=[0, 0, 1, 0])
    cleaned, rejected = _clean(captions)
    assert rejected.select("record_id", "code").rows() == [("cap_0001", "DUPLICATE_CAPTION")]
    assert cleaned["caption_id"].to_list() == ["cap_0000", "cap_0002", "cap_0003"]


def test_one_sentence_on_many_pictures_is_a_template() -> None:
    own = [
        f"{animal} in the {place}" for animal in ("duck", "cat", "dog", "ox", "hen") for place in ("sun", "rain", "mud")
    ]
    templated = [f"Product photo no. {number}!" for number in range(6)]
    cleaned, rejected = _clean(_captions([*own, *templated]), template_min_images=5, template_min_share=0.05)
    assert set(rejected["code"]) == {"TEMPLATED_CAPTION"}
    assert rejected.height == 6
    assert cleaned["text"].to_list() == own


def test_a_sentence_on_few_pictures_or_many_times_on_one_is_no_template() -> None:
    own = [f"scene {'abcdefghijklmnopqrstuvwxyz'[index]}x" for index in range(20)]
    few = _captions([*own, *["A red rose"] * 4])
    assert _clean(few, template_min_images=5)[1].height == 0
    small_share = _captions([*own, *["A red rose"] * 5])
    assert _clean(small_share, template_min_images=5, template_min_share=0.3)[1].height == 0
    one_picture = _captions([*own, *[f"A rose {number}" for number in range(9)]], images=[*range(20), *[20] * 9])
    assert _clean(one_picture, template_min_images=5)[1].height == 0


def test_a_batch_that_is_one_template_is_left_to_the_gate() -> None:
    captions = _captions(["A red rose"] * 9 + ["A duck on a pond"])
    assert _clean(captions, share=0.5)[1].height == 0
    assert _clean(captions, share=0.95)[1]["code"].to_list() == ["TEMPLATED_CAPTION"] * 9


def test_language_is_named_only_on_strong_evidence_and_only_where_none_is_declared() -> None:
    long_german = "Eine müde Ente schwimmt auf dem grünen Teich"
    captions = pl.concat(
        [
            _captions([long_german, "müde Ente"]),
            _captions(["x", "y", "A declared and quite long caption"], language="fr").tail(1),
        ]
    )
    identifier = EnglishUnlessUmlaut()
    cleaned, _ = _clean(captions, identifier=identifier)
    assert cleaned["language"].to_list() == ["de", None, "fr"]
    assert identifier.asked == [long_german]
    doubtful, _ = _clean(_captions([long_german]), identifier=EnglishUnlessUmlaut(confidence=0.3))
    assert doubtful["language"].to_list() == [None]


def test_only_a_known_foreign_language_is_rejected() -> None:
    captions = _captions(
        ["Eine müde Ente schwimmt auf dem grünen Teich", "müde Ente", "A duck swims on the green pond"]
    )
    _, rejected = _clean(captions, languages=("en",))
    assert rejected.select("record_id", "code").rows() == [("cap_0000", "LANGUAGE")]
    _, doubtful = _clean(captions, languages=("en",), identifier=EnglishUnlessUmlaut(confidence=0.3))
    assert doubtful.height == 0


def test_no_captions() -> None:
    cleaned, rejected = _clean(_captions([]))
    assert (cleaned.height, rejected.height) == (0, 0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60),
            st.sampled_from(["A duck on a pond", "a duck on a pond", "IMG_1.jpg", "", "&lt;b&gt;", "\x00", "7"]),
        ),
        max_size=20,
    ),
    st.data(),
)
def test_any_text_is_kept_or_rejected_once(texts: list[str], data: st.DataObject) -> None:
    images = data.draw(st.lists(st.integers(0, 5), min_size=len(texts), max_size=len(texts)))
    captions = _captions(texts, images=images)
    kept_images = [f"img_{image:04d}" for image in range(4)]
    cleaned, _ = _clean(captions, kept=kept_images)
    assert set(cleaned["image_id"]) <= set(kept_images)
    assert cleaned["text"].str.len_chars().min() is None or cleaned["text"].str.len_chars().min() >= 3
    assert not cleaned["text"].str.contains(r"[\x00-\x1f\x7f]").any()
