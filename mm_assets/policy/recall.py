"""The gate on whole pictures and their captions."""

from pydantic import Field

from mm_assets.policy.section import PositiveInt, Section, Share


class RecallGatePolicy(Section):
    """When a batch's captions are taken to be those of its pictures."""

    pool_size: PositiveInt = Field(
        default=32, description="Candidates per query; fixed so that batches of all sizes compare."
    )
    max_pairs: PositiveInt = Field(
        default=1_024, description="Pairs evaluated; more are sampled by seed. Time and memory grow with the square."
    )
    min_pairs: PositiveInt = Field(
        default=12, description="Fewer pairs than this cannot be judged and pass as not judged."
    )
    bootstrap_samples: PositiveInt = Field(default=1_000, description="Resamples behind the interval.")
    permutations: PositiveInt = Field(default=2_000, description="Re-pairings behind the null.")
    confidence: Share = Field(default=0.95, description="Of the interval.")
    max_null_p_value: Share = Field(
        default=0.01, description="Above it the pairing is not distinguishable from chance."
    )
    baseline_floor: Share = Field(
        default=0.12, description="R@1 a batch of an unknown source must not be significantly below."
    )
    baseline_tolerance: Share = Field(default=0.5, description="Share of a trusted baseline that a batch may lose.")
    false_hold_rate: Share = Field(default=0.01, description="Significance of the comparison with the baseline.")
    max_shift: PositiveInt = Field(default=5, description="Largest |k| tested as a shift of captions by k rows.")
    min_displaced_share: Share = Field(
        default=0.02,
        description="Share of pairs proven to belong to other rows that holds a batch whose recall is still good.",
    )
    max_template_share: Share = Field(
        default=0.3, description="Largest share of pictures under templated captions that cannot tell them apart."
    )
    seed: int = Field(default=20_240_611, description="Seed of sampling, bootstrap and permutations.")
