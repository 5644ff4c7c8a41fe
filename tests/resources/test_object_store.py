import errno
import io
import logging
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from boto3.session import Session
from botocore.exceptions import ClientError, IncompleteReadError, ResponseStreamingError
from dagster_aws.s3 import S3Resource
from moto.server import ThreadedMotoServer

from mm_assets.errors import InputError, MMAssetsError, RecordError, UnsafePathError
from mm_assets.landing import Landing
from resources.object_store import LandingStore, LocalLanding, S3Landing, open_landing

Land = Callable[[Mapping[str, bytes]], Landing]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def client(endpoint: str) -> Any:
    return Session().client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id="key",
        aws_secret_access_key="secret",  # noqa: S106 - of the test server
        region_name="us-east-1",
    )


def write(root: Path, files: Mapping[str, bytes]) -> LocalLanding:
    for key, content in files.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return LocalLanding(root)


@pytest.fixture(params=["local", "s3", "s3-prefix"])
def land(request: pytest.FixtureRequest, tmp_path: Path, client: Any) -> Land:
    def remote(files: Mapping[str, bytes]) -> Landing:
        bucket = f"landing-{abs(hash(request.node.nodeid)):x}"[:40]
        prefix = "a/b c" if request.param == "s3-prefix" else ""
        client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key="a/b other/b9/_SUCCESS", Body=b"")
        for key, content in files.items():
            client.put_object(Bucket=bucket, Key=f"{prefix}/{key}".lstrip("/"), Body=content)
        return S3Landing(client, bucket, prefix)

    return (lambda files: write(tmp_path / "landing", files)) if request.param == "local" else remote


FILES = {
    "b1/_SUCCESS": b"",
    "b1/images/a.png": b"aaa",
    "b1/images/a/x.png": b"xx",
    "b1/images/a0.png": b"0",
    "b1/images/é #?%.png": b"odd",
    "b10/_SUCCESS": b"",
    "b2/images/a.png": b"unfinished",
}


def test_batches_are_the_folders_that_hold_success(land: Land) -> None:
    assert land(FILES).batches() == ["b1", "b10"]


def test_objects_are_sorted_by_key_and_stay_below_the_prefix(land: Land) -> None:
    landing = land(FILES)
    keys = [landed.key for landed in landing.objects("b1/images/")]
    assert keys == ["b1/images/a.png", "b1/images/a/x.png", "b1/images/a0.png", "b1/images/é #?%.png"]
    assert [landed.size_bytes for landed in landing.objects("b1/images")] == [3, 2, 1, 3]
    assert [landed.key for landed in landing.objects("b1")] == ["b1/_SUCCESS", *keys]
    assert list(landing.objects("b1/im")) == []
    assert list(landing.objects("nowhere")) == []
    assert list(landing.objects("b1/images/a.png")) == []
    assert landing.links("b1") == []


def test_find_agrees_with_the_listing(land: Land) -> None:
    landing = land(FILES)
    for landed in landing.objects("b1"):
        assert landing.find(landed.key) == landed
    assert landing.find("b1/images/none.png") is None
    assert landing.find("b1/images") is None
    assert landing.find("b1/images/a.png/x") is None


def test_reads_are_exact_ranges(land: Land) -> None:
    landing = land({"b1/a.bin": b"0123456789", "b1/empty": b""})
    assert landing.read("b1/a.bin") == b"0123456789"
    assert landing.read("b1/a.bin", 3) == b"3456789"
    assert landing.read("b1/a.bin", 3, 4) == b"3456"
    assert landing.read("b1/a.bin", 8, 40) == b"89"
    assert landing.read("b1/a.bin", 10, 4) == b""
    assert landing.read("b1/a.bin", 99) == b""
    assert landing.read("b1/a.bin", 2, 0) == b""
    assert landing.read("b1/empty") == b""
    assert landing.read("b1/empty", 0, 5) == b""


def test_uri_and_key_are_inverse(land: Land) -> None:
    landing = land(FILES)
    for landed in landing.objects("b1"):
        assert landing.key(landing.uri(landed.key)) == landed.key
    assert landing.uri("b1/images/a.png").endswith("/b1/images/a.png")
    root = landing.uri("")
    for outside in (
        "file:///etc/passwd",
        "s3://other/b1/a",
        f"{root}../x",
        f"{root}b1/../../x",
        root,
        root[:-1] + "x/b1",
    ):
        with pytest.raises(UnsafePathError):
            landing.key(outside)


