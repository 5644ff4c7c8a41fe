import json

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mm_assets.errors import ContractError, FormatError
from mm_assets.fusion.box_markup import decode_boxes, read_anchored_text
from mm_assets.fusion.bulk_proof import BulkProof
from mm_assets.fusion.line_proof import LineProof
from mm_assets.fusion.line_rules import LineRules
from mm_assets.fusion.linter import LintOptions, lint_paths
from mm_assets.fusion.object_packing import pack_object_chunks, pack_objects
from mm_assets.fusion.placeholders import Modality, Vocabulary, contains_placeholder, parse_content
from mm_assets.fusion.shard_index import ShardIndex
from mm_assets.fusion.training_reader import ReleaseDataset
from mm_assets.policy import Policy
from mm_assets.schemas import TABLES

CORNERS = (10.0, 20.5, 110.25, 220.0)


def align(material, rows):
    """Alignments from (image number, caption number or None, phrase or (start, end), verdict)."""
    texts = dict(material.captions.select("caption_id", "text").iter_rows())
    made = []
    for number, (image, caption, phrase, verdict) in enumerate(rows):
        image_id = material.images["image_id"][image] if isinstance(image, int) else image
        caption_id = None if caption is None else material.captions["caption_id"][caption]
        start = end = None
        if caption_id is not None:
            start, end = phrase if isinstance(phrase, tuple) else (texts[caption_id].index(phrase),) * 2
            if not isinstance(phrase, tuple):
                end = start + len(phrase)
        made.append(
            {
                "batch": "b1",
                "sample_id": f"obj_{number:03d}",
                "box_id": f"box_{number:03d}",
                "image_id": image_id,
                "position": 0,
                "box_index": number,
                "caption_id": caption_id,
                "phrase": phrase if caption_id is None else texts[caption_id][start:end],
                "phrase_start": start,
                "phrase_end": end,
                **dict(zip(("x1", "y1", "x2", "y2"), (value + number for value in CORNERS), strict=True)),
                "score": None,
                "lexical": "exact",
                "verdict": verdict,
            }
        )
    return pl.DataFrame(made, schema=TABLES["object_alignments"].schema)


def pack(kit, material, alignments, policy=None):
    return pack_objects(
        material.images,
        material.captions,
        alignments,
        material.visual_codes,
        material.image_embeddings,
        {"recall": 0.4},
        policy or Policy().fusion,
        codebook_size=kit.CODES,
    )


def image_of(material, number):
    codes = material.visual_codes["codes"][number].to_list()
    return f"<|image_start|>{''.join(f'<IMG_TK_{code}>' for code in codes)}<|image_end|> "


def test_a_caption_gets_tags_around_what_has_a_box(kit):
    material = kit.make_batch("b1", [["Two ducks and a mug."]])
    alignments = align(material, [(0, 0, "mug", "anchored"), (0, 0, "ducks", "anchored"), (0, 0, "ducks", "anchored")])
    packed = pack(kit, material, alignments)
    sample = packed.samples.row(0, named=True)
    image = image_of(material, 0)
    assert sample["content"] == f"{image}Two <box>ducks</box> and a <box>mug</box>."
    boxes = json.loads(sample["boxes_json"])
    assert [sample["content"][slice(*box["phrase"])] for box in boxes] == ["ducks", "ducks", "mug"]
    assert [box["xyxy"] for box in boxes] == [
        [11.0, 21.5, 111.25, 221.0],
        [12.0, 22.5, 112.25, 222.0],
        [10.0, 20.5, 110.25, 220.0],
    ]
    assert (sample["kind"], sample["pool"]) == ("object", "fine_grained_interleaved")
    assert (sample["source"], sample["license"], sample["language"]) == ("vendor-a", "CC-BY-4.0", "en")
    assert sample["checks_json"] == '{"recall":0.4}'
    assert packed.rejected.is_empty()


def test_boxes_no_caption_names_become_one_sample_of_labels(kit):
    material = kit.make_batch("b1", [["A duck."]])
    alignments = align(
        material,
        [(0, None, "mug", "label_only"), (0, 0, "duck", "anchored"), (0, None, "pine cone", "label_only")],
    )
    packed = pack(kit, material, alignments)
    image = image_of(material, 0)
    assert sorted(packed.samples["content"]) == sorted(
        [f"{image}A <box>duck</box>.", f"{image}<box>mug</box> <box>pine cone</box>"]
    )
    labels = packed.samples.filter(pl.col("caption_id").is_null()).row(0, named=True)
    assert labels["language"] is None
    boxes = decode_boxes(labels["boxes_json"])
    assert [labels["content"][slice(*box.phrase)] for box in boxes] == ["mug", "pine cone"]


