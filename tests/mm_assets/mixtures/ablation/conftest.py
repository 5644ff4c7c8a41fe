"""A small world to ablate: arithmetic, source code and prose of the standard library, and pictures with captions."""

import ast
import inspect
import textwrap
import this

import numpy as np
import polars as pl
import pytest

from mm_assets.fusion.placeholders import render_image_block
from mm_assets.identifiers import make_id
from mm_assets.mixtures.ablation.corpus import build_corpus
from mm_assets.policy import AblationPolicy
from mm_assets.schemas import TABLES

THINGS = ("duck", "house", "tree", "boat", "horse", "train", "apple", "chair")
COLOURS = ("red", "green", "blue", "white", "black", "brown")
DIMENSION = 16


def _texts() -> list[tuple[str, str, str]]:
    """Kind of sample, kind of text, and text."""
    sums = [("text", "math", f"{a} + {b} = {a + b}. {a} x {b} = {a * b}.") for a in range(3, 9) for b in range(3, 8)]
    functions = [node for node in ast.walk(ast.parse(inspect.getsource(textwrap))) if isinstance(node, ast.FunctionDef)]
    code = [("text", "code", ast.unparse(node)[:400]) for node in functions]
    zen = "".join(this.d.get(letter, letter) for letter in this.s).splitlines()
    prose = [("text", "prose", line) for line in zen if line]
    talk = [("dialogue", "dialogue", f"A: What is {a} and {a}?\nB: It is {2 * a}.") for a in range(20)]
    return sums + code + prose + talk


@pytest.fixture(scope="session")
def sample_rows() -> pl.DataFrame:
    """Rows of ``fusion_samples`` of one batch: four kinds, three pools."""
    rng = np.random.default_rng(5)
    rows = []
    for kind, text_kind, text in _texts():
        pool = "dialogue" if kind == "dialogue" else "text_retention"
        rows.append({"kind": kind, "text_kind": text_kind, "content": text, "pool": pool, "modalities": ["text"]})
        rows[-1]["text_id"] = make_id("txt", text)
    for thing, name in enumerate(THINGS):
        for colour, tint in enumerate(COLOURS):
            codes = [thing, 8 + colour, *rng.integers(14, 20, 4).tolist()]
            text = f"A {tint} {name}."
            rows.append({"kind": "image_text", "content": f"{render_image_block(codes)} {text}", "codes": codes})
            rows[-1] |= {"pool": "coarse_image_text", "modalities": ["image", "text"]}
            rows[-1] |= {"image_id": make_id("img", text), "caption_id": make_id("cap", text)}
    for row in rows:
        row |= {"batch": "b1", "sample_id": make_id("mm", row["content"]), "source": "s", "license": "CC0-1.0"}
        row |= {"language": "en", "checks_json": "{}"}
    return TABLES["fusion_samples"].conform(
        pl.DataFrame(rows, schema=TABLES["fusion_samples"].schema, infer_schema_length=None)
    )


@pytest.fixture(scope="session")
def caption_vectors(sample_rows) -> dict[str, np.ndarray]:
    """An embedding per caption that knows thing and colour, as a frozen encoder's would."""
    rng = np.random.default_rng(6)
    words = {word: rng.standard_normal(DIMENSION) for word in (*THINGS, *COLOURS)}
    vectors = {}
    for caption, content in sample_rows.drop_nulls("caption_id").select("caption_id", "content").iter_rows():
        vector = sum(words[word] for word in content.rstrip(".").split()[-2:])
        vectors[caption] = (vector / np.linalg.norm(vector)).astype(np.float32)
    return vectors


@pytest.fixture(scope="session")
def small_policy() -> AblationPolicy:
    """Seconds instead of minutes."""
    return AblationPolicy(
        width=32,
        layers=1,
        heads=2,
        context_tokens=64,
        rows_per_step=2,
        tokens_per_run=6_000,
        checkpoints=2,
        adapter_steps=60,
        held_out_tokens=600,
        held_out_mixtures=4,
        replicates=2,
        candidates=100,
        posterior_draws=50,
        processes=1,
        device="cpu",
    )


@pytest.fixture(scope="session")
def corpus(sample_rows, caption_vectors, small_policy):
    grouped = sample_rows.with_columns(group=pl.int_range(pl.len()))
    return build_corpus([grouped], caption_vectors, small_policy)
