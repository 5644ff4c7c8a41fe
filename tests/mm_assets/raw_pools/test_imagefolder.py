import hashlib
import json
import os

import pytest

from mm_assets.policy import IngestPolicy

PICTURE = b"\x89PNG not looked at here"
MANIFEST = "images/metadata.jsonl"


def test_row_becomes_an_image_and_its_captions(read, jsonl) -> None:
    row = {
        "file_name": "sub/0001.png",
        "text": "A duck on a pond.",
        "descriptions": ["Ein Ente.", "  "],
        "objects": {"bbox": [[1, 2, 3.5, 4]], "categories": ["duck"]},
        "orientation": {"patient_orientation": ["L", "F"], "laterality": "R"},
        "width": 64,
        "height": 48,
        "license": "CC0-1.0",
        "source_id": 17,
        "language": "fr",
        "unknown": {"kept": False},
    }
    outcome = read({MANIFEST: jsonl(row), "images/sub/0001.png": PICTURE})
    (image,) = outcome.images
    assert image["position"] == 0
    assert image["form"] == "imagefolder"
    assert image["record_ref"] == "b1/images/metadata.jsonl:1"
    assert image["file_name"] == "sub/0001.png"
    assert image["sha256"] == hashlib.sha256(PICTURE).hexdigest()
    assert image["size_bytes"] == len(PICTURE)
    assert (image["source"], image["license"], image["source_id"]) == ("vendor-a", "CC0-1.0", "17")
    assert image["source_ref"]["uri"].endswith("/b1/images/sub/0001.png")
    assert image["source_ref"]["byte_offset"] == 0
    assert image["source_ref"]["byte_size"] == len(PICTURE)
    assert json.loads(image["annotations_json"]) == {
        "box_format": "xyxy_pixels",
        "objects": {"bbox": [[1.0, 2.0, 3.5, 4.0]], "categories": ["duck"]},
        "descriptions": ["Ein Ente.", "  "],
        "orientation": {"patient_orientation": ["L", "F"], "laterality": "R"},
        "width": 64,
        "height": 48,
    }
    assert [(row["caption_index"], row["text"], row["language"]) for row in outcome.captions] == [
        (0, "A duck on a pond.", "fr"),
        (1, "Ein Ente.", "fr"),
    ]
    assert outcome.codes == ["EMPTY_TEXT"]
    assert outcome.records == {"image": 1, "caption": 3, "text": 0}


