"""The jobs that carry a batch through the graph and a release out of it."""

from typing import Final

import dagster as dg

from mm_assets.steps import ASSEMBLY_STEPS, BATCH_STEPS, CODEBOOKS, INGEST_STEPS, STEPS

BATCH_ASSETS: Final = tuple(asset for step in BATCH_STEPS for asset in step.assets)
RELEASE_ASSETS: Final = ("mixtures", "release_packages")


def assets_of(steps: tuple[str, ...] | list[str]) -> list[dg.AssetKey]:
    """Asset keys of the named steps."""
    return [dg.AssetKey(asset) for name in steps for asset in STEPS[name].assets]


batch_pipeline: Final = dg.define_asset_job(
    "batch_pipeline",
    selection=dg.AssetSelection.assets(*BATCH_ASSETS),
    description="Carry one batch from its delivery to its fusion samples, gates included.",
)
ingest_batch: Final = dg.define_asset_job(
    "ingest_batch",
    selection=dg.AssetSelection.assets(*assets_of(INGEST_STEPS)),
    description="Read, clean and embed one batch, and judge whether its captions are those of its pictures.",
)
assemble_batch: Final = dg.define_asset_job(
    "assemble_batch",
    selection=dg.AssetSelection.assets(*assets_of(ASSEMBLY_STEPS)),
    description="Quantise and pack one batch that passed its gates.",
)
train_codebook: Final = dg.define_asset_job(
    "train_codebook",
    selection=dg.AssetSelection.assets(*CODEBOOKS),
    description="Train the codebooks of pictures and sound on the features of every batch that is not held.",
)
make_release: Final = dg.define_asset_job(
    "make_release",
    selection=dg.AssetSelection.assets(*RELEASE_ASSETS),
    description="Draw a mixture from every batch that is not held and write its release folder.",
)
ablate_mixtures: Final = dg.define_asset_job(
    "ablate_mixtures",
    selection=dg.AssetSelection.assets("mixture_ablations"),
    description="Train small models on designed mixtures and keep the recipe that their losses call for.",
)
refresh_views: Final = dg.define_asset_job(
    "refresh_views",
    selection=dg.AssetSelection.assets("held_batches", "spending"),
    description="Bring the held-batches and spending views up to date.",
)
