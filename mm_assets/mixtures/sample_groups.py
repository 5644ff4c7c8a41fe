"""Which samples of a lake belong together, so that a split never parts them."""

from collections.abc import Iterator

import polars as pl

from mm_assets.cleaned.text_shingles import normalise_words
from mm_assets.mixtures.splits import GroupFinder, Splits, anchors_of, assign_splits
from mm_assets.policy.mixtures import SplitPolicy
from resources.delta_lake import DeltaLake

_BANDS_AT_ONCE = 8  # which bounds memory to some 100 bytes a text
_FINGERPRINTS = ("text_fingerprints", "document_fingerprints")
_DELIVERED = {"images": "image_id", "audio_clips": "clip_id", "video_clips": "clip_id", "documents": "document_id"}


def split_samples(lake: DeltaLake, samples: pl.LazyFrame, policy: SplitPolicy) -> Splits:
    """Splits of samples by group; see `find_groups`.

    Args:
        lake: holds what the samples were made of.
        samples: rows of ``fusion_samples``.
        policy: shares and seed.
    """
    anchored, groups = find_groups(lake, samples)
    return assign_splits(anchored, groups, policy)


def find_groups(lake: DeltaLake, samples: pl.LazyFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What each sample was made of, and which of these belong together.

    Together stay the samples of one picture, clip, document or text; records to which their supplier gave one id;
    texts of the same words; and texts and documents that share a band of MinHashes, which is less than cleaning takes
    for a near-duplicate.

    Args:
        lake: holds what the samples were made of.
        samples: rows of ``fusion_samples``.

    Returns:
        sample_id, pool and anchor; and anchor with the number of its group.
    """
    anchored = anchors_of(samples).collect()
    finder = GroupFinder(anchored["anchor"])
    for pairs in _links(lake, samples):
        finder.link(pairs)
    return anchored, finder.groups()


def _links(lake: DeltaLake, samples: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """Anchors with what they share, one kind of link at a time."""
    texts = samples.filter(pl.col("text_id").is_not_null(), pl.col("image_id").is_null())
    yield texts.select(anchor="text_id", key=normalise_words(pl.col("content")).hash()).collect()
    yield pl.concat(
        [
            lake.scan(table)
            .filter(pl.col("source_id").is_not_null())
            .select(anchor=anchor, key=pl.struct("source", "source_id").hash())
            .collect()
            for table, anchor in _DELIVERED.items()
        ]
    )
    for table in _FINGERPRINTS:
        start = 0
        while (bands := _bands(lake, table, start)).height:
            yield bands
            start += _BANDS_AT_ONCE


def _bands(lake: DeltaLake, table: str, start: int) -> pl.DataFrame:
    some = pl.col("bands").list.slice(start, _BANDS_AT_ONCE)
    rows = lake.scan(table).select(anchor="text_id", key=some).filter(pl.col("key").list.len() > 0)
    return rows.explode("key").collect()
