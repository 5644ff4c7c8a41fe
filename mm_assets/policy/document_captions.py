"""When a caption belongs to a figure or table, and how far a reference in the text may reach."""

from typing import Annotated

from pydantic import Field

from mm_assets.policy.section import NonNegativeFloat, PositiveInt, Section

_Probability = Annotated[float, Field(gt=0.0, lt=1.0)]


class DocumentCaptionPolicy(Section):
    """How captions are bound to figures and tables, and references to what they name."""

    reach_blocks: PositiveInt = Field(
        default=6,
        description="Blocks between a caption and its figure at most, other captions and figures not counted; farther "
        "off, markup or an equal number must bind them.",
    )
    adjacent: _Probability = Field(
        default=0.9, description="Probability that a caption beside a figure, with nothing between, is the figure's."
    )
    block_between: NonNegativeFloat = Field(
        default=1.2, description="Log-odds that each paragraph or list between a caption and a figure takes away."
    )
    heading_between: NonNegativeFloat = Field(
        default=3.0, description="The same of a heading: captions seldom leave their section."
    )
    shown_between: NonNegativeFloat = Field(
        default=0.6, description="The same of another figure, table or caption: a row of pictures has one caption."
    )
    page_between: NonNegativeFloat = Field(
        default=3.0, description="The same of the end of a page: a caption that has no room moves with its figure."
    )
    gap_line: NonNegativeFloat = Field(
        default=0.35,
        description="Log-odds that each line height of white space between the boxes takes away; the first is free.",
    )
    aside: NonNegativeFloat = Field(
        default=1.5, description="Log-odds taken away if caption and figure share no column and stand not side by side."
    )
    other_kind: NonNegativeFloat = Field(
        default=2.0, description="The same if the caption names a table and the block is a figure, or the reverse."
    )
    side_weight: NonNegativeFloat = Field(
        default=1.0,
        description="Weight of the document's own habit: the log-odds of captions above and below their figures, "
        "counted where only one side has a figure.",
    )
    side_prior: NonNegativeFloat = Field(
        default=1.0, description="Captions assumed on either side before any is counted; one alone decides little."
    )
    equal_number: NonNegativeFloat = Field(
        default=4.0, description="Log-odds of a figure whose own number (alt text, file name) is the caption's."
    )
    other_number: NonNegativeFloat = Field(
        default=1.0, description="Log-odds taken away if it is another; files are often numbered in their own way."
    )
    words_weight: NonNegativeFloat = Field(
        default=4.0, description="Log-odds of a caption all of whose words are in the figure's alt text and file name."
    )
    similarity_temperature: Annotated[float, Field(gt=0.0)] = Field(
        default=0.05,
        description="Cosine of embeddings above the mean of a caption's candidates that makes the pair e times "
        "likelier.",
    )
    similarity_limit: NonNegativeFloat = Field(
        default=2.0, description="Most log-odds embeddings can add or take away; screenshots resemble one another."
    )
    min_score: _Probability = Field(default=0.15, description="Score under which a caption stays unbound.")
    max_caption_characters: PositiveInt = Field(
        default=600, description="Longest paragraph that may be a caption because it starts with a figure's number."
    )
    batch_texts: PositiveInt = Field(default=256, description="Captions embedded at once.")
    max_range: PositiveInt = Field(
        default=20, description="Numbers that one range of references stands for at most, such as Figures 3-7."
    )
    relative_blocks: PositiveInt = Field(
        default=12, description="Blocks within which 'the figure below' finds its figure."
    )
    bare_blocks: PositiveInt = Field(
        default=2, description="The same of 'see below', which names nothing and mostly means text farther on."
    )
