"""What captions claim of their pictures."""

from typing import Annotated

from pydantic import Field

from mm_assets.policy.section import NonNegativeFloat, PositiveInt, Section, Share


class FaithfulnessPolicy(Section):
    """When captions are taken to invent objects or to contradict one another."""

    detector: str = Field(
        default="imagenet-lite0-tiles",
        description="What looks for objects nobody annotated: imagenet-lite0-tiles (embedded), "
        "torchvision:ARCHITECTURE:CHECKPOINT-PATH, or empty for none.",
    )
    detector_threshold: Share = Field(
        default=0.01, description="Probability from which the embedded detector may have seen an object."
    )
    detector_certainty: Share = Field(
        default=0.3, description="Probability from which its sight disputes an annotation that lacks the object."
    )
    clear_probability: Share = Field(
        default=0.6,
        description="Top probability above which a picture is clear to the detector; drawings mostly are not.",
    )
    miss_rate_clear: Share = Field(
        default=0.05,
        description="Share of named, visible objects the detector misses in clear pictures; the embedded one missed 3 "
        "of 163 in cut-outs, drawings and photographs.",
    )
    miss_rate_unclear: Share = Field(
        default=0.2, description="The same in unclear pictures: 12 of 85, of which 11 of 33 in drawings."
    )
    false_alarm_rate: Share = Field(
        default=0.1, description="Share of absent objects it takes for present: 0.04 in cut-outs, 0.12 in photographs."
    )
    annotation_miss_rate: Share = Field(
        default=0.02,
        description="Share of named objects that annotators left out although their label is in use; 0.016 of those in "
        "716 human captions of 159 photographs of COCO.",
    )
    disputed_evidence: Share = Field(
        default=0.25, description="Weight left to a missing annotation when the detector is certain to see the object."
    )
    min_evidence: Share = Field(default=0.5, description="Weight from which an unsupported object counts as invented.")
    reject_evidence: Share = Field(
        default=0.98, description="Weight from which the caption is rejected; below it a person reviews it."
    )
    entailment: str = Field(
        default="", description="Folder of an NLI model asked about pairs the rules leave open; empty for none."
    )
    min_contradiction: Share = Field(default=0.9, description="Probability from which the NLI model's word counts.")
    max_entailment_pairs: PositiveInt = Field(
        default=2_000, description="Pairs of one batch an NLI model reads; a small one takes 0.15 s for each on a core."
    )
    min_conflict_confidence: Share = Field(
        default=0.6, description="Confidence of a rule from which two captions contradict each other."
    )
    reject_conflict_confidence: Share = Field(
        default=0.8,
        description="Confidence from which a caption that contradicts most of its siblings, which agree, is rejected.",
    )
    invention_ceiling: Share = Field(
        default=0.10,
        description="Share of captions with an invented object a batch must not be significantly above; the captioners "
        "of Rohrbach et al. 2018 reach 0.07 to 0.15.",
    )
    conflict_ceiling: Share = Field(
        default=0.05, description="Share of contradicting pairs a batch must not be significantly above."
    )
    baseline_tolerance: NonNegativeFloat = Field(
        default=1.0, description="How much a batch may exceed the rate of its source's trusted batches, relative to it."
    )
    baseline_floor: Share = Field(
        default=0.02, description="Rate that is always allowed, however clean the trusted batches are."
    )
    min_captions: PositiveInt = Field(default=20, description="Fewer captions with a claim to check are not judged.")
    min_pairs: PositiveInt = Field(default=20, description="Fewer pairs of captions of one picture are not judged.")
    false_hold_rate: Share = Field(default=0.005, description="Significance of each of the two comparisons.")
    confidence: Share = Field(default=0.95, description="Of the intervals.")
    max_rewrites: Annotated[int, Field(ge=0)] = Field(
        default=200, description="Captions of one batch a configured vision-language endpoint is asked to rewrite."
    )
    rewrite_attempts: PositiveInt = Field(default=2, description="Rewrites asked for one caption before giving up.")
    rewrite_concurrency: PositiveInt = Field(
        default=4, description="Requests at the endpoint at once; hosted ones answer in seconds and limit the rate."
    )
    rewrite_seconds: NonNegativeFloat = Field(
        default=600.0,
        description="Time in which requests for one batch may start, seconds; a slow endpoint must not hold it up.",
    )
