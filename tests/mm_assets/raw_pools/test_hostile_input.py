"""Whatever bytes arrive: no crash, no endless loop, and every record is a row or a rejection.

The accounting itself is asserted by the `outcome_of` fixture for every chunk of every example.
"""

import io
import json
import tarfile
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mm_assets.errors import UnsafePathError
from mm_assets.policy import IngestPolicy
from mm_assets.raw_pools.lines import read_lines
from mm_assets.raw_pools.names import check_name
from mm_assets.raw_pools.parquet_child import End, Fault, Limits, Rows, read_rows

POLICY = IngestPolicy(chunk_rows=5, max_line_bytes=400, max_image_bytes=2_000, max_text_bytes=300, max_tar_members=40)
BOUNDED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NAMES = ("a.png", "b.jpg", "sub/c.webp")
PICTURES = {f"images/{name}": name.encode() for name in NAMES}

names = st.sampled_from([*NAMES, "gone.png", "../a.png", "/a.png", "a.png\0", "", "sub", "é.png", "x" * 1_100])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | names
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
boxes = st.fixed_dictionaries(
    {},
    optional={
        "bbox": values | st.lists(st.lists(st.floats(), min_size=4, max_size=4), max_size=2),
        "categories": values,
    },
)


def row_of(*fields: str) -> st.SearchStrategy[dict[str, object]]:
    """A row whose fields are right about half the time."""
    right = {
        "file_name": names,
        "text": st.text(max_size=12),
        "caption": st.text(max_size=12),
        "descriptions": st.lists(st.text(max_size=6), max_size=3),
        "objects": boxes,
        "kind": st.sampled_from(["math", "prose", "poem"]),
        "id": st.integers(0, 3),
        "image_id": st.integers(0, 3),
        "category_id": st.integers(0, 3),
        "bbox": st.lists(st.floats(), min_size=4, max_size=4),
    }
    return st.fixed_dictionaries({}, optional={name: right.get(name, values) | values for name in fields})


def lines_of(rows: st.SearchStrategy[dict[str, object]]) -> st.SearchStrategy[bytes]:
    encoded = rows.map(lambda row: json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    line = (
        encoded
        | st.binary(max_size=60)
        | st.sampled_from([b"", b"  ", b"x" * 500, b"\xef\xbb\xbf{}", b"\0", b"{" * 90])
    )
    return st.lists(line, max_size=8).map(b"\n".join)


def damage(content: bytes, edits: list[tuple[int, int]], cut: int | None) -> bytes:
    """The content with bytes overwritten and its end cut off."""
    damaged = bytearray(content)
    for place, value in edits:
        if damaged:
            damaged[place % len(damaged)] = value
    return bytes(damaged if cut is None or not damaged else damaged[: cut % len(damaged)])


edits = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=6)
cuts = st.none() | st.integers(0, 2**16)