def test_local_uri_is_the_standard_one(tmp_path: Path) -> None:
    landing = write(tmp_path, FILES)
    assert landing.uri("b1/images/é #?%.png") == (tmp_path / "b1/images/é #?%.png").as_uri()


@pytest.mark.parametrize(
    "key",
    ["", "/etc/passwd", "../x", "b1/../../x", "b1/./x", "b1//x", "b1/", "b1\\x", "b1/a\0", "b1/\udcff", "x" * 2_000],
)
def test_unsafe_keys_are_refused_everywhere(land: Land, key: str) -> None:
    landing = land({"b1/x": b"x"})
    for use in (landing.find, landing.open, landing.read):
        with pytest.raises(UnsafePathError):
            use(key)


def test_missing_file_is_named(land: Land) -> None:
    landing = land({"b1/a": b"x"})
    for key in ("b1/none", "b1", "b1/a/b", "b9/x", "b1/" + "n" * 300):
        for use in (landing.open, landing.read):
            with pytest.raises(RecordError, match="MISSING_FILE"):
                use(key)


def test_stream_is_seekable_and_feeds_tarfile_in_every_mode(land: Land) -> None:
    content = bytes(range(256)) * 20_000
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("one", "two"):
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    landing = land({"b1/a.tar": buffer.getvalue()})
    for mode in ("r|", "r:"):
        with landing.open("b1/a.tar") as stream, tarfile.open(fileobj=stream, mode=mode) as archive:
            found = {member.name: archive.extractfile(member).read() for member in archive}
        assert found == {"one": content, "two": content}
    whole = buffer.getvalue()
    with landing.open("b1/a.tar") as stream:
        assert stream.seekable()
        for start in (9_000_000, 5, 4_000_000, 4_100_000, 4_099_990, len(whole) - 3, len(whole) + 10):
            assert stream.seek(start) == start
            assert stream.read(20) == whole[start : start + 20]
        assert stream.seek(-5, io.SEEK_END) == len(whole) - 5
        assert stream.read() == whole[-5:]
        with pytest.raises((OSError, ValueError)):
            stream.seek(-1)


# Local folders


@pytest.fixture
def linked(tmp_path: Path) -> tuple[LocalLanding, Path]:
    landing = write(
        tmp_path / "landing",
        {"b1/_SUCCESS": b"", "b1/real.png": b"real", "b1/sub/deep.png": b"deep", "b2/_SUCCESS": b"", "b2/x.png": b"b2"},
    )
    (tmp_path / "secret").write_bytes(b"secret")
    return landing, tmp_path / "landing/b1"


@pytest.mark.parametrize(
    ("target", "openable"),
    [
        ("real.png", True),
        ("sub/../real.png", True),
        ("sub/deep.png", True),
        ("../../secret", False),
        ("../b2/x.png", False),
        ("{absolute}/secret", False),
        ("{absolute}/landing/b1/real.png", True),
        ("nowhere", False),
        ("link.png", False),
        ("sub", False),
        (".", False),
        ("/dev/zero", False),
    ],
)
def test_links_are_followed_only_to_files_of_their_batch(linked, tmp_path: Path, target: str, openable: bool) -> None:
    landing, batch = linked
    (batch / "link.png").symlink_to(target.format(absolute=tmp_path))
    listed = [landed.key for landed in landing.objects("b1")]
    assert ("b1/link.png" in listed) is openable
    assert ("b1/link.png" in landing.links("b1")) is not openable
    if openable:
        assert landing.read("b1/link.png") in {b"real", b"deep"}
        assert landing.find("b1/link.png").size_bytes == 4
    else:
        with pytest.raises(InputError):
            landing.open("b1/link.png")


def test_folder_links_are_never_entered(linked, tmp_path: Path) -> None:
    landing, batch = linked
    (batch / "out").symlink_to(tmp_path)
    (batch / "loop").symlink_to(batch)
    assert landing.links("b1") == ["b1/loop", "b1/out"]
    assert landing.links("b1/out") == ["b1/out"]
    assert list(landing.objects("b1/out")) == []
    assert [landed.key for landed in landing.objects("b1")] == ["b1/_SUCCESS", "b1/real.png", "b1/sub/deep.png"]
    for use in (landing.open, landing.find):
        with pytest.raises(UnsafePathError, match="LINK_OUTSIDE"):
            use("b1/out/secret")
    assert landing.read("b1/loop/real.png") == b"real"


