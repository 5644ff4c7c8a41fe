"""One ingest for each delivery, and another for what was left to do where its run was killed."""

import json

import dagster as dg
import polars as pl
import pytest

from mm_assets.definitions import define
from mm_assets.schemas import TABLES
from mm_assets.steps import INGEST_STEPS, STEPS, steps_of
from resources.delta_lake import DeltaLake
from sensors.new_batches import new_batches
from sensors.runs import ATTEMPT_TAG, INTERRUPTED_TAG

GATE_TABLES = {
    "recall": "image_text_recall",
    "objects": "object_recall",
    "orientation": "orientation_agreement",
    "faithfulness": "caption_faithfulness",
    "hard_negatives": "hard_negative_audit",
}
BLANK = {pl.String: "", pl.Float64: 0.5, pl.Int64: 1, pl.Int32: 1, pl.Boolean: True, pl.List: []}


class Site:
    def __init__(self, root, instance):
        self.instance = instance
        self.lake = DeltaLake(root=str(root / "lake"))
        self.resources = define(str(root / "landing"), str(root / "lake"), "").resources
        delivery = root / "landing" / "b"
        delivery.mkdir(parents=True)
        contract = {"contract": "mm-batch/1", "source": "s", "license": "CC0-1.0"}
        (delivery / "batch.json").write_text(json.dumps(contract), encoding="utf-8")
        (delivery / "images").mkdir()
        (delivery / "images" / "metadata.jsonl").touch()
        (delivery / "text").mkdir()
        (delivery / "text" / "notes.txt").touch()
        (delivery / "_SUCCESS").touch()

    def look(self):
        """What the sensor requests now."""
        names = ("landing", "provenance", "holds")
        with dg.build_sensor_context(
            self.instance, resources={name: self.resources[name] for name in names}, sensor_name="new_batches"
        ) as context:
            result = new_batches(context)
        return [] if isinstance(result, dg.SkipReason) else list(result.run_requests)

    def add_run(self, request, *, killed):
        tags = {**request.tags, "dagster/partition": "b"} | ({INTERRUPTED_TAG: "true"} if killed else {})
        self.instance.add_run(dg.DagsterRun(job_name="ingest_batch", status=dg.DagsterRunStatus.FAILURE, tags=tags))

    def record(self, signature, *steps):
        rows = [
            dict.fromkeys(TABLES["provenance"].columns, "{}")
            | {"batch": "b", "asset": step, "models": [], "upstream_json": json.dumps({"landing": signature})}
            for step in steps
        ]
        self.lake.append("provenance", pl.DataFrame(rows, schema=TABLES["provenance"].schema))

    def measure(self, gate, *, judged):
        table = TABLES[GATE_TABLES[gate]]
        row = {name: BLANK[column.dtype.base_type()] for name, column in table.columns.items()}
        evaluation = {"batch": "b", "evaluation_id": f"eval_{gate}"}
        self.lake.replace(table.name, "b", pl.DataFrame([row | evaluation], schema=table.schema))
        if judged:
            table = TABLES["gate_evaluations"]
            row = {name: BLANK[column.dtype.base_type()] for name, column in table.columns.items()}
            self.lake.append(table.name, pl.DataFrame([row | evaluation | {"gate": gate}], schema=table.schema))


@pytest.fixture
def site(tmp_path):
    with dg.DagsterInstance.ephemeral() as instance:
        yield Site(tmp_path, instance)


def assets(request):
    return {key.to_user_string() for key in request.asset_selection}


def test_a_new_delivery_is_requested_as_far_as_its_parts_go(site):
    (request,) = site.look()
    assert request.partition_key == "b"
    wanted = steps_of({"images", "text"}, INGEST_STEPS)
    assert assets(request) == {asset for name in wanted for asset in STEPS[name].assets}
    assert not {"raw_videos", "cues"} & assets(request)
    assert request.run_key == request.tags[ATTEMPT_TAG]


def test_what_a_killed_ingest_left_is_requested_once_more_for_each_kill(site):
    (first,) = site.look()
    signature = first.run_key.removeprefix("ingest:b:")
    site.record(signature, "raw_pools", "cleaned_images")
    assert site.look() == []  # nobody knows of a kill: a person ran these steps

    site.add_run(first, killed=True)
    (second,) = site.look()
    assert second.run_key == f"{first.run_key}#1"
    assert {"texts", "image_embeddings", "object_recall"} <= assets(second)
    assert not {"raw_images", "images", "captions"} & assets(second)

    site.add_run(second, killed=False)
    assert site.look() == []  # it failed for a reason of its own


def test_a_gate_that_was_killed_before_its_verdict_is_measured_again(site):
    (first,) = site.look()
    site.record(first.run_key.removeprefix("ingest:b:"), *INGEST_STEPS)
    for gate in GATE_TABLES:
        site.measure(gate, judged=gate != "recall")
    site.add_run(first, killed=True)
    (second,) = site.look()
    assert assets(second) == {"image_text_recall"}
    site.measure("recall", judged=True)
    assert site.look() == []
