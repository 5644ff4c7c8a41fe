from collections.abc import Sequence

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_assets.cleaned.interfaces import IdentifiedLanguage
from mm_assets.cleaned.texts import STAGE, TextCleaner
from mm_assets.models import ModelIdentity
from mm_assets.policy import TextPolicy, TextQualityPolicy
from mm_assets.schemas import TABLES

PROSE = "The jargon file explains what a kluge is, and why one should be ashamed of it."


class AlwaysEnglish:
    """A language identifier that remembers what it was asked."""

    identity = ModelIdentity("english", "1", "0" * 64)

    def __init__(self) -> None:
        self.asked: list[str] = []

    def identify(self, texts: Sequence[str]) -> list[IdentifiedLanguage]:
        self.asked += texts
        return [IdentifiedLanguage("en", 0.99)] * len(texts)


def _texts(
    texts: Sequence[str], kinds: Sequence[str] | None = None, language: str | None = None, first: int = 0
) -> pl.DataFrame:
    kinds = ["prose"] * len(texts) if kinds is None else kinds
    return pl.DataFrame(
        [
            {
                "batch": "b",
                "text_id": f"txt_{index:04d}",
                "position": index,
                "record_ref": f"text/a.jsonl:{index + 1}",
                "source_ref": {
                    "uri": "file:///a",
                    "member": None,
                    "byte_offset": 0,
                    "byte_size": 1,
                    "frame_index": None,
                },
                "text": text,
                "kind": kind,
                "language": language,
                "source": "s",
                "license": "CC0-1.0",
            }
            for index, (text, kind) in enumerate(zip(texts, kinds, strict=True), start=first)
        ],
        schema=TABLES["raw_texts"].schema,
    )


def _clean(rows: pl.DataFrame, cleaner: TextCleaner | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    kept, rejected = (cleaner or TextCleaner(AlwaysEnglish(), TextPolicy(), TextQualityPolicy())).clean(rows)
    assert set(kept["text_id"]) | set(rejected["record_id"]) == set(rows["text_id"])
    assert kept.height + rejected.height == rows.height
    TABLES["texts"].conform(kept)
    TABLES["rejected"].conform(rejected)
    return kept, rejected


def test_lines_and_indentation_survive_repair() -> None:
    code = "def f(x):\r\n    return x &lt; 2  \n\n\tprint('caf\u00c3\u00a9')\x00\n"
    kept, _ = _clean(_texts([code], ["code"]))
    assert kept["text"].item() == "def f(x):\n    return x < 2\n\n\tprint('caf\u00e9')"


def test_lengths_count_the_repaired_text() -> None:
    policy = TextPolicy(min_characters=20, max_characters=100)
    rows = _texts(["   \n\x00 ", "too short", "x" * 20, "y" * 100, "z" * 101, "\u200b" * 30])
    kept, rejected = _clean(rows, TextCleaner(AlwaysEnglish(), policy, TextQualityPolicy()))
    assert kept["text_id"].to_list() == ["txt_0002", "txt_0003"]
    assert dict(zip(rejected["record_id"], rejected["code"], strict=True)) == {
        "txt_0000": "EMPTY_TEXT",
        "txt_0001": "TOO_SHORT",
        "txt_0004": "TOO_LONG",
        "txt_0005": "EMPTY_TEXT",
    }
    assert set(rejected["stage"]) == {STAGE}
    assert rejected["reason"].str.starts_with("text/a.jsonl:").all()
    assert rejected["reason"].str.contains(";", literal=True).all()


def test_code_and_mathematics_are_never_shown_to_the_language_model() -> None:
    identifier = AlwaysEnglish()
    formal = ["x = 1\ny = 2\nprint(x + y)", "|- ( ph -> ( ps -> ph ) )", "p implies q, q implies r"]
    rows = _texts([*formal, PROSE], ["code", "math", "logic", "prose"])
    kept, _ = _clean(rows, TextCleaner(identifier, TextPolicy(), TextQualityPolicy()))
    assert identifier.asked == [PROSE]
    assert kept["language"].to_list() == [None, None, None, "en"]


def test_a_declared_language_stands() -> None:
    identifier = AlwaysEnglish()
    kept, _ = _clean(
        _texts([PROSE, "for i in range(10): pass"], ["prose", "code"], language="fr"),
        TextCleaner(identifier, TextPolicy(), TextQualityPolicy()),
    )
    assert kept["language"].to_list() == ["fr", "fr"]
    assert identifier.asked == []


def test_repeats_are_found_within_and_across_chunks_after_repair() -> None:
    cleaner = TextCleaner(AlwaysEnglish(), TextPolicy(), TextQualityPolicy())
    kept, rejected = _clean(_texts([PROSE, f"{PROSE}\x00  ", f"{PROSE} More."]), cleaner)
    assert kept["text_id"].to_list() == ["txt_0000", "txt_0002"]
    assert rejected.select("record_id", "code").rows() == [("txt_0001", "EXACT_DUPLICATE")]
    kept, rejected = _clean(_texts([f"{PROSE} More.", f"{PROSE} Even more."], first=3), cleaner)
    assert kept["text_id"].to_list() == ["txt_0004"]
    assert rejected["code"].to_list() == ["EXACT_DUPLICATE"]


def test_unusable_texts_are_not_called_duplicates() -> None:
    _, rejected = _clean(_texts(["short", "short"]))
    assert rejected["code"].to_list() == ["TOO_SHORT", "TOO_SHORT"]


def test_no_texts() -> None:
    kept, rejected = _clean(_texts([]))
    assert (kept.height, rejected.height) == (0, 0)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from([PROSE, PROSE + "!", "", "short", "x" * 40, PROSE.upper()]), max_size=12),
    st.integers(1, 5),
)
def test_chunks_do_not_change_the_answer(texts: list[str], size: int) -> None:
    rows = _texts(texts)
    whole, _ = _clean(rows)
    cleaner = TextCleaner(AlwaysEnglish(), TextPolicy(), TextQualityPolicy())
    parts = [_clean(part, cleaner)[0] for part in rows.iter_slices(size)]
    assert [text for part in parts for text in part["text_id"]] == whole["text_id"].to_list()
    assert whole["text"].is_unique().all()