def test_batch_that_is_a_link_is_no_batch(linked, tmp_path: Path) -> None:
    landing, batch = linked
    (batch.parent / "b3").symlink_to(batch)
    assert landing.batches() == ["b1", "b2"]
    assert list(landing.objects("b3")) == []
    with pytest.raises(UnsafePathError):
        landing.read("b3/real.png")


def test_success_that_links_out_finishes_nothing(linked, tmp_path: Path) -> None:
    landing, batch = linked
    (batch / "_SUCCESS").unlink()
    (batch / "_SUCCESS").symlink_to(tmp_path / "secret")
    assert landing.batches() == ["b2"]


def test_special_files_are_never_opened(linked) -> None:
    landing, batch = linked
    os.mkfifo(batch / "pipe")
    assert landing.links("b1") == ["b1/pipe"]
    assert landing.find("b1/pipe") is None
    with pytest.raises(RecordError, match="MISSING_FILE"):
        landing.open("b1/pipe")


def test_file_replaced_by_a_link_after_the_check_is_not_followed(linked, tmp_path: Path, monkeypatch) -> None:
    landing, batch = linked
    resolve = landing._resolve

    def swap_after_check(key: str) -> str:
        path = resolve(key)
        (batch / "real.png").unlink()
        (batch / "real.png").symlink_to(tmp_path / "secret")
        return path

    monkeypatch.setattr(landing, "_resolve", swap_after_check)
    with pytest.raises(UnsafePathError, match="LINK_OUTSIDE"):
        landing.read("b1/real.png")


