"""Which interpreter, devices, models and extensions are in use, and whether they are whole."""

import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from mm_assets.commands.workspace import Workspace
from mm_assets.errors import MMAssetsError

_PACKAGES = (
    "dagster",
    "dagster-aws",
    "torch",
    "open_clip_torch",
    "whisperx",
    "faster-whisper",
    "ctranslate2",
    "pocketsphinx",
    "fastdtw",
    "polars",
    "deltalake",
    "onnxruntime",
    "faiss-cpu",
    "numpy",
)


def fastdtw_is_compiled() -> bool:
    """Whether fastdtw runs as a C++ extension; its pure Python fallback is a hundred times slower."""
    import fastdtw  # noqa: PLC0415 - only the doctor looks

    return "_fastdtw" in fastdtw.fastdtw.__module__ and not fastdtw.fastdtw.__module__.endswith("fastdtw.fastdtw")


def accelerators() -> list[str]:
    """Names of the CUDA devices torch sees."""
    import torch  # noqa: PLC0415 - heavy

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def examine(workspace: Workspace) -> dict[str, Any]:
    """Everything worth knowing when something is off; problems name their fix."""
    problems: list[str] = []
    models: dict[str, str] = {}
    for name, model in workspace.models.by_name.items():
        try:
            models[name] = str(model.identity)
        except MMAssetsError as error:
            problems.append(f"model {name}: {error}")
    compiled = fastdtw_is_compiled()
    if not compiled:
        problems.append("fastdtw runs as pure Python; install gcc, then: make clean demo")
    devices = accelerators()
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpu_cores": os.cpu_count(),
        "cuda_devices": devices,
        "device": devices[0] if devices else "cpu",
        "free_disk_gib": round(shutil.disk_usage(Path.cwd()).free / 2**30, 1),
        "landing": workspace.landing.root,
        "lake": workspace.provenance.lake.root,
        "dagster_home": os.environ["DAGSTER_HOME"],
        "models": models,
        "fastdtw_compiled": compiled,
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "problems": problems,
    }
