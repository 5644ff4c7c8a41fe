import json
import math
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from mm_assets.commands.review import import_decisions, write_tasks
from mm_assets.errors import RecordError
from mm_assets.hard_negatives.negatives import EditKind, Negative, Outcome, Strategy, find_edits
from mm_assets.hard_negatives.rows import to_rows
from mm_assets.hard_negatives.verdicts import Judged
from mm_assets.policy import Policy
from resources.corrections import Corrections
from resources.delta_lake import DeltaLake
from resources.object_store import LandingStore
from resources.policy_file import PolicyFile
from resources.provenance import NO_REVIEWS, Provenance


@pytest.fixture
def reviewed(tmp_path: Path) -> SimpleNamespace:
    lake = DeltaLake(root=str(tmp_path / "lake"))
    judged = []
    for place in range(3):
        true, false = f"A red car {place}.", f"A blue car {place}."
        negative = Negative(f"p{place}", "i", Strategy.IN_BATCH, true, false, find_edits(true, false, EditKind.COLOR))
        judged.append(Judged(negative, Outcome.KEPT, "false", math.nan, math.nan, math.nan))
    lake.replace("hard_negatives", "b", to_rows("b", judged, {"p0": 0, "p1": 1, "p2": 2}))
    policy_file = PolicyFile(path="")
    provenance = Provenance(lake=lake, policy_file=policy_file, corrections=Corrections(lake=lake))
    landing = LandingStore(root=str(tmp_path))
    return SimpleNamespace(lake=lake, policy=Policy(), provenance=provenance, landing=landing)


def _answer(path: Path, choice: str, when: str) -> None:
    tasks = json.loads(path.read_text())
    for task in tasks:
        result = [{"type": "choices", "from_name": "truth", "value": {"choices": [choice]}}]
        task["annotations"] = [{"completed_by": 1, "updated_at": when, "result": result}]
    path.write_text(json.dumps(tasks))


def test_verdicts_come_back_and_make_the_step_stale(reviewed: SimpleNamespace, tmp_path: Path) -> None:
    out = tmp_path / "tasks.json"
    written = write_tasks(reviewed, "b", out, "http://host/{id}")
    assert written.tasks == 3
    assert written.interface.read_text().startswith("<View>")
    assert json.loads(out.read_text())[0]["data"]["image"] == "http://host/i"
    before = reviewed.provenance.review_digest("b")
    assert before == NO_REVIEWS
    _answer(out, "False of the picture", "2026-01-01T00:00:00Z")
    found = import_decisions(reviewed, out)
    assert (found.decisions, found.batches, found.unknown) == (3, ["b"], 0)
    accepted = reviewed.provenance.review_digest("b")
    assert accepted != before
    assert reviewed.provenance.review_digest("other") == NO_REVIEWS
    import_decisions(reviewed, out)
    assert reviewed.provenance.review_digest("b") == accepted  # the same verdicts again change no row
    _answer(out, "True of the picture", "2026-01-02T00:00:00Z")
    import_decisions(reviewed, out)
    assert reviewed.provenance.review_digest("b") != accepted
    stored = reviewed.lake.scan("review_decisions").collect()
    assert stored.height == 9
    assert stored.filter(pl.col("decision") == "rejected").height == 3


def test_a_file_that_is_no_export_is_refused(reviewed: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="EXPORT_UNREADABLE"):
        import_decisions(reviewed, tmp_path / "missing.json")
