"""Time: warping, and the gate on offset, drift and order."""

from typing import Annotated, Literal

from pydantic import Field

from mm_assets.policy.section import NonNegativeFloat, PositiveInt, Section, Share


class WarpingPolicy(Section):
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


class OffsetGatePolicy(Section):
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
    min_drift_seconds: NonNegativeFloat = Field(
        default=20.0,
        description="Shorter clips are not asked for drift: 25 against 24 frames a second are 0.8 s apart by then.",
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
