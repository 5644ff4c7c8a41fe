"""The asset on a lake: proxies are really trained, and the recipe is there for the mixture."""

import dagster as dg
import polars as pl
import pytest

from mm_assets.definitions import define
from mm_assets.partitions import releases
from resources.delta_lake import DeltaLake

POLICY = """
[ablation]
width = 16
layers = 1
heads = 2
context_tokens = 64
tokens_per_run = 1500
checkpoints = 2
adapter_steps = 10
held_out_tokens = 200
held_out_mixtures = 4
replicates = 2
candidates = 60
posterior_draws = 20
processes = 1
device = "cpu"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory, sample_rows, caption_vectors):
    root = tmp_path_factory.mktemp("ablation")
    (root / "policy.toml").write_text(POLICY, encoding="utf-8")
    lake = DeltaLake(root=str(root / "lake"))
    lake.replace("fusion_samples", "b1", sample_rows)
    held = sample_rows.with_columns(batch=pl.lit("b2"), sample_id=pl.col("sample_id").str.replace("mm_", "mm_0"))
    lake.replace("fusion_samples", "b2", held)
    captions = sample_rows.drop_nulls("caption_id").select("caption_id", "image_id").with_row_index("position")
    vectors = captions.with_columns(
        batch=pl.lit("b1"),
        caption_index=0,
        embedding=pl.Series([caption_vectors[name].tolist() for name in captions["caption_id"]]),
        model=pl.lit("m@1#0"),
    )
    lake.replace("caption_embeddings", "b1", vectors)
    definitions = define(str(root), lake.root, str(root / "policy.toml"))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(releases.name, ["r1"])
        result = definitions.resolve_job_def("ablate_mixtures").execute_in_process(
            instance=instance, partition_key="r1", raise_on_error=False
        )
    return result, lake


def test_the_recipe_the_report_and_the_checks_are_there(made):
    result, lake = made
    assert result.success
    recipe = lake.scan("recipes").filter(pl.col("release") == "r1").collect()
    assert recipe["pool"].to_list() == ["coarse_image_text", "dialogue", "text_retention"]
    assert recipe["weight"].sum() == pytest.approx(1.0)
    assert recipe.filter(pl.col("pool") == "text_retention")["weight"][0] >= 0.05
    page = lake.files.get_bytes("reports/r1/mixture.html").decode()
    assert page.startswith("<!doctype html>")
    assert page.count("data:image/png;base64,") == 6
    checks = {one.check_name: one for one in result.get_asset_check_evaluations()}
    assert set(checks) == {
        "held_out_mixtures_come_out_as_predicted",
        "nothing_is_forgotten",
        "the_ablated_recipe_keeps_the_floors",
    }
    assert checks["the_ablated_recipe_keeps_the_floors"].passed
    metadata = result.asset_materializations_for_node("mixture_ablations")[0].metadata
    assert {"report", "recipe_plot", "prediction_plot", "rank_correlations", "forgotten"} <= metadata.keys()


def test_every_run_measured_every_capability(made):
    _, lake = made
    rows = lake.scan("mixture_ablations").collect()
    assert set(rows["role"]) == {"design", "held_out", "text_only", "as_delivered", "chosen"}
    per_run = rows.group_by("run").agg(pl.col("capability").sort())
    assert per_run["capability"].n_unique() == 1
    assert per_run["capability"][0].to_list() == ["caption", "code", "dialogue", "math", "prose", "retrieval"]
    assert (rows["tokens"] >= 1_500).all()
    assert rows.filter(pl.col("role") == "chosen")["against_text"].null_count() == 0
