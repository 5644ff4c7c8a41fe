import json
from io import BytesIO

import dagster as dg
import numpy as np
import polars as pl
import pytest
from PIL import Image

from mm_assets.cleaned.fingerprints import fingerprint_of
from mm_assets.identifiers import make_id
from mm_assets.mixtures.assets import mixtures
from mm_assets.mixtures.checks import every_group_lies_in_one_split, text_is_retained, the_recipe_is_drawn
from mm_assets.mixtures.sample_groups import split_samples
from mm_assets.partitions import releases
from mm_assets.policy.mixtures import SplitPolicy
from mm_assets.schemas import TABLES
from resources.corrections import Corrections
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.policy_file import PolicyFile

IMAGES = 40
QUESTION = "How many ducks swim on the large pond behind the old mill in winter, and how many in spring?"
CHECKS = (every_group_lies_in_one_split, text_is_retained, the_recipe_is_drawn)


def picture(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((120, 90), Image.Resampling.BICUBIC))


def fingerprints(batch: str, ids: list[str]) -> pl.DataFrame:
    rows = []
    for n, name in enumerate(ids):
        made = fingerprint_of(picture(n))
        rows.append(
            {"batch": batch, "image_id": name, "position": n, "sha256": name, "width": 120, "height": 90}
            | {"coarse": made.coarse, "thumbnail": made.thumbnail, "detail": made.detail}
        )
    return pl.DataFrame(rows, schema=TABLES["image_fingerprints"].schema)


@pytest.fixture
def lake(tmp_path, kit) -> DeltaLake:
    """Two batches: pictures with two captions each, mathematics and dialogues; one text stands in both."""
    lake = DeltaLake(root=str(tmp_path / "lake"))
    for batch in ("b1", "b2"):
        texts = [("math", f"{batch}: {n} + {n} = {2 * n}, which is even, as is well known.") for n in range(IMAGES)]
        texts += [("dialogue", f"A: {batch} {n}?\nB: Yes, {n} of them.") for n in range(IMAGES)]
        texts += [("math", "The same sum in both batches: 1 + 1 = 2.")]
        texts += [("dialogue", f"A: {QUESTION}\nB: Nobody knows.")] if batch == "b2" else []
        captions = [[f"picture {n} of {batch}", f"another look at {n} of {batch}"] for n in range(IMAGES)]
        made = kit.make_batch(batch, captions, texts)
        packed = pl.concat([part.samples for part in kit.pack(made)])
        lake.replace("fusion_samples", batch, packed)
        lake.replace("image_fingerprints", batch, fingerprints(batch, made.images["image_id"].to_list()))
    return lake


def materialize(lake: DeltaLake, policy: str, tmp_path, release: str = "r1") -> tuple[dg.ExecuteInProcessResult, dict]:
    (tmp_path / "policy.toml").write_text(policy)
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions(releases.name, [release])
    policy_file = PolicyFile(path=str(tmp_path / "policy.toml"))
    made = dg.materialize(
        [mixtures, *CHECKS],
        instance=instance,
        partition_key=release,
        resources={
            "lake": lake, "holds": Holds(lake=lake), "corrections": Corrections(lake=lake), "policy_file": policy_file
        },
        raise_on_error=False,
    )  # fmt: skip
    if not made.success:
        return made, {}
    (event,) = made.asset_materializations_for_node("mixtures")
    shown = dict(event.metadata)
    return made, {
        name: [dict(record.data) for record in value.records] if hasattr(value, "records") else value.value
        for name, value in shown.items()
    }


def drawn(lake: DeltaLake, table: str = "mixtures", release: str = "r1") -> pl.DataFrame:
    rows = lake.scan(table).filter(pl.col("release") == release).collect()
    return rows.sort(TABLES[table].order_by)


