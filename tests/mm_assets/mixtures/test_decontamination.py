import json
from io import BytesIO

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mm_assets.cleaned.duplicates import find_duplicates
from mm_assets.cleaned.fingerprint_spool import reader_of
from mm_assets.cleaned.fingerprints import fingerprint_of
from mm_assets.errors import ReleaseError
from mm_assets.mixtures.decontamination import EvaluationTexts
from mm_assets.mixtures.evaluation_sets import digest_of, fingerprint_pictures, read_pictures, read_texts
from mm_assets.policy import DuplicatePolicy
from mm_assets.policy.mixtures import DecontaminationPolicy, EvaluationSet

POLICY = DecontaminationPolicy()
QUESTION = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
SHORT = "What is the tallest breed of dog in the world?"
SHORTEST = "A red bus."


def found(
    contents: list[str], texts=(("gsm", QUESTION), ("trivia", SHORT), ("captions", SHORTEST))
) -> dict[int, tuple]:
    hits = EvaluationTexts(texts, POLICY).find(pl.Series(contents, dtype=pl.String))
    return {row: (name, words) for row, name, words in hits.iter_rows()}


def test_thirteen_words_in_a_row_are_found_wherever_they_stand():
    words = QUESTION.split()
    contents = [
        QUESTION,
        "<|image_start|><IMG_TK_4><IMG_TK_7><|image_end|> Before. " + " ".join(words[:13]).upper() + "! And after.",
        "before " + " ".join(words[3:16]) + "\nbehind",
        " ".join(words[:12]),
        " ".join([*words[:6], "also", *words[6:]]),
        "",
    ]
    assert found(contents) == {0: ("gsm", 13), 1: ("gsm", 13), 2: ("gsm", 13), 4: ("gsm", 13)}
    assert set(found([" ".join([*words[:9], "also", *words[9:]])])) == set()


def test_a_short_text_is_found_as_a_whole_and_the_shortest_only_as_a_line_or_turn():
    contents = [
        f"A: {SHORT}\nB: The Great Dane",
        "Tell me, please: what is the tallest breed of dog in the world, or in town?",
        "What is the tallest breed of dog in the country?",
        "<|image_start|><IMG_TK_4><|image_end|> A red <box>bus</box>.",
        "A red bus stands on the road.",
        "Assistant: a RED bus",
        "a red",
    ]
    assert found(contents) == {0: ("trivia", 10), 1: ("trivia", 10), 3: ("captions", 3), 5: ("captions", 3)}


def test_scripts_without_blanks_are_compared_by_characters():
    text = "池の上に大きな白いアヒルが二羽泳いでいます"
    assert found(["昨日、" + text[2:17] + "と言った", text[:9] + "が"], [("ja", text)]) == {0: ("ja", 13)}


@settings(max_examples=40)
@given(
    st.lists(st.text("ab cdé.\n", max_size=90), max_size=8),
    st.lists(st.text("ab cdé.\n", max_size=60), min_size=1, max_size=4),
)
def test_what_is_found_is_what_a_plain_search_finds(contents, texts):
    def words(text: str) -> list[str]:
        return "".join(c if c.isalnum() else " " for c in text.lower()).split()

    def repeats(content: str) -> bool:
        own = words(content)
        for text in texts:
            asked = words(text)
            size = min(len(asked), POLICY.ngram_words)
            if size < POLICY.min_exact_words:
                continue
            if size < POLICY.min_ngram_words:
                if any(words(line) == asked for line in [content, *content.split("\n")]):
                    return True
            else:
                grams = {tuple(asked[i : i + size]) for i in range(len(asked) - size + 1)}
                if any(tuple(own[i : i + size]) in grams for i in range(len(own) - size + 1)):
                    return True
        return False

    hits = found(contents, [("set", text) for text in texts])
    assert set(hits) == {row for row, content in enumerate(contents) if repeats(content)}


def test_long_inputs_are_taken_in_portions_with_the_same_result(monkeypatch):
    contents = [f"{n} {QUESTION if n % 7 == 0 else SHORTEST} {n}" for n in range(60)]
    whole = found(contents)
    monkeypatch.setattr("mm_assets.mixtures.decontamination._CHARACTERS_AT_ONCE", 150)
    assert found(contents) == whole
    assert set(whole) == set(range(0, 60, 7))


