import ast
import inspect
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from mm_assets.definitions import definitions, make_resources
from mm_assets.jobs import BATCH_ASSETS
from mm_assets.policy import Policy
from mm_assets.schemas import TABLES
from mm_assets.steps import BATCH_STEPS, STEPS, downstream_steps, step_digest

ROOT = Path(__file__).resolve().parents[2]
ASSETS = {
    "raw_images",
    "raw_captions",
    "raw_texts",
    "raw_audio",
    "raw_videos",
    "raw_subtitles",
    "raw_cues",
    "raw_documents",
    "document_fingerprints",
    "documents",
    "document_pages",
    "document_blocks",
    "document_references",
    "document_figures",
    "caption_bindings",
    "document_windows",
    "document_order",
    "document_checks",
    "figure_codes",
    "text_fingerprints",
    "audio_clips",
    "video_clips",
    "shots",
    "clip_tracks",
    "pauses",
    "cues",
    "clip_pieces",
    "segment_offsets",
    "clip_offsets",
    "audio_embeddings",
    "key_frames",
    "segment_alignments",
    "audio_codebook",
    "audio_codes",
    "key_frame_codes",
    "transcripts",
    "utterances",
    "image_fingerprints",
    "images",
    "captions",
    "texts",
    "rejected",
    "image_embeddings",
    "caption_embeddings",
    "image_text_recall",
    "boxes",
    "region_embeddings",
    "object_recall",
    "object_alignments",
    "orientation_checks",
    "orientation_agreement",
    "caption_claims",
    "caption_faithfulness",
    "caption_rewrites",
    "hard_negatives",
    "hard_negative_audit",
    "codebook",
    "visual_codes",
    "fusion_samples",
    "mixture_ablations",
    "mixtures",
    "release_packages",
    "held_batches",
    "spending",
}
VIEWS = {"held_batches", "spending"}


@pytest.fixture(scope="module")
def graph():
    return definitions.resolve_asset_graph()


def test_everything_resolves():
    dg.Definitions.validate_loadable(definitions)


def test_the_asset_keys_are_exactly_these(graph):
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == ASSETS


def test_every_asset_but_the_views_is_checked(graph):
    checked = {key.asset_key.to_user_string() for key in graph.asset_check_keys}
    # Judged by the checks of images, of object_recall, of raw_videos, of rejected (cues), of video_clips, of texts, of
    # document_blocks and of document_order.
    beside = {"image_fingerprints", "captions", "region_embeddings", "raw_audio", "raw_subtitles", "audio_clips"}
    beside |= {"shots", "clip_tracks", "pauses", "cues", "clip_offsets", "text_fingerprints", "document_fingerprints"}
    assert ASSETS - VIEWS - checked == beside | {"document_pages", "document_references", "document_checks"}


def test_every_description_states_the_grain(graph):
    for key in graph.get_all_asset_keys():
        description = graph.get(key).description or ""
        assert description.startswith("One row per"), f"{key}: {description!r}"


def test_assets_of_a_batch_are_partitioned_by_batch_and_grouped_by_folder(graph):
    folders = {
        "raw_pools",
        "cleaned",
        "features",
        "aligned_objects",
        "aligned_segments",
        "aligned_documents",
        "gates",
        "hard_negatives",
        "fusion",
        "mixtures",
    }
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.group_name in folders, key
        partitions = node.partitions_def
        name = partitions.name if isinstance(partitions, dg.DynamicPartitionsDefinition) else None
        expected = (
            "batches"
            if key.to_user_string() in BATCH_ASSETS
            else "releases"
            if key.to_user_string() in {"mixture_ablations", "mixtures", "release_packages"}
            else None
        )
        assert name == expected, key


def test_the_first_statement_of_every_batch_asset_is_the_guard():
    steps = {step.name for step in BATCH_STEPS}
    guarded = set()
    for module in sorted((ROOT / "mm_assets").rglob("*assets.py")):
        tree = ast.parse(module.read_text(encoding="utf-8"))
        for function in [node for node in tree.body if isinstance(node, ast.FunctionDef)]:
            if function.name not in steps:
                continue
            first = next(
                node
                for node in function.body
                if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
            )
            call = first.value if isinstance(first, ast.Expr) else None
            assert isinstance(call, ast.Call), function.name
            assert getattr(call.func, "id", "") == "refuse_if_held", function.name
            guarded.add(function.name)
    assert guarded == steps


def test_steps_write_declared_tables_and_flow_downward():
    for step in BATCH_STEPS:
        assert set(step.tables) <= TABLES.keys()
    assert [step.name for step in downstream_steps("image_embeddings")] == [
        "image_text_recall",
        "orientation_checks",
        "caption_claims",
        "hard_negatives",
        "visual_codes",
        "fusion_samples",
    ]


def test_steps_run_after_those_they_stand_on(graph):
    """What a digest covers must be written before it is read, whatever part of the graph a run selects."""
    for step in BATCH_STEPS:
        for parent in set(step.upstream) & STEPS.keys():
            above = {key.to_user_string() for asset in step.assets for key in graph.get(dg.AssetKey(asset)).parent_keys}
            assert above & set(STEPS[parent].assets), f"{step.name} does not wait for {parent}"


def test_every_model_a_step_names_is_known_and_decides_its_digest(tmp_path):
    folder = tmp_path / "nli"
    policy = tmp_path / "policy.toml"
    policy.write_text(f'[faithfulness]\nentailment = "{folder}"\n', encoding="utf-8")
    resources = make_resources("landing", "lake", str(policy))
    assert resources["entailment"].folder == str(folder)
    assert {name for step in BATCH_STEPS for name in step.models} <= resources["models"].by_name.keys()
    step = next(step for step in BATCH_STEPS if step.name == "caption_claims")
    identities = dict.fromkeys(step.models, "none@0#000000000000")
    before = step_digest(step, Policy(), identities, dict.fromkeys(step.upstream, ""))
    for name in ("detector", "entailment", "vision_language"):
        changed = identities | {name: "other@1#111111111111"}
        assert step_digest(step, Policy(), changed, dict.fromkeys(step.upstream, "")) != before


def test_importing_the_definitions_loads_no_model_library():
    heavy = ["torch", "open_clip", "whisperx", "onnxruntime", "transformers", "faster_whisper", "matplotlib"]
    code = (
        "import sys, mm_assets.definitions\n"
        f"loaded = [name for name in {heavy!r} if name in sys.modules]\n"
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_sensors_run_by_default():
    for sensor in definitions.sensors or []:
        assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
        assert inspect.getdoc(sensor) is not None
