"""How the words of a page become lines, columns, paragraphs and tables."""

from pydantic import Field

from mm_assets.policy.section import NonNegativeFloat, PositiveInt, Section, Share


class DocumentStructurePolicy(Section):
    """Measures of structure; lengths are in multiples of the text's own size, so that they hold for every format."""

    max_word_gap: NonNegativeFloat = Field(
        default=1.6, description="Gap between words of one line, in font sizes; justified text stretches to about one."
    )
    max_marker_gap: NonNegativeFloat = Field(
        default=4.0, description="Gap between a list's mark and its text, in font sizes."
    )
    min_gutter: NonNegativeFloat = Field(
        default=0.9, description="Narrowest white strip between columns, in font sizes; journals leave one and a half."
    )
    min_column_share: Share = Field(
        default=0.18, description="Narrowest column as a share of the page; four columns and their gutters fit."
    )
    min_column_lines: PositiveInt = Field(default=3, description="Fewest lines of a column.")
    spanning_share: Share = Field(
        default=0.6, description="Share of a region's width from which a line or figure stands across its columns."
    )
    max_line_pitch: NonNegativeFloat = Field(
        default=1.35, description="Distance of two lines of a paragraph, in usual distances; a blank half line is 1.5."
    )
    size_change: Share = Field(default=0.08, description="Change of font size that begins another block.")
    min_indent: NonNegativeFloat = Field(default=0.9, description="Indent that begins a paragraph, in font sizes.")
    min_heading_size: NonNegativeFloat = Field(
        default=1.1, description="Font size of a heading, in sizes of the body's text; bold headings may be smaller."
    )
    max_heading_words: PositiveInt = Field(default=24, description="Most words of a heading.")
    footnote_size: Share = Field(
        default=0.92, description="Largest font size of a footnote, in the body's; nine points stand under ten."
    )
    max_formula_prose: Share = Field(
        default=0.2,
        description="Share of words of four letters and more in a formula: where, with, names of functions.",
    )
    min_region_share: Share = Field(
        default=0.6,
        description="Share of a text that lies in a region of the layout model for it to be what that says.",
    )
    margin_share: Share = Field(
        default=0.12, description="Share of the page's height at each end in which running lines may stand."
    )
    pages_around: PositiveInt = Field(
        default=4, description="Pages before and behind that are compared to find running lines, and held for it."
    )
    min_repeats: PositiveInt = Field(default=2, description="Other pages on which a running line recurs.")
    min_rules: PositiveInt = Field(default=3, description="Fewest horizontal rules of a table without vertical ones.")
    min_aligned_rows: PositiveInt = Field(
        default=3, description="Fewest rows of a table without rules; two may stand below each other by chance."
    )
    max_key_words: NonNegativeFloat = Field(
        default=3.0, description="Mean words of the first cells of a table without rules; columns of text have more."
    )
    min_running_characters: PositiveInt = Field(
        default=12, description="Mean characters from which the lines of a column may be running text; cells are short."
    )
    max_running_rows: Share = Field(
        default=0.3, description="Share of rows that go on from the row above, from which a column is running text."
    )
    max_row_pitch: NonNegativeFloat = Field(
        default=2.5, description="Distance of two rows of a table without rules, in font sizes."
    )
    max_table_share: Share = Field(
        default=0.8, description="Tallest frame as a share of the page that can be a table; taller ones frame the page."
    )
