"""What a batch may cost, and its samples."""

from pydantic import Field

from mm_assets.policy.section import NonNegativeFloat, PositiveInt, Section


class BudgetPolicy(Section):
    """What a batch may cost."""

    currency: str = Field(default="USD", description="Currency of every price.")
    per_batch: NonNegativeFloat = Field(default=5.0, description="Budget of one batch.")
    price_per_1000_images: NonNegativeFloat = Field(
        default=0.002, description="Embedding or scoring 1,000 images on a CPU core."
    )
    price_per_1000_texts: NonNegativeFloat = Field(
        default=0.001, description="Embedding 1,000 captions, or naming the language of 1,000 texts, on a CPU core."
    )
    price_per_1000_tokens: NonNegativeFloat = Field(default=0.0005, description="A language model's tokens.")
    price_per_1000_pairs: NonNegativeFloat = Field(
        default=0.002, description="An NLI model's 1,000 pairs of captions, both ways, on a CPU core."
    )
    price_per_1000_requests: NonNegativeFloat = Field(
        default=1.0,
        description="Requests about one picture to a hosted vision-language model: about 1,000 tokens each.",
    )
    price_per_1000_codes: NonNegativeFloat = Field(
        default=0.000002, description="Finding the nearest of 1,024 codes of 1,000 patches on a CPU core."
    )
    price_per_audio_second: NonNegativeFloat = Field(default=0.00001, description="Speech recognition.")


class FusionPolicy(Section):
    """The frozen placeholder syntax and vocabulary."""

    placeholder_version: str = Field(default="1", description="Version of the syntax; a release pins it.")
    text_vocab_size: PositiveInt = Field(default=128_256, description="Text tokens before the image codes.")
    image_code_offset: PositiveInt = Field(default=128_256, description="Token id of <IMG_TK_0>.")
    audio_code_offset: PositiveInt = Field(
        default=131_072,
        description="Token id of <AUD_TK_0>, or that behind the last image code if it is higher: with up to 2,816 of "
        "them a larger visual codebook moves no sound.",
    )
    max_caption_characters: PositiveInt = Field(
        default=2_000, description="Longest text behind an image or a segment; 30 s of speech take about 450."
    )
