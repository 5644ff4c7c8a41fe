from types import ModuleType
from typing import Any

import polars as pl
import pytest
from deltalake.exceptions import DeltaError
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.segments.agreement.text_audio import match_tokens, split_tokens
from mm_assets.aligned.segments.agreement.video_text import group_sentences
from mm_assets.policy import Policy
from resources.delta_lake import DeltaLake


def speaking_batch(batch: Any, count: int = 20, *, sound: str | None = "in_place", shift: int = 0) -> None:
    """Clips whose cue says what is said and what is shown; ``shift`` gives each the cue of another."""
    for number in range(count):
        text = " ".join(word for _, _, word in batch.say((number + shift) % count))
        pictures = [(2.0, " ".join(word for _, _, word in batch.say(number))), (6.0, "grey wall")]
        batch.add(cues=[(1.0, 4.0, text)], words=batch.say(number), pictures=pictures, sound=sound)


def test_segments_that_agree_pairwise_are_trimodal_and_keep_words_and_figures(batch: Any) -> None:
    speaking_batch(batch)
    found = batch.align()
    assert found.rejected.is_empty()
    assert found.rows["verdict"].unique().to_list() == ["trimodal"]
    row = found.rows.row(3, named=True)
    assert row["modalities"] == ["audio", "text", "video"]
    assert (row["text_origin"], row["method"], row["text_audio"]) == ("cue", "tokens", 1.0)
    assert row["video_text"] > 0.9
    assert row["audio_video"] == pytest.approx(0.99)
    assert row["score"] == pytest.approx(min(row["video_text"], 0.99))
    assert [word["word"] for word in row["words"]] == row["text"].split()
    assert (row["words"][0]["start_us"], row["words"][0]["end_us"]) == (1_000_000, 1_400_000)
    assert (row["speakers"], row["cue_ids"]) == (["S0"], ["cue_003_0"])
    assert (row["cue_start_us"], row["cue_end_us"]) == (1_000_000, 4_000_000)
    assert row["reasons"] == []
    assert found.sample.passed
    assert found.sample.own == 1.0


def test_without_evidence_nothing_is_trimodal_and_the_reason_is_kept(batch: Any) -> None:
    speaking_batch(batch, sound="unjudged")
    row = batch.align().rows.row(0, named=True)
    assert (row["verdict"], row["modalities"]) == ("audio_text", ["audio", "text"])
    assert row["reasons"] == ["sound and pictures: nothing in them tells whether they are on one clock"]
    assert row["audio_video"] is None


def test_displaced_sound_and_unrelated_pictures_cost_the_third_modality(batch: Any) -> None:
    speaking_batch(batch)
    words = batch.say(0)
    text = " ".join(word for _, _, word in words)
    late = batch.add(cues=[(1, 4, text)], words=words, pictures=[(2.0, text)], sound="offset")
    other = batch.add(cues=[(1, 4, text)], words=words, pictures=[(2.0, "grey wall")], sound="in_place")
    rows = {row["clip_id"]: row for row in batch.align().rows.to_dicts()}
    assert (rows[late]["verdict"], rows[late]["reasons"]) == ("audio_text", ["sound and pictures: offset"])
    assert rows[late]["audio_video"] == pytest.approx(0.01)
    assert rows[other]["verdict"] == "audio_text"
    assert "among mismatched pairs, below 0.9" in rows[other]["reasons"][0]


def test_a_silent_video_shows_its_text_and_a_sound_with_a_description_is_unverified(batch: Any) -> None:
    speaking_batch(batch)
    mute = batch.add(description="duck pond horse", pictures=[(1.0, "duck pond horse")], has_sound=False)
    wrong = batch.add(description="duck pond horse", pictures=[(1.0, "-duck -pond -horse")], has_sound=False)
    barks = batch.add(medium="audio", description="a dog barks", words=[])
    found = batch.align()
    rows = {row["clip_id"]: row for row in found.rows.to_dicts()}
    assert (rows[mute]["verdict"], rows[mute]["modalities"]) == ("video_text", ["text", "video"])
    assert rows[mute]["reasons"][0] == "text and sound: the clip has no sound"
    assert (rows[barks]["verdict"], rows[barks]["modalities"], rows[barks]["score"]) == (
        "unverified",
        ["audio", "text"],
        None,
    )
    assert found.rejected.select("record_id", "code").rows() == [("pce_021_0", "ERR_CROSS_MDL_FUSION")]
    assert wrong not in rows


