"""`mm export`: from the tables to files, on the clock of each file."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

from mm_assets.aligned.segments.exports.formats import read_ctm, read_rttm
from mm_assets.cli import app
from mm_assets.commands.export import EXPORTERS, Exported, find_target
from mm_assets.errors import ExportError
from mm_assets.media.subtitles import Cue, SubtitleForm, read_cues
from mm_assets.schemas import TABLES
from resources.delta_lake import DeltaLake
from resources.holds import Holds

HOUR = 3_600_000_000
BATCH = "talks"
ROWS: dict[str, list[dict]] = {
    "video_clips": [
        {"clip_id": "v1", "file_name": "day 1/a.mp4", "position": 0, "clock_offset_us": HOUR},
        {"clip_id": "v2", "file_name": "silent.webm", "position": 1, "clock_offset_us": 0},
    ],
    "audio_clips": [{"clip_id": "s1", "file_name": "b.flac", "position": 0, "sound_clock_offset_us": -250_000}],
    "utterances": [
        {"clip_id": "v1", "utterance_index": 0, "start_us": HOUR + 1_000_000, "end_us": HOUR + 2_000_000},
        {"clip_id": "v1", "utterance_index": 1, "start_us": HOUR + 3_000_000, "end_us": HOUR + 4_500_000},
        {"clip_id": "s1", "utterance_index": 0, "start_us": 0, "end_us": 750_000},
    ],
    "transcripts": [
        {"clip_id": "v1", "position": 0, "words": [(1.0, 1.4, "a"), (1.4, 2.0, "zebra"), (3.0, 4.5, "No.")]},
        {"clip_id": "s1", "position": 0, "words": [(0.0, 0.75, "Beep")]},
        {"clip_id": "v2", "position": 1, "words": []},
    ],
    "cues": [
        {"clip_id": "v1", "cue_index": 1, "start_us": HOUR + 3_000_000, "end_us": HOUR + 4_000_000, "text": "Zwei"},
        {"clip_id": "v1", "cue_index": 0, "start_us": HOUR + 1_000_000, "end_us": HOUR + 2_000_000, "text": "Eins"},
    ],
}
SAID = {("v1", 0): ("a zebra", "S0"), ("v1", 1): ("No.", "S1"), ("s1", 0): ("Beep", None)}


def word(clip: str, start: float, end: float, text: str) -> dict:
    clock = HOUR if clip == "v1" else 0
    times = {"start_us": clock + round(start * 1e6), "end_us": clock + round(end * 1e6)}
    speaker = None if clip == "s1" else "S1" if text == "No." else "S0"
    return {"word": text, "confidence": 0.75, "method": "recogniser", "speaker": speaker} | times


def fill(table: str, row: dict) -> dict:
    """The row with a value in every column that must have one."""
    blanks = {pl.String: "x", pl.Boolean: False}
    usual = {
        name: None if column.nullable else blanks.get(column.dtype, [] if isinstance(column.dtype, pl.List) else 0)
        for name, column in TABLES[table].columns.items()
    }
    usual["sound_clock_offset_us"] = row.get("clock_offset_us", 0)
    usual |= {"batch": BATCH, "end_us": HOUR * 2, "size_bytes": 1, "width": 9, "height": 9, "clip_end_us": HOUR * 2}
    usual["source_ref"] = {"uri": "x", "member": None, "byte_offset": 0, "byte_size": 1, "frame_index": None}
    if table == "utterances":
        usual["text"], usual["speaker"] = SAID[row["clip_id"], row["utterance_index"]]
    if table == "transcripts":
        row = row | {"words": [word(row["clip_id"], *item) for item in row["words"]]}
    return {name: value for name, value in (usual | row).items() if name in TABLES[table].columns}


@pytest.fixture
def lake(tmp_path: Path) -> DeltaLake:
    lake = DeltaLake(root=str(tmp_path / "lake"))
    for table, rows in ROWS.items():
        lake.replace(table, BATCH, pl.DataFrame([fill(table, row) for row in rows], schema=TABLES[table].schema))
    return lake


@pytest.fixture
def write(lake: DeltaLake, tmp_path: Path) -> Callable[..., Exported]:
    def run(form: str, text: str | None = None, name: str = BATCH) -> Exported:
        return EXPORTERS[form](lake, find_target(lake, name, text), tmp_path / "out", Console(file=io.StringIO()))

    return run


@pytest.mark.parametrize("form", ["vtt", "srt"])
def test_utterances_become_subtitles_on_the_clock_of_the_file(
    write: Callable[..., Exported], tmp_path: Path, form: SubtitleForm
) -> None:
    done = write(form)
    folder = tmp_path / "out" / BATCH
    assert sorted(path.name for path in folder.iterdir()) == [f"b.{form}", f"day_1_a.{form}"]
    assert sorted(done.files) == sorted(str(path) for path in folder.iterdir())
    assert (done.recordings, done.without_text, done.lines, done.words) == (2, 1, 3, 4)
    cues = [cue for cue in read_cues((folder / f"day_1_a.{form}").read_bytes(), form, "a", 9) if isinstance(cue, Cue)]
    assert [(cue.start_us, cue.end_us, cue.text) for cue in cues] == [
        (1_000_000, 2_000_000, "a zebra"),
        (3_000_000, 4_500_000, "No."),
    ]
    assert [cue.speaker for cue in cues] == (["S0", "S1"] if form == "vtt" else [None, None])


def test_words_of_a_batch_share_one_file(write: Callable[..., Exported], tmp_path: Path) -> None:
    done = write("ctm")
    assert done.files == [str(tmp_path / "out" / f"{BATCH}.ctm")]
    found = list(read_ctm(Path(done.files[0]).read_text().splitlines()))
    assert [(name, item.start_us, item.end_us, item.text) for name, item in found] == [
        ("b", 250_000, 1_000_000, "Beep"),
        ("day_1_a", 1_000_000, 1_400_000, "a"),
        ("day_1_a", 1_400_000, 2_000_000, "zebra"),
        ("day_1_a", 3_000_000, 4_500_000, "No."),
    ]
    assert {item.confidence for _, item in found} == {0.75}
    assert not list(tmp_path.glob("out/*.part"))


def test_turns_of_a_batch(write: Callable[..., Exported]) -> None:
    (path,) = write("rttm").files
    turns = [(name, turn.start_us, turn.speaker) for name, turn in read_rttm(Path(path).read_text().splitlines())]
    assert turns == [("b", 250_000, None), ("day_1_a", 1_000_000, "S0"), ("day_1_a", 3_000_000, "S1")]


def test_cues_come_in_their_order_and_have_no_words(write: Callable[..., Exported], tmp_path: Path) -> None:
    done = write("srt", "cues")
    assert (done.recordings, done.without_text, done.lines) == (1, 2, 2)
    assert (tmp_path / "out" / BATCH / "day_1_a.srt").read_text().splitlines()[2::4] == ["Eins", "Zwei"]
    with pytest.raises(ExportError, match="cues have none"):
        write("ctm", "cues")


def test_what_is_not_there_is_named(write: Callable[..., Exported], lake: DeltaLake) -> None:
    with pytest.raises(ExportError, match=f"no release 'gone'.*batches with some: {BATCH}"):
        write("vtt", name="gone")
    lake.replace("utterances", BATCH, TABLES["utterances"].empty())
    lake.replace("transcripts", BATCH, TABLES["transcripts"].empty())
    with pytest.raises(ExportError, match="has no transcripts to export"):
        write("vtt")


def test_words_without_utterances_are_shown_as_turns(write: Callable[..., Exported], lake: DeltaLake) -> None:
    lake.replace("utterances", BATCH, TABLES["utterances"].empty())
    done = write("vtt")
    assert (done.lines, done.words) == (3, 4)


def test_the_command_answers_in_json_and_refuses_unknown_formats(
    lake: DeltaLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = SimpleNamespace(lake=lake, holds=Holds(lake=lake))
    monkeypatch.setattr("mm_assets.commands.workspace.open_resources", lambda: workspace)
    out = str(tmp_path / "out")
    assert CliRunner().invoke(app, ["export", BATCH, "--format", "docx"]).exit_code == 2
    done = CliRunner().invoke(app, ["export", BATCH, "--format", "ctm", "--out", out, "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert (document["target"], document["kind"], document["words"]) == (BATCH, "batch", 4)
    assert Path(document["files"][0]).is_file()


def test_a_release_gives_the_segments_that_were_drawn(write: Callable[..., Exported], lake: DeltaLake) -> None:
    words = [word("v1", 1.0, 1.4, "a"), word("v1", 1.4, 2.0, "zebra")]
    times = {"start_us": HOUR + 1_000_000, "end_us": HOUR + 2_500_000, "clip_start_us": HOUR}
    shared = {"clip_id": "v1", "text": "A zebra.", "words": words} | times
    drawn = fill("segment_alignments", shared | {"sample_id": "seg_1"})
    left = fill("segment_alignments", shared | {"sample_id": "seg_2", "segment_index": 1, "text": "Not drawn."})
    sample = fill("fusion_samples", {"sample_id": "mm_1", "segment_id": "seg_1"})
    mixed = fill("mixtures", {"release": "spring", "sample_id": "mm_1", "kind": "segment"})
    for table, rows in (("segment_alignments", [drawn, left]), ("fusion_samples", [sample])):
        lake.replace(table, BATCH, pl.DataFrame(rows, schema=TABLES[table].schema))
    lake.append("mixtures", pl.DataFrame([mixed], schema=TABLES["mixtures"].schema))
    done = write("srt", name="spring")
    assert (done.kind, done.text, done.recordings, done.lines, done.words) == ("release", "segments", 1, 1, 2)
    assert Path(done.files[0]).read_text() == "1\n00:00:01,000 --> 00:00:02,500\nA zebra.\n\n"
    with pytest.raises(ExportError, match="holds segments, not cues"):
        write("srt", "cues", name="spring")
