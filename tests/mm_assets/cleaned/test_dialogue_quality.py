import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.cleaned.dialogue_quality import REASONS, dialogue_codes
from mm_assets.cleaned.texts import TextCleaner
from mm_assets.policy import DialoguePolicy, TextPolicy, TextQualityPolicy
from mm_assets.schemas import TABLES

POLICY = DialoguePolicy()
WORDS = st.lists(st.sampled_from(["well", "yes", "the", "duck", "swims", "why"]), min_size=1, max_size=3).map(" ".join)


def code_of(text: str, policy: DialoguePolicy = POLICY) -> str | None:
    return dialogue_codes(pl.Series([text]), policy)[0]


@pytest.mark.parametrize(
    "text",
    [
        "A: Which dog is the tallest?\nB: The Great Dane.",
        "User: Sort a list.\nAssistant: So:\n\n    sorted(x)\n\nNote: it copies.\nUser: Thanks.\nAssistant: Sure.",
        "**Human:** Hi\n**Assistant:** Hello, what can I do?",
        "### Human: Hi\n### Assistant: Hello.",
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHi.<|im_end|>",
        "<|user|>\nHi there\n<|assistant|>\nHello.",
        "- Where is the duck?\n- On the pond.",
        "Where is the duck?\nOn the pond.",
        "Anna: Hello.\nBen: Hello.\nClara: Hello.\nAnna: How are you?",
        "User\uff1a你好\nAssistant\uff1a你好",
    ],
)
def test_dialogues_as_they_are_written_are_kept(text):
    assert code_of(text) is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("A: Is anybody there?", "TOO_FEW_TURNS"),
        ("Just a sentence that is no dialogue at all.", "TOO_FEW_TURNS"),
        ("", "TOO_FEW_TURNS"),
        ("User: What is it?\nAssistant:\nUser: Hello?", "EMPTY_TURN"),
        ("User: What is it?\nUser: Hello?\nAssistant: A duck.", "ROLES_DO_NOT_ALTERNATE"),
        (
            "User: Why does it swim so?\nAssistant: So.\nUser: Why does it swim so?\nAssistant: I said so.",
            "REPEATED_TURN",
        ),
        ("User: It swims on the pond.\nAssistant: it swims, on the POND!", "REPEATED_TURN"),
        ("User: Go on.\nAssistant: " + "and on " * 3_000, "TURN_TOO_LONG"),
    ],
)
def test_what_is_no_dialogue_is_named(text, code):
    assert code_of(text) == code


@given(st.lists(WORDS, min_size=2, max_size=6), st.sampled_from([("A", "B"), ("User", "Assistant"), ("Ann", "Bo")]))
def test_turns_that_alternate_are_kept_and_one_that_is_lost_is_told(turns, names):
    lines = [f"{names[n % 2]}: {turn} {n}" for n, turn in enumerate(turns)]
    assert code_of("\n".join(lines)) is None
    assert code_of("\n".join([*lines, f"{names[(len(turns) - 1) % 2]}: once more"])) == "ROLES_DO_NOT_ALTERNATE"
    assert code_of("\n".join([*lines, f"{names[len(turns) % 2]}:"])) == "EMPTY_TURN"


def test_each_text_is_judged_by_itself():
    texts = ["A: x\nB: y", "A: x", "A: x\nA: y", "A: x\nB: y"]
    assert dialogue_codes(pl.Series(texts), POLICY).to_list() == [None, "TOO_FEW_TURNS", "ROLES_DO_NOT_ALTERNATE", None]
    assert dialogue_codes(pl.Series([], dtype=pl.String), POLICY).to_list() == []
    assert dialogue_codes(pl.Series(["A: x\nB: y"]), DialoguePolicy(min_turns=3)).to_list() == ["TOO_FEW_TURNS"]


class NobodyAsked:
    def identify(self, texts):
        raise AssertionError(f"the language is declared: {texts}")


def test_only_dialogues_are_judged_and_rejected_rows_say_what_to_do():
    texts = {
        "dialogue": ["A: Is anybody there, hello?", "A: Where is the duck?\nB: On the pond."],
        "logic": ["A: p and not q"],
    }
    given = {"batch": "b", "position": 0, "language": "en", "source": "s", "license": "CC0-1.0"}
    rows = [
        given | {"text_id": f"txt_{kind}{n}", "record_ref": f"text/{kind}.jsonl:{n + 1}", "text": text, "kind": kind}
        for kind, several in texts.items()
        for n, text in enumerate(several)
    ]
    rows.append(rows[1] | {"text_id": "txt_bad", "text": "A: Where is Ann?\nB: On the pond.", "spot_check": "Failed"})
    schema = TABLES["raw_texts"].schema
    frame = pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)
    cleaner = TextCleaner(NobodyAsked(), TextPolicy(min_characters=5), TextQualityPolicy(), POLICY)
    kept, rejected = cleaner.clean(frame)
    assert kept["text_id"].to_list() == ["txt_dialogue1", "txt_logic0"]
    assert rejected.select("record_id", "code").rows() == [
        ("txt_dialogue0", "TOO_FEW_TURNS"),
        ("txt_bad", "SPOT_CHECK_FAILED"),
    ]
    assert rejected["reason"][0] == f"text/dialogue.jsonl:1: {REASONS['TOO_FEW_TURNS']}"
