"""When the text of a segment goes with what is heard and shown in it."""

from pydantic import Field

from mm_assets.policy.section import PositiveInt, Section, Share


class SegmentPolicy(Section):
    """Agreement of text, sound and pictures within a segment."""

    min_heard_share: Share = Field(
        default=0.5,
        description="Tokens that text and transcript have in common, in order, of both together (F1), from which they "
        "agree. Condensed cues reach 0.6, texts of other clips 0.2.",
    )
    min_heard_rank: Share = Field(
        default=0.98,
        description="Where fewer agree, as in names a recogniser does not know or translated cues: share of mismatched "
        "pairs of the batch that must have less in common, in tokens or else in meaning. Few pairs: all of them.",
    )
    min_tokens_ranked: Share = Field(
        default=0.2, description="Fewer tokens in common (F1) than this are not ranked; meaning is compared instead."
    )
    min_shown_rank: Share = Field(
        default=0.9,
        description="Share of mismatched pairs whose pictures must resemble the text less. Chance gives 0.5, and one "
        "unrelated pair in ten passes; speech about something else than the picture stays near chance.",
    )
    max_unlike_rank: Share = Field(
        default=0.25,
        description="Rank below which pictures rather show other texts: a text that nothing else confirms is turned "
        "away. Between the two nothing is claimed.",
    )
    null_pairs: PositiveInt = Field(default=64, description="Mismatched pairs drawn for each segment, at most.")
    min_null_pairs: PositiveInt = Field(
        default=10, description="Fewer mismatched pairs in a batch give no rank, and nothing is claimed."
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
