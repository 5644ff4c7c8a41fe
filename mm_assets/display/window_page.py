# pyright: strict
"""A window of a document as a page to look at: text with its pictures in place, one HTML file that needs no other."""

import base64
import html
from collections.abc import Callable
from typing import Any, Final

import polars as pl

from mm_assets.display.counts import tell_count

_STYLE: Final = """
body { font: 16px/1.55 Georgia, "Times New Roman", serif; margin: 0; background: #f4f3ef; color: #1c1b19; }
main { max-width: 44rem; margin: 0 auto; padding: 1.5rem 2rem 4rem; background: #fff; }
header { font: 13px/1.4 system-ui, sans-serif; color: #5b5852; border-bottom: 1px solid #d9d6cf; }
section { display: grid; grid-template-columns: 4.2rem 1fr; column-gap: 1rem; align-items: start; }
.mark { font: 11px/1.4 ui-monospace, monospace; color: #77736b; padding-top: .35rem; }
.context { background: #f7f1df; } .context .mark::after { content: " context"; color: #8a6d1d; }
img { max-width: 100%; border: 1px solid #d9d6cf; } pre { white-space: pre-wrap; background: #f6f6f4; padding: .6rem; }
table { border-collapse: collapse; font-size: 14px; } td { border: 1px solid #d9d6cf; padding: .2rem .5rem; }
.caption p { font-style: italic; color: #3f3c37; margin-top: .2rem; } .to { color: #2b5f9e; text-decoration: none; }
.lost { border: 1px dashed #b3261e; color: #b3261e; padding: 1rem; font: 13px system-ui, sans-serif; }
""".strip()


def draw_window(rows: pl.DataFrame, picture: Callable[[str], bytes | None], title: str) -> str:
    """Write a window as HTML.

    Every element has its place, block and tokens at its side, what is repeated from before the window is shaded, and
    what refers to a figure links to it.

    Args:
        rows: rows of ``document_windows`` of one window.
        picture: encoded PNG, JPEG, GIF or WebP of a figure by its block id; None if there is none.
        title: of the document.

    Returns:
        The page; all text of the document is escaped.
    """
    ordered = rows.sort("position")
    total = int(ordered["tokens"].sum())
    told = (
        f"{html.escape(title)}: window {int(ordered['window_index'][0]) + 1}, {tell_count(ordered.height, 'element')}, "
        f"{total:,} tokens, pages {ordered['page'].min()} to {ordered['page'].max()}"
    )
    body = "\n".join(_section(row, picture) for row in ordered.iter_rows(named=True))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{told}</title>\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        f"<style>\n{_STYLE}\n</style></head>\n<body><main><header>{told}</header>\n{body}\n</main></body></html>\n"
    )


def _section(row: dict[str, Any], picture: Callable[[str], bytes | None]) -> str:
    links = " ".join(f'<a class="to" href="#e{target}">→{target}</a>' for target in row["refers_to"])
    mark = f"{row['position']} · b{row['block_position']}<br>{row['tokens']} tk {links}"
    kind = html.escape(row["type"])
    return (
        f'<section id="e{row["position"]}" class="{kind} {html.escape(row["role"])}"><div class="mark">{mark}</div>'
        f"<div>{_content(row, picture)}</div></section>"
    )


def _content(row: dict[str, Any], picture: Callable[[str], bytes | None]) -> str:
    if row["modality"] == "image":
        encoded = picture(row["image_ref"])
        if encoded is None:
            return f'<div class="lost">no picture of {html.escape(row["image_ref"])}</div>'
        data = base64.b64encode(encoded).decode("ascii")
        return f'<img alt="figure" src="data:{_media_type(encoded)};base64,{data}">'
    text = row["text"]
    if row["type"] == "heading":
        return f"<h3>{html.escape(text)}</h3>"
    if row["type"] in ("code", "formula"):
        return f"<pre>{html.escape(text)}</pre>"
    if row["type"] == "table":
        cells = (line.split("\t") for line in text.split("\n"))
        lines = ("".join(f"<td>{html.escape(cell)}</td>" for cell in line) for line in cells)
        return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
    return "".join(f"<p>{html.escape(line)}</p>" for line in text.split("\n"))


def _media_type(encoded: bytes) -> str:
    starts = {b"\x89PNG": "image/png", b"\xff\xd8": "image/jpeg", b"GIF8": "image/gif", b"RIFF": "image/webp"}
    return next((name for start, name in starts.items() if encoded.startswith(start)), "application/octet-stream")
