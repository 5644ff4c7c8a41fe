"""Samples a release may not draw because they repeat an evaluation set."""

from collections.abc import Iterable, Iterator, Mapping

import polars as pl

from mm_assets.cleaned.duplicates import FEATURE_COLUMNS, find_duplicates
from mm_assets.cleaned.fingerprint_spool import reader_of_scans
from mm_assets.mixtures.decontamination import EVALUATION_TEXT, EvaluationTexts
from mm_assets.mixtures.evaluation_sets import fingerprint_pictures, read_texts
from mm_assets.policy import DuplicatePolicy, MixturePolicy
from mm_assets.policy.mixtures import EvaluationSet
from mm_assets.schemas.cleaned import FINGERPRINT_ROWS_TOGETHER
from resources.delta_lake import DeltaLake
from resources.staging import Staging

EVALUATION_IMAGE = "EVALUATION_IMAGE"
_MARK = "evaluation:"  # no batch id holds a colon
_COLUMNS = ["sample_id", "content"]
_SCHEMA = {"sample_id": pl.String, "code": pl.String, "evaluation_set": pl.String, "reason": pl.String}


def repeats_of_evaluation_sets(
    lake: DeltaLake, batches: Iterable[str], policy: MixturePolicy, duplicates: DuplicatePolicy
) -> tuple[pl.DataFrame, Mapping[str, Mapping[str, int]]]:
    """Samples that share words or a picture with an evaluation set, each named once.

    Args:
        lake: holds samples and fingerprints.
        batches: batches drawn from.
        policy: sets, and when a text repeats one.
        duplicates: when a picture repeats one, as in cleaning.

    Returns:
        sample_id, code, evaluation_set and reason; and, by set, how many texts and pictures it has.

    Raises:
        ReleaseError: a set cannot be read.
    """
    sets = policy.evaluation_sets
    if not sets:
        return pl.DataFrame(schema=_SCHEMA), {}
    texts = EvaluationTexts(((one.name, text) for one in sets for text in read_texts(one)), policy.decontamination)
    with lake.staging() as staging:
        pictures = _stage_pictures(staging, sets)
        found = [
            frame
            for batch in batches
            for frame in (
                *_texts_found(lake, batch, texts),
                *_pictures_found(lake, batch, staging, pictures, duplicates),
            )
        ]
    compared = {
        one.name: {"texts": texts.counts.get(one.name, 0), "pictures": pictures.get(f"{_MARK}{one.name}", 0)}
        for one in sets
    }
    return pl.concat([pl.DataFrame(schema=_SCHEMA), *found]).unique(
        "sample_id", keep="first", maintain_order=True
    ), compared


def _texts_found(lake: DeltaLake, batch: str, texts: EvaluationTexts) -> Iterator[pl.DataFrame]:
    for chunk in lake.chunks("fusion_samples", batch, columns=_COLUMNS) if texts.lengths else ():
        hits = texts.find(chunk["content"])
        if hits.height:
            reason = pl.format("shares {} words in a row with a text of evaluation set {}", "words", "evaluation_set")
            ids = chunk["sample_id"].gather(hits["row"])
            yield hits.select(
                sample_id=ids, code=pl.lit(EVALUATION_TEXT), evaluation_set="evaluation_set", reason=reason
            )


def _stage_pictures(staging: Staging, sets: Iterable[EvaluationSet]) -> dict[str, int]:
    """Fingerprint the pictures of the sets; gives how many each has, by the name it has in place of a batch."""
    counts: dict[str, int] = {}
    for one in sets:
        name = f"{_MARK}{one.name}"
        for frame in fingerprint_pictures(one, name):
            staging.add("image_fingerprints", frame)
            counts[name] = counts.get(name, 0) + frame.height
    return counts


def _pictures_found(
    lake: DeltaLake, batch: str, staging: Staging, pictures: Mapping[str, int], policy: DuplicatePolicy
) -> Iterator[pl.DataFrame]:
    if not pictures:
        return
    samples = lake.scan("fusion_samples", batch).filter(pl.col("image_id").is_not_null())
    pictured = samples.select("sample_id", "image_id").collect()
    used = pictured.select("image_id").unique()
    own = lake.scan("image_fingerprints", batch).select(FEATURE_COLUMNS).collect()
    own = own.join(used, on="image_id", how="semi", maintain_order="left")
    if own.is_empty():
        return

    def scan(of: str) -> pl.LazyFrame:
        if of.startswith(_MARK):
            return staging.scan("image_fingerprints").filter(pl.col("batch") == of)
        return lake.scan("image_fingerprints", of)

    known = (scan(name).select(FEATURE_COLUMNS).collect() for name in pictures)
    reader = reader_of_scans(scan, FINGERPRINT_ROWS_TOGETHER)
    found = find_duplicates(own, known, reader, policy, within=False)
    shown = pl.col("duplicate_of").str.replace(r"^\d+:", "")
    name = pl.col("duplicate_batch").str.strip_prefix(_MARK)
    yield pictured.join(found, on="image_id", how="inner", maintain_order="left").select(
        "sample_id",
        code=pl.lit(EVALUATION_IMAGE),
        evaluation_set=name,
        reason=pl.format(
            "its picture is {} of evaluation set {} (similarity {})", shown, name, pl.col("similarity").round(3)
        ),
    )