def test_file_that_may_not_be_read_is_named_and_a_failing_disk_stops_the_run(linked, monkeypatch) -> None:
    landing, _ = linked

    def refuse(code: int) -> Callable[..., int]:
        def refusing_open(*_: object, **__: object) -> int:
            raise OSError(code, os.strerror(code))

        return refusing_open

    monkeypatch.setattr(os, "open", refuse(errno.EACCES))
    with pytest.raises(RecordError, match="UNREADABLE_FILE"):
        landing.open("b1/real.png")
    monkeypatch.setattr(os, "open", refuse(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        landing.open("b1/real.png")


def test_landing_that_does_not_exist_yet_is_empty(tmp_path: Path) -> None:
    landing = LocalLanding(tmp_path / "none")
    assert landing.batches() == []
    assert list(landing.objects("")) == []


def test_root_may_itself_be_a_link(tmp_path: Path) -> None:
    write(tmp_path / "real", {"b1/_SUCCESS": b"", "b1/a": b"a"})
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    landing = LocalLanding(tmp_path / "alias")
    assert landing.batches() == ["b1"]
    assert landing.read(landing.key(landing.uri("b1/a"))) == b"a"


# S3


class BreakingBody:
    """A body that breaks off after some bytes, as a dropped connection does."""

    def __init__(self, body: Any, allowance: int, error: Exception) -> None:
        self._body, self._allowance, self._error = body, allowance, error

    def read(self, size: int | None = None) -> bytes:
        if size is None or size > self._allowance:
            raise self._error
        self._allowance -= size
        return self._body.read(size)

    def close(self) -> None:
        self._body.close()


class BreakingClient:
    """Breaks the first answers, then lets the real client answer."""

    def __init__(self, client: Any, failures: int, error: Exception) -> None:
        self._client, self.failures, self._error = client, failures, error
        self.requests: list[dict[str, str]] = []

    def get_object(self, **request: str) -> dict[str, Any]:
        self.requests.append(request)
        answer = self._client.get_object(**request)
        if self.failures:
            self.failures -= 1
            answer["Body"] = BreakingBody(answer["Body"], 1_500_000, self._error)
        return answer


@pytest.mark.parametrize(
    "error", [ResponseStreamingError(error="reset"), IncompleteReadError(actual_bytes=1, expected_bytes=2)]
)
def test_broken_answers_are_asked_for_again_from_where_they_broke(client: Any, error: Exception) -> None:
    bucket = f"breaking-{type(error).__name__.lower()}"
    content = bytes(range(251)) * 20_000
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="b1/a.bin", Body=content)
    breaking = BreakingClient(client, failures=2, error=error)
    with S3Landing(breaking, bucket).open("b1/a.bin") as stream:
        assert stream.read() == content
    assert len(breaking.requests) == 3
    assert all("IfMatch" in request and "Range" in request for request in breaking.requests[1:])
    breaking = BreakingClient(client, failures=2, error=error)
    assert S3Landing(breaking, bucket).read("b1/a.bin") == content
    breaking = BreakingClient(client, failures=99, error=error)
    with pytest.raises(type(error)):
        S3Landing(breaking, bucket).read("b1/a.bin")


def test_object_replaced_while_it_is_read_is_noticed(client: Any) -> None:
    client.create_bucket(Bucket="replaced")
    client.put_object(Bucket="replaced", Key="b1/a.bin", Body=b"a" * 5_000_000)
    with S3Landing(client, "replaced").open("b1/a.bin") as stream:
        assert stream.read(10) == b"a" * 10
        client.put_object(Bucket="replaced", Key="b1/a.bin", Body=b"b" * 5_000_000)
        stream.seek(4_000_000)
        with pytest.raises(RecordError, match="FILE_CHANGED"):
            stream.read(10)


def test_reading_on_costs_one_request(client: Any) -> None:
    client.create_bucket(Bucket="sequential")
    client.put_object(Bucket="sequential", Key="b1/a.bin", Body=b"a" * 5_000_000)
    counting = BreakingClient(client, failures=0, error=ValueError())
    with S3Landing(counting, "sequential").open("b1/a.bin") as stream:
        while stream.read(100_000):
            stream.seek(50_000, io.SEEK_CUR)
    assert len(counting.requests) == 1


def test_keys_that_s3_allows_and_we_do_not_are_listed_but_not_opened(client: Any) -> None:
    client.create_bucket(Bucket="odd-keys")
    for key in ("b1/../b2/x", "b1/a//b", "b1/folder/", "b1/back\\slash", "b1/_SUCCESS"):
        client.put_object(Bucket="odd-keys", Key=key, Body=b"" if key.endswith(("/", "S")) else b"x")
    landing = S3Landing(client, "odd-keys")
    assert [landed.key for landed in landing.objects("b1")] == [
        "b1/../b2/x",
        "b1/_SUCCESS",
        "b1/a//b",
        "b1/back\\slash",
    ]
    with pytest.raises(UnsafePathError):
        landing.read("b1/../b2/x")


def test_a_denied_request_is_not_taken_for_a_missing_file(client: Any) -> None:
    landing = S3Landing(client, "no-such-bucket-here")
    with pytest.raises(ClientError):
        landing.batches()


# The resource


def test_landing_opens_by_its_root(tmp_path: Path, client: Any, endpoint: str, monkeypatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    client.create_bucket(Bucket="by-root")
    client.put_object(Bucket="by-root", Key="in/b1/_SUCCESS", Body=b"")
    write(tmp_path, {"b2/_SUCCESS": b""})
    for make in (open_landing, lambda root: LandingStore(root=root)):
        assert make("s3://by-root/in").batches() == ["b1"]
        assert make("s3://by-root/in/").uri("b1/x") == "s3://by-root/in/b1/x"
        assert make(str(tmp_path)).batches() == ["b2"]
        with pytest.raises(MMAssetsError, match="names no bucket"):
            make("s3:///in").batches()


def test_resource_works_inside_a_run_with_a_nested_s3_resource(client: Any, endpoint: str) -> None:
    client.create_bucket(Bucket="nested")
    client.put_object(Bucket="nested", Key="in/b1/_SUCCESS", Body=b"")
    client.put_object(Bucket="nested", Key="in/b1/a.txt", Body=b"text")
    s3 = S3Resource(
        endpoint_url=endpoint,
        aws_access_key_id="key",
        aws_secret_access_key="secret",  # noqa: S106 - of the test server
        region_name="us-east-1",
    )
    seen: dict[str, object] = {}

    @dg.asset
    def reads(landing: LandingStore) -> None:
        seen["batches"] = landing.batches()
        seen["keys"] = [landed.key for landed in landing.objects("b1")]
        seen["found"] = landing.find("b1/a.txt").size_bytes
        seen["read"] = landing.read("b1/a.txt", 1, 2)
        with landing.open("b1/a.txt") as stream:
            seen["open"] = stream.read()
        seen["key"] = landing.key(landing.uri("b1/a.txt"))
        seen["links"] = landing.links("b1")

    assert dg.materialize([reads], resources={"landing": LandingStore(root="s3://nested/in", s3=s3)}).success
    assert seen == {
        "batches": ["b1"],
        "keys": ["b1/_SUCCESS", "b1/a.txt"],
        "found": 4,
        "read": b"ex",
        "open": b"text",
        "key": "b1/a.txt",
        "links": [],
    }
