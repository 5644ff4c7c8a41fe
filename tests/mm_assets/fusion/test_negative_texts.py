import hashlib
import json

import msgspec
import polars as pl
import pytest
from torch.utils.data import DataLoader

from mm_assets.errors import ContractError, FormatError
from mm_assets.fusion.findings import LintCode
from mm_assets.fusion.linter import LintOptions, lint_paths
from mm_assets.fusion.negative_texts import decode_negatives, find_negative_fault, list_negatives, with_negatives
from mm_assets.fusion.samples import Negative
from mm_assets.fusion.training_reader import ReleaseDataset
from mm_assets.fusion.training_sample import collate_samples
from mm_assets.hard_negatives.negatives import Strategy
from mm_assets.policy import FusionPolicy
from mm_assets.schemas import TABLES

CAPTION = "A duck on a pond."
SWAN = "A swan on a pond."


def row(negative_id: str, text: str, positive_id: str, **other):
    made = {
        "batch": "b1",
        "negative_id": negative_id,
        "positive_id": positive_id,
        "strategy": "subtle_replacement",
        "positive_text": CAPTION,
        "text": text,
        "verdict": "kept",
        "verdict_reason": "false as far as is known",
        "difficulty": 0.0,
    } | other
    schema = TABLES["hard_negatives"].schema
    return {name: made.get(name) for name in schema}


def table(*rows: dict) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=TABLES["hard_negatives"].schema)


def listed(*rows: dict, most: int = 2) -> dict[str, list[str]]:
    found = list_negatives(table(*rows), most)
    return {positive: [n["text"] for n in json.loads(encoded)] for positive, encoded in found.iter_rows()}


def test_people_come_first_then_the_hardest_and_no_more_than_allowed():
    rows = [
        row("n1", "easy", "c1", difficulty=-0.3),
        row("n2", "hard", "c1", difficulty=-0.1),
        row("n3", "unmeasured", "c1", difficulty=None),
        row("n4", "approved", "c1", difficulty=-0.5, verdict_reason="review: accepted"),
        row("n6", "later id", "c2"),
        row("n5", "earlier id", "c2"),
    ]
    expected = {"c1": ["approved", "hard"], "c2": ["earlier id", "later id"]}
    assert listed(*rows) == listed(*reversed(rows)) == expected
    assert listed(*rows, most=9)["c1"] == ["approved", "hard", "easy", "unmeasured"]


def test_only_kept_false_texts_are_taken():
    assert listed(
        *(row(f"n{k}", f"text {k}", "c1", verdict=v) for k, v in enumerate(["false_negative", "too_easy", "shortcut"])),
        row("window", CAPTION, "c1", media_json='{"start_us": 0}'),
        row("picture", "other text", "c1", media_json='{"path": "a.png"}'),
        row("same", f" {CAPTION}", "c1"),
        row("blank", " ", "c1"),
        row("token", "a <IMG_TK_3>", "c1"),
        row("twice", SWAN, "c1", difficulty=0.1),
        row("again", SWAN, "c1", strategy="in_batch"),
    ) == {"c1": [SWAN]}
    assert list_negatives(table(), 2).schema == {"positive_id": pl.String, "negatives_json": pl.String}


def test_samples_carry_the_negatives_of_their_caption(kit):
    material = kit.make_batch("b1", [[CAPTION, "the other"], ["池"]], [("math", "1 + 1")])
    captions = dict(material.captions.select("text", "caption_id").iter_rows())
    negatives = list_negatives(
        table(
            row("n1", SWAN, captions[CAPTION]),
            row("n2", '川 "\\', captions["池"], strategy="attribute_swap"),
            row("n3", "of nothing", "cap_gone"),
        ),
        2,
    )
    bare, texts = kit.pack(material)
    packed = with_negatives(bare, negatives)
    assert packed.samples.drop("negatives_json").equals(bare.samples.drop("negatives_json"))
    assert packed.samples.schema == TABLES["fusion_samples"].schema
    carried = dict(packed.samples.select("caption_id", "negatives_json").iter_rows())
    assert json.loads(carried[captions[CAPTION]]) == [{"text": SWAN, "strategy": "subtle_replacement"}]
    assert json.loads(carried[captions["池"]]) == [{"text": '川 "\\', "strategy": "attribute_swap"}]
    assert carried[captions["the other"]] is None
    assert with_negatives(texts, negatives).samples.equals(texts.samples)
    with pytest.raises(ContractError, match="more than once"):
        with_negatives(bare, pl.concat([negatives, negatives]))


