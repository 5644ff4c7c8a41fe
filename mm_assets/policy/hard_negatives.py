"""How hard negatives are made, judged and counted."""

from typing import Annotated

from pydantic import Field

from mm_assets.policy.section import NonNegativeFloat, PositiveInt, Section, Share


class HardNegativePolicy(Section):
    """When a negative is hard, when it is false after all, and when it gives itself away."""

    max_similarity: Share = Field(
        default=0.75,
        description="Similarity above which a mined negative is taken to be true of the picture; 0.92 let 38.7 % true "
        "pairs through in the reference's log.",
    )
    min_similarity: Share = Field(
        default=0.1,
        description="Image-text score below which a pair is corrupted: neither a positive to work from nor hard.",
    )
    max_per_positive: PositiveInt = Field(default=2, description="Negatives kept of one positive, after balancing.")
    exchange_window: PositiveInt = Field(
        default=24, description="Neighbours in the net of words that a word is compared with for an exchange."
    )
    exchanges_per_word: PositiveInt = Field(default=3, description="Exchanges one word of a caption takes part in.")
    unpaired: bool = Field(
        default=True, description="Whether a word that finds no partner is replaced from the word net and the lexicons."
    )
    chunk_texts: PositiveInt = Field(
        default=2_048,
        description="Captions or cues worked on at once: words and captions change hands among them, and memory is "
        "theirs. As many as a large training batch has.",
    )
    texts_per_caption: PositiveInt = Field(
        default=6, description="Texts embedded per caption, to estimate what the step costs; the demo embeds 4.3."
    )
    neighbours: PositiveInt = Field(default=16, description="Nearest texts looked at for each picture when mining.")
    block_rows: PositiveInt = Field(
        default=4_096, description="Rows of a similarity block: 4,096 squared float32 are 64 MiB."
    )
    index_rows: PositiveInt = Field(
        default=500_000,
        description="Rows from which an inverted-file index replaces exact search; exact takes about 20 minutes there.",
    )
    index_probes: PositiveInt = Field(default=16, description="Lists of the index that a query looks into.")
    duplicate_similarity: Share = Field(
        default=0.95, description="Similarity of two pictures from which one's caption may be true of the other."
    )
    max_shared_words: Share = Field(
        default=0.6,
        description="Share of a mined caption's content words that the picture's own captions use, from which it is "
        "taken to say the same.",
    )
    min_contradiction: Share = Field(
        default=0.5, description="Probability of contradiction below which a configured NLI model doubts a negative."
    )
    max_false_negative_rate: Share = Field(
        default=0.05, description="Estimated share of true texts among kept negatives, above which the batch is held."
    )
    max_blind_accuracy: Share = Field(
        default=0.55, description="Share of pairs a reader who never sees the picture may tell apart."
    )
    target_blind_accuracy: Share = Field(
        default=0.53, description="What the balancer aims at, below the limit so that fresh data passes, too."
    )
    max_balancing_share: Share = Field(
        default=0.5,
        description="Share of a strategy's negatives the balancer may drop one by one; if the rest is told, all fall.",
    )
    audit_folds: Annotated[int, Field(ge=2)] = Field(default=5, description="Folds of the audit's held-out parts.")
    max_audited: PositiveInt = Field(
        default=4_000, description="Pairs of one strategy the audit reads; more are sampled by seed."
    )
    min_audited: PositiveInt = Field(
        default=40, description="Pairs below which no accuracy over the limit can be told from luck."
    )
    audit_significance: Share = Field(
        default=0.01, description="Chance of an accuracy over one half by luck, shared among the audit's readers."
    )
    confidence: Share = Field(default=0.95, description="Of the intervals.")
    verdict_caught: PositiveInt = Field(
        default=159, description="Planted true texts the verdicts found: part test of benchmarks/hard_negatives.py."
    )
    verdict_planted: PositiveInt = Field(default=162, description="Planted true texts they were shown there.")
    labelled_true: Annotated[int, Field(ge=0)] = Field(
        default=3, description="Kept negatives of the demo labelled true: benchmarks/labels/hard_negatives.json."
    )
    labelled: PositiveInt = Field(
        default=322, description="Kept negatives labelled there; no unreviewed batch is taken to be better than they."
    )
    min_reviewed: PositiveInt = Field(
        default=30, description="Human verdicts on a strategy from which they alone tell its rate."
    )
    min_negatives: PositiveInt = Field(default=20, description="Fewer kept negatives are not judged.")
    review_per_strategy: PositiveInt = Field(default=12, description="Random negatives of each strategy to review.")
    min_gap_us: PositiveInt = Field(
        default=1_000_000,
        description="Least time between a text's window and a false one, microseconds: ten times the tolerance.",
    )
    max_gap_us: PositiveInt = Field(
        default=30_000_000, description="Farthest a false window may lie, microseconds; farther ones are easy."
    )
    max_recolored: Annotated[int, Field(ge=0)] = Field(
        default=200, description="Pictures of one batch that are edited; each takes a decode and an encode."
    )
    min_color_shift: NonNegativeFloat = Field(
        default=25.0,
        description="Least mean change of a region's chroma by recolouring, in CIELAB units; 2.3 is just noticeable.",
    )
    max_prompts: Annotated[int, Field(ge=0)] = Field(
        default=200,
        description="Captions of one batch that a configured language model falsifies, or exchanges words among.",
    )
    rated_window: PositiveInt = Field(
        default=6, description="Neighbours in the net of words that a model chooses an exchange among, for each word."
    )
    max_rated_shift: NonNegativeFloat = Field(
        default=4.0,
        description="Most the log-likelihood of either caption may change by an exchange that a model chose, nats; "
        "beyond it, one of the two reads odd.",
    )
    prompt_seconds: NonNegativeFloat = Field(
        default=600.0, description="Time in which requests for one batch may start, seconds."
    )
    seed: int = Field(default=0, description="Of every random choice.")