def test_text_may_come_from_descriptions_and_the_rest_from_the_contract(read, jsonl) -> None:
    outcome = read(
        {MANIFEST: jsonl({"file_name": "a.png", "text": None, "descriptions": ["Only me."]}), "images/a.png": PICTURE}
    )
    (caption,) = outcome.captions
    assert (caption["caption_index"], caption["text"], caption["language"]) == (0, "Only me.", "en")
    assert outcome.images[0]["license"] == "CC-BY-4.0"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"not json", "INVALID_JSON"),
        (b'{"file_name": "a.png", "text": "cut', "INVALID_JSON"),
        (b'{"file_name": "a.png", "text": "x"} {}', "INVALID_JSON"),
        (b'{"file_name": "a.png", "text": "x", "more": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "INVALID_JSON"),
        (b'{"file_name": "a.png", "text": "\xff\xfe"}', "INVALID_UTF8"),
        (b'{"file_name": "a.png", "text": "x", "ignored": "\xc3"}', "INVALID_UTF8"),
        (b'{"file_name": "a.png", "text": "a\0b"}', "NUL_BYTE"),
        (b'{"file_name": "a.png", "text": "a\\u0000b"}', "NUL_BYTE"),
        (b'{"file_name": "a\\u0000.png", "text": "x"}', "UNSAFE_PATH"),
        (b'{"file_name": "a.png", "text": "\\ud800"}', "INVALID_JSON"),
        (b'{"text": "no file"}', "MISSING_FIELD"),
        (b'{"file_name": "a.png"}', "MISSING_FIELD"),
        (b'{"file_name": "a.png", "text": " \\t"}', "MISSING_FIELD"),
        (b'{"file_name": "a.png", "text": "", "descriptions": [" "]}', "MISSING_FIELD"),
        (b'{"file_name": 7, "text": "x"}', "WRONG_TYPE"),
        (b'{"file_name": "a.png", "text": ["x"]}', "WRONG_TYPE"),
        (b'{"file_name": "a.png", "text": "x", "objects": {"bbox": 7}}', "WRONG_TYPE"),
        (b'["a.png", "x"]', "WRONG_TYPE"),
        (b'{"file_name": "a.png", "text": "x", "width": NaN}', "NAN_VALUE"),
        (b'{"file_name": "a.png", "text": "x", "ignored": -Infinity}', "NAN_VALUE"),
        (
            b'{"file_name": "a.png", "text": "x", "objects": {"bbox": [[1, NaN]]}, "orientation": {"a": NaN}}',
            "NAN_VALUE",
        ),
        (b'{"file_name": "a.png", "text": "x", "objects": {"bbox": [[1, 2, 3, 4]], "categories": []}}', "BOX_COUNT"),
        (b'{"file_name": "a.png", "text": "x", "objects": {"bbox": [[1]], "annotators": ["a", "b"]}}', "BOX_COUNT"),
        (b'{"file_name": "a.png", "text": "x", "annotator": "a\\u0000b"}', "NUL_BYTE"),
        (b'{"file_name": "b.png", "text": "x"}', "MISSING_FILE"),
        (b'{"file_name": "' + b"n" * 2_000 + b'.png", "text": "x"}', "NAME_TOO_LONG"),
        (b'{"file_name": "../secret.png", "text": "x"}', "UNSAFE_PATH"),
        (b'{"file_name": "sub/../../secret.png", "text": "x"}', "UNSAFE_PATH"),
        (b'{"file_name": "/etc/passwd", "text": "x"}', "UNSAFE_PATH"),
        (b'{"file_name": "..\\\\secret.png", "text": "x"}', "UNSAFE_PATH"),
        (b'{"file_name": "./a.png", "text": "x"}', "UNSAFE_PATH"),
        (b'{"file_name": "", "text": "x"}', "UNSAFE_PATH"),
        (b'{"file_name": "good.png", "text": "again"}', "DUPLICATE_NAME"),
        (b'{"file_name": "empty.png", "text": "x"}', "EMPTY_FILE"),
    ],
)
def test_broken_row_is_rejected_by_line_and_costs_nothing_else(read_local, jsonl, line: bytes, code: str) -> None:
    names = ("images/a.png", "images/good.png", "images/last.png", "secret.png")
    files = {**dict.fromkeys(names, PICTURE), "images/empty.png": b""}
    rows = jsonl({"file_name": "good.png", "text": "x"}, line, {"file_name": "last.png", "text": "y"})
    outcome = read_local({MANIFEST: rows, **files})
    assert [(row["file_name"], row["position"]) for row in outcome.images] == [("good.png", 0), ("last.png", 2)]
    (fault,) = [row for row in outcome.rejected if row["code"] != "UNLISTED_FILE"]
    assert (fault["code"], fault["record_kind"]) == (code, "image")
    assert fault["record_ref"] == "b1/images/metadata.jsonl:2"
    assert "b1/images/metadata.jsonl:2" in fault["reason"]


