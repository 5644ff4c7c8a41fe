import re

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mm_assets.errors import ContractError, FormatError, PolicyError
from mm_assets.fusion.findings import LintCode
from mm_assets.fusion.placeholders import (
    PLACEHOLDER_LIKE,
    Modality,
    Vocabulary,
    contains_placeholder,
    inspect_content,
    parse_content,
    proves_plain,
    render_image_block,
)
from mm_assets.fusion.rendering import render_image_blocks
from mm_assets.policy import FusionPolicy, Policy

VOCABULARY = Vocabulary.of(Policy().fusion, 1_024, audio_codes=16)
FRAGMENTS = st.sampled_from(  # words of the syntax, whole and broken
    """<|image_start|> <|image_end|> <|audio_start|> <|audio_end|> <|video_start|> <|video_end|> <IMG_TK_1> <IMG_TK_
    <AUD_TK_3> <IMG_TK_99999> <IMG_TK_-1> <IMG_TK_01> &lt;IMG_TK_3&gt; &amp;lt;|image_start|&amp;gt; <box> </box> box
    &#60; \\u003cIMG_TK_3 <image_start| %3CAUD_TK < > | & IMG_TK_ image_start _end a é 🦆""".split()  # noqa: SIM905 - a list of these reads worse
)
SOUP = st.lists(FRAGMENTS | st.text(max_size=3), max_size=12).map("".join)
TEXT = st.text(max_size=80) | SOUP


@pytest.mark.parametrize(
    ("content", "codes"),
    [
        ("<|image_start|><IMG_TK_1><IMG_TK_1023><|image_end|> A duck.", set()),
        ("<|image_start|> <IMG_TK_451> <IMG_TK_882> <|image_end|> This is a cute cat.", set()),
        ("<|audio_start|><AUD_TK_3><|audio_end|><|video_start|><IMG_TK_3><|video_end|> a <box>duck</box>", set()),
        ("the function image_start() draws a box", set()),
        ("if a < b &amp;&amp; c: <b>x</b> 100 % \\u003c", set()),
        ("<IMG_TK_1> A duck.", {LintCode.MISSING_SENTINEL}),
        ("<|image_start|><AUD_TK_3><|image_end|>", {LintCode.MISSING_SENTINEL}),
        ("<|image_start|><IMG_TK_1> A duck.", {LintCode.UNPAIRED_SENTINEL}),
        ("<IMG_TK_1><|image_end|> A duck.", {LintCode.UNPAIRED_SENTINEL}),
        ("<|image_start|><IMG_TK_1><|audio_end|>", {LintCode.UNPAIRED_SENTINEL}),
        ("<|image_start|><|image_start|><IMG_TK_1><|image_end|>", {LintCode.UNPAIRED_SENTINEL}),
        ("a <box>duck", {LintCode.UNPAIRED_SENTINEL}),
        ("a duck</box>", {LintCode.UNPAIRED_SENTINEL}),
        ("<box>a <box>duck</box></box>", {LintCode.UNPAIRED_SENTINEL}),
        ("<|image_start|><IMG_TK_1>,<IMG_TK_2><|image_end|>", {LintCode.TEXT_IN_SPAN}),
        ("<|image_start|><box><IMG_TK_1></box><|image_end|>", {LintCode.TEXT_IN_SPAN}),
        ("<|image_start|><IMG_TK_1024><|image_end|>", {LintCode.CODE_OUT_OF_VOCABULARY}),
        ("<|image_start|><IMG_TK_-1><|image_end|>", {LintCode.CODE_OUT_OF_VOCABULARY}),
        (f"<|image_start|><IMG_TK_{'9' * 5000}><|image_end|>", {LintCode.CODE_OUT_OF_VOCABULARY}),
        ("<|image_start|><IMG_TK_007><|image_end|>", {LintCode.MALFORMED_PLACEHOLDER}),
        ("<|image_start|><IMG_TK><|image_end|>", {LintCode.MALFORMED_PLACEHOLDER}),
        ("<|image_start><IMG_TK_1><|image_end|>", {LintCode.MALFORMED_PLACEHOLDER}),
        ("&lt;|image_start|&gt;<IMG_TK_1><|image_end|>", {LintCode.ESCAPED_PLACEHOLDER}),
        ("<|image_start|>&lt;IMG_TK_1&gt;<|image_end|>", {LintCode.ESCAPED_PLACEHOLDER}),
        ("<|image_start|>&amp;lt;IMG_TK_1&amp;gt;<|image_end|>", {LintCode.ESCAPED_PLACEHOLDER}),
        ("<|image_start|>&#60;IMG_TK_1&#x3E;<|image_end|>", {LintCode.ESCAPED_PLACEHOLDER}),
        ("<|image_start|><IMG_TK_1&gt;<|image_end|>", {LintCode.ESCAPED_PLACEHOLDER}),
        ("<&#124;image_start&#124;><IMG_TK_1><|image_end|>", {LintCode.ESCAPED_PLACEHOLDER}),
        ("<|image_start|>\\u003cIMG_TK_1\\u003e<|image_end|>", {LintCode.ESCAPED_PLACEHOLDER}),
        ("a &lt;box&gt;duck&lt;/box&gt;", {LintCode.ESCAPED_PLACEHOLDER}),
    ],
)
def test_each_fault_is_named_once_and_nothing_else(content: str, codes: set[LintCode]) -> None:
    _, faults = inspect_content(content, VOCABULARY)
    assert set(faults) == codes
    if codes:
        with pytest.raises(FormatError, match=str(next(iter(codes)))):
            parse_content(content, VOCABULARY)


