"""Small real deliveries cut from the demo data, and a workspace that runs them on a folder or on S3."""

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3
import dagster as dg
import pytest
from moto.server import ThreadedMotoServer
from rich.console import Console

from mm_assets.commands.progress_bars import ConsoleBars
from mm_assets.commands.run import Runner
from mm_assets.commands.run_summary import RunSummary
from mm_assets.commands.workspace import Workspace
from mm_assets.definitions import define
from resources.delta_lake import DeltaLake

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "demo" / "data" / "landing"
EXPECTED = json.loads((ROOT / "demo" / "expected.json").read_text(encoding="utf-8"))
SPOILED = EXPECTED["spoiled"][0]


def is_imagefolder(name: str) -> bool:
    return (DEMO / name / "images" / "metadata.jsonl").is_file()


CLEAN = next(name for name in sorted(EXPECTED["batches"]) if name not in EXPECTED["spoiled"] and is_imagefolder(name))


def cut_batch(landing: Path, source: str, name: str, images: int | None, *, texts: int = 30) -> Path:
    """Copy the first records of a demo batch, with some texts, as a delivery of its own."""
    target = landing / name
    (target / "images").mkdir(parents=True)
    (target / "text").mkdir()
    shutil.copy(DEMO / source / "batch.json", target / "batch.json")
    lines = (DEMO / source / "images" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()[:images]
    for line in lines:
        try:
            file = DEMO / source / "images" / json.loads(line)["file_name"]
        except (ValueError, KeyError):
            continue
        if file.is_file():
            shutil.copy(file, target / "images" / file.name)
    (target / "images" / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    records = [{"text": f"Lemma {number} of {name}: every divisor divides.", "kind": "math"} for number in range(texts)]
    text = "".join(json.dumps(record) + "\n" for record in records)
    (target / "text" / "lemmas.jsonl").write_text(text, encoding="utf-8")
    (target / "_SUCCESS").touch()
    return target


def cut_scenes(landing: Path, source: str, name: str, scenes: int) -> Path:
    """Copy the first scenes of a COCO batch as a delivery of its own."""
    target = landing / name
    (target / "images").mkdir(parents=True)
    shutil.copy(DEMO / source / "batch.json", target / "batch.json")
    document = json.loads((DEMO / source / "images" / "coco.json").read_text(encoding="utf-8"))
    document["images"] = document["images"][:scenes]
    kept = {image["id"] for image in document["images"]}
    document["annotations"] = [note for note in document["annotations"] if note["image_id"] in kept]
    for image in document["images"]:
        shutil.copy(DEMO / source / "images" / image["file_name"], target / "images" / image["file_name"])
    (target / "images" / "coco.json").write_text(json.dumps(document), encoding="utf-8")
    (target / "_SUCCESS").touch()
    return target


@dataclass
class Site:
    """One landing area and one lake, with everything that runs on them."""

    landing_folder: Path
    landing_root: str
    lake_root: str
    policy: str
    instance: dg.DagsterInstance

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.instance, define(self.landing_root, self.lake_root, self.policy))

    @property
    def lake(self) -> DeltaLake:
        return DeltaLake(root=self.lake_root)

    def cut(self, kind: str, name: str, images: int | None) -> Path:
        """Deliver the first records of a demo batch, clean or spoiled, under another name."""
        return cut_batch(self.landing_folder, {"clean": CLEAN, "spoiled": SPOILED}[kind], name, images)

    def cut_scenes(self, source: str, name: str, scenes: int) -> Path:
        """Deliver the first scenes of a demo batch under another name."""
        return cut_scenes(self.landing_folder, source, name, scenes)

    def run(self, *batches: str, release: str | None = None) -> RunSummary:
        return Runner(self.workspace, ConsoleBars(Console(quiet=True))).run(list(batches) or None, release)

    def materialize(self, batch: str, *assets: str) -> dg.ExecuteInProcessResult:
        job = self.workspace.definitions.resolve_job_def("batch_pipeline")
        return job.execute_in_process(
            instance=self.instance,
            partition_key=batch,
            asset_selection=[dg.AssetKey(asset) for asset in assets],
            raise_on_error=False,
        )


@contextlib.contextmanager
def open_site(root: Path) -> Iterator[Site]:
    """A workspace on folders below ``root``, with an instance of its own."""
    landing, home = root / "landing", root / "home"
    landing.mkdir(exist_ok=True)
    home.mkdir()
    # Not an ephemeral instance: progress is read from a thread of its own, and tables in memory lock each other out.
    with dg.DagsterInstance.local_temp(str(home), overrides={"telemetry": {"enabled": False}}) as instance:
        yield Site(landing, str(landing), str(root / "lake"), "", instance)


@pytest.fixture
def site(tmp_path):
    with open_site(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="session")
def s3_endpoint():
    """A local S3 server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_site(tmp_path, site, s3_endpoint, monkeypatch):
    """The same workspace on S3; deliveries are cut locally and then uploaded."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"mm-{tmp_path.name.replace('_', '-')}"[:60].rstrip("-").lower()
    boto3.client("s3").create_bucket(Bucket=bucket)
    return Site(site.landing_folder, f"s3://{bucket}/landing", f"s3://{bucket}/lake", "", site.instance)


def upload(site: Site) -> None:
    """Make the local deliveries visible at a site on S3."""
    bucket, prefix = site.landing_root.removeprefix("s3://").split("/", 1)
    client = boto3.client("s3")
    for file in sorted(site.landing_folder.rglob("*"), key=lambda path: path.name == "_SUCCESS"):
        if file.is_file():
            client.upload_file(str(file), bucket, f"{prefix}/{file.relative_to(site.landing_folder).as_posix()}")


def metadata_of(site: Site, asset: str, batch: str | None = None) -> Mapping[str, dg.MetadataValue]:
    """What the latest materialization of an asset shows."""
    event = site.instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert event is not None
    assert event.asset_materialization is not None
    if batch is not None:
        assert event.asset_materialization.partition == batch
    return event.asset_materialization.metadata
