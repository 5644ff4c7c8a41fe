"""Clean captions: repair them, then turn away what is no description of its picture."""

from typing import Final

import polars as pl

from mm_assets.cleaned.interfaces import LanguageIdentifier
from mm_assets.cleaned.languages import fill_languages
from mm_assets.cleaned.repair import repair_texts
from mm_assets.policy import CaptionPolicy
from mm_assets.schemas import TABLES

STAGE: Final = "cleaned_images"
_JUNK: Final = (
    r"(?i)^(?:"
    r"[\w\-. ]*\.(?:jpe?g|png|gif|webp|bmp|tiff?|svg|avif)"  # a file name
    r"|(?:img|image|dsc|dscn|dcim|pict?|photo|scan|screenshot|untitled|unnamed)[\s_\-]*\d*"  # a camera's name
    r"|https?://\S+|www\.\S+"  # an address
    r"|\w+\(0x[0-9a-f]+\)"  # a printed pointer
    r"|[\W\d_]+"  # no letter at all
    r")$"
)
_REASONS: Final = {
    "IMAGE_REJECTED": "its image was rejected; see the image's own row",
    "EMPTY_CAPTION": "nothing is left after repair; write a caption",
    "TOO_SHORT": "shorter than [captions] min_characters; write a longer caption",
    "TOO_LONG": "longer than [captions] max_characters; shorten the caption",
    "JUNK_CAPTION": "a file name, address, number or pointer, no description; write a caption",
    "LANGUAGE": "not in a language of [captions] languages; translate or remove it",
    "DUPLICATE_CAPTION": "the picture has the same caption already; remove it",
    "TEMPLATED_CAPTION": "one sentence on many different pictures; describe what this one shows",
}


def clean_captions(
    captions: pl.DataFrame,
    kept_images: pl.Series,
    identifier: LanguageIdentifier,
    policy: CaptionPolicy,
    *,
    max_template_share: float,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Repair captions and turn away the unusable ones.

    A sentence that stands on more than ``max_template_share`` of the pictures is left in: the fault is the batch's,
    and the recall gate holds it with that diagnosis.

    Args:
        captions: rows of ``raw_captions`` of a whole batch.
        kept_images: ids of the images that were kept.
        identifier: names the language of captions that declare none.
        policy: what a clean caption is.
        max_template_share: share of pictures above which a repeated sentence is the gate's business.

    Returns:
        Rows of ``captions`` and rows of ``rejected``; together as many as came in.
    """
    repaired = captions.with_columns(
        raw_text=pl.col("text"), text=repair_texts(captions["text"], keep_lines=False)
    ).with_columns(language=fill_languages(pl.col("text"), captions, identifier))
    text = pl.col("text")
    length = text.str.len_chars()
    code = (
        pl.when(~pl.col("image_id").is_in(kept_images.implode()))
        .then(pl.lit("IMAGE_REJECTED"))
        .when(length == 0)
        .then(pl.lit("EMPTY_CAPTION"))
        .when(length > policy.max_characters)
        .then(pl.lit("TOO_LONG"))
        .when(text.str.contains(_JUNK) | _is_one_character(text))
        .then(pl.lit("JUNK_CAPTION"))
        .when(length < policy.min_characters)
        .then(pl.lit("TOO_SHORT"))
    )
    if policy.languages:
        foreign = pl.col("language").is_not_null() & ~pl.col("language").is_in(list(policy.languages))
        code = code.when(foreign).then(pl.lit("LANGUAGE"))
    judged = repaired.with_columns(code=code.otherwise(None))
    judged = _mark_repeated(judged)
    judged = _mark_templates(judged, policy, max_template_share)
    kept = judged.filter(pl.col("code").is_null()).select(list(TABLES["captions"].columns))
    return kept, _rejected(judged.filter(pl.col("code").is_not_null()))


def _is_one_character(text: pl.Expr) -> pl.Expr:
    """A caption such as ``aaaaaaa``: one character over and over."""
    return (text.str.len_chars() > 1) & (text.str.strip_chars(text.str.head(1)) == "")


def _mark_repeated(judged: pl.DataFrame) -> pl.DataFrame:
    """The same caption a second time on the same picture."""
    usable = pl.col("code").is_null()
    key = pl.struct("image_id", pl.col("text").str.to_lowercase(), usable)
    again = usable & ~key.is_first_distinct()
    return judged.with_columns(code=pl.when(again).then(pl.lit("DUPLICATE_CAPTION")).otherwise("code"))


def _mark_templates(judged: pl.DataFrame, policy: CaptionPolicy, max_share: float) -> pl.DataFrame:
    """One sentence, digits and punctuation aside, on many different pictures."""
    usable = judged.filter(pl.col("code").is_null()).select(
        "caption_id", "image_id", template=pl.col("text").str.to_lowercase().str.replace_all(r"[\W\d_]+", " ")
    )
    pictures = usable["image_id"].n_unique()
    shares = usable.group_by("template").agg(images=pl.col("image_id").n_unique())
    found = shares.filter(
        (pl.col("images") >= policy.template_min_images)
        & (pl.col("images") >= policy.template_min_share * pictures)
        & (pl.col("template").str.strip_chars() != "")
    )
    if found["images"].sum() > max_share * pictures:
        return judged
    ids = usable.join(found, on="template", how="semi")["caption_id"]
    templated = pl.col("code").is_null() & pl.col("caption_id").is_in(ids.implode())
    return judged.with_columns(code=pl.when(templated).then(pl.lit("TEMPLATED_CAPTION")).otherwise("code"))


def _rejected(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        "batch",
        pl.lit(STAGE).alias("stage"),
        pl.lit("caption").alias("record_kind"),
        "record_ref",
        pl.col("caption_id").alias("record_id"),
        "code",
        pl.format(
            "{}: caption '{}': {}",
            "record_ref",
            pl.col("text").str.slice(0, 80),
            pl.col("code").replace_strict(_REASONS, return_dtype=pl.String),
        ).alias("reason"),
    )