def test_every_alignment_is_in_a_sample_or_rejected_with_its_reason(kit):
    material = kit.make_batch(
        "b1", [["A duck and a mug"], ["x" * 2_001], ["a <box>duck</box>"], ["big red duck"], ["no codes"], []]
    )
    material.visual_codes = material.visual_codes.filter(pl.col("image_id") != material.images["image_id"][4])
    alignments = align(
        material,
        [
            (0, 0, "duck", "anchored"),
            (0, 0, "mug", "ambiguous"),
            (0, 0, "mug", "mismatched"),
            (1, 1, (0, 1), "anchored"),
            (2, 2, (7, 11), "anchored"),
            (3, 3, "red duck", "anchored"),
            (3, 3, "duck", "anchored"),
            (4, 4, "codes", "anchored"),
            (5, None, "", "label_only"),
            (5, None, "a &lt;IMG_TK_3&gt;", "label_only"),
            (5, None, "owl", "label_only"),
            ("img_gone", None, "owl", "label_only"),
        ],
    )
    gone = align(material, [(0, 0, "duck", "anchored")]).with_columns(
        caption_id=pl.lit("cap_gone"), sample_id=pl.lit("obj_gone")
    )
    packed = pack(kit, material, pl.concat([alignments, gone]))
    codes = dict(packed.rejected.select("record_id", "code").iter_rows())
    assert codes == {
        "obj_001": "PHRASE_AMBIGUOUS",
        "obj_002": "PHRASE_MISMATCHED",
        "obj_003": "CAPTION_TOO_LONG",
        "obj_004": "PLACEHOLDER_IN_TEXT",
        "obj_006": "PHRASE_OVERLAPS",
        "obj_007": "NO_CODES",
        "obj_008": "NO_LABEL",
        "obj_009": "PLACEHOLDER_IN_TEXT",
        "obj_011": "NO_IMAGE",
        "obj_gone": "NO_CAPTION",
    }
    assert set(packed.rejected["record_kind"]) == {"box"}
    assert set(packed.rejected["stage"]) == {"fusion"}
    refs = dict(packed.rejected.select("record_id", "record_ref").iter_rows())
    assert refs["obj_001"] == "images/metadata.jsonl:0"
    assert "img_gone" in refs["obj_011"]
    assert all(row["record_ref"] in row["reason"] for row in packed.rejected.iter_rows(named=True))
    texts = [parse_content(content).text for content in packed.samples["content"]]
    assert sorted(texts) == ["A duck and a mug", "big red duck", "owl"]
    boxes = sum(len(decode_boxes(row)) for row in packed.samples["boxes_json"])
    assert boxes + packed.rejected.height == alignments.height + 1


def test_of_overlapping_phrases_the_first_stays_and_does_not_hide_the_third(kit):
    material = kit.make_batch("b1", [["abcdefghij"]])
    spans = [(0, 4), (3, 6), (5, 8), (5, 6), (8, 10)]
    packed = pack(kit, material, align(material, [(0, 0, span, "anchored") for span in spans]))
    assert packed.samples["content"][0].endswith("<box>abcd</box>e<box>fgh</box><box>ij</box>")
    assert sorted(packed.rejected["record_id"]) == ["obj_001", "obj_003"]


def test_a_phrase_that_is_not_what_stands_there_is_our_fault(kit):
    material = kit.make_batch("b1", [["A duck."]])
    wrong = align(material, [(0, 0, "duck", "anchored")]).with_columns(phrase_start=1, phrase_end=5)
    with pytest.raises(ContractError, match="does not stand at its place"):
        pack(kit, material, wrong)


def test_ids_depend_on_the_boxes(kit):
    material = kit.make_batch("b1", [["A duck."]])
    alignments = align(material, [(0, 0, "duck", "anchored")])
    first = pack(kit, material, alignments).samples
    assert first.equals(pack(kit, material, alignments).samples)
    moved = pack(kit, material, alignments.with_columns(pl.col("x2") + 1)).samples
    assert first["sample_id"][0] != moved["sample_id"][0]
    images, _ = kit.pack(material)
    assert not set(first["sample_id"]) & set(images.samples["sample_id"])


def test_nothing_packs_to_nothing(kit):
    packed = pack(kit, kit.make_batch("b1", []), TABLES["object_alignments"].empty())
    assert packed.samples.schema == TABLES["fusion_samples"].schema
    assert packed.samples.is_empty()
    assert packed.rejected.is_empty()


