"""The one place where assets, checks, resources, sensors and jobs meet."""

import dagster as dg

from mm_assets.aligned.documents import assets as documents_assets
from mm_assets.aligned.documents import checks as documents_checks
from mm_assets.aligned.objects import assets as objects_assets
from mm_assets.aligned.objects import checks as objects_checks
from mm_assets.aligned.objects.claims import assets as claims_assets
from mm_assets.aligned.objects.claims import checks as claims_checks
from mm_assets.aligned.objects.orientation import assets as orientation_assets
from mm_assets.aligned.objects.orientation import checks as orientation_checks
from mm_assets.aligned.segments.agreement import assets as agreement_assets
from mm_assets.aligned.segments.agreement import checks as agreement_checks
from mm_assets.aligned.segments.offsets import assets as offsets_assets
from mm_assets.aligned.segments.offsets import checks as offsets_checks
from mm_assets.aligned.segments.speech import assets as speech_assets
from mm_assets.aligned.segments.speech import checks as speech_checks
from mm_assets.cleaned import assets as cleaned_assets
from mm_assets.cleaned import checks as cleaned_checks
from mm_assets.cleaned import document_assets as cleaned_documents_assets
from mm_assets.cleaned import document_checks as cleaned_documents_checks
from mm_assets.cleaned import media_assets as cleaned_media_assets
from mm_assets.cleaned import media_checks as cleaned_media_checks
from mm_assets.cleaned import text_assets as cleaned_texts_assets
from mm_assets.features import assets as features_assets
from mm_assets.features import checks as features_checks
from mm_assets.features import clip_assets as clip_features_assets
from mm_assets.features import clip_checks as clip_features_checks
from mm_assets.features import figure_assets as figures_assets
from mm_assets.features import figure_checks as figures_checks
from mm_assets.fusion import assets as fusion_assets
from mm_assets.fusion import checks as fusion_checks
from mm_assets.gates import assets as gates_assets
from mm_assets.gates import checks as gates_checks
from mm_assets.gates import views as gates_views
from mm_assets.gates.correction_job import apply_correction
from mm_assets.gates.release_job import release_hold
from mm_assets.hard_negatives import assets as hard_negatives_assets
from mm_assets.hard_negatives import checks as hard_negatives_checks
from mm_assets.jobs import (
    ablate_mixtures,
    assemble_batch,
    batch_pipeline,
    ingest_batch,
    make_release,
    refresh_views,
    train_codebook,
)
from mm_assets.mixtures import assets as mixtures_assets
from mm_assets.mixtures import checks as mixtures_checks
from mm_assets.mixtures.ablation import assets as ablation_assets
from mm_assets.mixtures.ablation import checks as ablation_checks
from mm_assets.raw_pools import assets as raw_pools_assets
from mm_assets.raw_pools import checks as raw_pools_checks
from mm_assets.raw_pools import document_assets as raw_documents_assets
from mm_assets.raw_pools import document_checks as raw_documents_checks
from mm_assets.raw_pools import media_assets as raw_media_assets
from mm_assets.raw_pools import media_checks as raw_media_checks
from resources.resource_set import make_resources, roots_of_environment
from sensors.features_ready import features_ready
from sensors.new_batches import new_batches
from sensors.offset_halt import offset_halt
from sensors.recall_halt import recall_halt
from sensors.resume import resume


def define(landing_root: str, lake_root: str, policy_path: str = "") -> dg.Definitions:
    """The whole graph, on the given roots."""
    return dg.Definitions(
        assets=dg.load_assets_from_modules(
            [
                raw_pools_assets,
                raw_media_assets,
                raw_documents_assets,
                cleaned_assets,
                cleaned_texts_assets,
                cleaned_media_assets,
                cleaned_documents_assets,
                speech_assets,
                features_assets,
                clip_features_assets,
                figures_assets,
                documents_assets,
                agreement_assets,
                objects_assets,
                orientation_assets,
                claims_assets,
                offsets_assets,
                gates_assets,
                gates_views,
                hard_negatives_assets,
                fusion_assets,
                ablation_assets,
                mixtures_assets,
            ]
        ),
        asset_checks=[
            *raw_pools_checks.CHECKS,
            *raw_media_checks.CHECKS,
            *raw_documents_checks.CHECKS,
            *cleaned_checks.CHECKS,
            *cleaned_media_checks.CHECKS,
            *cleaned_documents_checks.CHECKS,
            *speech_checks.CHECKS,
            *features_checks.CHECKS,
            *clip_features_checks.CHECKS,
            *figures_checks.CHECKS,
            *documents_checks.CHECKS,
            *agreement_checks.CHECKS,
            *objects_checks.CHECKS,
            *orientation_checks.CHECKS,
            *claims_checks.CHECKS,
            *offsets_checks.CHECKS,
            *gates_checks.CHECKS,
            *hard_negatives_checks.CHECKS,
            *fusion_checks.CHECKS,
            *ablation_checks.CHECKS,
            *mixtures_checks.CHECKS,
        ],
        jobs=[
            batch_pipeline,
            ingest_batch,
            assemble_batch,
            train_codebook,
            ablate_mixtures,
            make_release,
            refresh_views,
            release_hold,
            apply_correction,
        ],
        sensors=[new_batches, features_ready, recall_halt, offset_halt, resume],
        resources=make_resources(landing_root, lake_root, policy_path),
        executor=dg.in_process_executor,
    )


definitions = define(*roots_of_environment())
