"""Windows of documents: how much a model reads at once, and what may be moved."""

from typing import Annotated

from pydantic import Field

from mm_assets.policy.section import PositiveInt, Section, Share


class TilePolicy(Section):
    """How a picture is cut into tiles for an encoder of fixed size (AnyRes, LLaVA-NeXT)."""

    tile_px: PositiveInt = Field(default=336, description="Side of a tile: the input of CLIP ViT-L/14 at 336 px.")
    patch_px: PositiveInt = Field(default=14, description="Side of a patch; every patch is a token.")
    grids: tuple[tuple[PositiveInt, PositiveInt], ...] = Field(
        default=((1, 2), (2, 1), (2, 2), (3, 1), (1, 3)),
        min_length=1,
        description="Rows and columns of tiles to choose from, LLaVA-NeXT's own; at a tie the first is taken.",
    )


class WindowPolicy(Section):
    """Budget of a window and the rule by which figures stand before or near what refers to them."""

    budget_tokens: Annotated[int, Field(ge=256, le=16_777_216)] = Field(
        default=8_192, description="Tokens of a window, pictures, context headings and separators included."
    )
    tokenizer: str = Field(
        default="",
        description="Path of the tokenizer.json of the model to be trained; empty: an estimate, called so in the rows.",
    )
    separator_tokens: PositiveInt = Field(
        default=1, description="Tokens counted for the empty line behind every element."
    )
    sentinel_tokens: PositiveInt = Field(
        default=2, description="Tokens counted for the start and the end of every picture."
    )
    near_tokens: PositiveInt = Field(
        default=512,
        description="A figure or table this close behind its first use stays where it is: about a page of text.",
    )
    look_ahead_tokens: PositiveInt = Field(
        default=4_096,
        description="How far ahead a figure or table, or the other half of a figure and its caption, is looked for. "
        "One farther off stays where it is: eight pages on it belongs to another part of the text.",
    )
    look_ahead_blocks: PositiveInt = Field(
        default=256, description="The same in blocks, which bounds memory whatever they hold."
    )
    max_context_share: Annotated[float, Field(gt=0.0, le=0.5)] = Field(
        default=0.25,
        description="Share of a window that context headings may take, and likewise one repeated figure or table.",
    )
    recalled_tokens: int = Field(
        default=16_384,
        ge=0,
        description="Tokens of figures and tables of earlier windows that are kept to be repeated in front of what "
        "refers to them; 0 repeats none.",
    )
    min_split_share: Share = Field(
        default=0.25,
        description="A block longer than a window starts in the window before if this share of it is free.",
    )
