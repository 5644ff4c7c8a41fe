"""Kinds, times and what segments and documents say of themselves: every planted fault is found by every pass."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

from mm_assets.fusion.document_packing import join_figures, pack_documents
from mm_assets.fusion.findings import LintCode
from mm_assets.fusion.linter import LintOptions, lint_paths
from mm_assets.policy import FusionPolicy

DOCUMENT = {"document_id": "doc_1", "source": "vendor-a", "license": "CC0", "language": "en", "record_ref": "a.html"}
Mutation = Callable[[dict], dict]


def lint(release: Path) -> Any:
    """With and without the compiled pass; both have to say the same."""
    plain = lint_paths([release], LintOptions(bulk_from_bytes=2**62))
    assert lint_paths([release], LintOptions(bulk_from_bytes=0)) == plain
    return plain


@pytest.fixture
def mixed_release(release_maker: Any, kit: ModuleType) -> Path:
    """A release of pictures, texts, a dialogue, segments of every verdict and a document with two figures."""
    texts = [("prose", "Once upon a time."), ("math", "1 + 1"), ("dialogue", "A: Hello.\nB: Hello, how are you?")]
    release_maker.add(kit.make_batch("a1", [["A duck."], ["A mug."]], texts))
    verdicts = ("trimodal", "audio_text", "video_text")
    release_maker.add_segments(
        kit.make_segments("b1", [(verdict, f"Segment {n}.") for n in range(2) for verdict in verdicts])
    )
    elements = ["The wheel turns as Figure 1 shows.", None, "Figure 1. A wheel.", None]
    figures = [f"blk_{place}" for place, text in enumerate(elements) if text is None]
    rows = [
        {"batch": "c1", "window_id": "win_1", "document_id": "doc_1", "window_index": 0, "position": place,
         "page": 1 + place, "block_position": place, "modality": "text" if text else "image", "text": text,
         "tokens": 9, "image_ref": None if text else f"blk_{place}", "refers_to": [1] if place == 0 else []}
        for place, text in enumerate(elements)
    ]  # fmt: skip
    codes = np.random.default_rng(7).integers(0, kit.CODES, (2, kit.VECTORS))
    references = [f"features/c1/doc-0000.safetensors#{place}" for place in range(2)]
    for reference in references:
        release_maker.features.rows[reference] = np.ones((kit.VECTORS, kit.CHANNELS), np.float16)
    bindings = [{"batch": "c1", "document_id": "doc_1", "position": 1, "caption_position": 2, "score": 0.9}]
    packed = pack_documents(
        kit.frame("document_windows", rows),
        pl.DataFrame(DOCUMENT),
        join_figures(
            pl.DataFrame({"block_id": figures, "spatial_features": references}),
            pl.DataFrame({"block_id": figures, "codes": codes.tolist(), "codebook_version": ["cb-1"] * 2}),
            kit.CODES,
        ),
        kit.frame("caption_bindings", bindings), {}, FusionPolicy(),
    )  # fmt: skip
    release_maker.samples.append(packed.samples)
    release_maker.write()
    return release_maker.root / "r1"


def change(details: str, **fields: Any) -> Mutation:
    return lambda line: line | {details: line[details] | fields}


def anchor(**fields: Any) -> Mutation:
    """Change the first anchor of a document; a function gets its span."""

    def mutate(line: dict) -> dict:
        first, *others = line["document"]["anchors"]
        made = {name: value(first["span"]) if callable(value) else value for name, value in fields.items()}
        return line | {"document": line["document"] | {"anchors": [first | made, *others]}}

    return mutate


def first_word(**fields: int) -> Mutation:
    return lambda line: change("segment", words=[line["segment"]["words"][0] | fields])(line)


FAULTS: dict[str, tuple[str, str, Mutation]] = {
    "a picture as text": ("image_text", "give it the kind of its media", lambda line: line | {"kind": "text"}),
    "a segment as dialogue": ("segment", "give it the kind of its media", lambda line: line | {"kind": "dialogue"}),
    "a text as picture": ("text", "declares no image", lambda line: line | {"kind": "image_text"}),
    "a text as object": ("text", "declares no image", lambda line: line | {"kind": "object"}),
    "a dialogue as segment": ("dialogue", "declares no audio or video", lambda line: line | {"kind": "segment"}),
    "text undeclared": ("text", "content has text", lambda line: line | {"modalities": []}),
    "caption undeclared": ("image_text", "content has text", lambda line: line | {"modalities": ["image"]}),
    "time stands still": ("image_text", "< end_us", lambda line: line | {"times": [{"start_us": 5, "end_us": 5}]}),
    "no such kind of word": ("segment", "segment: ", first_word(start_us="soon")),
    "word ends before it starts": ("segment", "before it starts", first_word(start_us=9, end_us=8)),
    "times of another": ("segment", "segment.times differ", change("segment", times=[{"start_us": 1, "end_us": 2}])),
    "frames do not rise": ("segment", "do not rise", change("segment", key_frames_us=[5, 5])),
    "a frame too many": ("segment", "do not go with", change("segment", key_frames_us=list(range(7)))),
    "half a document": ("document", "document: ", lambda line: line | {"document": {"document_id": "doc_1"}}),
    "pages backwards": ("document", "first and last page", change("document", pages=[3, 2])),
    "figure cuts its span": ("document", "are no span", anchor(span=lambda span: [span[0], span[1] - 1])),
    "figure beside its span": ("document", "are no span", anchor(span=[0, 4])),
    "caption in a span": ("document", "are no text", anchor(caption=lambda span: [span[1] - 3, span[1] + 5])),
    "caption behind the end": ("document", "are no text", anchor(caption=[10, 10_000])),
    "caption without a character": ("document", "are no text", anchor(caption=[3, 3])),
    "reference in a span": ("document", "are no text", anchor(referring=lambda span: [[0, 4], span])),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_planted_fault_is_found_and_nothing_else(mixed_release: Path, fault: str) -> None:
    kind, told, mutate = FAULTS[fault]
    for path in sorted((mixed_release / "samples").iterdir()):
        lines = [json.loads(raw) for raw in path.read_bytes().splitlines()]
        for number, line in enumerate(lines):
            shown = kind != "segment" or line.get("segment", {}).get("verdict") == "trimodal"
            if line["kind"] == kind and shown:
                lines[number] = mutate(line)
                path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines), "utf-8")
                (error,) = lint(mixed_release).errors
                assert (error.file, error.line, error.id) == (str(path), number + 1, line["id"])
                assert error.code is LintCode.INVALID_FIELD
                assert told in error.message
                return
    raise AssertionError


def test_the_release_is_clean_with_and_without_details(mixed_release: Path) -> None:
    assert lint(mixed_release).clean
    for path in sorted((mixed_release / "samples").iterdir()):
        lines = [json.loads(raw) for raw in path.read_bytes().splitlines()]
        bare = [{name: value for name, value in line.items() if name not in {"segment", "document"}} for line in lines]
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in bare), "utf-8")
    assert lint(mixed_release).clean
