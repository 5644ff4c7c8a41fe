import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.errors import ContractError
from mm_assets.fusion.packing import pack_image_text_chunks
from mm_assets.fusion.placeholders import Modality, contains_placeholder, parse_content
from mm_assets.policy import Policy
from mm_assets.schemas import TABLES


def test_an_image_stands_in_front_of_its_caption(kit):
    material = kit.make_batch("b1", [["A duck on a pond."]])
    images, _ = kit.pack(material)
    sample = images.samples.row(0, named=True)
    codes = material.visual_codes["codes"][0].to_list()
    blocks = "".join(f"<IMG_TK_{code}>" for code in codes)
    assert sample["content"] == f"<|image_start|>{blocks}<|image_end|> A duck on a pond."
    assert sample["codes"] == codes
    assert sample["modalities"] == ["image", "text"]
    assert (sample["kind"], sample["pool"]) == ("image_text", "coarse_image_text")
    assert sample["spatial_features"] == "features/b1/0a-0000.safetensors#0"
    assert sample["checks_json"] == '{"recall_at_1":0.42}'
    assert (sample["source"], sample["license"], sample["language"]) == ("vendor-a", "CC-BY-4.0", "en")
    assert images.rejected.is_empty()


def test_every_record_becomes_a_sample_or_a_rejected_row(kit):
    captions = [
        ["fine", "a second one"],
        [],
        ["look at <|image_start|> this"],
        ["see &lt;IMG_TK_3&gt;"],
        ["x" * 2_001],
        ["a <box>duck</box>"],
        ["no codes"],
    ]
    material = kit.make_batch("b1", captions)
    material.visual_codes = material.visual_codes.head(6)
    orphan = material.captions.head(1).with_columns(image_id=pl.lit("img_gone"), caption_id=pl.lit("cap_orphan"))
    material.captions = pl.concat([material.captions, orphan])
    packed, _ = kit.pack(material)
    assert packed.samples["content"].str.contains("fine|second").sum() == packed.samples.height == 2
    assert sorted(packed.rejected["code"]) == [
        "CAPTION_TOO_LONG",
        "NO_CAPTION",
        "NO_CODES",
        "NO_IMAGE",
        "PLACEHOLDER_IN_TEXT",
        "PLACEHOLDER_IN_TEXT",
        "PLACEHOLDER_IN_TEXT",
    ]
    bare = packed.rejected.filter(pl.col("code") == "NO_CAPTION").row(0, named=True)
    assert (bare["stage"], bare["record_kind"]) == ("fusion", "image")
    assert bare["record_id"] == material.images["image_id"][1]
    assert bare["record_ref"] == "images/metadata.jsonl:1"
    assert bare["record_ref"] in bare["reason"]
    assert packed.samples.height + packed.rejected.height == material.captions.height + 1


def test_texts_go_to_their_pools(kit):
    texts = [("math", "1 + 1"), ("code", "<IMG_TK_3>"), ("dialogue", "A: hi"), ("prose", "box"), ("logic", "p -> q")]
    _, packed = kit.pack(kit.make_batch("b1", [], texts))
    got = {row["text_kind"]: (row["kind"], row["pool"], row["content"]) for row in packed.samples.iter_rows(named=True)}
    assert got == {
        "math": ("text", "text_retention", "1 + 1"),
        "prose": ("text", "text_retention", "box"),
        "logic": ("text", "text_retention", "p -> q"),
        "dialogue": ("dialogue", "dialogue", "A: hi"),
    }
    assert packed.rejected.select("code", "record_kind", "record_ref").rows() == [
        ("PLACEHOLDER_IN_TEXT", "text", "text/a.jsonl:1")
    ]


def test_a_text_kind_without_a_pool_is_our_fault(kit):
    with pytest.raises(ContractError, match="poem"):
        kit.pack(kit.make_batch("b1", [], [("poem", "roses")]))


def test_a_code_outside_the_codebook_is_our_fault(kit):
    material = kit.make_batch("b1", [["a duck"]])
    material.visual_codes = material.visual_codes.with_columns(codes=pl.lit([kit.CODES], dtype=pl.List(pl.Int32)))
    with pytest.raises(ContractError, match="outside the codebook"):
        kit.pack(material)


def test_an_image_with_two_rows_of_codes_is_our_fault(kit):
    material = kit.make_batch("b1", [["a duck"]])
    material.visual_codes = pl.concat([material.visual_codes] * 2)
    with pytest.raises(ContractError, match="more than once"):
        kit.pack(material)


def test_an_empty_batch_packs_to_nothing(kit):
    images, texts = kit.pack(kit.make_batch("b1", []))
    assert images.samples.schema == texts.samples.schema == TABLES["fusion_samples"].schema
    assert images.samples.is_empty()
    assert images.rejected.is_empty()


@pytest.mark.parametrize("chunk_images", [1, 3, 100])
def test_chunks_pack_to_the_same_rows_as_the_whole(kit, chunk_images):
    material = kit.make_batch("b1", [["a", "b"], [], ["<IMG_TK_1>"], ["c"], ["d"], ["e"], ["f"]])
    orphan = material.captions.head(1).with_columns(image_id=pl.lit("img_gone"), caption_id=pl.lit("cap_orphan"))
    material.captions = pl.concat([material.captions, orphan])
    whole, _ = kit.pack(material)
    chunks = list(
        pack_image_text_chunks(
            material.images,
            material.captions,
            material.visual_codes,
            material.image_embeddings,
            {"recall_at_1": 0.42},
            Policy().fusion,
            codebook_size=kit.CODES,
            chunk_images=chunk_images,
        )
    )
    samples = pl.concat([chunk.samples for chunk in chunks]).sort("kind", "sample_id")
    rejected = pl.concat([chunk.rejected for chunk in chunks])
    assert samples.equals(whole.samples)
    assert rejected.sort(rejected.columns).equals(whole.rejected.sort(rejected.columns))


def test_ids_depend_on_what_a_sample_is_made_of(kit):
    first, _ = kit.pack(kit.make_batch("b1", [["a"], ["b"]]))
    again, _ = kit.pack(kit.make_batch("b1", [["a"], ["b"]]))
    other, _ = kit.pack(kit.make_batch("b2", [["a"], ["b"]]))
    assert first.samples.equals(again.samples)
    assert not set(first.samples["sample_id"]) & set(other.samples["sample_id"])
    assert all(sample_id.startswith("mm_") for sample_id in first.samples["sample_id"])


@given(st.lists(st.text(max_size=60), max_size=4))
def test_what_is_packed_comes_back(kit, captions):
    material = kit.make_batch("b1", [[caption] for caption in captions])
    packed, _ = kit.pack(material)
    assert packed.samples.height + packed.rejected.height == len(captions)
    codes_of = dict(material.visual_codes.select("image_id", "codes").iter_rows())
    text_of = dict(material.captions.select("caption_id", "text").iter_rows())
    for sample in packed.samples.iter_rows(named=True):
        parsed = parse_content(sample["content"])
        assert parsed.text == text_of[sample["caption_id"]]
        assert list(parsed.codes(Modality.IMAGE)) == codes_of[sample["image_id"]]
    rejected_texts = [text_of[row["record_id"]] for row in packed.rejected.iter_rows(named=True)]
    assert all(contains_placeholder(text) for text in rejected_texts)


def test_captions_in_any_script_are_kept_as_they_are(kit):
    packed, _ = kit.pack(kit.make_batch("b1", [[caption] for caption in kit.CAPTIONS]))
    assert packed.rejected.is_empty()
    assert {parse_content(content).text for content in packed.samples["content"]} == set(kit.CAPTIONS)