@pytest.mark.parametrize(
    ("boxes", "declared"),
    [
        (b"[[1, 2, 3], [1, 2, 3, 4, 5], []]", [[1, 2, 3], [1, 2, 3, 4, 5], []]),
        (b"[[1, 2, 3, -Infinity], [NaN, 2, 3, 4], [1, 2, 3, 4]]", [[1, 2, 3, None], [None, 2, 3, 4], [1, 2, 3, 4]]),
        (b"[[1, 2, 3, 1e999], [null, true, [1], {}]]", [[1, 2, 3, None], [None, None, None, None]]),
        (b'["1 2 3 4", 7, null, [1, 2, 3, "4"]]', [[], [], [], [1, 2, 3, None]]),
    ],
)
def test_odd_box_does_not_cost_its_image(read, boxes: bytes, declared: list[list[float | None]]) -> None:
    line = b'{"file_name": "a.png", "text": "x", "objects": {"bbox": ' + boxes + b"}}"
    outcome = read({MANIFEST: line, "images/a.png": PICTURE})
    (image,) = outcome.images
    assert json.loads(image["annotations_json"])["objects"] == {"bbox": declared}
    assert not outcome.rejected


def test_annotators_of_row_and_boxes_are_carried(read, jsonl) -> None:
    objects = {"bbox": [[1, 2, 3, 4], [5, 6, 7, 8]], "categories": ["a", "b"], "annotators": ["kim", None]}
    row = {"file_name": "a.png", "text": "x", "annotator": "lee", "objects": objects}
    outcome = read({MANIFEST: jsonl(row), "images/a.png": PICTURE})
    annotations = json.loads(outcome.images[0]["annotations_json"])
    assert annotations["annotator"] == "lee"
    assert annotations["objects"] == objects


def test_boxes_without_a_convention_are_rejected(read_local, jsonl) -> None:
    row = {"file_name": "a.png", "text": "x", "objects": {"bbox": [[1, 2, 3, 4]]}}
    outcome = read_local({MANIFEST: jsonl(row), "images/a.png": PICTURE}, box_format=None)
    assert outcome.codes == ["MISSING_BOX_FORMAT"]


def test_nan_inside_a_string_is_text(read_local, jsonl) -> None:
    outcome = read_local({MANIFEST: jsonl({"file_name": "a.png", "text": "NaN and Infinity"}), "images/a.png": PICTURE})
    assert outcome.captions[0]["text"] == "NaN and Infinity"


def test_blank_lines_crlf_and_byte_order_mark_are_no_records(read, jsonl) -> None:
    manifest = b'\xef\xbb\xbf{"file_name": "a.png", "text": "x"}\r\n\r\n  \n' + b'{"file_name": "b.png", "text": "y"}'
    outcome = read({MANIFEST: manifest, "images/a.png": PICTURE, "images/b.png": b"other"})
    assert [row["record_ref"] for row in outcome.images] == [f"b1/{MANIFEST}:1", f"b1/{MANIFEST}:4"]
    assert not outcome.rejected


def test_caption_of_a_megabyte_is_legal_and_a_longer_line_is_one_rejected_record(read, jsonl) -> None:
    policy = IngestPolicy(max_line_bytes=1_100_000)
    manifest = jsonl(
        {"file_name": "a.png", "text": "x" * 1_000_000},
        {"file_name": "b.png", "text": "x" * 1_200_000},
        {"file_name": "c.png", "text": "short"},
    )
    outcome = read({MANIFEST: manifest, "images/a.png": b"a", "images/b.png": b"b", "images/c.png": b"c"}, policy)
    assert [len(row["text"]) for row in outcome.captions] == [1_000_000, 5]
    assert outcome.codes == ["LINE_TOO_LONG", "UNLISTED_FILE"]
    assert f"{MANIFEST}:2" in outcome.reason("LINE_TOO_LONG")


def test_image_over_the_bound_is_rejected_and_a_large_one_is_streamed(read, jsonl) -> None:
    large = bytes(range(256)) * 12_000
    policy = IngestPolicy(max_image_bytes=len(large))
    manifest = jsonl({"file_name": "a.png", "text": "x"}, {"file_name": "b.png", "text": "y"})
    outcome = read({MANIFEST: manifest, "images/a.png": large, "images/b.png": large + b"+"}, policy)
    assert [row["sha256"] for row in outcome.images] == [hashlib.sha256(large).hexdigest()]
    assert outcome.codes == ["FILE_TOO_LARGE"]


