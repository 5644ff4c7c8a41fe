import hashlib
from collections.abc import Callable

import pytest

from mm_assets.policy import IngestPolicy, MediaPolicy

WAV = b"RIFF....WAVE"
MP4 = b"....ftyp"
VTT = b"WEBVTT\n\n00:01.000 --> 00:02.000\nhello\n\n00:0x --> 00:03.000\nbad\n\n00:03.000 --> 00:04.000\n<v Ann>world\n"


def test_records_keep_what_was_delivered_and_lead_to_their_bytes(read_media: Callable, jsonl: Callable) -> None:
    outcome = read_media(
        {
            "audio/metadata.jsonl": jsonl(
                {"file_name": "a.wav", "transcription": "one two", "speaker": "Ann", "language": "fr", "source_id": 7},
                {"file_name": "sub/b.flac", "text": "a dog barks", "license": "CC0", "source": "elsewhere"},
            ),
            "audio/a.wav": WAV,
            "audio/sub/b.flac": b"fLaC",
            "video/metadata.jsonl": jsonl(
                {"file_name": "v.mp4", "subtitles": "v.vtt", "audio": "v.wav", "text": "a pond", "start_us": 5_000},
                {"file_name": "w.mkv"},
            ),
            "video/v.mp4": MP4,
            "video/v.vtt": VTT,
            "video/v.wav": WAV + b"2",
            "video/w.mkv": b"\x1aE\xdf\xa3",
        }
    )
    first, second = outcome.tables["raw_audio"]
    assert (first["transcription"], first["speaker"], first["language"]) == ("one two", "Ann", "fr")
    assert (first["source_id"], first["license"], first["source"]) == ("7", "CC-BY-4.0", "vendor-a")
    assert first["sha256"] == hashlib.sha256(WAV).hexdigest()
    assert first["source_ref"]["uri"].endswith("/b1/audio/a.wav")
    assert first["source_ref"]["byte_size"] == len(WAV)
    assert first["record_ref"] == "b1/audio/metadata.jsonl:1"
    assert (second["license"], second["source"], second["language"]) == ("CC0", "elsewhere", "en")
    assert [row["position"] for row in (first, second)] == [0, 1]

    video, plain = outcome.tables["raw_videos"]
    assert video["declared_start_us"] == 5_000
    assert video["audio_ref"]["uri"].endswith("/b1/video/v.wav")
    assert video["audio_sha256"] == hashlib.sha256(WAV + b"2").hexdigest()
    assert (plain["audio_ref"], plain["audio_sha256"], plain["declared_start_us"]) == (None, None, None)

    (subtitles,) = outcome.tables["raw_subtitles"]
    assert (subtitles["clip_id"], subtitles["form"], subtitles["license"]) == (video["clip_id"], "vtt", "CC-BY-4.0")
    cues = outcome.tables["raw_cues"]
    assert [(cue["cue_index"], cue["start_us"], cue["end_us"], cue["text"], cue["speaker"]) for cue in cues] == [
        (0, 1_000_000, 2_000_000, "hello", None),
        (2, 3_000_000, 4_000_000, "world", "Ann"),
    ]
    assert cues[1]["record_ref"] == "b1/video/v.vtt:9"
    (rejected,) = outcome.rejected
    assert (rejected["code"], rejected["record_kind"], rejected["record_ref"]) == (
        "MALFORMED_CUE",
        "cue",
        "b1/video/v.vtt:6",
    )
    assert outcome.records == {"audio": 2, "video": 2, "subtitles": 1, "cue": 3}


