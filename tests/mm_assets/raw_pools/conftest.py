import io
import json
import logging
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from mm_assets.landing import Landing
from mm_assets.policy import IngestPolicy, MediaPolicy
from mm_assets.raw_pools.contract import BatchContract, read_contract
from mm_assets.raw_pools.media_folders import read_media_batch
from mm_assets.raw_pools.reading import read_batch
from resources.object_store import LocalLanding, S3Landing

BATCH_JSON = {
    "contract": "mm-batch/1",
    "source": "vendor-a",
    "license": "CC-BY-4.0",
    "box_format": "xyxy_pixels",
    "language": "en",
}
Files = Mapping[str, bytes]


@dataclass
class Outcome:
    """What reading a batch gave, rows as dicts."""

    images: list[dict[str, Any]] = field(default_factory=list)
    captions: list[dict[str, Any]] = field(default_factory=list)
    texts: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    records: dict[str, int] = field(default_factory=dict)
    chunk_rows: list[int] = field(default_factory=list)

    @property
    def codes(self) -> list[str]:
        return [row["code"] for row in self.rejected]

    def reason(self, code: str) -> str:
        (reason,) = [row["reason"] for row in self.rejected if row["code"] == code]
        return reason


def read_outcome(landing: Landing, contract: BatchContract, policy: IngestPolicy) -> Outcome:
    outcome = Outcome()
    for chunk in read_batch(landing, contract, policy):
        outcome.images += chunk.images.to_dicts()
        outcome.captions += chunk.captions.to_dicts()
        outcome.texts += chunk.texts.to_dicts()
        outcome.rejected += chunk.rejected.to_dicts()
        in_chunk = {"image": chunk.images, "caption": chunk.captions, "text": chunk.texts}
        for kind in {*chunk.records, *in_chunk, *chunk.rejected["record_kind"]}:
            rejected = int((chunk.rejected["record_kind"] == kind).sum())
            kept = in_chunk[kind].height if kind in in_chunk else 0
            assert chunk.records.get(kind, 0) == kept + rejected, kind
            outcome.records[kind] = outcome.records.get(kind, 0) + chunk.records.get(kind, 0)
        outcome.chunk_rows.append(sum(chunk.records.values()))
    positions = [row["position"] for row in outcome.images]
    assert positions == sorted(set(positions))
    assert all(position < outcome.records["image"] for position in positions)
    assert len({row["image_id"] for row in outcome.images}) == len(outcome.images)
    assert len({row["caption_id"] for row in outcome.captions}) == len(outcome.captions)
    assert len({row["text_id"] for row in outcome.texts}) == len(outcome.texts)
    assert {row["image_id"] for row in outcome.captions} <= {row["image_id"] for row in outcome.images}
    for row in outcome.rejected:
        assert row["stage"] == "raw_pools"
        assert row["record_kind"] in {"image", "caption", "text", "annotation"}
        assert ";" in row["reason"], f"no fix in {row['reason']}"
    return outcome


def finished(files: Files, batch: str = "b1", **contract: object) -> dict[str, bytes]:
    return {
        f"{batch}/batch.json": json.dumps({**BATCH_JSON, **contract}).encode(),
        f"{batch}/_SUCCESS": b"",
        **{f"{batch}/{name}": content for name, content in files.items()},
    }


def write_local(root: Path, files: Files) -> LocalLanding:
    for key, content in files.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return LocalLanding(root)


@pytest.fixture(scope="session")
def s3_client() -> Iterator[Any]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield boto3.session.Session().client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="key",
        aws_secret_access_key="secret",  # noqa: S106 - of the test server
        region_name="us-east-1",
    )
    server.stop()


@pytest.fixture(params=["local", "s3"])
def land(request: pytest.FixtureRequest, tmp_path: Path, s3_client: Any) -> Callable[[Files], Landing]:
    """Write files into a fresh landing area, local or on S3."""

    def local(files: Files) -> Landing:
        return write_local(tmp_path / "landing", files)

    def remote(files: Files) -> Landing:
        bucket = f"landing-{abs(hash(request.node.nodeid)):x}"[:40]
        s3_client.create_bucket(Bucket=bucket)
        for key, content in files.items():
            s3_client.put_object(Bucket=bucket, Key=f"in/{key}", Body=content)
        return S3Landing(s3_client, bucket, "in")

    return local if request.param == "local" else remote