def test_pieces_in_are_rows_out_and_rejected_with_codes(batch: Any) -> None:
    speaking_batch(batch, 8)
    words = batch.say(1)
    text = " ".join(word for _, _, word in words)
    batch.add(cues=[(1, 4, "kettle kettle pepper pepper ladder")], words=words)  # other words than those heard
    batch.add(cues=[(1, 4, text)], words=words, cue_timing=("offset", 900_000, 0.99))
    batch.add(words=words, cuts=[1.2])  # through "the" by 200 ms on either side
    batch.add(words=[(2.9, 3.05, "duck"), (3.05, 3.4, "pond")], cuts=[3.0])  # by 50 ms: within a recogniser's error
    batch.add(cues=[(1, 6, text)], words=words, cuts=[3.0])
    batch.add(words=[])
    batch.add(medium="audio", transcription=text, words=words, declared_speaker="Ann")
    found = batch.align()
    assert found.rows.height + found.rejected.height == len(batch.pieces)
    rejected = dict(found.rejected.select("record_id", "code").rows())
    assert rejected == {
        "pce_008_0": "ERR_CROSS_MDL_FUSION",
        "pce_009_0": "ERR_CROSS_MDL_TEMPORAL",
        "pce_010_0": "NO_TEXT",
        "pce_010_1": "WORD_CUT",
        "pce_012_0": "CUE_CUT",
        "pce_013_0": "NO_TEXT",
    }
    reasons = dict(found.rejected.select("record_id", "reason").rows())
    assert reasons["pce_010_1"].startswith(
        "b1/video/metadata.jsonl:11: the piece from 1.2 to 10.0 s is cut inside a word"
    )
    origins = dict(found.rows.select("piece_id", "text_origin").rows())
    assert origins["pce_011_1"] == "transcript"
    assert origins["pce_014_0"] == "transcription"
    cut = found.rows.filter(pl.col("piece_id") == "pce_011_0").row(0, named=True)
    assert (cut["words"][0]["start_us"], cut["words"][0]["end_us"]) == (2_900_000, 3_000_000)
    assert found.rows.filter(pl.col("clip_id") == "clp_011")["previous_end_us"].to_list() == [None, 3_000_000]


def test_names_the_recogniser_does_not_know_are_found_among_mismatched_pairs(batch: Any) -> None:
    speaking_batch(batch, 8)
    said = [(1.0, 1.4, "quetzal"), (1.5, 2.0, "dromedary"), (2.0, 2.5, "Siegel"), (2.5, 3.0, "doe")]
    clip = batch.add(cues=[(1, 4, "A quetzal. A dromedary. A seagull. A deer.")], words=said)
    row = batch.align().rows.filter(pl.col("clip_id") == clip).row(0, named=True)
    assert row["text_audio"] == pytest.approx(1 / 3)
    assert (row["method"], row["verdict"]) == ("tokens", "audio_text")


def test_pictures_that_neither_show_nor_contradict_a_description_claim_nothing(batch: Any) -> None:
    speaking_batch(batch)
    clip = batch.add(description="duck pond horse", pictures=[(1.0, "duck -pond wall")], has_sound=False)
    row = batch.align().rows.filter(pl.col("clip_id") == clip).row(0, named=True)
    policy = Policy().segments
    assert policy.max_unlike_rank <= row["video_text"] < policy.min_shown_rank
    assert (row["verdict"], row["modalities"]) == ("unverified", ["text", "video"])
    assert "among mismatched pairs, below 0.9" in row["reasons"][1]


