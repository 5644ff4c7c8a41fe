"""Pictures of a batch's documents for the UI: pages with their blocks drawn over them, and a window as a page."""

import io
from collections.abc import Sequence
from typing import Final

import polars as pl
from PIL import Image

from mm_assets.cleaned.document_reading import open_figures
from mm_assets.display.page_sheet import page_sheet
from mm_assets.display.window_page import draw_window
from mm_assets.documents.block_rows import read_blocks
from mm_assets.documents.reading import DocumentReader, Models
from mm_assets.errors import InputError
from mm_assets.landing import Landing
from mm_assets.policy import Policy
from resources.delta_lake import DeltaLake

_PAGES: Final = 2
_DPI: Final = 72.0
_POINTS: Final = 72.0
_SHEET_PX: Final = 760
_SHOWN_PX: Final = 640
PREVIEWS: Final = "previews"


def show_pages(lake: DeltaLake, landing: Landing, batch: str, affected: Sequence[str], policy: Policy) -> bytes | None:
    """A sheet of the pages with most figures and tables, else most blocks, of an affected document if there is one.

    None for a batch without pages, or if the document can no longer be read.
    """
    paged = lake.scan("documents", batch).filter(pl.col("form") != "html").collect()
    chosen = paged.filter(pl.col("document_id").is_in(list(affected)))
    row = next((chosen if chosen.height else paged).iter_rows(named=True), None)
    if row is None:
        return None
    document = row["document_id"]
    own = pl.col("document_id") == document
    rows = lake.scan("document_blocks", batch).filter(own).sort("position").collect()
    told = rows.group_by("page").agg(floats=pl.col("type").is_in(["figure", "table", "caption"]).sum(), blocks=pl.len())
    fullest = told.sort("floats", "blocks", "page", descending=[True, True, False]).head(_PAGES)
    pages = fullest["page"].sort().to_list()
    bound = lake.scan("caption_bindings", batch).filter(own).drop_nulls("caption_position")
    links = list(bound.select("position", "caption_position").collect().iter_rows())
    blocks = [owned.block for owned in read_blocks([rows.filter(pl.col("page").is_in(pages))])]
    scale = _DPI / _POINTS if row["form"] == "pdf" else 1.0
    try:
        with (
            DocumentReader(landing, Models(), policy.document_reading, policy.document_recognition) as reader,
            reader.open(row) as opened,
        ):
            drawn = [
                (opened.render_page(page, _DPI), scale, [block for block in blocks if block.page == page])
                for page in pages
            ]
    except InputError:  # changed since it was read: the next run of its step says so
        return None
    return page_sheet(drawn, links, _SHEET_PX)


def show_window(lake: DeltaLake, landing: Landing, batch: str, policy: Policy) -> str | None:
    """Write the window with most pictures as one HTML file; gives its path in the lake, None without windows."""
    windows = lake.scan("document_windows", batch)
    counted = windows.group_by("window_id").agg(
        pl.col("document_id").first(), pictures=(pl.col("modality") == "image").sum()
    )
    best = counted.sort("pictures", "window_id", descending=[True, False]).head(1).collect()
    if best.is_empty():
        return None
    rows = windows.filter(pl.col("window_id") == best["window_id"][0]).collect()
    documents = lake.scan("documents", batch).filter(pl.col("document_id") == best["document_id"][0]).collect()
    own = lake.scan("document_blocks", batch).filter(
        (pl.col("document_id") == best["document_id"][0]) & (pl.col("type") == "figure")
    )
    figures = {owned.block_id: owned.block for owned in read_blocks([own.collect()])}
    with open_figures(landing, documents, policy) as reader:

        def encoded(block_id: str) -> bytes | None:
            picture = figures[block_id].picture if block_id in figures else None
            if picture is None:
                return None
            try:
                pixels = reader.of(best["document_id"][0]).read(picture)
            except InputError:
                return None
            image = Image.fromarray(pixels)
            image.thumbnail((_SHOWN_PX, _SHOWN_PX))
            buffer = io.BytesIO()
            image.save(buffer, "PNG")
            return buffer.getvalue()

        page = draw_window(rows, encoded, documents["title"][0] or documents["file_name"][0])
    path = f"{PREVIEWS}/{batch}/window.html"
    lake.files.put_bytes(path, page.encode("utf-8"))
    return path
