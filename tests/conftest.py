"""Settings of every test, and the media files they make."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

# Properties are about what is true, not how fast: a busy machine fails none of them.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture(scope="session")
def media_files() -> ModuleType:
    """The functions of ``media_files.py``: real sounds and videos of any container."""
    spec = importlib.util.spec_from_file_location("media_files", Path(__file__).parent / "media_files.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("media_files.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
