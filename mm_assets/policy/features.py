"""Encoders and the codebook."""

from pydantic import Field

from mm_assets.policy.section import PositiveInt, Section


class FeaturePolicy(Section):
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


class CodebookPolicy(Section):
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


class AudioFeaturePolicy(Section):
    """What stands for the sound of a clip, and which of its pictures stand for what it shows."""

    mel_bands: PositiveInt = Field(
        default=40, description="Mel bands from 0 to 8 kHz; 80 resolve pitch, which 1,024 codes cannot hold."
    )
    token_us: PositiveInt = Field(
        default=80_000,
        description="Sound behind one code, microseconds: 12.5 codes a second. 25 a second lower the error of 10 ms "
        "levels of unseen prompts from 16 to 12 % of their variance and double the length of every sample.",
    )
    parts_per_token: PositiveInt = Field(
        default=4,
        description="Parts of a token whose levels stand side by side in its features: 20 ms each. One mean over the "
        "80 ms leaves 27 % of the variance, two 20 %, four 16 %.",
    )
    tokens_per_shard: PositiveInt = Field(
        default=65_536, description="Tokens in one shard of features, 21 MB: 87 minutes of sound."
    )
    max_key_frames: PositiveInt = Field(
        default=8,
        description="Pictures of one segment; of more shots the longest. 8 are 392 codes, as many as 31 s of sound.",
    )


class AudioCodebookPolicy(CodebookPolicy):
    """The vocabulary of sounds."""

    size: PositiveInt = Field(
        default=1_024,
        description="Number of codes; 256 leave a quarter more error, and a larger book needs more than an hour.",
    )