def test_a_recipe_of_the_ablation_is_drawn_without_what_repeats_an_evaluation_set(lake, tmp_path):
    shares = {"text_retention": 0.5, "coarse_image_text": 0.3, "dialogue": 0.2}
    rows = [("r1", pool, share, "ablation") for pool, share in shares.items()]
    lake.replace("recipes", "r1", pl.DataFrame(rows, schema=TABLES["recipes"].schema, orient="row"))
    evaluation = tmp_path / "evaluation"
    evaluation.mkdir()
    buffer = BytesIO()
    Image.fromarray(picture(3)).save(buffer, "JPEG", quality=85)
    (evaluation / "seen.jpg").write_bytes(buffer.getvalue())
    (evaluation / "qa.jsonl").write_text(json.dumps({"question": QUESTION}))
    policy = (
        f'[[mixtures.evaluation_sets]]\nname = "held-out"\npath = "{evaluation}"\n'
        "[mixtures.splits]\nvalidation = 0.1\ntest = 0.1\n"
    )
    made, told = materialize(lake, policy, tmp_path)
    assert made.success
    assert all(evaluated.passed for evaluated in made.get_asset_check_evaluations())
    assert len(made.get_asset_check_evaluations()) == len(CHECKS)
    samples = lake.scan("fusion_samples").collect()
    rows, left_out = drawn(lake), drawn(lake, "mixture_exclusions")
    assert rows.height + left_out.height == samples.height
    codes = dict(left_out.group_by("code").len().iter_rows())
    assert (codes["EVALUATION_IMAGE"], codes["EVALUATION_TEXT"]) == (4, 1)
    pictures = left_out.filter(pl.col("code") == "EVALUATION_IMAGE").join(samples, on="sample_id")
    assert set(pictures["image_id"]) == {make_id("img", batch, 3) for batch in ("b1", "b2")}
    assert "seen.jpg of evaluation set held-out" in pictures["reason"][0]
    trained = rows.filter(pl.col("split") == "train")
    got = dict(trained.group_by("pool").agg(pl.col("weight").sum() / trained["weight"].sum()).iter_rows())
    assert got == pytest.approx(shares, abs=0.01)
    assert told["recipe"] == "ablation"
    assert {row["pool"]: row["asked"] for row in told["asked_and_drawn"]} == pytest.approx(shares)
    assert told["evaluation_sets"] == [{"evaluation_set": "held-out", "texts": 1, "pictures": 1}]
    assert {row["split"]: row["samples"] for row in told["splits"]} == dict(rows.group_by("split").len().iter_rows())
    version = lake.version("mixtures")
    materialize(lake, policy, tmp_path)
    assert lake.version("mixtures") == version


def test_weights_by_hand_go_before_the_table_and_a_missing_pool_is_refused(lake, tmp_path):
    rows = [("r1", "text_retention", 1.0, "ablation")]
    lake.replace("recipes", "r1", pl.DataFrame(rows, schema=TABLES["recipes"].schema, orient="row"))
    by_hand = "[mixtures.weights]\ntext_retention = 0.25\ncoarse_image_text = 0.7\ndialogue = 0.05\n"
    by_hand += "[mixtures.balance]\nmax_source_share = 0.5\n"
    _, told = materialize(lake, by_hand, tmp_path)
    assert told["recipe"] == "by_hand"
    assert {row["pool"]: row["asked"] for row in told["asked_and_drawn"]} == {
        "text_retention": 0.25, "coarse_image_text": 0.7, "dialogue": 0.05
    }  # fmt: skip
    sources = [row for row in told["balance"] if row["by"] == "source"]
    assert {(row["value"], row["share"], row["note"]) for row in sources} == {
        ("vendor-a", 1.0, "no more is there to draw instead")
    }
    assert {row["note"] for row in told["balance"] if row["by"] != "source"} == {""}
    refused, _ = materialize(lake, by_hand.replace("dialogue", "fine_grained_interleaved"), tmp_path, "r2")
    assert not refused.success
    (failure,) = refused.get_step_failure_events()
    assert "fine_grained_interleaved, of which there is no sample" in failure.step_failure_data.error.message
    assert drawn(lake, release="r2").is_empty()


