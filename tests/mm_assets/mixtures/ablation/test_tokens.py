import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.errors import FormatError
from mm_assets.fusion.placeholders import Modality, contains_placeholder, render_image_block
from mm_assets.mixtures.ablation.tokens import AUDIO, END, IMAGE, MARK, START, TEXT, CompactVocabulary, tokenize

VOCABULARY = CompactVocabulary(image_codes=10, audio_codes=4)


def read(content, *, max_codes=99, max_tokens=9_999):
    return tokenize(content, VOCABULARY, max_codes=max_codes, max_tokens=max_tokens)


@given(st.text(max_size=60).filter(lambda text: not contains_placeholder(text)))
def test_text_is_its_bytes(text):
    tokens = read(text)
    assert (tokens[0], tokens[-1]) == (START, END)
    assert bytes(tokens[1:-1].tolist()).decode() == text


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(1, 12))
def test_spans_keep_their_order_and_at_most_so_many_codes(codes, at_most):
    tokens = read(f"{render_image_block(codes)} x", max_codes=at_most)
    modality = VOCABULARY.modality_of(tokens)
    kept = tokens[modality == IMAGE] - VOCABULARY.code_tokens(Modality.IMAGE, [0])[0]
    assert len(kept) == min(at_most, len(codes))
    remaining = iter(codes)
    assert all(code in remaining for code in kept.tolist())


def test_every_token_has_its_modality_and_none_lies_outside():
    content = "<|image_start|><IMG_TK_9><|image_end|><|audio_start|><AUD_TK_3><|audio_end|> a <box>b</box>"
    tokens = read(content)
    expected = [TEXT, MARK, IMAGE, MARK, MARK, AUDIO, MARK, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT]
    assert VOCABULARY.modality_of(tokens).tolist() == expected
    assert tokens.max() == VOCABULARY.size - 1
    assert len(np.unique(tokens)) == len(tokens)


def test_a_long_sample_is_cut_and_a_broken_one_refused():
    assert len(read("x" * 500, max_tokens=64)) == 64
    with pytest.raises(FormatError, match="UNPAIRED_SENTINEL"):
        read("<|image_start|><IMG_TK_1> a")