@pytest.mark.parametrize("chunk_images", [1, 2, 100])
def test_chunks_pack_to_the_same_rows_as_the_whole(kit, chunk_images):
    material = kit.make_batch("b1", [["A duck"], ["a mug", "the mug"], [], ["an owl"]])
    alignments = align(
        material,
        [
            (0, 0, "duck", "anchored"),
            (1, 1, "mug", "anchored"),
            (1, 2, "mug", "anchored"),
            (2, None, "owl", "label_only"),
            (3, 3, "owl", "ambiguous"),
            ("img_gone", None, "owl", "label_only"),
        ],
    )
    whole = pack(kit, material, alignments)
    chunks = list(
        pack_object_chunks(
            material.images,
            material.captions,
            alignments,
            material.visual_codes,
            material.image_embeddings,
            {"recall": 0.4},
            Policy().fusion,
            codebook_size=kit.CODES,
            chunk_images=chunk_images,
        )
    )
    samples = pl.concat([chunk.samples for chunk in chunks]).sort("kind", "sample_id")
    rejected = pl.concat([chunk.rejected for chunk in chunks])
    assert samples.equals(whole.samples)
    assert rejected.sort(rejected.columns).equals(whole.rejected.sort(rejected.columns))


SPANS = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6)), max_size=5)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
FLOATS = st.floats(0, 4_000, width=32)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(TEXTS, SPANS, st.lists(TEXTS, max_size=2)), min_size=1, max_size=3), FLOATS, FLOATS)
def test_what_is_packed_comes_back(kit, scenes, left, top):
    material = kit.make_batch("b1", [[text] for text, _, _ in scenes])
    rows = []
    for number, (text, spans, labels) in enumerate(scenes):
        inside = [(start, min(start + length, len(text))) for start, length in spans if start < len(text)]
        rows += [(number, number, span, "anchored") for span in inside]
        rows += [(number, None, label, "label_only") for label in labels]
    corners = {"x1": left, "y1": top, "x2": np.float32(left) + 1, "y2": 5_000.0}
    alignments = align(material, rows).with_columns(
        pl.lit(value, pl.Float32).alias(name) for name, value in corners.items()
    )
    packed = pack(kit, material, alignments)
    used = alignments.filter(~pl.col("sample_id").is_in(packed.rejected["record_id"].implode()))
    wanted = sorted(
        (caption or image, phrase, start, *map(float, numbers))
        for image, caption, phrase, start, *numbers in used.select(
            "image_id", "caption_id", "phrase", pl.col("phrase_start").fill_null(-1), *corners
        ).iter_rows()
    )
    texts = dict(material.captions.select("caption_id", "text").iter_rows())
    codes = dict(material.visual_codes.select("image_id", "codes").iter_rows())
    came_back = []
    for sample in packed.samples.iter_rows(named=True):
        text, placed = read_anchored_text(sample["content"], decode_boxes(sample["boxes_json"]))
        assert list(parse_content(sample["content"]).codes(Modality.IMAGE)) == codes[sample["image_id"]]
        captioned = sample["caption_id"] is not None
        assert not captioned or text == texts[sample["caption_id"]]
        for box in placed:
            (start, end), numbers = box.phrase, box.xyxy
            exact = (float(np.float32(number)) for number in numbers)
            made_of = sample["caption_id"] or sample["image_id"]
            came_back.append((made_of, text[start:end], start if captioned else -1, *exact))
    assert sorted(came_back) == wanted
    for row in packed.rejected.iter_rows(named=True):
        if row["code"] == "PLACEHOLDER_IN_TEXT":
            made_of = alignments.filter(pl.col("sample_id") == row["record_id"]).row(0, named=True)
            assert contains_placeholder(texts.get(made_of["caption_id"], made_of["phrase"]))


def release_with_objects(kit, release_maker):
    texts = [("math", "1 + 1 = 2, as is well known."), ("code", "if a < b: pass"), ("prose", "Once upon a time.")]
    material = kit.make_batch("b1", [["Two ducks 池の上 and a mug."], ["an owl"], ["a camel 🐪"]], texts)
    release_maker.add(material)
    alignments = align(
        material,
        [
            (0, 0, "ducks", "anchored"),
            (0, 0, "ducks", "anchored"),
            (0, 0, "mug", "anchored"),
            (1, 1, "owl", "anchored"),
            (1, None, "tree", "label_only"),
        ],
    )
    release_maker.samples[-1] = pl.concat([release_maker.samples[-1], pack(kit, material, alignments).samples])
    manifest = release_maker.write()
    assert manifest.counts["kinds"]["object"] == 3
    return release_maker.root / "r1"


