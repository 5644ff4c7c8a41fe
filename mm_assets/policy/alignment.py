"""When the text of a segment goes with what is heard and shown in it."""

from pydantic import Field

from mm_assets.policy.section import PositiveInt, Section, Share


class SegmentPolicy(Section):
    """Agreement of text, sound and pictures within a segment."""

    min_heard_share: Share = Field(
        default=0.5,
        description="Tokens that text and transcript have in common, in order, of both together (F1). Condensed cues "
        "reach 0.6, texts of other clips 0.2.",
    )
    min_paraphrase_rank: Share = Field(
        default=0.98,
        description="Where fewer tokens agree, as in translated cues: share of the batch's other transcripts that must "
        "resemble the text less than its own.",
    )
    min_shown_rank: Share = Field(
        default=0.75,
        description="Share of mismatched pairs whose pictures must resemble the text less. Chance gives 0.5; speech "
        "about something else than the picture stays near it.",
    )
    null_pairs: PositiveInt = Field(default=64, description="Mismatched pairs drawn for each segment, at most.")
    min_null_pairs: PositiveInt = Field(
        default=16, description="Fewer mismatched pairs in a batch give no rank, and nothing is claimed."
    )
    max_beyond: Share = Field(
        default=0.5,
        description="Posterior of being displaced beyond the tolerance from which the times of a clip are not used.",
    )
    max_overhang_us: PositiveInt = Field(
        default=150_000,
        description="How far a word may reach out of its piece, microseconds; recognisers err by 80 ms at the median. "
        "It is cut there; a piece that cuts deeper is turned away.",
    )
    sample_segments: PositiveInt = Field(
        default=200, description="Segments in the similarity sample that is checked before any is admitted."
    )
    min_sample: PositiveInt = Field(default=5, description="A smaller sample tells nothing.")
    sample_permutations: PositiveInt = Field(default=20, description="Re-pairings behind the sample's null.")
    seed: int = Field(default=20_240_611, description="Seed of sample and mismatched pairs.")