def test_texts_of_other_clips_fail_the_similarity_sample_and_none_is_admitted(batch: Any) -> None:
    speaking_batch(batch, shift=1)
    found = batch.align()
    assert not found.sample.passed
    assert found.sample.own < found.sample.mismatched
    assert found.rows.is_empty()
    assert found.rejected["code"].unique().to_list() == ["ERR_CROSS_MDL_FUSION"]
    assert "fit other clips no worse" in found.rejected["reason"][0]


def test_another_wording_of_what_is_said_is_found_by_similarity(batch: Any) -> None:
    speaking_batch(batch, 24)
    said = [(1.0, 1.4, "duck"), (1.5, 2.0, "pond"), (2.0, 2.5, "horse"), (2.5, 3.0, "meadow")]
    clip = batch.add(cues=[(1, 4, "meadow horse pond duck")], words=said)  # the same, in another order
    row = batch.align().rows.filter(pl.col("clip_id") == clip).row(0, named=True)
    assert (row["method"], row["verdict"]) == ("similarity", "audio_text")
    assert row["text_audio"] >= Policy().segments.min_heard_rank


def test_sentences_are_laid_over_pictures_in_order_and_in_time(batch: Any) -> None:
    speaking_batch(batch)
    parts = [batch.say(0, 1.0), batch.say(3, 5.0)]
    texts = [" ".join(word for _, _, word in part) for part in parts]
    cues = [(1.0, 4.0, texts[0]), (5.0, 8.0, texts[1])]
    clip = batch.add(cues=cues, words=[*parts[0], *parts[1]], pictures=[(1.0, texts[0]), (6.0, texts[1])])
    row = batch.align().rows.filter(pl.col("clip_id") == clip).row(0, named=True)
    assert row["shown_shift_us"] == pytest.approx(500_000, abs=20_000)  # 0 s and 1 s late
    assert row["shown_similarity"] > 0.95


def test_tables_refuse_segments_outside_their_medium_or_out_of_order(batch: Any, tmp_path: Any) -> None:
    speaking_batch(batch, 3)
    lake = DeltaLake(root=str(tmp_path))
    rows = batch.align().rows
    lake.replace("segment_alignments", "b1", rows)
    for change in (
        {"end_us": pl.col("start_us")},
        {"start_us": pl.lit(-1, pl.Int64)},
        {"previous_end_us": pl.col("start_us") + 1},
        {"cue_end_us": pl.col("end_us") + 1},
        {"cue_start_us": pl.col("cue_end_us")},
        {"text": pl.lit("")},
    ):
        with pytest.raises(DeltaError, match="failed validation"):
            lake.replace("segment_alignments", "b1", rows.with_columns(**change))
    assert lake.read("segment_alignments", "b1").equals(rows)


def test_an_empty_batch_gives_empty_tables(batch: Any, kit: ModuleType) -> None:
    found = batch.align()
    assert found.rows.equals(kit.frame("segment_alignments", []))
    assert found.rejected.is_empty()
    assert found.sample.passed


@given(st.lists(st.sampled_from("abcdef"), max_size=12), st.lists(st.sampled_from("abcdef"), max_size=12))
def test_the_match_is_a_share_that_is_one_of_equals(text: list[str], heard: list[str]) -> None:
    share = match_tokens(text, heard)
    if text and heard:
        assert share is not None
        assert 0.0 <= share <= 1.0
        assert (share == 1.0) == (text == heard)
    else:
        assert share is None


@given(st.integers(1, 30), st.integers(1, 12))
def test_grouping_keeps_every_sentence_in_order(count: int, most: int) -> None:
    texts = [str(number) for number in range(count)]
    groups, starts = group_sentences(texts, list(range(count)), most)
    assert " ".join(groups).split() == texts
    assert len(groups) == min(count, most)
    assert [int(group.split()[0]) for group in groups] == starts


def test_tokens_of_scripts_without_spaces_are_characters() -> None:
    assert split_tokens("Éa\u2019s 鸭子 и ボート 2") == ["éa's", "鸭", "子", "и", "ボ", "ー", "ト", "2"]
