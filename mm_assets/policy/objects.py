"""Boxes, their gate, their phrases, and which way up and round a picture is."""

from typing import Annotated

from pydantic import Field

from mm_assets.policy.section import NonNegativeFloat, PositiveInt, Section, Share


class ObjectPolicy(Section):
    """Which declared boxes are usable."""

    outside_tolerance: Share = Field(
        default=0.02, description="Share of the picture's side a box may reach over the edge; such a box is clipped."
    )
    outside_tolerance_px: NonNegativeFloat = Field(
        default=2.0, description="The same in pixels; the larger of both counts. Rounding twice costs 1 px."
    )
    rounding_px: NonNegativeFloat = Field(
        default=0.01, description="Reach over the edge that is rounding, not clipping: six decimals on 10,000 px."
    )
    resize_tolerance: Share = Field(
        default=0.01,
        description="Relative difference of the aspects of declared and stored size that is still a plain resize.",
    )
    min_visible_share: Share = Field(
        default=0.3, description="Share of a box's area a crop must leave; a box with less is not the object any more."
    )


class ObjectGatePolicy(Section):
    """When a batch's boxes are taken to hold what their labels name."""

    context_margin: Share = Field(
        default=0.08, description="Share of a box's sides added around its crop; a little context helps the encoder."
    )
    min_box_px: NonNegativeFloat = Field(
        default=3.0, description="Shorter side of a crop, pixels; below it there is nothing to encode."
    )
    pool_size: PositiveInt = Field(
        default=16, description="Labels per query, the right one among them; fixed so that batches compare."
    )
    max_boxes: PositiveInt = Field(
        default=384, description="Boxes judged; of more, runs of neighbouring images are sampled by seed."
    )
    min_boxes: PositiveInt = Field(
        default=24, description="Fewer labelled boxes than this cannot be judged and pass as not judged."
    )
    images_per_window: PositiveInt = Field(
        default=8, description="Neighbouring images sampled together: rows of one run must stay neighbours."
    )
    bootstrap_samples: PositiveInt = Field(default=1_000, description="Resamples of images behind the interval.")
    permutations: PositiveInt = Field(default=2_000, description="Re-labellings behind the null.")
    confidence: Share = Field(default=0.95, description="Of the interval.")
    max_null_p_value: Share = Field(
        default=0.01, description="Above it the labels are not distinguishable from chance."
    )
    baseline_floor: Share = Field(
        default=0.15, description="Region R@1 a batch of an unknown source must not be significantly below."
    )
    baseline_tolerance: Share = Field(default=0.5, description="Share of a trusted baseline that a batch may lose.")
    false_hold_rate: Share = Field(
        default=0.01, description="Significance of the comparison with the baseline and of a named fault."
    )
    scale_factors: tuple[Annotated[float, Field(gt=0.0)], ...] = Field(
        default=(0.25, 1 / 3, 0.5, 0.6, 2 / 3, 0.75, 0.8, 1.25, 4 / 3, 1.5, 5 / 3, 2.0, 2.5, 3.0, 4.0),
        description="Resizes weighed as they are; others are found by a search over 0.2 to 5 along picture edges.",
    )
    max_shift: PositiveInt = Field(default=5, description="Largest |k| tested as labels shifted by k boxes.")
    probe_boxes: PositiveInt = Field(
        default=24, description="Boxes encoded per reading before it is known whether the reading is worth more."
    )
    shams_per_box: PositiveInt = Field(
        default=12, description="Boxes at random places per declared box: what edges look like by chance."
    )
    unexplained_share: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        default=0.1, description="Share of sound boxes whose label, or whose edges, the evidence fails to recognise."
    )
    min_affected_share: Share = Field(
        default=0.02, description="Share of boxes a proven fault must explain to hold a batch whose recall is good."
    )
    min_row_confidence: Share = Field(
        default=0.95, description="Posterior above which a box is named as affected; a repair moves no other box."
    )
    seed: int = Field(default=20_240_611, description="Seed of sampling, shams, bootstrap and permutations.")