def count_lines(content: bytes) -> int:
    return sum(bool(line.strip()) for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"))


@given(
    content=lines_of(
        row_of(
            "file_name", "text", "descriptions", "objects", "orientation", "width", "license", "source_id", "language"
        )
    )
)
@BOUNDED
def test_any_manifest_gives_one_record_per_line_and_per_undeclared_file(outcome_of, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as root:
        outcome = outcome_of(Path(root), {**PICTURES, "images/metadata.jsonl": content}, POLICY)
    undeclared = outcome.codes.count("UNLISTED_FILE")
    assert outcome.records.get("image", 0) == count_lines(content) + undeclared
    assert {row["file_name"] for row in outcome.images} <= set(NAMES)
    assert len(outcome.images) <= len(NAMES)


@given(content=lines_of(row_of("text", "kind", "language", "source", "license")) | st.binary(max_size=300))
@BOUNDED
def test_any_text_lines_give_one_record_per_line(outcome_of, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as root:
        outcome = outcome_of(Path(root), {"text/a.jsonl": content, "text/b.txt": content}, POLICY)
    assert outcome.records.get("text", 0) == count_lines(content) + 1
    for row in outcome.texts:
        assert row["text"].strip()


@given(
    parts=st.fixed_dictionaries(
        {"images": st.lists(row_of("id", "file_name", "width", "license") | values, max_size=5)},
        optional={
            "annotations": st.lists(
                row_of("id", "image_id", "caption", "bbox", "category_id", "iscrowd") | values, max_size=8
            ),
            "categories": st.lists(row_of("id", "name") | values, max_size=4),
            "licenses": st.lists(row_of("id", "name", "url") | values, max_size=2),
        },
    )
)
@BOUNDED
def test_any_coco_object_gives_one_record_per_image(outcome_of, parts: dict[str, list[object]]) -> None:
    content = json.dumps(parts).encode()
    with tempfile.TemporaryDirectory() as root:
        outcome = outcome_of(Path(root), {**PICTURES, "images/coco.json": content}, POLICY)
    undeclared = outcome.codes.count("UNLISTED_FILE")
    assert "COCO_INVALID" not in outcome.codes
    assert outcome.records.get("image", 0) == len(parts["images"]) + undeclared
    captions = [
        note for note in parts.get("annotations", []) if isinstance(note, dict) and isinstance(note.get("caption"), str)
    ]
    assert outcome.records.get("caption", 0) >= len(captions)


@given(content=st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode()), edits=edits, cut=cuts)
@BOUNDED
def test_any_coco_bytes_cost_at_most_their_own_file(outcome_of, content: bytes, edits, cut) -> None:
    good = json.dumps(
        {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"image_id": 1, "caption": "A."}]}
    ).encode()
    for candidate in (content, damage(good, edits, cut)):
        with tempfile.TemporaryDirectory() as root:
            outcome = outcome_of(
                Path(root), {"images/coco.json": candidate, "images/a.png": b"a", "text/a.txt": b"T."}, POLICY
            )
        assert len(outcome.texts) == 1
        assert outcome.images or outcome.rejected


def pack(members: list[tuple[str, bytes]], format_: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_, errors="surrogateescape") as archive:
        for name, content in members:
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return buffer.getvalue()


members = st.lists(
    st.tuples(
        st.sampled_from(["0/1", "0/2", "3", "../4", "/5", "a\\6", "n" * 150, "é"]).flatmap(
            lambda stem: st.sampled_from(["jpg", "PNG", "txt", "json", "cls", "seg.png"]).map(
                lambda suffix: f"{stem}.{suffix}"
            )
        ),
        st.sampled_from([b"A caption.", b'{"text": "x"}', b"{", b"", b"\xff", b"p" * 2_100]) | st.binary(max_size=30),
    ),
    max_size=8,
)


