"""Mixing by ablation: how large the proxies are, which mixtures they see, and what a recipe is chosen for."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mm_assets.policy.section import NonNegativeFloat, PositiveInt, Section

OpenShare = Annotated[float, Field(gt=0.0, lt=1.0)]
Capability = Literal[
    "math", "code", "logic", "prose", "dialogue", "caption", "region", "segment", "document", "retrieval"
]


class AblationPolicy(Section):
    """The proxies, the design, and the objective.

    The defaults take minutes on two cores for a thousand samples. A larger budget needs `tokens_per_run` and `width`
    alone: about 20 tokens for each parameter is what such a model can use (Hoffmann et al. 2022).
    """

    seed: int = Field(default=20_240_617, description="Seed of the proxies, of what they see and of what is held out.")
    width: PositiveInt = Field(default=64, description="Channels of the transformer, a multiple of heads.")
    layers: PositiveInt = Field(default=2, description="Blocks of the transformer.")
    heads: PositiveInt = Field(default=4, description="Attention heads.")
    context_tokens: Annotated[int, Field(ge=32)] = Field(
        default=128, description="Tokens of a row; of a longer sample one window is drawn at a time."
    )
    rows_per_step: PositiveInt = Field(default=4, description="Rows of a training step.")
    learning_rate: Annotated[float, Field(gt=0.0)] = Field(
        default=5e-3,
        description="Peak of the schedule: a tenth of the run to warm up, then a cosine to a tenth. At 8e-3 the losses "
        "fall further, and runs of one mixture differ twice as much.",
    )
    tokens_per_run: PositiveInt = Field(default=150_000, description="Training tokens of a proxy, text and codes.")
    checkpoints: PositiveInt = Field(default=4, description="Measurements on the way, the last at the end.")
    adapter_steps: PositiveInt = Field(default=120, description="Steps of the contrastive adapter, 64 pairs each.")
    adapters: PositiveInt = Field(
        default=3, description="Adapters of a run, from seeds that all runs share; one start more or less is chance."
    )
    adapter_width: PositiveInt = Field(default=64, description="Dimension in which pictures and captions meet.")
    max_samples_per_pool: PositiveInt = Field(
        default=4_000, description="Samples read of a pool, by the order of their ids' hashes; bounds the memory."
    )
    max_tokens_per_sample: Annotated[int, Field(ge=64)] = Field(
        default=32_768, description="Tokens read of a sample; a document window of 8,192 word pieces has about as many."
    )
    max_codes_per_span: PositiveInt = Field(
        default=49, description="Codes kept of a span, evenly spread: of a picture all, of a clip as many."
    )
    held_out_share: OpenShare = Field(default=0.2, description="Share of each capability's samples to measure on.")
    held_out_tokens: PositiveInt = Field(
        default=3_000, description="Tokens measured of a capability; the whole of a small one."
    )
    min_held_out_samples: PositiveInt = Field(
        default=5,
        description="A capability measured on fewer is shown and does not count in the objective: its loss is chance.",
    )
    replicates: Annotated[int, Field(ge=2)] = Field(
        default=3, description="Runs with other draws at the centre, of text alone, and of the chosen recipe."
    )
    held_out_mixtures: Annotated[int, Field(ge=4)] = Field(
        default=12, description="Random mixtures that are predicted, then measured, and never fitted."
    )
    min_rank_correlation: Annotated[float, Field(ge=-1.0, le=1.0)] = Field(
        default=0.8, description="Of predicted and measured over those mixtures; below it the check warns."
    )
    candidates: PositiveInt = Field(default=1_000, description="Mixtures among which the recipe is chosen.")
    posterior_draws: PositiveInt = Field(
        default=400, description="Draws of the fitted losses, for the intervals of recipe and objective."
    )
    confidence: OpenShare = Field(default=0.95, description="Of every interval.")
    importance: dict[Capability, NonNegativeFloat] = Field(
        default_factory=dict[Capability, float],
        description="Weight of a capability's relative loss in the objective; 1 where it is not named.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto takes the GPU when there is one.")
    processes: PositiveInt = Field(
        default=2, description="Proxies trained at once on CPU, one thread each, so that the sums do not depend on it."
    )

    def importance_of(self, capability: str) -> float:
        """Weight of a capability in the objective, before the weights are brought to sum to 1."""
        return {str(name): value for name, value in self.importance.items()}.get(capability, 1.0)

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        return self
