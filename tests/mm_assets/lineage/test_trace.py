"""A sample leads back to its raw bytes, whatever its kind."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from rich.console import Console

from mm_assets.commands.trace import print_trace, trace
from mm_assets.errors import LineageError
from mm_assets.lineage.trace import trace_sample
from mm_assets.schemas import TABLES
from resources.local_landing import LocalLanding


def workspace_of(library):
    return SimpleNamespace(lake=library.lake, landing=library.landing)


@pytest.mark.parametrize(
    ("kind", "records", "verified"),
    [
        ("image_text", {"duck"}, 1),
        ("object", {"duck"}, 1),
        ("segment", {"clip"}, 3),
        ("document", {"document"}, 1),
        ("text", {"text"}, 1),
        ("dialogue", {"dialogue"}, 1),
    ],
)
def test_every_kind_leads_to_verified_bytes(library, kind, records, verified) -> None:
    found = trace_sample(library.lake, library.landing, library.samples[kind])
    assert found.whole
    assert found.kind == kind
    assert {item.record_id for item in found.bytes} == {library.ids[name] for name in records}
    assert [item.state for item in found.bytes] == ["verified"] * verified
    assert all(len(item.sha256) == 64 for item in found.bytes)


def test_places_tell_the_part_of_the_record(library) -> None:
    def places(kind):
        return {place.table: place.at for place in trace_sample(library.lake, library.landing, kind).places}

    assert places(library.samples["document"])["document_blocks"] == {"page": 3, "x1": 1, "y1": 2, "x2": 3, "y2": 4}
    assert places(library.samples["segment"])["cues"] == {"start_us": 0, "end_us": 9}
    assert places(library.samples["segment"])["key_frames"] == {"time_us": 4}
    regions = places(library.samples["object"])["object_alignments"]
    assert regions["phrase"] == "duck"
    assert (regions["x1"], regions["x2"]) == (0.0, 3.0)
    (tar,) = trace_sample(library.lake, library.landing, library.samples["image_text"]).bytes
    assert (tar.member, tar.byte_offset, tar.byte_size) == ("000000.jpg", 512, 10401)


def test_bytes_that_changed_or_went_are_told(library, tmp_path) -> None:
    """A flipped bit, another text in the line, a cut file and a deleted one."""
    root = tmp_path / "landing"
    for batch in ("stamps-home-02", "history-14", "text-math-dialogue-09"):
        shutil.copytree(Path(library.landing._root) / batch, root / batch)
    old, new = library.landing.uri(""), LocalLanding(root).uri("")
    for table in ("raw_images", "raw_documents", "raw_texts"):
        rows = library.lake.read(table, "talks")
        moved = pl.col("source_ref").struct.with_fields(pl.field("uri").str.replace(old, new, literal=True))
        library.lake.replace(table, "talks", rows.with_columns(moved))
    tar = root / "stamps-home-02/images/stamps-home-02-000.tar"
    flipped = bytearray(tar.read_bytes())
    flipped[900] ^= 1
    tar.write_bytes(flipped)
    (root / "history-14/documents/project-history.de.pdf").unlink()
    lines = root / "text-math-dialogue-09/text/math.jsonl"
    lines.write_bytes(lines.read_bytes().replace(b"a", b"e", 3))

    def states(kind):
        found = trace_sample(library.lake, LocalLanding(root), library.samples[kind])
        assert not found.whole
        return [item.state for item in found.bytes]

    assert states("image_text") == ["changed"]
    assert states("document") == ["missing"]
    assert states("text") == ["changed"]


def test_models_versions_verdicts_and_people_are_told(library) -> None:
    lake, ids = library.lake, library.ids
    written = {"asset": "cleaned_images", "models": ["eye@1#abc"], "code_version": "2", "digest": "d",
               "versions_json": json.dumps({"images": 7})}  # fmt: skip
    row = {"batch": "talks", **dict.fromkeys(("upstream_json", "rows_json"), "{}"), **written}
    lake.replace(
        "provenance",
        "talks",
        pl.DataFrame([row], schema=TABLES["provenance"].schema),
        within={"asset": "cleaned_images"},
    )
    library.write("gate_evaluations", {"gate": "recall", "evaluation_id": "eval_9", "passed": False, "reason": "low"})
    events = [
        {"event": event, "evaluation_id": "eval_9", "batch": "talks", "gate": "recall", "reason": reason, "by": by,
         "code": "C", "diagnosis_json": "{}", "at_us": at}
        for at, (event, by, reason) in enumerate([("placed", "mm", "low"), ("released", "Eva", "looked at it")])
    ]  # fmt: skip
    lake.append("holds", pl.DataFrame(events, schema=TABLES["holds"].schema))
    decision = {
        "subject_id": library.samples["goose"],
        "decision": "accepted",
        "reason": "fine",
        "by": "Eva",
        "at_us": 1,
    }
    lake.append("review_decisions", pl.DataFrame([decision], schema=TABLES["review_decisions"].schema))
    found = trace_sample(lake, library.landing, library.samples["goose"])
    stages = {stage.table: stage for thing in found.things if thing.id == ids["goose"] for stage in thing.stages}
    assert (stages["images"].version, stages["images"].models) == (7, ["eye@1#abc"])
    assert stages["raw_images"].version is None
    (verdict,) = found.gates
    assert (verdict.waived_by, verdict.waived_reason) == ("Eva", "looked at it")
    assert [row["decision"] for row in found.reviews] == ["accepted"]
    assert [row["strategy"] for row in found.negatives] == ["in_batch"]


def test_the_line_of_a_release_is_found_and_shown(library, capsys) -> None:
    traced = trace(workspace_of(library), library.samples["segment"], "spring")
    (release,) = traced.releases
    assert (release.line.file, release.line.line, release.position) == ("samples/part-00000.jsonl", 3, 2)
    document = json.loads(json.dumps(traced.to_document(), default=str))
    assert document["whole"] is True
    assert document["releases"][0]["delta_versions"] == {"images": 1}
    print_trace(traced, Console(width=200))
    shown = capsys.readouterr().out
    for told in (library.ids["clip"], library.ids["frame"], "clip-03.mp4", "verified", "samples/part-00000.jsonl:3"):
        assert told in shown


def test_what_is_not_there_is_said(library) -> None:
    with pytest.raises(LineageError, match="there is no sample"):
        trace_sample(library.lake, library.landing, "mm_none")
    with pytest.raises(LineageError, match="not in release 'autumn'"):
        trace(workspace_of(library), library.samples["text"], "autumn")
