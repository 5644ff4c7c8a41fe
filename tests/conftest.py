"""Settings of every test, and the media files they make."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

# Properties are about what is true, not how fast: a busy machine fails none of them.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


WHOLE_STACK = {"test_live_stack.py", "test_faults.py"}
"""Files whose tests start processes of their own and wait for them: one after the other, never side by side."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """For ``-n 2 --dist loadgroup``: a file stays on one worker, with what it set up once; the longest come first."""
    if not config.pluginmanager.hasplugin("xdist") or "PYTEST_XDIST_WORKER" not in os.environ:
        return
    marks: dict[Path, set[str]] = {}
    for item in items:
        marks.setdefault(item.path, set()).update(mark.name for mark in item.iter_markers())
        group = "whole stack" if item.path.name in WHOLE_STACK else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: (item.path.name not in WHOLE_STACK, "slow" not in marks[item.path]))


@pytest.fixture(scope="session")
def media_files() -> ModuleType:
    """The functions of ``media_files.py``: real sounds and videos of any container."""
    spec = importlib.util.spec_from_file_location("media_files", Path(__file__).parent / "media_files.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("media_files.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _speech(name: str) -> NDArray[np.float32]:
    with av.open(Path(__file__).parent / "data" / "librivox" / name) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    samples = np.concatenate(frames, axis=-1).reshape(-1)
    return (samples / 32_768).astype(np.float32) if samples.dtype == np.int16 else samples.astype(np.float32)


@pytest.fixture(scope="session")
def sentence() -> NDArray[np.float32]:
    """``austen-0870.flac``: 7.1 s of speech at 16 kHz."""
    return _speech("austen-0870.flac")


@pytest.fixture(scope="session")
def other_sentence() -> NDArray[np.float32]:
    """``austen-0920.flac``: 6.05 s of the same voice."""
    return _speech("austen-0920.flac")
