import random
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_assets.cleaned.text_duplicates import find_text_duplicates, fingerprint_texts
from mm_assets.cleaned.text_overlap import distinct_shingles, pair_similarity
from mm_assets.cleaned.text_shingles import normalise_words, shingle_characters, shingle_words
from mm_assets.errors import SchemaMismatchError
from mm_assets.policy.text_quality import TextDuplicatePolicy

POLICY = TextDuplicatePolicy()
WORDS = [
    f"{a}{b}" for a in ("mill", "boat", "lark", "stone", "rain", "fern", "gate") for b in ("er", "ing", "", "s", "let")
]


def frame(texts, batch="b1"):
    return pl.DataFrame({"text": texts}, schema={"text": pl.String}).with_columns(
        batch=pl.lit(batch), text_id=pl.format(f"{batch}_{{}}", pl.int_range(pl.len())), position=pl.int_range(pl.len())
    )


def find(own, *earlier, policy=POLICY):
    texts = pl.concat([own, *earlier])

    def read(batch, ids):
        return texts.filter(pl.col("batch") == batch, pl.col("text_id").is_in(ids.implode()))

    known = [fingerprint_texts(other, policy) for other in earlier]
    return find_text_duplicates(fingerprint_texts(own, policy), known, read, policy)


def shingles_by_hand(text, size=5):
    words = text.split()
    return {tuple(words[at : at + size]) for at in range(max(len(words) - size + 1, 1))}


@given(st.lists(st.lists(st.sampled_from(WORDS), min_size=0, max_size=12), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_shingles_are_those_of_a_set_of_tuples(texts):
    joined = pl.Series([" ".join(words) for words in texts], dtype=pl.String)
    for cut, split in ((shingle_words, str.split), (shingle_characters, list)):
        hashes, offsets = cut(joined, 5)
        values, places = distinct_shingles(hashes, offsets)
        by_hand = []
        for text in joined:
            items = split(text)
            by_hand.append({tuple(items[at : at + 5]) for at in range(max(len(items) - 4, 1))} if items else set())
        assert np.diff(places).tolist() == [len(s) for s in by_hand]
        pairs = np.array(list(combinations(range(len(texts)), 2)), np.int64).reshape(-1, 2)
        found = pair_similarity((values, places), (values, places), pairs[:, 0], pairs[:, 1])
        for (one, other), similarity in zip(pairs.tolist(), found, strict=True):
            whole = len(by_hand[one] | by_hand[other])
            expected = len(by_hand[one] & by_hand[other]) / whole if whole else 0.0
            assert similarity == expected


def test_every_pair_of_the_exact_search_is_found():
    rng = random.Random(11)  # noqa: S311 - not cryptography
    texts = []
    for _ in range(120):
        words = [rng.choice(WORDS) for _ in range(rng.randint(25, 80))]
        texts.append(" ".join(words))
        for _ in range(rng.randint(0, 2)):
            edited = list(words)
            for _ in range(rng.randint(0, 3)):
                edited[rng.randrange(len(edited))] = rng.choice(WORDS)
            texts.append(" ".join(edited))
    rng.shuffle(texts)
    sets = [shingles_by_hand(text) for text in texts]
    kept, expected = [], set()
    for at, own in enumerate(sets):
        if any(len(own & sets[k]) / len(own | sets[k]) >= 0.7 for k in kept):
            expected.add(f"b1_{at}")
        else:
            kept.append(at)
    assert 20 < len(expected) < 120
    found = find(frame(texts))
    assert set(found["text_id"]) == expected
    for text_id, of, similarity in found.select("text_id", "duplicate_of", "similarity").iter_rows():
        one, other = sets[int(text_id[3:])], sets[int(of[3:])]
        assert similarity == len(one & other) / len(one | other) >= 0.7
    small = find(frame(texts), policy=TextDuplicatePolicy(block_rows=16))
    assert small.equals(found), "blocks do not change the answer"


def test_edits_of_captions_are_found_by_characters():
    own = ["A small red boat on the calm lake near the old mill", "A small red boat on the calm lake near the old hill",
           "Two children feed a goat behind a wooden fence", "SMALL, red boat!"]  # fmt: skip
    found = find(frame(own))
    assert found.select("text_id", "duplicate_of", "kind").rows() == [("b1_1", "b1_0", "near")]


def test_case_and_marks_make_no_difference():
    found = find(frame(["A duck, on a pond.", "a DUCK on a pond", "A duck on a lake of glass"]))
    assert found.select("text_id", "duplicate_of", "kind", "similarity").rows() == [("b1_1", "b1_0", "exact", 1.0)]


def test_an_earlier_batch_comes_first():
    text = " ".join(WORDS)
    near = " ".join([*WORDS[:-1], "other"])
    found = find(
        frame([near, text, "plain words of another text altogether"], "b3"), frame([text], "b1"), frame([near], "b2")
    )
    assert found.select("text_id", "duplicate_of", "duplicate_batch", "kind").rows() == [
        ("b3_0", "b1_0", "b1", "near"),
        ("b3_1", "b1_0", "b1", "exact"),
    ]


def test_texts_of_no_words_are_left_alone():
    assert find(frame(["...", "!!", ""])).select("duplicate_of", "kind").rows() == [
        ("b1_0", "exact"),
        ("b1_0", "exact"),
    ]
    assert find(frame([])).height == 0


def test_a_lost_text_is_an_error():
    own = fingerprint_texts(frame(["a duck on a pond", "a duck on a pond"]), POLICY)
    with pytest.raises(SchemaMismatchError, match="b1_"):
        find_text_duplicates(own, [], lambda _batch, _ids: frame([]), POLICY)


def test_normal_words():
    assert pl.select(normalise_words(pl.lit("  Ä-B's\n c_d  "))).item() == "ä b s c_d"