def test_a_release_holds_boxes_that_lint_and_load(kit, release_maker):
    folder = release_with_objects(kit, release_maker)
    for bulk in (0, 2**62):
        assert lint_paths([folder], LintOptions(bulk_from_bytes=bulk)).clean
    samples = {sample["text"]: sample for sample in ReleaseDataset(folder) if sample["kind"] == "object"}
    ducks = samples["Two ducks 池の上 and a mug."]
    assert [ducks["content"][start:end] for start, end in ducks["phrase_places"].tolist()] == ["ducks", "ducks", "mug"]
    assert ducks["boxes"].tolist() == [[float(value + number) for value in CORNERS] for number in range(3)]
    assert ducks["pool"] == "fine_grained_interleaved"
    plain = next(sample for sample in ReleaseDataset(folder) if sample["kind"] == "text")
    assert (tuple(plain["boxes"].shape), tuple(plain["phrase_places"].shape)) == ((0, 4), (0, 2))


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda line: line | {"boxes": line["boxes"][:-1]}, "BOX_MISMATCH"),
        (lambda line: line | {"boxes": []}, "BOX_MISMATCH"),
        (lambda line: line | {"content": line["content"].replace("<box>", "").replace("</box>", "")}, "INVALID_BOX"),
        (lambda line: line | {"content": line["content"].replace("</box>", "", 1)}, "UNPAIRED_SENTINEL"),
        (lambda line: line | {"boxes": [box | {"phrase": [0, 4]} for box in line["boxes"]]}, "BOX_MISMATCH"),
        (lambda line: line | {"boxes": [box | {"xyxy": [9, 0, 1, 5]} for box in line["boxes"]]}, "INVALID_BOX"),
        (lambda line: line | {"boxes": [box | {"phrase": [0, 9_999]} for box in line["boxes"]]}, "INVALID_BOX"),
    ],
)
def test_spoiled_boxes_are_found_by_linter_and_reader(kit, release_maker, spoil, code):
    folder = release_with_objects(kit, release_maker)
    path = next(path for path in (folder / "samples").iterdir() if b"mug</box>" in path.read_bytes())
    lines = path.read_text(encoding="utf-8").splitlines()
    place = next(number for number, line in enumerate(lines) if "mug</box>" in line)
    lines[place] = json.dumps(spoil(json.loads(lines[place])), ensure_ascii=False)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for bulk in (0, 2**62):
        report = lint_paths([folder], LintOptions(bulk_from_bytes=bulk))
        assert code in {error.code for error in report.errors}
        assert {error.line for error in report.errors} == {place + 1}
    manifest = json.loads((folder / "manifest.json").read_text())
    for record in manifest["files"]:
        record["size_bytes"] = (folder / record["path"]).stat().st_size
    (folder / "manifest.json").write_text(json.dumps(manifest))
    dataset = ReleaseDataset(folder, verify_checksums=False)
    with pytest.raises(FormatError, match=code):
        list(dataset)


PUT = (b"", b"<", b"1", b"<box>", b"/", b'"', b"&lt;")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 12),
    st.sampled_from([b"", b"<", b"1", b"<box>", b"/", b'"', b"&lt;"]),
)
def test_what_is_proven_clean_is_clean_by_the_rules(object_lines, where, length, put):
    rules, proof, bulk, lines = object_lines
    for raw in lines:
        start = int(where * len(raw))
        spoiled = raw[:start] + put + raw[start + length :]
        faults = rules.check(spoiled).faults
        assert proof.proven_id(spoiled) is None or faults == {}
        assert all(judged.doubtful or faults == {} for judged in bulk.judge(spoiled))


@pytest.fixture
def object_lines(kit, release_maker):
    folder = release_with_objects(kit, release_maker)
    vocabulary = Vocabulary.of(Policy().fusion, kit.CODES)
    visual = ShardIndex(folder, "visual_features", "visual_codes", codes_required=True)
    audio = ShardIndex(folder, "audio_features", "audio_codes", codes_required=True)
    proof = LineProof(vocabulary, "1", visual)
    lines = [
        raw for path in (folder / "samples").iterdir() for raw in path.read_bytes().splitlines() if b"<box>" in raw
    ]
    assert len(lines) == 3
    assert all(proof.proven_id(raw) == json.loads(raw)["id"] for raw in lines)
    return LineRules(vocabulary, "1", visual, audio), proof, BulkProof(vocabulary, "1", visual, audio), lines
