"""What a release draws: pools and their floors, repeats, balance, splits, evaluation sets and order."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mm_assets.policy.section import PositiveInt, Section, Share

Exponent = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveShare = Annotated[float, Field(gt=0.0, le=1.0)]
PoolName = Literal["text_retention", "coarse_image_text", "fine_grained_interleaved", "dialogue"]

_SUM_TOLERANCE = 1e-6


class BalancePolicy(Section):
    """How the draws of a pool are spread over what it was made of.

    An exponent a draws a language (source, licence) of share s in proportion to ``s ** a``: 1 keeps it as delivered, 0
    draws all alike. Lample and Conneau 2019 sample languages with 0.7.
    """

    language_exponent: Exponent = Field(default=1.0, description="Exponent of the languages of a pool.")
    source_exponent: Exponent = Field(default=1.0, description="Exponent of the sources of a pool.")
    license_exponent: Exponent = Field(default=1.0, description="Exponent of the licences of a pool.")
    max_language_share: PositiveShare = Field(default=1.0, description="Largest share of a pool in one language.")
    max_source_share: PositiveShare = Field(default=1.0, description="Largest share of a pool from one source.")
    max_license_share: PositiveShare = Field(default=1.0, description="Largest share of a pool under one licence.")


class SplitPolicy(Section):
    """What is kept from training, by whole groups."""

    validation: Share = Field(default=0.02, description="Share of the groups kept for validation.")
    test: Share = Field(default=0.02, description="Share of the groups kept for tests.")
    min_groups: PositiveInt = Field(
        default=25,
        description="Groups a pool must have before any is kept from training: of fewer, one is too large a loss.",
    )
    seed: int = Field(
        default=20_240_613, description="Seed of the splits; the order's seed does not move a sample between them."
    )

    @model_validator(mode="after")
    def _leaves_training(self) -> Self:
        if self.validation + self.test >= 1.0:
            raise ValueError("validation and test leave nothing to train on; lower them")
        return self


class EvaluationSet(Section):
    """An evaluation set that no training sample may repeat.

    A folder is searched for pictures and for ``*.jsonl``, ``*.parquet`` and ``*.txt`` files; of rows, every string in
    the named fields counts as a text, and so do strings in lists and objects inside them.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")] = Field(description="Name it is reported by.")
    path: Annotated[str, Field(min_length=1)] = Field(description="File, or folder that is searched.")
    fields: tuple[str, ...] = Field(default=(), description="Fields that hold its texts; empty takes every one.")


class DecontaminationPolicy(Section):
    """When a sample repeats an evaluation set.

    Source: Brown et al. 2020 (GPT-3), appendix C: 13-grams, and shorter ones down to 8 words for short texts.
    """

    ngram_words: PositiveInt = Field(default=13, description="Words in a row shared with an evaluation text.")
    min_ngram_words: PositiveInt = Field(
        default=8, description="A shorter evaluation text of this many words must not occur in a sample as a whole."
    )
    min_exact_words: PositiveInt = Field(
        default=3, description="One of this many must not be a whole text, line or turn; shorter ones are just words."
    )


class MixturePolicy(Section):
    """What a release draws."""

    seed: int = Field(default=20_240_611, description="Seed of the release order and of what is drawn of a pool.")
    min_text_retention: PositiveShare = Field(
        default=0.05, description="Floor of the text pool, as a share of the draws; below it a release is refused."
    )
    allow_no_text_retention: str = Field(
        default="",
        description="Why a release may go below that floor. Manifest and data card say so; there is no other way.",
    )
    min_coarse_image_text: Share = Field(default=0.02, description="Floor of that pool, where it has samples.")
    min_fine_grained_interleaved: Share = Field(default=0.02, description="Floor of that pool, where it has samples.")
    min_dialogue: Share = Field(default=0.01, description="Floor of that pool, where it has samples.")
    weights: dict[PoolName, Annotated[float, Field(ge=0.0)]] = Field(
        default_factory=dict[PoolName, float],
        description="Recipe by hand: share of the draws per pool, summing to 1; empty takes the one of the ablation.",
    )
    draws: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Draws from the pools; 0 is as many as there are samples, or as the recipe allows."
    )
    max_repeats: PositiveInt = Field(
        default=4,
        description="Draws of one sample; up to four passes are nearly as good as new data (Muennighoff et al. 2023).",
    )
    balance: BalancePolicy = BalancePolicy()
    splits: SplitPolicy = SplitPolicy()
    evaluation_sets: tuple[EvaluationSet, ...] = Field(default=(), description="Sets that no sample may repeat.")
    decontamination: DecontaminationPolicy = DecontaminationPolicy()
    curriculum: Literal["shuffled", "staged"] = Field(
        default="shuffled",
        description="staged: clean alignment, then everything else, then dialogue; text retention is spread over all.",
    )
    samples_per_file: PositiveInt = Field(default=10_000, description="Lines per samples file.")
    feature_rows_per_file: PositiveInt = Field(default=1_024, description="Samples per feature shard.")

    @model_validator(mode="after")
    def _is_a_recipe(self) -> Self:
        if self.weights and abs(sum(self.weights.values()) - 1.0) > _SUM_TOLERANCE:
            raise ValueError(f"weights sum to {sum(self.weights.values()):g}, not to 1; give the share of every pool")
        names = [one.name for one in self.evaluation_sets]
        if len(set(names)) < len(names):
            raise ValueError(f"evaluation_sets: names {names} repeat; give each set its own")
        return self

    @property
    def floors(self) -> Mapping[str, float]:
        """Smallest share of the draws per pool."""
        return {
            "text_retention": self.min_text_retention,
            "coarse_image_text": self.min_coarse_image_text,
            "fine_grained_interleaved": self.min_fine_grained_interleaved,
            "dialogue": self.min_dialogue,
        }