def encode(pixels: np.ndarray, form: str, **options) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def drawing(seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 255, (9, 12, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((240, 180), Image.Resampling.BICUBIC))


@pytest.fixture
def evaluation_folder(tmp_path):
    folder = tmp_path / "evaluation"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.jpg").write_bytes(encode(drawing(1), "JPEG", quality=70))
    (folder / "b.png").write_bytes(encode(drawing(2), "PNG"))
    rows = [
        {"question": QUESTION, "choices": ["yes", {"text": "no"}], "id": 3},
        {"question": SHORT, "choices": [], "id": 4},
    ]
    (folder / "qa.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    pictured = {"image": [{"bytes": encode(drawing(3), "PNG"), "path": "c.png"}], "text": ["a caption"]}
    pl.DataFrame(pictured).write_parquet(folder / "rows.parquet")
    (folder / "notes.txt").write_text("some notes")
    (folder / "weights.bin").write_bytes(b"\0")
    return folder


def test_a_folder_is_read_whole_texts_and_pictures(evaluation_folder):
    whole = EvaluationSet(name="all", path=str(evaluation_folder))
    assert sorted(read_texts(whole)) == sorted([QUESTION, "yes", "no", SHORT, "some notes", "c.png", "a caption"])
    assert [picture.name for picture in read_pictures(whole)] == ["b.png", "a.jpg", "rows.parquet#row/0"]
    asked = EvaluationSet(name="qa", path=str(evaluation_folder / "qa.jsonl"), fields=("question",))
    assert list(read_texts(asked)) == [QUESTION, SHORT]
    assert list(read_pictures(asked)) == []


def test_the_digest_of_a_set_follows_its_bytes(evaluation_folder):
    whole = EvaluationSet(name="all", path=str(evaluation_folder))
    before = digest_of(whole)
    assert digest_of(whole) == before
    (evaluation_folder / "notes.txt").write_text("other notes")
    assert digest_of(whole) != before


@pytest.mark.parametrize(
    ("name", "content", "fields", "message"),
    [
        ("missing.jsonl", None, (), "holds no picture"),
        ("x.bin", b"\0", (), "holds no picture"),
        ("x.jsonl", b'{"question": "a"}\n{"question": ', (), "cannot be read"),
        ("x.jsonl", b'{"query": "a"}', ("question",), r"row 0 lacks question; it has query"),
        ("x.parquet", b"PAR1", (), "cannot be read"),
    ],
)
def test_a_set_that_cannot_be_read_stops_the_release(tmp_path, name, content, fields, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ReleaseError, match=message):
        list(read_texts(EvaluationSet(name="set", path=str(tmp_path / name), fields=fields)))


def test_a_picture_that_cannot_be_decoded_stops_the_release(tmp_path):
    (tmp_path / "x.png").write_bytes(encode(drawing(1), "PNG")[:500])
    with pytest.raises(ReleaseError, match=r"evaluation set 'set'.*x\.png"):
        list(fingerprint_pictures(EvaluationSet(name="set", path=str(tmp_path)), "evaluation:set"))


def test_a_picture_of_an_evaluation_set_is_found_recoded_and_scaled_and_no_other(evaluation_folder):
    known = pl.concat(fingerprint_pictures(EvaluationSet(name="all", path=str(evaluation_folder)), "evaluation:all"))
    smaller = np.asarray(Image.fromarray(drawing(1)).resize((160, 120), Image.Resampling.LANCZOS))
    pictures = [smaller, drawing(7), drawing(3), drawing(7), drawing(8)]
    rows = []
    for n, pixels in enumerate(pictures):
        made = fingerprint_of(pixels)
        rows.append(
            {
                "batch": "b1", "image_id": f"img_{n}", "position": n, "sha256": str(n), "width": pixels.shape[1],
                "height": pixels.shape[0], "coarse": made.coarse, "thumbnail": made.thumbnail, "detail": made.detail,
            }
        )  # fmt: skip
    own = pl.DataFrame(rows)
    hits = find_duplicates(own, [known], reader_of(own, known), DuplicatePolicy(), within=False)
    assert dict(hits.select("image_id", "duplicate_of").iter_rows()) == {
        "img_0": "000000001:a.jpg", "img_2": "000000002:rows.parquet#row/0"
    }  # fmt: skip
    among = find_duplicates(own, [known], reader_of(own, known), DuplicatePolicy())
    assert set(among["image_id"]) == {"img_0", "img_2", "img_3"}
