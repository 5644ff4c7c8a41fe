"""When a picture, caption or text is turned away."""

from typing import Annotated

from pydantic import Field

from mm_assets.policy.section import NonNegativeFloat, PositiveInt, Section, Share


class ImagePolicy(Section):
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


class DuplicatePolicy(Section):
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


class CaptionPolicy(Section):
    """What a clean caption is."""

    min_characters: PositiveInt = Field(default=3, description="Shortest repaired caption.")
    max_characters: PositiveInt = Field(default=2_000, description="Longest repaired caption.")
    languages: tuple[str, ...] = Field(default=(), description="ISO 639-1 codes to keep; empty keeps all.")
    template_min_images: PositiveInt = Field(
        default=5, description="The same sentence on this many different pictures of one batch makes it a template."
    )
    template_min_share: Share = Field(default=0.05, description="And on at least this share of the batch's pictures.")


class TextPolicy(Section):
    """What a clean text-pool record is."""

    min_characters: PositiveInt = Field(default=20, description="Shortest repaired text.")
    max_characters: PositiveInt = Field(default=1_000_000, description="Longest repaired text.")
