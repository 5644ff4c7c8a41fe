"""Constructed clips of the benchmark: every offset, rate and pointer is known."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[5]


@pytest.fixture(scope="session")
def scenes():
    """The benchmark's module of constructed clips."""
    spec = importlib.util.spec_from_file_location("offset_clips", ROOT / "benchmarks" / "offset_clips.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def draw_batch(scenes):
    """Draws sound batches."""

    def draw(seed, count=12, duration_us=30_000_000, **options):
        generator = np.random.default_rng([77, seed])
        return [scenes.draw_clip(generator, f"clip_{row:02}", duration_us, **options) for row in range(count)]

    return draw
