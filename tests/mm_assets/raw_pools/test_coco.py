import json

import pytest

from mm_assets.policy import IngestPolicy

MANIFEST = "images/coco.json"


def coco(**parts: object) -> bytes:
    return json.dumps({"images": [], "annotations": [], **parts}).encode()


def image(image_id: object, file_name: str = "a.jpg", **more: object) -> dict[str, object]:
    return {"id": image_id, "file_name": file_name, **more}


def caption(note_id: object, image_id: object, text: object) -> dict[str, object]:
    return {"id": note_id, "image_id": image_id, "caption": text}


def box(note_id: object, image_id: object, bbox: object = (1, 2, 3, 4), category: object = 3) -> dict[str, object]:
    return {"id": note_id, "image_id": image_id, "bbox": bbox, "category_id": category, "segmentation": [[1, 2]]}


CATEGORIES = [{"id": 3, "name": "duck"}]


def test_captions_and_boxes_meet_their_image(read) -> None:
    content = coco(
        images=[image(17, "sub/a.jpg", width=640, height=480, license=1), image(4, "b.jpg", license=2)],
        annotations=[caption(1, 17, "One."), box(2, 17), caption(3, 17, "Two."), caption(4, 4, "Bee.")],
        categories=CATEGORIES,
        licenses=[{"id": 1, "name": "CC0"}, {"id": 2, "url": "https://license"}],
    )
    outcome = read({MANIFEST: content, "images/sub/a.jpg": b"a", "images/b.jpg": b"b"})
    first, second = outcome.images
    assert (first["record_ref"], first["source_id"], first["license"]) == ("b1/images/coco.json#image/17", "17", "CC0")
    assert json.loads(first["annotations_json"]) == {
        "box_format": "xywh_pixels",
        "objects": {"bbox": [[1.0, 2.0, 3.0, 4.0]], "categories": ["duck"], "iscrowd": [0]},
        "width": 640,
        "height": 480,
    }
    assert (second["position"], second["license"], second["annotations_json"]) == (1, "https://license", None)
    assert [(row["record_ref"], row["caption_index"], row["text"]) for row in outcome.captions] == [
        ("b1/images/coco.json#annotation/1", 0, "One."),
        ("b1/images/coco.json#annotation/3", 1, "Two."),
        ("b1/images/coco.json#annotation/4", 0, "Bee."),
    ]
    assert not outcome.rejected


def test_an_annotation_may_hold_a_caption_and_its_box(read_local) -> None:
    both = [
        caption(1, 1, "The duck on the left.") | {"bbox": [1, 2, 3, 4], "category_id": 3},
        caption(2, 1, "The duck on the right.") | {"bbox": [5, 6, 7, 8]},
        caption(3, 1, "A goose.") | {"bbox": [5, 6, 7, 8], "category_id": 9},
    ]
    outcome = read_local(
        {MANIFEST: coco(images=[image(1)], annotations=both, categories=CATEGORIES), "images/a.jpg": b"a"}
    )
    assert [row["text"] for row in outcome.captions] == ["The duck on the left.", "The duck on the right.", "A goose."]
    assert json.loads(outcome.images[0]["annotations_json"])["objects"]["bbox"] == [[1.0, 2.0, 3.0, 4.0]]
    assert [(row["record_kind"], row["code"]) for row in outcome.rejected] == [
        ("annotation", "MISSING_FIELD"),
        ("annotation", "UNKNOWN_CATEGORY"),
    ]