def test_samples_of_one_picture_and_texts_of_the_same_words_share_a_split(lake):
    half = SplitPolicy(validation=0.3, test=0.3, min_groups=1)
    samples = lake.scan("fusion_samples")
    splits = split_samples(lake, samples, half)
    told = samples.collect().join(splits.samples, on="sample_id")
    per_image = told.drop_nulls("image_id").group_by("image_id").agg(pl.col("split").n_unique(), pl.len())
    assert (per_image["split"].max(), per_image["len"].min(), per_image.height) == (1, 2, 2 * IMAGES)
    same = told.filter(pl.col("content").str.starts_with("The same sum"))
    assert (same.height, same["text_id"].n_unique(), same["split"].n_unique()) == (2, 2, 1)
    assert set(told["split"]) == {"train", "validation", "test"}
    texts = 2 * IMAGES + 1 + 2 * IMAGES + 1
    assert sum(splits.groups.values()) == 2 * IMAGES + texts


def test_records_of_one_supplier_id_and_texts_that_share_a_band_share_a_split(lake, kit):
    half = SplitPolicy(validation=0.3, test=0.3, min_groups=1)
    samples = lake.scan("fusion_samples")
    before = split_samples(lake, samples, half)
    schema = TABLES["images"].schema
    images = [
        dict.fromkeys(schema)
        | {"batch": "b1", "image_id": make_id("img", "b1", n), "position": n, "form": "imagefolder", "record_ref": "x"}
        | {"source_ref": dict.fromkeys(("uri", "member", "byte_offset", "byte_size", "frame_index"))}
        | {"file_name": "x", "sha256": "x", "size_bytes": 1, "source": "vendor-a", "source_id": f"case-{n // 10}"}
        | {"license": "CC0-1.0", "format": "PNG", "width": 120, "height": 90}
        for n in range(IMAGES)
    ]
    lake.replace("images", "b1", pl.DataFrame(images, schema=schema))
    texts = samples.filter(pl.col("kind") == "text", pl.col("batch") == "b1").select("text_id").collect()["text_id"]
    bands = [
        {
            "batch": "b1",
            "text_id": name,
            "position": n,
            "words": 12,
            "digest": name,
            "bands": [n, 100 + n, *[7_000 + n // 4] * 9],
        }
        for n, name in enumerate(texts.sort())
    ]
    lake.replace("text_fingerprints", "b1", pl.DataFrame(bands, schema=TABLES["text_fingerprints"].schema))
    after = split_samples(lake, samples, half)
    told = samples.collect().join(after.samples, on="sample_id")
    linked = told.filter(pl.col("batch") == "b1").join(
        pl.DataFrame(images, schema=schema).select("image_id", "source_id"), on="image_id"
    )
    assert linked.group_by("source_id").agg(pl.col("split").n_unique())["split"].to_list() == [1] * 4
    banded = told.join(pl.DataFrame(bands).select("text_id", case=pl.col("bands").list.last()), on="text_id")
    assert banded.group_by("case").agg(pl.col("split").n_unique())["split"].max() == 1
    assert sum(before.groups.values()) - sum(after.groups.values()) == (IMAGES - 4) + (
        texts.len() - -(-texts.len() // 4)
    )
    assert after.largest_group == 20


def test_a_floor_that_was_lowered_or_waived_is_told_wherever_one_looks(lake, tmp_path):
    usual, _ = materialize(lake, "", tmp_path)
    lowered, _ = materialize(lake, "[mixtures]\nmin_text_retention = 0.001\n", tmp_path)
    waived, _ = materialize(lake, '[mixtures]\nallow_no_text_retention = "a caption model"\n', tmp_path)
    told = [
        next(e.description for e in made.get_asset_check_evaluations() if e.check_name == "text_is_retained")
        for made in (usual, lowered, waived)
    ]
    assert [text.partition("; ")[2] for text in told] == [
        "", "the text floor was lowered to 0.1% from the usual 5.0%", "the text floor is waived: a caption model"
    ]  # fmt: skip