BAD_ROWS = [
    ("audio", {"file_name": "none.wav"}, {}, "MISSING_FILE"),
    ("audio", {"file_name": "../a.wav"}, {}, "UNSAFE_PATH"),
    ("audio", {"file_name": "a.txt"}, {"audio/a.txt": b"x"}, "UNKNOWN_FORM"),
    ("audio", {"file_name": "a.wav"}, {"audio/a.wav": b""}, "EMPTY_FILE"),
    ("audio", {"file_name": "a.wav"}, {"audio/a.wav": b"x" * 101}, "FILE_TOO_LARGE"),
    ("audio", {"transcription": "x"}, {}, "MISSING_FIELD"),
    ("audio", {"file_name": "a.wav", "transcription": 5}, {"audio/a.wav": WAV}, "WRONG_TYPE"),
    ("audio", {"file_name": "a.wav", "speaker": "a\0b"}, {"audio/a.wav": WAV}, "NUL_BYTE"),
    ("audio", b"{not json}", {}, "INVALID_JSON"),
    ("video", {"file_name": "v.mp4", "subtitles": "v.ass"}, {"video/v.mp4": MP4}, "UNKNOWN_FORM"),
    ("video", {"file_name": "v.mp4", "subtitles": "v.srt"}, {"video/v.mp4": MP4}, "MISSING_FILE"),
    ("video", {"file_name": "v.mp4", "audio": "v.mp4"}, {"video/v.mp4": MP4}, "UNKNOWN_FORM"),
    ("video", {"file_name": "v.mp4", "start_us": 1.5}, {"video/v.mp4": MP4}, "WRONG_TYPE"),
    ("video", {"file_name": "v.mp4", "start_us": 10**16}, {"video/v.mp4": MP4}, "WRONG_TYPE"),
]


@pytest.mark.parametrize("land", ["local"], indirect=True)
@pytest.mark.parametrize(
    ("kind", "row", "files", "code"), BAD_ROWS, ids=[f"{kind}-{code}" for kind, _, _, code in BAD_ROWS]
)
def test_a_bad_row_is_one_rejected_record(
    read_media: Callable, jsonl: Callable, kind: str, row: object, files: dict, code: str
) -> None:
    good = {"audio": "good.wav", "video": "good.mp4"}[kind]
    outcome = read_media(
        {f"{kind}/metadata.jsonl": jsonl(row, {"file_name": good}), f"{kind}/{good}": WAV, **files},
        media=MediaPolicy(max_file_bytes=100),
    )
    rejected = [item for item in outcome.rejected if item["record_ref"] == f"b1/{kind}/metadata.jsonl:1"]
    assert [(item["code"], item["record_kind"]) for item in rejected] == [(code, kind)]
    table = outcome.tables["raw_audio" if kind == "audio" else "raw_videos"]
    assert [(item["file_name"], item["position"]) for item in table] == [(good, 1)]


@pytest.mark.parametrize("land", ["local"], indirect=True)
def test_files_that_nobody_declares_are_rejected(read_media: Callable, jsonl: Callable) -> None:
    outcome = read_media(
        {"audio/lone.wav": WAV, "audio/readme.txt": b"x", "video/metadata.jsonl": jsonl(), "video/v.srt": b"x"}
    )
    assert sorted((row["record_ref"], row["code"]) for row in outcome.rejected) == [
        ("b1/audio/lone.wav", "UNLISTED_FILE"),
        ("b1/audio/readme.txt", "UNKNOWN_FORM"),
        ("b1/video/v.srt", "UNLISTED_FILE"),
    ]


@pytest.mark.parametrize("land", ["local"], indirect=True)
@pytest.mark.parametrize(
    ("subtitles", "code"), [(b"", "EMPTY_FILE"), (b"\xe9t\xe9", "INVALID_UTF8"), (b"WEBVTT\n" * 99, "FILE_TOO_LARGE")]
)
def test_unusable_subtitles_leave_their_video(
    read_media: Callable, jsonl: Callable, subtitles: bytes, code: str
) -> None:
    outcome = read_media(
        {
            "video/metadata.jsonl": jsonl({"file_name": "v.mp4", "subtitles": "v.vtt"}),
            "video/v.mp4": MP4,
            "video/v.vtt": subtitles,
        },
        media=MediaPolicy(max_subtitle_bytes=500),
    )
    assert len(outcome.tables["raw_videos"]) == 1
    assert outcome.tables["raw_subtitles"] == []
    assert [row["record_kind"] for row in outcome.rejected] == ["subtitles"]
    assert outcome.codes == [code]


@pytest.mark.parametrize("land", ["local"], indirect=True)
def test_chunks_are_bounded_and_a_rerun_gives_the_same_rows(read_media: Callable, jsonl: Callable) -> None:
    files = {"audio/metadata.jsonl": jsonl(*({"file_name": f"{i}.wav", "text": f"t{i}"} for i in range(7)))}
    files |= {f"audio/{i}.wav": WAV + bytes([i]) for i in range(7)}
    small = read_media(files, ingest=IngestPolicy(chunk_rows=2))
    whole = read_media(files)
    assert small.tables["raw_audio"] == whole.tables["raw_audio"]
    assert [row["position"] for row in whole.tables["raw_audio"]] == list(range(7))