@pytest.fixture
def read(land: Callable[[Files], Landing]) -> Callable[..., Outcome]:
    """Land a finished batch ``b1`` and read it."""

    def read_files(files: Files, policy: IngestPolicy | None = None, **contract: object) -> Outcome:
        landing = land(finished(files, **contract))
        used = policy or IngestPolicy()
        return read_outcome(landing, read_contract(landing, "b1", used), used)

    return read_files


@pytest.fixture
def read_local(tmp_path: Path) -> Callable[..., Outcome]:
    """The same on a local folder only, for what S3 cannot hold or what costs time."""

    def read_files(files: Files, policy: IngestPolicy | None = None, **contract: object) -> Outcome:
        landing = write_local(tmp_path / "landing", finished(files, **contract))
        used = policy or IngestPolicy()
        return read_outcome(landing, read_contract(landing, "b1", used), used)

    return read_files


@dataclass
class MediaOutcome:
    """What reading the media of a batch gave, rows as dicts."""

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    records: dict[str, int] = field(default_factory=dict)

    @property
    def codes(self) -> list[str]:
        return [row["code"] for row in self.rejected]


@pytest.fixture
def read_media(land: Callable[[Files], Landing]) -> Callable[..., MediaOutcome]:
    """Land a finished batch ``b1`` and read its sound and video; every record is kept or rejected."""
    kinds = {"audio": "raw_audio", "video": "raw_videos", "subtitles": "raw_subtitles", "cue": "raw_cues"}

    def read_files(files: Files, ingest: IngestPolicy | None = None, media: MediaPolicy | None = None) -> MediaOutcome:
        landing = land(finished(files))
        used, outcome = ingest or IngestPolicy(), MediaOutcome()
        contract = read_contract(landing, "b1", used)
        for chunk in read_media_batch(landing, contract, used, media or MediaPolicy()):
            for name, rows in chunk.tables.items():
                outcome.tables[name] = outcome.tables.get(name, []) + rows.to_dicts()
            outcome.rejected += chunk.rejected.to_dicts()
            for kind, count in chunk.records.items():
                rejected = int((chunk.rejected["record_kind"] == kind).sum())
                assert count == chunk.tables[kinds[kind]].height + rejected, kind
                outcome.records[kind] = outcome.records.get(kind, 0) + count
        for row in outcome.rejected:
            assert ";" in row["reason"], f"no fix in {row['reason']}"
        return outcome

    return read_files


@pytest.fixture(scope="session")
def outcome_of() -> Callable[[Path, Files, IngestPolicy], Outcome]:
    """Land and read below any folder: for property tests, which take no function-scoped fixture."""

    def read_files(root: Path, files: Files, policy: IngestPolicy) -> Outcome:
        landing = write_local(root, finished(files))
        return read_outcome(landing, read_contract(landing, "b1", policy), policy)

    return read_files


@pytest.fixture(scope="session")
def jsonl() -> Callable[..., bytes]:
    """JSON lines of the given rows; bytes are taken as they are."""

    def encode(*rows: object) -> bytes:
        return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)

    return encode


@pytest.fixture(scope="session")
def tar() -> Callable[..., bytes]:
    """A tar of name-content pairs; ready-made TarInfo objects are written as they are."""

    def pack(*members: tuple[str, bytes] | tarfile.TarInfo, format_: int = tarfile.PAX_FORMAT) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=format_) as archive:
            for member in members:
                if isinstance(member, tarfile.TarInfo):
                    archive.addfile(member)
                else:
                    header = tarfile.TarInfo(member[0])
                    header.size = len(member[1])
                    archive.addfile(header, io.BytesIO(member[1]))
        return buffer.getvalue()

    return pack