def test_image_with_boxes_only_is_kept_without_captions(read_local) -> None:
    outcome = read_local(
        {MANIFEST: coco(images=[image(1)], annotations=[box(1, 1)], categories=CATEGORIES), "images/a.jpg": b"a"}
    )
    assert len(outcome.images) == 1
    assert not outcome.captions


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"images": [{"id": 5, "file_name": 3}]}, {("image", "WRONG_TYPE")}),
        ({"images": [{"id": 5}]}, {("image", "MISSING_FIELD")}),
        ({"images": [{"id": "x" * 300, "file_name": "b.jpg"}]}, {("image", "WRONG_TYPE")}),
        ({"images": ["b.jpg"]}, {("image", "WRONG_TYPE")}),
        ({"images": [image(1, "b.jpg")]}, {("image", "DUPLICATE_ID")}),
        ({"images": [image(5, "b.jpg")]}, {("image", "MISSING_FIELD")}),
        (
            {"images": [image(5, "b.jpg")], "annotations": [caption(9, 5, " ")]},
            {("image", "MISSING_FIELD"), ("caption", "IMAGE_REJECTED")},
        ),
        (
            {"images": [image(5, "gone.jpg")], "annotations": [caption(9, 5, "x")]},
            {("image", "MISSING_FILE"), ("caption", "IMAGE_REJECTED")},
        ),
        (
            {"images": [image(5, "../b.jpg")], "annotations": [caption(9, 5, "x")]},
            {("image", "UNSAFE_PATH"), ("caption", "IMAGE_REJECTED")},
        ),
        (
            {"images": [image(5, "a.jpg")], "annotations": [caption(9, 5, "x")]},
            {("image", "DUPLICATE_NAME"), ("caption", "IMAGE_REJECTED")},
        ),
        (
            {"images": [image(5, "empty.jpg")], "annotations": [caption(9, 5, "x")]},
            {("image", "EMPTY_FILE"), ("caption", "IMAGE_REJECTED")},
        ),
        (
            {
                "images": [image(5, "b.jpg", license=8)],
                "annotations": [caption(9, 5, "x")],
                "licenses": [{"id": 1, "name": "MIT"}],
            },
            {("image", "UNKNOWN_LICENSE"), ("caption", "IMAGE_REJECTED")},
        ),
        ({"annotations": [caption(9, 99, "x")]}, {("caption", "UNKNOWN_IMAGE")}),
        ({"annotations": [box(9, 99)]}, {("annotation", "UNKNOWN_IMAGE")}),
        ({"annotations": [box(9, 1, category=8)]}, {("annotation", "UNKNOWN_CATEGORY")}),
        ({"annotations": [box(9, 1, bbox=(1, 2))]}, {("annotation", "WRONG_TYPE")}),
        ({"annotations": [box(9, 1, bbox=(1, 2, 3, float("nan")))]}, {("annotation", "NAN_VALUE")}),
        ({"annotations": [caption(9, 1, 7)]}, {("caption", "WRONG_TYPE")}),
        ({"annotations": [caption(9, 1, "a\0b")]}, {("caption", "NUL_BYTE")}),
        ({"annotations": [caption(9, 1, "")]}, {("caption", "EMPTY_TEXT")}),
        ({"annotations": [{"image_id": 1}]}, {("annotation", "MISSING_FIELD")}),
        ({"annotations": [7]}, {("annotation", "WRONG_TYPE")}),
        ({"categories": [{"id": 1}]}, {("annotation", "MISSING_FIELD")}),
        ({"licenses": [{"id": 1}]}, {("annotation", "MISSING_FIELD")}),
    ],
)
def test_broken_entry_is_rejected_alone(read_local, parts: dict[str, list], expected: set) -> None:
    whole = {
        "images": [image(1, "a.jpg"), *parts.get("images", [])],
        "annotations": [caption(1, 1, "Good."), *parts.get("annotations", [])],
        "categories": [*CATEGORIES, *parts.get("categories", [])],
        "licenses": parts.get("licenses", []),
    }
    outcome = read_local({MANIFEST: coco(**whole), "images/a.jpg": b"a", "images/b.jpg": b"b", "images/empty.jpg": b""})
    assert [row["text"] for row in outcome.captions] == ["Good."]
    found = {(row["record_kind"], row["code"]) for row in outcome.rejected if row["code"] != "UNLISTED_FILE"}
    assert found == expected
    assert all("b1/images/coco.json#" in row["reason"] for row in outcome.rejected if row["code"] != "UNLISTED_FILE")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"images": {}}',
        b'{"images": [{"id": 1',
        b'{"images": [NaN, ',
        b'{"images": [\xff\xff]}',
        b'{"images": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b"\0" * 10,
    ],
)
def test_broken_file_is_one_rejected_record_and_the_rest_of_the_batch_is_read(read, jsonl, content: bytes) -> None:
    files = {
        MANIFEST: content,
        "images/metadata.jsonl": jsonl({"file_name": "b.jpg", "text": "Good."}),
        "images/b.jpg": b"b",
        "images/a.jpg": b"a",
    }
    outcome = read(files)
    assert [row["text"] for row in outcome.captions] == ["Good."]
    assert sorted(outcome.codes) == ["COCO_INVALID", "UNLISTED_FILE"]
    assert "b1/images/coco.json" in outcome.reason("COCO_INVALID")


def test_file_over_the_bound_is_not_read(read_local) -> None:
    outcome = read_local({MANIFEST: coco(images=[image(1)] * 50)}, IngestPolicy(max_coco_bytes=100))
    assert outcome.codes == ["COCO_INVALID"]


def test_image_declared_by_two_manifests_is_taken_once(read_local, jsonl) -> None:
    files = {
        "images/metadata.jsonl": jsonl({"file_name": "a.jpg", "text": "First."}),
        MANIFEST: coco(images=[image(1)], annotations=[caption(1, 1, "Second.")]),
        "images/a.jpg": b"a",
    }
    outcome = read_local(files)
    assert [row["form"] for row in outcome.images] == ["imagefolder"]
    assert sorted(outcome.codes) == ["DUPLICATE_NAME", "IMAGE_REJECTED"]


def test_id_of_two_names_keeps_the_first_and_says_so(read_local) -> None:
    document = {
        "images": [image(1, "a.jpg", license=1)],
        "annotations": [box(1, 1, category=1)],
        "categories": [{"id": 1, "name": "duck"}, {"id": 1, "name": "duck"}, {"id": 1, "name": "goose"}],
        "licenses": [{"id": 1, "name": "MIT"}, {"id": 1, "url": "https://other"}],
    }
    outcome = read_local({"images/coco.json": json.dumps(document).encode(), "images/a.jpg": b"a"})
    (kept,) = outcome.images
    assert kept["license"] == "MIT"
    assert json.loads(kept["annotations_json"])["objects"]["categories"] == ["duck"]
    assert [(row["record_ref"], row["code"]) for row in outcome.rejected] == [
        ("b1/images/coco.json#category/@2", "DUPLICATE_ID"),
        ("b1/images/coco.json#license/@1", "DUPLICATE_ID"),
    ]