class AnchoringPolicy(Section):
    """When a box is taken to be what a phrase of a caption names."""

    read_undetermined: bool = Field(
        default=True,
        description="Read captions without a language as English; most are too short for one to be told.",
    )
    place_weight: NonNegativeFloat = Field(
        default=0.5, description="Worth of a cue about place or size; a label that agrees in its last word has 0.8."
    )
    min_gap: Share = Field(
        default=0.05, description="Share of the picture's side that centres must be apart for one to be further left."
    )
    contradiction: Annotated[float, Field(gt=0.5, le=1.0)] = Field(
        default=0.66, description="Share of the side beyond which a centre contradicts a caption that says otherwise."
    )
    min_margin: NonNegativeFloat = Field(
        default=0.05, description="How much worse every other choice must be for a phrase to be decided; cosine."
    )
    min_label_similarity: float = Field(
        default=0.1,
        description="Cosine of label and noun below which a phrase in other words is not tried; of the encoder.",
    )
    min_evidence: float = Field(
        default=0.4,
        description="Cosines of crop with phrase and label with noun, added, that make a phrase in other words the "
        "box's; of the encoder. With bridge-lite0-minilm 66 % of right and 3 % of wrong kinds pass on 160 stamps.",
    )
    max_tied_boxes: PositiveInt = Field(
        default=64, description="Boxes of one caption that compete for its phrases; of more, none is decided."
    )


class OrientationPolicy(Section):
    """When left and right in a picture, its metadata and its captions agree."""

    ocr_enabled: bool = Field(default=True, description="Look for burned-in side markers in medical pictures.")
    ocr_modalities: tuple[str, ...] = Field(
        default=("CR", "DX", "MG", "RG", "RF", "XA", "PX", "IO"),
        description="DICOM modalities whose pictures carry side markers. A picture of another modality, or one that is "
        "no DICOM and declares no orientation, is not read: reading takes about 0.4 s of CPU time.",
    )
    marker_levels: tuple[PositiveInt, ...] = Field(
        default=(24, 48, 80),
        description="Levels of 255 above or below its surroundings at which a marker is cut out; fainter are lost.",
    )
    min_marker_height: Share = Field(
        default=0.018, description="Height of a marker's letters, as a share of the picture's shorter side: at least."
    )
    max_marker_height: Share = Field(default=0.13, description="And at most.")
    max_marker_candidates: PositiveInt = Field(
        default=16, description="Candidates read per picture, the most contrasting first; each is read twice."
    )
    min_marker_confidence: Share = Field(
        default=0.95, description="Confidence of the reading that makes a marker; noise stays below 0.9."
    )
    max_counter_confidence: Share = Field(
        default=0.7, description="Confidence the same side may reach the other way round; above, nothing is concluded."
    )
    min_finding_confidence: Share = Field(
        default=0.8, description="Confidence from which a contradiction in medical metadata or markers counts."
    )
    medical_null_rate: Share = Field(
        default=0.001, description="Share of medical pictures that may be contradicted: one in a thousand is a slip."
    )
    medical_significance: Share = Field(
        default=0.05, description="Chance of as many slips in what is declared below which a batch is held."
    )
    marker_error_rate: Share = Field(
        default=0.02,
        description="Share of pictures with a marker that the reader calls contradicted wrongly, at most: 1 of 221 of "
        "benchmarks/side_markers.py --half tuning, upper end of a one-sided 95 % interval 2.1 %.",
    )
    marker_significance: Share = Field(
        default=0.01, description="Chance of as many wrong calls below which a batch is held for its markers."
    )
    side_margin: Share = Field(
        default=0.08,
        description="Share of the picture's width within which a box or marker is on neither side, and two boxes are "
        "beside neither.",
    )
    caption_null_rate: Share = Field(
        default=0.1,
        description="Share of decided captions that may be contradicted: people confuse left and right, and some mean "
        "the side of the thing they look at.",
    )
    caption_significance: Share = Field(
        default=0.01, description="Chance of as many confusions below which a batch is held."
    )
    min_contradicted_captions: PositiveInt = Field(
        default=3, description="Fewer never hold a batch, however few decided captions it has."
    )
    interval_confidence: Share = Field(default=0.95, description="Of the Clopper-Pearson intervals that are reported.")
    listed_findings: PositiveInt = Field(
        default=50, description="Contradictions listed in the diagnosis, surest first."
    )
