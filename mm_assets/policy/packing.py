"""How samples share windows."""

from typing import Annotated

from pydantic import Field

from mm_assets.policy.section import PositiveInt, Section


class PackingPolicy(Section):
    """Windows that short samples of a release share, so that a training step wastes little on padding."""

    window_tokens: Annotated[int, Field(ge=0, le=16_777_216)] = Field(
        default=8_192,
        description="Tokens of a window; 0 writes no sequences. As windows.budget_tokens, so that every window of a "
        "document fits one of these.",
    )
    separator_tokens: Annotated[int, Field(ge=0)] = Field(
        default=1, description="Tokens counted behind every sample, for the end-of-text token that trainers put there."
    )
    buffer_samples: PositiveInt = Field(
        default=16_384,
        description="Samples that are fitted together: a few MB. A window holds samples of at most two buffers.",
    )
    open_windows: PositiveInt = Field(
        default=64, description="Emptiest windows that wait for the next buffer; bounds memory."
    )
