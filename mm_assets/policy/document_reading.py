"""How documents are read: bounds on files and pages, what is a figure, and when a page is read from its pixels."""

from typing import Annotated

from pydantic import Field

from mm_assets.policy.section import NonNegativeFloat, PositiveInt, Section, Share

PositiveFloat = Annotated[float, Field(gt=0.0)]


class DocumentReadingPolicy(Section):
    """Bounds on reading documents; over them a document is refused, never cut."""

    max_file_bytes: PositiveInt = Field(default=1_073_741_824, description="Largest PDF file.")
    max_html_bytes: PositiveInt = Field(
        default=67_108_864, description="Largest HTML file; it is parsed whole, the tree takes about ten times as much."
    )
    max_html_depth: PositiveInt = Field(
        default=1_000, description="Deepest nesting of elements; browsers stop at 512, real pages stay under 60."
    )
    max_blocks: PositiveInt = Field(default=1_000_000, description="Most blocks of one HTML document.")
    max_data_uri_bytes: PositiveInt = Field(
        default=16_777_216, description="Largest picture that stands inside the HTML itself, encoded."
    )
    max_table_cells: PositiveInt = Field(
        default=200_000, description="Most cells of one table, spans filled in; rowspan and colspan multiply."
    )
    max_pages: PositiveInt = Field(default=20_000, description="Most pages of one document; the largest manuals.")
    max_page_pt: PositiveFloat = Field(
        default=14_400.0, description="Longest side of a page, points; 200 inches, the limit of PDF 1.7, annex C."
    )
    max_objects: PositiveInt = Field(
        default=200_000, description="Most objects of a page, those of nested forms counted each time they are drawn."
    )
    max_segments: PositiveInt = Field(
        default=1_000_000, description="Most path segments of a page; a dense map has some 100,000."
    )
    max_characters: PositiveInt = Field(
        default=200_000, description="Most characters of a page; newspapers hold 30,000."
    )
    max_links: PositiveInt = Field(default=10_000, description="Most links of a page.")
    max_outline_entries: PositiveInt = Field(default=100_000, description="Entries of an outline that are read.")
    max_image_pixels: PositiveInt = Field(
        default=178_956_970, description="Largest picture of a page as declared; Pillow's bound on decompression bombs."
    )
    max_render_pixels: PositiveInt = Field(
        default=40_000_000, description="Largest rendering; a larger region is rendered at a lower resolution."
    )
    max_picture_bytes: PositiveInt = Field(
        default=67_108_864, description="Largest file of a figure beside a document, encoded."
    )
    figure_dpi: PositiveFloat = Field(
        default=144.0, description="Resolution at which figures on pages are rendered: twice a screen's 72."
    )
    memory_bytes: PositiveInt = Field(
        default=3_221_225_472, description="Address space of the process that runs PDFium; a bomb ends there."
    )
    stall_seconds: NonNegativeFloat = Field(
        default=60.0, description="Longest wait for one page; then its process is ended. A dense map renders in 5 s."
    )
    min_figure_pt: PositiveFloat = Field(
        default=16.0, description="Shorter side of a figure, points; bullets, icons in text and ornaments are smaller."
    )
    max_rule_pt: PositiveFloat = Field(
        default=3.0, description="Widest ruling line, points; thicker bars are filled boxes."
    )
    image_gap_pt: NonNegativeFloat = Field(
        default=1.0, description="Gap between the strips or tiles of one picture, points; rounding leaves up to one."
    )
    drawing_gap_pt: NonNegativeFloat = Field(
        default=9.0, description="Gap between strokes of one drawing, points; captions keep at least this distance."
    )
    min_drawing_strokes: PositiveInt = Field(
        default=4, description="Slanted or curved strokes that make a drawing; rounded boxes and ornaments have fewer."
    )
    max_drawing_text: Share = Field(
        default=0.35, description="Share of a drawing's area under words; more is framed text."
    )
    page_image_share: Share = Field(
        default=0.85, description="Share of the page from which a picture is the scanned page itself."
    )


class DocumentRecognitionPolicy(Section):
    """When and how a page is read from its pixels."""

    dpi: PositiveFloat = Field(
        default=150.0, description="Resolution pages are rendered at; ten-point text is 20 px high."
    )
    max_side_px: PositiveInt = Field(
        default=4_096, description="Longer side of a page's pixels; larger pictures of pages are scaled down."
    )
    min_layer_words: PositiveInt = Field(
        default=3, description="Fewest words that make a text layer; scans carry a stamp or a page number."
    )
    max_nonsense: Share = Field(
        default=0.2,
        description="Share of characters without meaning (unmapped, private use, control) from which a layer is "
        "nonsense; symbol fonts in formulas reach a few percent.",
    )
    min_line_confidence: Share = Field(default=0.5, description="Mean probability a recognised line needs; RapidOCR's.")
    min_larger: NonNegativeFloat = Field(
        default=0.25,
        description="By which share a line has to be larger than most text of its page to be of another size; boxes of "
        "lines of one size, read at 150 dpi, differ by a seventh on either side, a few by a quarter.",
    )
    min_smaller: Share = Field(
        default=0.15, description="By which share it has to be smaller; footnotes are by a fifth."
    )
    max_line_step: NonNegativeFloat = Field(
        default=1.8, description="From one line to the next of a block that has one size, in font sizes."
    )
    min_region_score: Share = Field(
        default=0.5, description="Score a region of the layout model needs; its own default."
    )
    pages_at_once: PositiveInt = Field(default=8, description="Pages whose pixels are held for one call of the models.")
    sample_share: Share = Field(
        default=0.01,
        description="Share of the pages with a text layer that are read from their pixels too, to compare; a band "
        "of 80 words takes some two seconds on a CPU core.",
    )
    max_sampled_pages: PositiveInt = Field(default=5, description="Most pages of one document that are compared.")
    min_sampled_words: PositiveInt = Field(default=40, description="Fewest words of a page that is compared.")
    words_of_band: PositiveInt = Field(
        default=80, description="Words of the band of a sampled page that is read; a page of prose has 500."
    )
