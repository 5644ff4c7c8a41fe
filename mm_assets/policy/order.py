"""When the blocks of documents are taken to stand in the order in which they were written."""

from typing import Annotated

from pydantic import Field

from mm_assets.policy.section import NonNegativeFloat, PositiveInt, Section, Share


class OrderGatePolicy(Section):
    """Evidence that an order is broken, by document, and how many such documents a batch may have."""

    min_evidence: NonNegativeFloat = Field(
        default=5.0,
        description="Log-likelihood ratio against a sound document from which it counts as faulty; 5 is 150 to 1.",
    )
    misread_number: Annotated[float, Field(gt=0.0, lt=0.5)] = Field(
        default=0.02,
        description="Probability that a number out of its series was misread, or set so by its author.",
    )
    min_numbered: PositiveInt = Field(default=4, description="Shorter series of numbers tell nothing about an order.")
    min_page_words: PositiveInt = Field(
        default=20, description="Pages of fewer words are not compared: title pages and blank pages are alike."
    )
    break_match: Share = Field(
        default=0.85, description="Share of page breaks inside a sentence behind which a small letter follows."
    )
    break_mismatch: Share = Field(
        default=0.05, description="Share of the other page breaks behind which a small letter follows."
    )
    random_lower: Share = Field(
        default=0.4, description="Share of pages that begin with a small letter, whatever stands before them."
    )
    min_column_words: PositiveInt = Field(
        default=4, description="Shorter blocks are notes and labels; they tell nothing about columns."
    )
    min_zigzags: PositiveInt = Field(
        default=2, description="Returns to a column that was left, on a page, from which its columns are interleaved."
    )
    max_zigzag_share: Share = Field(
        default=0.1, description="Share of the pages with columns that may be interleaved in a sound document."
    )
    broken_joins: tuple[float, float] = Field(
        default=(0.01, 0.04),
        description="Share of joins between words that no sentence has, among those that could be told: in sound text "
        "and where lines of two columns alternate.",
    )
    alt_weight: NonNegativeFloat = Field(
        default=8.0, description="Evidence of a nat of a caption's rare words in the alternative text of its figure. "
        "Weights of captions are fitted to figures of HTML manuals, neighbours against neighbours, and scaled so that "
        "none of 175 sound documents reaches 4, with or without alternative texts."
    )  # fmt: skip
    file_weight: NonNegativeFloat = Field(default=2.75, description="The same in the name of its file.")
    context_weight: NonNegativeFloat = Field(
        default=1.75,
        description="Evidence of all of a caption's words around its figure; neighbours share many of them.",
    )
    similarity_temperature: Annotated[float, Field(gt=0.0)] = Field(
        default=0.25,
        description="Likeness of embeddings that makes a caption e times likelier to be a figure's own. On screenshots "
        "and diagrams of one manual that of bridge-lite0-minilm tells nothing.",
    )
    max_figure_evidence: NonNegativeFloat = Field(
        default=9.0, description="Most that one figure can say; names of files are not always right."
    )
    repeated_evidence: NonNegativeFloat = Field(
        default=4.3, description="Evidence of a picture that is shown twice with different captions."
    )
    stage_evidence: NonNegativeFloat = Field(
        default=3.6,
        description="Evidence of a caption of a result right before one of its input: 11 of 11 neighbours stand the "
        "other way.",
    )
    context_blocks: PositiveInt = Field(default=3, description="Blocks on either side that are a figure's context.")
    lost_evidence: NonNegativeFloat = Field(
        default=5.5,
        description="Evidence of one caption without its figure, or of one picture that cannot be read: a sound "
        "document has none, and structure finds what is there in all but a few.",
    )
    gap_evidence: NonNegativeFloat = Field(
        default=5.5, description="Evidence of one number missing between two figures of a document."
    )
    reference_evidence: NonNegativeFloat = Field(
        default=2.5, description="Evidence of one reference to a figure number that the document does not have."
    )
    max_ocr_disagreement: Share = Field(
        default=0.5,
        description="Share of a sampled page's words that recognition does not find in the text layer, above which the "
        "layer is not what is shown. Recognition itself misses up to a fifth on small print.",
    )
    document_false_rate: Annotated[float, Field(gt=0.0, lt=0.5)] = Field(
        default=0.002, description="Share of sound documents taken for faulty; measured below 1 %."
    )
    max_affected_share: Share = Field(
        default=0.01, description="Share of faulty documents that a batch may have: one in a hundred must not hold it."
    )
    false_hold_rate: Share = Field(
        default=0.01, description="Probability that a sound batch is held; of ten documents one faulty one holds it."
    )
    max_examples: PositiveInt = Field(default=12, description="Documents shown as examples in a diagnosis.")
