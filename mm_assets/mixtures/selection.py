"""Draw the samples of a release and put them in order."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from mm_assets.errors import BatchContractError, ContractError, ReleaseError
from mm_assets.fusion.samples import TRAIN
from mm_assets.identifiers import validate_batch_id
from mm_assets.mixtures.balance import STRATA, UNKNOWN, is_neutral, largest_shares, spread_draws
from mm_assets.mixtures.curriculum import STAGES, stage_numbers
from mm_assets.mixtures.recipes import AS_DELIVERED, Recipe
from mm_assets.mixtures.release_keys import release_keys
from mm_assets.mixtures.sampling import PoolDraws, plan_draws
from mm_assets.policy import MixturePolicy
from mm_assets.schemas import TABLES

__all__ = ["Draw", "draw_release", "release_keys", "validate_release_id"]

NOT_DRAWN: Final = "NOT_DRAWN"
_COLUMNS: Final = ("sample_id", "batch", "kind", "pool")
_CHOICE_SEED: Final = 0x5EED  # what is drawn of a pool does not depend on where it then stands
_EXCLUSIONS: Final = TABLES["mixture_exclusions"]
_MIXTURES: Final = TABLES["mixtures"]


@dataclass(frozen=True)
class Draw:
    """What a release draws.

    Attributes:
        mixtures: rows of table ``mixtures``, in release order.
        pools: samples per pool.
        batches: batches drawn from, sorted.
        excluded: batches left out, and why.
        plan: what was asked and drawn of each pool, of samples that are trained on.
        recipe: the recipe it follows.
        exclusions: rows of table ``mixture_exclusions``.
        stages: samples per stage of the curriculum, in order; None without one.
        largest: what each pool holds most of, as `largest_shares` gives it; None if the policy balances nothing.
    """

    mixtures: pl.DataFrame
    pools: dict[str, int]
    batches: list[str]
    excluded: dict[str, str]
    plan: Sequence[PoolDraws] = ()
    recipe: Recipe = AS_DELIVERED
    exclusions: pl.DataFrame = field(default_factory=_EXCLUSIONS.empty)
    stages: Mapping[str, int] | None = None
    largest: pl.DataFrame | None = None


def draw_release(
    samples: pl.LazyFrame | Iterable[pl.DataFrame],
    policy: MixturePolicy,
    release_id: str,
    excluded: Mapping[str, str],
    *,
    recipe: Recipe = AS_DELIVERED,
    splits: pl.DataFrame | None = None,
    left_out: pl.DataFrame | None = None,
    clean_batches: Collection[str] = (),
) -> Draw:
    """Draw samples by a recipe, in an order that depends on ids and seed alone.

    A sample that is drawn n times stands once, with weight n. What is kept for validation and tests follows no recipe:
    it is drawn whole, once.

    Args:
        samples: rows of table ``fusion_samples`` of the included batches, in any order; language, source and licence
            are looked at only if the policy balances by them.
        policy: seed, floors, repeats, balance and curriculum.
        release_id: name of the release; it must meet the rule of batch ids.
        excluded: held batches and the reason of each; none of them may be among the samples.
        recipe: shares per pool.
        splits: columns sample_id and split; without it everything is trained on.
        left_out: columns sample_id, code, evaluation_set and reason of the samples that may not be drawn.
        clean_batches: batches whose alignment is clean, for the first stage of a curriculum.

    Returns:
        The draw; its samples and exclusions together are the samples passed in.

    Raises:
        ReleaseError: a bad release id, no samples, a floor that is not met, or a recipe that cannot be drawn.
        ContractError: a sample occurs twice, comes from an excluded batch, or has an id that was not made here.
    """
    validate_release_id(release_id)
    balanced = not is_neutral(policy.balance)
    given = _collect(samples, (*_COLUMNS, *STRATA) if balanced else _COLUMNS)
    _refuse_unusable(release_id, given, excluded)
    dropped = _joined(given, left_out, release_id)
    usable = given.join(dropped, on="sample_id", how="anti", maintain_order="left") if dropped.height else given
    if usable.is_empty():
        raise ReleaseError(
            f"release {release_id!r}: every one of its {given.height:,} samples repeats an evaluation set; "
            "see mixture_exclusions, and check mixtures.evaluation_sets"
        )
    usable = usable.with_columns(split=pl.lit(TRAIN, pl.Categorical)) if splits is None else _with_split(usable, splits)
    trained = usable.filter(pl.col("split") == TRAIN)
    if trained.is_empty():
        raise ReleaseError(
            f"release {release_id!r}: all of its {usable.height:,} samples are kept for validation and tests; add "
            "data, or lower mixtures.splits"
        )
    plan = plan_draws(release_id, dict(trained.group_by("pool").len().iter_rows()), recipe, policy)
    weighted = pl.concat([_weights_of(trained, one, policy) for one in plan])
    largest = largest_shares(weighted, policy.balance) if balanced else None
    weighted = weighted.select(*_COLUMNS, "split", "weight")
    drawn = pl.concat([weighted.filter(pl.col("weight") > 0), usable.filter(pl.col("split") != TRAIN).with_columns(
        weight=pl.lit(1.0)
    ).select(weighted.columns)])  # fmt: skip
    rest = weighted.filter(pl.col("weight") == 0).select(
        pl.col(_COLUMNS).cast(pl.String),
        code=pl.lit(NOT_DRAWN),
        evaluation_set=pl.lit(None, pl.String),
        reason=pl.lit("the recipe draws fewer samples of its pool than there are; see the metadata of mixtures"),
    )
    ordered, stages = _in_order(drawn, policy, clean_batches)
    mixtures = ordered.with_columns(release=pl.lit(release_id), position=pl.int_range(pl.len(), dtype=pl.Int64))
    exclusions = pl.concat([dropped.select(rest.columns), rest]).with_columns(release=pl.lit(release_id))
    return Draw(
        _MIXTURES.conform(mixtures.select(_MIXTURES.schema.names())),
        dict(sorted(drawn.group_by("pool").len().iter_rows())),
        sorted(drawn["batch"].unique()),
        dict(sorted(excluded.items())),
        plan,
        recipe,
        _EXCLUSIONS.conform(exclusions.select(_EXCLUSIONS.schema.names())).sort(_EXCLUSIONS.order_by),
        stages,
        largest,
    )


def _collect(samples: pl.LazyFrame | Iterable[pl.DataFrame], columns: Sequence[str]) -> pl.DataFrame:
    # Names that a few values share take 4 bytes a row so, not 16.
    chosen = [pl.col(name) if name == "sample_id" else pl.col(name).cast(pl.Categorical) for name in columns]
    if isinstance(samples, pl.LazyFrame):
        return samples.select(chosen).collect()
    frames = [frame.select(chosen) for frame in samples]
    return pl.concat(frames) if frames else pl.DataFrame()


def _refuse_unusable(release_id: str, given: pl.DataFrame, excluded: Mapping[str, str]) -> None:
    if given.is_empty():
        raise ReleaseError(f"release {release_id!r}: no batch that may be used has samples; release a hold or add data")
    leaked = sorted(set(given["batch"].unique()) & set(excluded))
    if leaked:
        raise ContractError(f"release {release_id!r}: samples of excluded batches {leaked} were passed in; filter them")
    if given["sample_id"].is_duplicated().any():
        twice = given.filter(pl.col("sample_id").is_duplicated())["sample_id"].min()
        raise ContractError(f"release {release_id!r}: sample {twice} occurs more than once; pack each record once")


def _joined(given: pl.DataFrame, left_out: pl.DataFrame | None, release_id: str) -> pl.DataFrame:
    """Columns of the samples that may not be drawn, with code and reason."""
    if left_out is None:
        return _EXCLUSIONS.empty().drop("release")
    why = left_out.select("sample_id", "code", "evaluation_set", "reason")
    dropped = (
        given.select(_COLUMNS)
        .with_columns(pl.exclude("sample_id").cast(pl.String))
        .join(why, on="sample_id", how="inner")
    )
    if dropped["sample_id"].is_duplicated().any():
        raise ContractError(f"release {release_id!r}: a sample is left out twice; give one reason for each")
    return dropped


def _with_split(usable: pl.DataFrame, splits: pl.DataFrame) -> pl.DataFrame:
    split = pl.col("split").cast(pl.Categorical)
    joined = usable.join(splits.select("sample_id", split), on="sample_id", how="left", maintain_order="left")
    if joined["split"].null_count() or joined.height != usable.height:
        raise ContractError("splits do not name every sample once; assign them for the same samples")
    return joined


def _weights_of(trained: pl.DataFrame, plan: PoolDraws, policy: MixturePolicy) -> pl.DataFrame:
    """Samples of a pool with how often each is drawn: those first in a seeded order once more than the others."""
    pool = trained.filter(pl.col("pool") == plan.pool)
    balanced = not is_neutral(policy.balance)
    if plan.draws == plan.samples and not balanced:
        return pool.select(*_COLUMNS, "split", weight=pl.lit(1.0))
    if balanced:
        pool = pool.with_columns(pl.col("language").fill_null(UNKNOWN))
        strata = pool.group_by(STRATA).len("samples").sort(pl.col(STRATA).cast(pl.String))
        spread = spread_draws(
            strata.with_columns(pl.col(STRATA).cast(pl.String)), plan.draws, policy.max_repeats, policy.balance
        )
        strata = strata.with_columns(draws=pl.Series(spread))
        pool = pool.join(strata, on=STRATA, how="left", maintain_order="left")
        group = pl.struct(STRATA)
    else:
        pool = pool.with_columns(samples=pl.lit(plan.samples), draws=pl.lit(plan.draws))
        group = pl.lit(0)
    ranked = pool.with_columns(key=release_keys(pool["sample_id"], policy.seed ^ _CHOICE_SEED)).sort("key", "sample_id")
    rank = pl.int_range(pl.len()).over(group)
    weight = pl.col("draws") // pl.col("samples") + (rank < pl.col("draws") % pl.col("samples")).cast(pl.Int64)
    return ranked.select(*_COLUMNS, *(STRATA if balanced else ()), "split", weight=weight.cast(pl.Float64))


def _in_order(
    drawn: pl.DataFrame, policy: MixturePolicy, clean_batches: Collection[str]
) -> tuple[pl.DataFrame, dict[str, int] | None]:
    keyed = drawn.with_columns(key=release_keys(drawn["sample_id"], policy.seed))
    if policy.curriculum == "shuffled":
        return keyed.sort("key", "sample_id"), None
    staged = keyed.with_columns(stage=stage_numbers(keyed, clean_batches)).sort("stage", "key", "sample_id")
    counts = dict(staged.group_by("stage").len().iter_rows())
    return staged, {name: counts.get(number, 0) for number, name in enumerate(STAGES)}


def validate_release_id(release_id: str) -> str:
    """Return the id if it may name a folder and a partition.

    Raises:
        ReleaseError: it may not.
    """
    try:
        return validate_batch_id(release_id)
    except BatchContractError as error:
        raise ReleaseError(error.reason.replace("batch id", "release id")) from error
