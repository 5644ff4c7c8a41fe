"""Clips on their way through recognition; the models are stand-ins behind their Protocols, the decoder is real."""

import tracemalloc

import numpy as np
import polars as pl
import pytest

from mm_assets.aligned.segments.interfaces import AlignedWords, RecognizedSpeech, SpeakerTurn, TimedWord
from mm_assets.aligned.segments.speech.hearing import HearingFigures, SpeechModels
from mm_assets.aligned.segments.speech.transcribing import transcribe_clips
from mm_assets.media.decoder import MediaDecoder
from mm_assets.models import ModelIdentity
from mm_assets.policy import MediaPolicy, SpeechPolicy
from resources.local_landing import LocalLanding

IDENTITY = ModelIdentity("stand-in", "1", "0" * 64)
SCHEMA = {
    "batch": pl.String,
    "clip_id": pl.String,
    "position": pl.Int64,
    "kind": pl.String,
    "record_ref": pl.String,
    "sound_ref": pl.Struct({"uri": pl.String}),
    "sound_clock_offset_us": pl.Int64,
    "language": pl.String,
    "sound_start_us": pl.Int64,
    "sound_step_us": pl.Int64,
    "speech": pl.List(pl.Float32),
}


def loudness(waveform) -> int:
    """Tenths of the level a clip was made with."""
    return round(float(np.abs(waveform).max()) * 10)


class Ear:
    """Says how loud a waveform is; level 9 is a hallucination."""

    identity, device = IDENTITY, "cpu"

    def __init__(self):
        self.batches: list[tuple[int, list[str | None]]] = []
        self.lengths: list[int] = []
        self.peak_bytes = 0

    def recognize(self, waveforms, languages):
        self.batches.append((len(waveforms), list(languages)))
        self.lengths += [len(waveform) for waveform in waveforms]
        return [
            RecognizedSpeech(
                f"level {loudness(w)} here", language or "en", 0.9, -1.4 if loudness(w) == 9 else -0.1, 0.1
            )
            for w, language in zip(waveforms, languages, strict=True)
        ]

    def time_words(self, waveforms, texts, languages):
        return [tuple(TimedWord(word, 0, 0, 0.3) for word in text.split()) for text in texts]


class Ruler:
    """Times words of English at even places, but for level 3."""

    identity, device, method = IDENTITY, "cpu", "forced:stand-in"

    def align(self, waveforms, texts, languages):
        return [
            AlignedWords((), "language")
            if language != "en"
            else AlignedWords((), "mismatch")
            if "level 3" in text
            else AlignedWords(
                tuple(TimedWord(w, 300_000 * k, 300_000 * k + 200_000, 0.9) for k, w in enumerate(text.split()))
            )
            for text, language in zip(texts, languages, strict=True)
        ]


class Throat:
    """Loud and soft clips have different voices."""

    identity, device = IDENTITY, "cpu"

    def embed(self, waveforms, spans):
        return [
            [SpeakerTurn(a, b, np.eye(2, dtype=np.float32)[int(loudness(w) > 4)]) for a, b in of]
            for w, of in zip(waveforms, spans, strict=True)
        ]


@pytest.fixture
def transcribe(tmp_path, media_files):
    """Write clips of the given level and speech track, and transcribe them."""

    def run(*clips: tuple[float | None, list[float]], policy=None, language="en", offset_us=0, watched=False):
        rows = []
        for place, (level, speech) in enumerate(clips):
            path = tmp_path / f"{place}.wav"
            if level is None:
                path.write_bytes(b"no sound at all")
            else:
                seconds = max(1.0, len(speech) / 100)
                media_files.write_media(path, sound=media_files.tone(seconds, 200.0, level=level))
            where = {
                "batch": "b",
                "clip_id": f"clip{place}",
                "position": place,
                "kind": "audio",
                "record_ref": f"b/audio/metadata.jsonl:{place + 1}",
                "sound_ref": {"uri": path.as_uri()},
                "sound_clock_offset_us": offset_us,
                "language": language,
                "sound_start_us": offset_us,
                "sound_step_us": 10_000,
                "speech": speech,
            }
            rows.append(where)
        ear, figures = Ear(), HearingFigures()
        policy = policy or SpeechPolicy(batch_size=3, gathered_batches=1)
        chunks = [pl.DataFrame(rows[at : at + 2], schema=SCHEMA) for at in range(0, len(rows), 2)]
        with MediaDecoder(MediaPolicy()) as decoder:
            landing = LocalLanding(tmp_path)
            models = SpeechModels(ear, Ruler(), Throat())
            if watched:
                tracemalloc.start()
            found = list(transcribe_clips(chunks, landing, decoder, models, policy, figures))
            if watched:
                ear.peak_bytes = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
        tables = {
            name: pl.concat([getattr(part, name) for part in found])
            for name in ("transcripts", "utterances", "rejected")
        }
        return tables, ear, figures

    return run