@pytest.fixture
def release_with_negatives(tmp_path, kit):
    maker = kit.ReleaseMaker(tmp_path / "releases")
    material = kit.make_batch("b1", [[CAPTION], ["A mug."]], [("math", f"{n} + 1") for n in range(3)])
    caption = material.captions["caption_id"][0]
    made = table(row("n1", SWAN, caption), row("n2", "A duck on a road.", caption, strategy="in_batch"))
    images, texts = kit.pack(material)
    images = with_negatives(images, list_negatives(made, 2))
    maker.features.rows.update(material.features)
    maker.samples.append(pl.concat([images.samples, texts.samples]))
    maker.write("n1")
    return tmp_path / "releases" / "n1"


def place_of(release):
    for path in sorted((release / "samples").iterdir()):
        for number, raw in enumerate(path.read_bytes().splitlines()):
            if b"A swan" in raw:
                return path, number, json.loads(raw)
    raise AssertionError


def test_a_release_line_has_them_and_the_reader_gives_them(release_with_negatives):
    _, _, line = place_of(release_with_negatives)
    assert line["negatives"] == [
        {"text": SWAN, "strategy": "subtle_replacement"},
        {"text": "A duck on a road.", "strategy": "in_batch"},
    ]
    for options in (LintOptions(), LintOptions(bulk_from_bytes=0)):
        assert lint_paths([release_with_negatives], options).clean
    loader = DataLoader(ReleaseDataset(release_with_negatives), batch_size=5, collate_fn=collate_samples, num_workers=1)
    found = {text: own for batch in loader for text, own in zip(batch["text"], batch["negatives"], strict=True) if own}
    expected = [Negative(SWAN, Strategy.SUBTLE_REPLACEMENT), Negative("A duck on a road.", Strategy.IN_BATCH)]
    assert found == {CAPTION: expected}


@pytest.mark.parametrize(
    ("negative", "told"),
    [
        ({"text": SWAN, "strategy": "guessed"}, "guessed"),
        ({"text": " ", "strategy": "in_batch"}, "wrong type or value"),
        ({"text": f"{CAPTION} ", "strategy": "in_batch"}, "text of the sample itself"),
        ({"text": "a <box>swan</box>", "strategy": "in_batch"}, "reads as a placeholder"),
    ],
)
def test_a_wrong_negative_is_found_by_linter_and_reader(release_with_negatives, negative, told):
    path, number, line = place_of(release_with_negatives)
    lines = path.read_bytes().splitlines()
    lines[number] = msgspec.json.encode(line | {"negatives": [*line["negatives"], negative]})
    path.write_bytes(b"\n".join(lines) + b"\n")
    manifest = release_with_negatives / "manifest.json"
    declared = json.loads(manifest.read_text())
    for record in declared["files"]:
        data = (release_with_negatives / record["path"]).read_bytes()
        record |= {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest.write_text(json.dumps(declared))
    for options in (LintOptions(), LintOptions(bulk_from_bytes=0)):
        (error,) = lint_paths([release_with_negatives], options).errors
        assert (error.code, error.line, error.id) == (LintCode.INVALID_FIELD, number + 1, line["id"])
        assert told in error.message
    dataset = ReleaseDataset(release_with_negatives)
    refused = []
    for index in range(len(dataset)):
        try:
            dataset[index]
        except FormatError as fault:
            refused.append(str(fault))
    assert len(refused) == 1
    assert f"line {number + 1}" in refused[0]


def test_a_segment_carries_the_wrong_order_of_its_events(kit):
    made = kit.make_segments("b1", [("trimodal", "A cow. A rose."), ("audio_text", "A mug.")])
    segment = made.segments["sample_id"][0]
    negatives = list_negatives(table(row("n1", "A rose. A cow.", segment, strategy="temporal_shift")), 2)
    bare = made.pack(FusionPolicy())
    packed = with_negatives(bare, negatives, "segment_id")
    carried = dict(packed.samples.select("segment_id", "negatives_json").iter_rows())
    assert json.loads(carried[segment]) == [{"text": "A rose. A cow.", "strategy": "temporal_shift"}]
    assert [found for own, found in carried.items() if own != segment] == [None]
    content = packed.samples.filter(pl.col("segment_id") == segment)["content"][0]
    assert find_negative_fault(content, decode_negatives(carried[segment])) is None
    assert find_negative_fault(content, [Negative("A cow. A rose.", "temporal_shift")]) is not None
