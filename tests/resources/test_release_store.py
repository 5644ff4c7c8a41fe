import hashlib
import importlib.util
import sys
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from mm_assets.errors import ReleaseError
from mm_assets.mixtures.release_folder import LocalReleases
from resources.release_store import S3Releases, open_release_store

_FILE = Path(__file__).parents[1] / "mm_assets" / "fusion" / "release_material.py"
_SPEC = importlib.util.spec_from_file_location("release_material", _FILE)
material = sys.modules.setdefault(_SPEC.name, importlib.util.module_from_spec(_SPEC))
if not hasattr(material, "ReleaseMaker"):
    _SPEC.loader.exec_module(material)

release_maker, release = material.release_maker, material.release
BUCKET = "lake"


@pytest.fixture(scope="module")
def server():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def client(server):
    client = boto3.client(
        "s3",
        endpoint_url=server,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - moto takes any
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=BUCKET)
    yield client
    listed = client.list_objects_v2(Bucket=BUCKET).get("Contents", ())
    for entry in listed:
        client.delete_object(Bucket=BUCKET, Key=entry["Key"])
    client.delete_bucket(Bucket=BUCKET)
    client.close()


@pytest.fixture
def store(client, tmp_path):
    return S3Releases(client, BUCKET, "root/releases", scratch=tmp_path)


def objects(client) -> dict[str, bytes]:
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET).get("Contents", ())]
    return {key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


def test_a_release_in_a_bucket_has_the_bytes_of_a_local_one(release, release_maker, client, store):
    manifest = release_maker.write(store=store)
    there = {key.removeprefix("root/releases/r1/"): data for key, data in objects(client).items()}
    here = {path.relative_to(release).as_posix(): path.read_bytes() for path in release.rglob("*") if path.is_file()}
    assert there == here
    assert all(hashlib.sha256(there[file.path]).hexdigest() == file.sha256 for file in manifest.files)
    assert (store.exists("r1"), store.releases()) == (True, ["r1"])
    assert store.read_manifest("r1") == here["manifest.json"]


def test_a_rerun_leaves_the_same_objects_and_nothing_old(release_maker, release, client, store):
    release_maker.write(store=store)
    before = objects(client)
    client.put_object(Bucket=BUCKET, Key="root/releases/r1/samples/part-00099.jsonl", Body=b"left over")
    release_maker.write(store=store)
    assert objects(client) == before


def test_a_crash_before_the_manifest_leaves_no_release(release, client, store):
    class DyingClient:
        def __getattr__(self, name):
            return getattr(client, name)

        def put_object(self, **_):
            raise KeyboardInterrupt

    dying = S3Releases(DyingClient(), BUCKET, "root/releases")
    store.publish("r1", release)
    assert store.releases() == ["r1"]
    with pytest.raises(KeyboardInterrupt):
        dying.publish("r1", release)
    assert len(objects(client)) > 3
    assert store.releases() == []
    assert not store.exists("r1")
    store.publish("r1", release)
    assert store.releases() == ["r1"]


def test_a_deleted_release_is_gone_and_its_neighbour_stays(release, client, store):
    store.publish("r1", release)
    store.publish("r10", release)
    store.delete("r1")
    assert store.releases() == ["r10"]
    assert all(key.startswith("root/releases/r10/") for key in objects(client))


def test_a_folder_without_a_manifest_is_not_published(client, store):
    with store.staging("r1") as folder, pytest.raises(ReleaseError, match="manifest"):
        store.publish("r1", folder)
    assert objects(client) == {}


def test_an_answer_other_than_absent_is_no_absence(client):
    class Refusing:
        def head_object(self, **_):
            raise ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadObject")

    with pytest.raises(ReleaseError, match=r"s3://lake/r1.*Forbidden"):
        S3Releases(Refusing(), BUCKET, "").exists("r1")


def test_the_root_chooses_the_store(client, tmp_path):
    assert isinstance(open_release_store(str(tmp_path)), LocalReleases)
    store = open_release_store(f"s3://{BUCKET}/a/b/", client)
    assert isinstance(store, S3Releases)
    assert store.releases() == []
    with pytest.raises(ReleaseError, match="S3 client"):
        open_release_store(f"s3://{BUCKET}/a")
