"""Near-duplicate texts, and what text is fit to train on."""

from typing import Annotated

from pydantic import Field

from mm_assets.policy.section import PositiveInt, Section, Share


class TextDuplicatePolicy(Section):
    """Near-duplicate search: candidates by MinHash bands, verdict by exact Jaccard similarity of shingles.

    A band finds a pair of similarity s with probability ``s ** rows``; of 40 bands of 4 rows a pair at 0.7 escapes all
    with probability 2e-5.
    """

    kinds: tuple[str, ...] = Field(
        default=("prose",),
        description="Kinds of texts that are compared: two theorems, functions or greetings are near by nature.",
    )
    similarity: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        default=0.7, description="Jaccard similarity of word 5-grams that makes two texts near-duplicates."
    )
    short_similarity: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        default=0.55,
        description="The same of character 5-grams of short texts, at which 98 % of single edits are found: a changed "
        "word kills five of the word 5-grams, but of the 60 character 5-grams of a caption only ten.",
    )
    short_words: PositiveInt = Field(default=24, description="Texts of fewer words are compared by characters.")
    long_words: PositiveInt = Field(
        default=20,
        description="Texts of this many words are compared by words; those between are compared both ways, so that an "
        "edit moves no pair apart.",
    )
    shingle: PositiveInt = Field(default=5, description="Words or characters of a shingle.")
    bands: PositiveInt = Field(default=40, description="Bands of a text.")
    band_rows: PositiveInt = Field(default=4, description="MinHashes of a band of word shingles.")
    short_band_rows: PositiveInt = Field(default=3, description="MinHashes of a band of character shingles.")
    block_rows: PositiveInt = Field(default=4_096, description="Texts compared at once, which bounds memory.")
    block_words: PositiveInt = Field(
        default=8_000_000, description="Words of texts compared at once; their shingles are 64 MB."
    )
    seed: int = Field(default=20_240_611, description="Seed of the MinHashes; another one needs fingerprints anew.")


class TextQualityPolicy(Section):
    """Rules on prose after Rae et al. 2021 (Gopher) and Raffel et al. 2020 (C4); no rule is a model."""

    min_words: PositiveInt = Field(
        default=50, description="Shorter texts are not judged by shares: a dialogue turn or a definition is no noise."
    )
    mean_word_characters: tuple[float, float] = Field(
        default=(3.0, 10.0), description="Least and greatest mean length of a word (Gopher: 3 and 10)."
    )
    max_symbol_share: Share = Field(default=0.1, description="Hash signs and ellipses over words (Gopher: 0.1).")
    max_bullet_share: Share = Field(default=0.9, description="Lines that begin with a bullet (Gopher: 0.9).")
    max_ellipsis_share: Share = Field(default=0.3, description="Lines that end with an ellipsis (Gopher: 0.3).")
    min_alphabetic_share: Share = Field(
        default=0.8, description="Words with a letter; Gopher's 0.8 keeps prose and turns tables of numbers away."
    )
    min_stop_words: PositiveInt = Field(
        default=2, description="Different stop words of the language that a text has (Gopher: 2 of English)."
    )
    max_repeated_line_share: Share = Field(default=0.3, description="Lines that repeat another (Gopher: 0.3).")
    max_repeated_line_characters: Share = Field(default=0.2, description="Their share of the characters (Gopher: 0.2).")
    max_top_word_pair: Share = Field(
        default=0.2, description="Share of the characters in the commonest pair of words (Gopher: 0.2)."
    )


class DialoguePolicy(Section):
    """When a dialogue is turned away; a turn is what one speaker says before another does."""

    min_turns: PositiveInt = Field(default=2, description="Turns; fewer are no dialogue.")
    min_repeated_words: PositiveInt = Field(
        default=4, description="Words of a turn that may not occur twice; a shorter one, as a greeting, may."
    )
    max_turn_characters: PositiveInt = Field(
        default=20_000, description="Longest turn; some 5,000 tokens, more than assistants are asked to write."
    )
