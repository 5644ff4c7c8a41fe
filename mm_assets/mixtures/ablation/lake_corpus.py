"""The corpus of an ablation, read from a lake."""

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.fusion.samples import TRAIN
from mm_assets.mixtures.ablation.corpus import COLUMNS, Corpus, build_corpus
from mm_assets.mixtures.release_keys import release_keys
from mm_assets.mixtures.sample_exclusions import repeats_of_evaluation_sets
from mm_assets.mixtures.sample_groups import find_groups
from mm_assets.mixtures.splits import assign_splits
from mm_assets.policy import Policy
from resources.delta_lake import DeltaLake


def read_corpus(lake: DeltaLake, excluded: Iterable[str], policy: Policy) -> tuple[Corpus, dict[str, int]]:
    """What a release may train on: no held batch, nothing of an evaluation set, no validation and no test sample.

    Of a pool with more samples than the policy reads, those with the lowest keys are taken.

    Args:
        lake: holds the samples.
        excluded: batches that are held.
        policy: sizes, splits and evaluation sets.

    Returns:
        The corpus, and how many samples each pool has to train on, read or not.

    Raises:
        ReleaseError: fewer than two pools have samples, or an evaluation set cannot be read.
    """
    samples = lake.scan("fusion_samples").filter(~pl.col("batch").is_in(list(excluded)))
    batches = samples.select(pl.col("batch").unique().sort()).collect()["batch"].to_list()
    left_out, _ = repeats_of_evaluation_sets(lake, batches, policy.mixtures, policy.duplicates)
    anchored, groups = find_groups(lake, samples)
    splits = assign_splits(anchored, groups, policy.mixtures.splits).samples
    usable = (
        anchored.join(splits.filter(pl.col("split") == TRAIN), on="sample_id", how="semi")
        .join(left_out, on="sample_id", how="anti")
        .join(groups, on="anchor", how="left")
    )
    counts = dict(usable.group_by("pool").len().sort("pool").iter_rows())
    keyed = usable.with_columns(key=release_keys(usable["sample_id"], policy.ablation.seed)).sort("key", "sample_id")
    chosen = keyed.filter(pl.int_range(pl.len()).over("pool") < policy.ablation.max_samples_per_pool)
    wanted = chosen.select("sample_id", "group")
    embedded = _caption_embeddings(lake, samples, wanted)
    return build_corpus(_frames(lake, batches, wanted), embedded, policy.ablation), counts


def _frames(lake: DeltaLake, batches: Iterable[str], wanted: pl.DataFrame) -> Iterator[pl.DataFrame]:
    for batch in batches:
        for chunk in lake.chunks("fusion_samples", batch, columns=list(COLUMNS)):
            yield chunk.join(wanted, on="sample_id", how="inner", maintain_order="left")


def _caption_embeddings(lake: DeltaLake, samples: pl.LazyFrame, wanted: pl.DataFrame) -> dict[str, NDArray[np.float32]]:
    captions = (
        samples.select("sample_id", "caption_id")
        .filter(pl.col("caption_id").is_not_null())
        .join(wanted.lazy(), on="sample_id", how="semi")
        .select(pl.col("caption_id").unique())
    )
    rows = lake.scan("caption_embeddings").select("caption_id", "embedding").join(captions, on="caption_id", how="semi")
    return {name: np.array(vector, dtype=np.float32) for name, vector in rows.collect().iter_rows()}