def test_every_file_of_the_folder_is_accounted_for(read) -> None:
    files = {"images/a.PNG": b"a", "images/notes.md": b"n", "images/sub/metadata.jsonl": b"", "images/x.tar.gz": b"z"}
    outcome = read(files)
    assert {row["record_ref"]: row["code"] for row in outcome.rejected} == {
        "b1/images/a.PNG": "UNLISTED_FILE",
        "b1/images/notes.md": "UNKNOWN_FORM",
        "b1/images/sub/metadata.jsonl": "UNKNOWN_FORM",
        "b1/images/x.tar.gz": "UNKNOWN_FORM",
    }


def test_manifest_in_a_subfolder_is_told_where_it_belongs(read_local) -> None:
    outcome = read_local({"images/train/metadata.jsonl": b"{}", "images/annotations/coco.json": b"{}"})
    assert outcome.codes == ["UNKNOWN_FORM", "UNKNOWN_FORM"]
    assert [row["reason"].partition("; ")[0] for row in outcome.rejected] == [
        "b1/images/annotations/coco.json: a coco.json is read at b1/images/coco.json only",
        "b1/images/train/metadata.jsonl: a metadata.jsonl is read at b1/images/metadata.jsonl only",
    ]


def test_links_out_of_the_batch_are_rejected_and_never_read(read_local, jsonl, tmp_path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    images = tmp_path / "landing/b1/images"
    images.mkdir(parents=True)
    (images / "named.png").symlink_to(secret)
    (images / "unnamed.png").symlink_to("../../../secret.png")
    (images / "dangling.png").symlink_to("nowhere.png")
    (images / "folder").symlink_to(tmp_path)
    (images / "inside.png").symlink_to("real.png")
    manifest = jsonl(
        {"file_name": "named.png", "text": "x"},
        {"file_name": "inside.png", "text": "y"},
        {"file_name": "real.png", "text": "z"},
        {"file_name": "folder/secret.png", "text": "w"},
    )
    outcome = read_local({MANIFEST: manifest, "images/real.png": PICTURE})
    assert [row["file_name"] for row in outcome.images] == ["inside.png", "real.png"]
    assert [(row["record_ref"], row["code"]) for row in outcome.rejected] == [
        (f"b1/{MANIFEST}:1", "LINK_OUTSIDE"),
        (f"b1/{MANIFEST}:4", "MISSING_FILE"),
        ("b1/images/dangling.png", "LINK_OUTSIDE"),
        ("b1/images/folder", "LINK_OUTSIDE"),
        ("b1/images/unnamed.png", "LINK_OUTSIDE"),
    ]
    assert hashlib.sha256(b"secret").hexdigest() not in {row["sha256"] for row in outcome.images}


def test_image_folder_that_is_itself_a_link_is_not_entered(read_local, tmp_path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.png").write_bytes(PICTURE)
    (tmp_path / "landing/b1").mkdir(parents=True)
    (tmp_path / "landing/b1/images").symlink_to(outside)
    outcome = read_local({})
    assert outcome.codes == ["LINK_OUTSIDE"]


def test_file_names_that_are_not_utf8_are_rejected(read_local, tmp_path) -> None:
    images = tmp_path / "landing/b1/images"
    images.mkdir(parents=True)
    (images / "bad\udcff.png").write_bytes(PICTURE)
    (images / "back\\slash.png").write_bytes(PICTURE)
    outcome = read_local({})
    assert sorted(outcome.codes) == ["INVALID_UTF8", "UNSAFE_PATH"]


def test_fifo_is_never_opened(read_local, jsonl, tmp_path) -> None:
    images = tmp_path / "landing/b1/images"
    images.mkdir(parents=True)
    os.mkfifo(images / "pipe.png")
    outcome = read_local({MANIFEST: jsonl({"file_name": "pipe.png", "text": "x"})})
    assert outcome.codes == ["LINK_OUTSIDE"]