SAID = [0.0] * 50 + [1.0] * 200 + [0.0] * 50
NOTHING = [0.0] * 200


def test_every_clip_has_a_row_and_windows_of_several_clips_are_heard_together(transcribe):
    tables, ear, figures = transcribe((0.2, SAID), (0.5, SAID), (0.3, SAID), (None, NOTHING), (0.7, SAID), (0.1, SAID))
    rows = tables["transcripts"]
    assert rows["clip_id"].to_list() == [f"clip{place}" for place in range(6)]
    assert rows["text"].to_list() == [
        "level 2 here",
        "level 5 here",
        "level 3 here",
        "",
        "level 7 here",
        "level 1 here",
    ]
    assert [count for count, _ in ear.batches] == [3, 2]
    assert figures.refusals == {"mismatch": 1}
    assert {"recognizer", "aligner", "speakers", "prosody"} == set(figures.busy)
    assert figures.seconds == pytest.approx(5 * 2.6, abs=0.01)
    methods = [{word["method"] for word in words} for words in rows["words"].to_list()]
    assert methods == [{"forced:stand-in"}, {"forced:stand-in"}, {"recogniser"}, set(), *[{"forced:stand-in"}] * 2]
    silent = rows.row(3, named=True)
    assert (silent["language"], silent["avg_logprob"], silent["speakers"]) == (None, None, 0)


def test_windows_of_like_length_are_heard_together_and_rows_keep_their_order(transcribe):
    short, long = SAID, [0.0] * 50 + [1.0] * 900
    tables, ear, _ = transcribe(
        *((level, track) for level, track in zip((0.1, 0.2, 0.3, 0.4), (long, short, long, short), strict=True)),
        policy=SpeechPolicy(batch_size=2, gathered_batches=2),
    )
    assert [count for count, _ in ear.batches] == [2, 2]
    assert ear.lengths == sorted(ear.lengths)
    assert tables["transcripts"]["text"].to_list() == [f"level {place} here" for place in range(1, 5)]


def test_a_clip_that_cannot_be_decoded_is_rejected_and_harms_no_other(transcribe):
    tables, _, _ = transcribe((0.2, SAID), (None, SAID), (0.5, SAID))
    assert tables["transcripts"]["clip_id"].to_list() == ["clip0", "clip2"]
    (row,) = tables["rejected"].iter_rows(named=True)
    assert (row["record_id"], row["stage"], row["record_kind"]) == ("clip1", "transcripts", "audio")
    assert row["code"] == "UNREADABLE_MEDIA"
    assert row["reason"].startswith("b/audio/metadata.jsonl:2: ")


def test_an_invented_text_is_dropped_and_counted(transcribe):
    tables, _, figures = transcribe((0.9, SAID))
    (row,) = tables["transcripts"].iter_rows(named=True)
    assert (row["text"], row["words"], row["dropped_segments"]) == ("", [], 1)
    assert tables["utterances"].is_empty()
    assert figures.doubts == {"improbable": 1}


def test_a_long_clip_is_heard_in_windows_on_its_own_clock(transcribe):
    speech = ([1.0] * 300 + [0.0] * 250) * 3
    tables, ear, _ = transcribe((0.5, speech), offset_us=60_000_000)
    (row,) = tables["transcripts"].iter_rows(named=True)
    assert row["text"] == " ".join(["level 5 here"] * 3)
    assert [count for count, _ in ear.batches] == [3]
    starts = tables["utterances"]["start_us"].to_list()
    assert starts == [60_000_000, 65_200_000, 70_700_000]
    assert tables["utterances"]["utterance_index"].to_list() == [0, 1, 2]
    assert set(tables["utterances"]["speaker"]) == {"S0"}
    assert tables["utterances"]["pitch_hz"].to_list() == pytest.approx([200.0] * 3, rel=0.01)


def test_another_language_is_timed_by_the_recogniser_inside_its_voice(transcribe):
    tables, ear, _ = transcribe((0.5, SAID), language="fr")
    assert ear.batches == [(1, ["fr"])]
    (row,) = tables["transcripts"].iter_rows(named=True)
    assert row["language"] == "fr"
    assert {word["method"] for word in row["words"]} == {"recogniser"}
    assert row["words"][0]["start_us"] == 400_000
    edges = [edge for word in row["words"] for edge in (word["start_us"], word["end_us"])]
    assert edges == sorted(edges)


def test_what_is_held_does_not_grow_with_the_clip(transcribe):
    """Ten minutes are 38 MB of sound; four windows of 5.6 s are 1.4 MB."""
    said = ([1.0] * 500 + [0.0] * 250) * 80
    transcribe((0.5, SAID))
    tables, ear, _ = transcribe((0.5, said), policy=SpeechPolicy(batch_size=2, gathered_batches=2), watched=True)
    assert len(tables["transcripts"]["words"][0]) == 240
    assert len(ear.lengths) == 80
    assert ear.peak_bytes < 12_000_000