def test_content_comes_apart_in_order() -> None:
    audio = "<|audio_start|><AUD_TK_3><|audio_end|>"
    content = f"See <|image_start|><IMG_TK_5><IMG_TK_7><|image_end|> a <box>duck</box> and {audio}"
    parsed = parse_content(content, VOCABULARY)
    assert [(span.modality, span.codes) for span in parsed.spans] == [(Modality.IMAGE, (5, 7)), (Modality.AUDIO, (3,))]
    assert parsed.text == "See a duck and "
    assert parsed.codes(Modality.IMAGE) == (5, 7)
    assert parsed.modalities == {Modality.IMAGE, Modality.AUDIO}
    span = parsed.spans[0]
    assert content[span.start : span.end] == "<|image_start|><IMG_TK_5><IMG_TK_7><|image_end|>"


@given(st.lists(st.integers(0, 1_023), min_size=1, max_size=60), TEXT)
def test_rendered_codes_and_clean_text_come_back(codes: list[int], text: str) -> None:
    content = f"{render_image_block(codes)} {text}"
    if contains_placeholder(text):
        assert text == "" or inspect_content(text)[1] or "<" in text
    else:
        parsed = parse_content(content, VOCABULARY)
        assert parsed.codes(Modality.IMAGE) == tuple(codes)
        assert parsed.text == text


@given(TEXT)
@example("<box>a</box>")
def test_text_without_placeholders_has_no_faults(text: str) -> None:
    parsed, faults = inspect_content(text, VOCABULARY)
    if not contains_placeholder(text):
        assert not faults
        assert parsed.text == text
    if proves_plain(text):
        assert not contains_placeholder(text)


@given(st.lists(TEXT, min_size=1, max_size=5))
def test_polars_and_python_see_the_same_placeholders(texts: list[str]) -> None:
    found = pl.Series(texts).str.contains(PLACEHOLDER_LIKE).to_list()
    assert found == [re.search(PLACEHOLDER_LIKE, text) is not None for text in texts]


@given(SOUP)
def test_inspection_never_fails(content: str) -> None:
    inspect_content(content)


def test_columnwise_and_single_rendering_agree() -> None:
    codes = np.random.default_rng(0).integers(0, 1_024, (20, 49))
    assert render_image_blocks(codes).to_list() == [render_image_block(row) for row in codes.tolist()]
    assert render_image_blocks(np.zeros((0, 3), dtype=np.int32)).to_list() == []


@pytest.mark.parametrize("codes", [np.zeros((2, 0), dtype=int), np.zeros(3, dtype=int), np.array([[1, -1]])])
def test_codes_of_a_wrong_shape_or_sign_are_refused(codes: np.ndarray) -> None:
    with pytest.raises(ContractError):
        render_image_blocks(codes)


@pytest.mark.parametrize("codes", [[], [3, -1]])
def test_a_span_needs_codes(codes: list[int]) -> None:
    with pytest.raises(ContractError):
        render_image_block(codes)


def test_codes_have_token_ids_behind_the_text() -> None:
    vocabulary = Vocabulary.of(Policy().fusion, 1_024, audio_codes=16)
    assert vocabulary.token_id(Modality.IMAGE, 0) == 128_256
    assert vocabulary.token_id(Modality.VIDEO, 1_023) == 129_279
    assert vocabulary.token_id(Modality.AUDIO, 0) == 131_072
    assert Vocabulary.of(Policy().fusion, 8_192, audio_codes=16).token_id(Modality.AUDIO, 0) == 128_256 + 8_192
    with pytest.raises(ContractError):
        vocabulary.token_id(Modality.IMAGE, 1_024)
    with pytest.raises(PolicyError, match="image_code_offset"):
        Vocabulary.of(FusionPolicy(image_code_offset=5), 1_024)