@given(packed=members, format_=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
@BOUNDED
def test_any_sound_tar_gives_one_record_per_run_of_a_name(outcome_of, packed, format_: int) -> None:
    content = pack(packed, format_)
    with tempfile.TemporaryDirectory() as root:
        outcome = outcome_of(Path(root), {"images/a.tar": content}, POLICY)
    assert "TAR_CORRUPT" not in outcome.codes
    assert outcome.records.get("image", 0) >= len({name.rpartition("/")[2].partition(".")[0] for name, _ in packed})
    for image in outcome.images:
        ref = image["source_ref"]
        assert (ref["member"], content[ref["byte_offset"] : ref["byte_offset"] + ref["byte_size"]]) in packed


@given(packed=members, edits=edits, cut=cuts, format_=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
@settings(BOUNDED, max_examples=100)
def test_any_damaged_tar_keeps_what_is_whole_and_says_what_is_not(outcome_of, packed, edits, cut, format_: int) -> None:
    whole = pack(packed, format_)
    content = damage(whole, edits, cut)
    with tempfile.TemporaryDirectory() as root:
        outcome = outcome_of(Path(root), {"images/a.tar": content, "text/a.txt": b"T."}, POLICY)
    assert len(outcome.texts) == 1
    for image in outcome.images:
        ref = image["source_ref"]
        assert ref["byte_offset"] + ref["byte_size"] <= len(content)
    if not edits and len(content) < len(whole.rstrip(b"\0")):
        assert set(outcome.codes) & {"TAR_CORRUPT", "EMPTY_FILE"}


@given(content=st.binary(max_size=1_500))
@BOUNDED
@example(content=b"\0" * 512)
@example(content=b"\x1f\x8b" + b"\0" * 600)
def test_any_bytes_named_tar_are_accounted_for(outcome_of, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as root:
        outcome = outcome_of(Path(root), {"images/a.tar": content, "text/a.txt": b"T."}, POLICY)
    assert len(outcome.texts) == 1
    assert not outcome.images
    is_empty_archive = len(content) >= 512 and not content.strip(b"\0")
    assert len(outcome.rejected) == (0 if is_empty_archive else 1)


@given(edits=edits, cut=cuts, snappy=st.booleans())
@settings(BOUNDED, max_examples=60)
def test_any_damaged_parquet_gives_its_rows_or_a_fault(edits, cut, snappy: bool) -> None:
    # In this process, so without edits in the levels of the page, which can abort it; test_parquet_rows has that case.
    buffer = io.BytesIO()
    frame = pl.DataFrame({"text": [f"text {n}" for n in range(30)]})
    frame.write_parquet(buffer, compression="snappy" if snappy else "zstd", row_group_size=10)
    whole = buffer.getvalue()
    tail = len(whole) // 2
    content = damage(whole, [(tail + place % tail, value) for place, value in edits], cut)
    *messages, last = read_rows(io.BytesIO(content), Limits(100, 8, 1_000, 2**33))
    assert isinstance(last, Fault | End)
    assert isinstance(last, Fault) or sum(len(m.rows) for m in messages if isinstance(m, Rows)) == 30


@given(
    content=st.binary(max_size=200)
    | st.lists(st.sampled_from([b"\n", b"\r\n", b"abc", b" ", b"x" * 12, b"\xef\xbb\xbf"]), max_size=20).map(b"".join),
    limit=st.integers(1, 12),
)
@example(content=b"\x00\r", limit=1)
@example(content=b"a" + b"\r" * 9 + b"\nb", limit=1)
@example(content=b"a" + b"\r" * 9 + b"b", limit=1)
@settings(BOUNDED, max_examples=200)
def test_lines_are_those_of_the_file_and_lead_back_to_their_bytes(content: bytes, limit: int) -> None:
    lines = list(read_lines(io.BytesIO(content), limit))
    for line in lines:
        if line.content is None:
            assert line.size_bytes > limit
        else:
            assert content[line.offset : line.offset + line.size_bytes] == line.content
            assert len(line.content) <= limit
    kept = [line.content for line in lines if line.content is not None]
    expected = [part.rstrip(b"\r") for part in content.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    assert kept == [part for part in expected if part.strip() and len(part) <= limit]
    assert len(lines) >= sum(bool(part.strip()) for part in expected if len(part) <= limit)


@given(
    name=st.text(max_size=30)
    | st.lists(st.sampled_from(["..", ".", "", "a", "b\\", "\0", "/"]), max_size=5).map("/".join)
)
@settings(BOUNDED, max_examples=200)
def test_a_name_that_is_let_through_stays_in_its_folder(name: str) -> None:
    try:
        check_name(name, "here")
    except UnsafePathError as error:
        error.reason.encode("utf-8")
        return
    root = Path("/landing/b1/images")
    joined = Path(f"{root}/{name}")
    assert joined.is_relative_to(root)
    assert ".." not in joined.parts
    assert joined != root


@pytest.mark.parametrize(
    "content", [b'{"a": "' + b'\\"' * 200_000, b"{" + b'"' * 400_001, b'{"x": ' + b"NaN " * 100_000]
)
def test_search_for_nan_is_linear(outcome_of, tmp_path, content: bytes) -> None:
    policy = IngestPolicy(max_line_bytes=1_000_000)
    outcome = outcome_of(tmp_path, {"images/metadata.jsonl": content.replace(b"\n", b"") + b" NaN"}, policy)
    assert outcome.codes[0] in {"INVALID_JSON", "NAN_VALUE"}
