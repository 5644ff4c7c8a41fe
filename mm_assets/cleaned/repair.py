"""Repair text: mojibake, HTML entities, control characters, Unicode form, white space."""

import ftfy
import polars as pl

# Control characters, blanks of no width and switches of direction; joiners stay, Persian and emoji need them.
_INVISIBLE = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069]"
_CONFIGURATION = ftfy.TextFixerConfig(unescape_html=True, normalization="NFC", uncurl_quotes=False, explain=False)


def repair_texts(texts: pl.Series, *, keep_lines: bool) -> pl.Series:
    r"""Repair every text.

    Args:
        texts: strings.
        keep_lines: keep line breaks and indentation (code, dialogue); otherwise every run of white space is one blank.

    >>> repair_texts(pl.Series(["A  duck &amp; a pond\x07"]), keep_lines=False).to_list()
    ['A duck & a pond']
    """
    fixed = texts.map_elements(lambda text: ftfy.fix_text(text, _CONFIGURATION), return_dtype=pl.String)
    fixed = fixed.str.replace_all(_INVISIBLE, "")
    if keep_lines:
        return fixed.str.replace_all(r"[ \t]+(\n|$)", "$1").str.strip_chars("\n").str.strip_chars_end()
    return fixed.str.replace_all(r"\s+", " ").str.strip_chars()
