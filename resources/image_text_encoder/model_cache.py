"""Models converted once on this machine: written whole or not at all, checked whenever they are read."""

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from filelock import FileLock

from mm_assets.errors import WeightsHashError, WeightsMissingError
from mm_assets.models import verify_sha256

_SUMS: Final = "SHA256SUMS"
_log = logging.getLogger(__name__)


def cache_root(configured: str) -> Path:
    """Folder of converted models: as configured, else ``MM_CACHE``, else ``~/.cache/mm_assets``."""
    chosen = configured or os.environ.get("MM_CACHE", "")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "mm_assets"


def ensure_converted(root: Path, name: str, convert: Callable[[Path], None]) -> Path:
    """Return the folder ``root/name``, running ``convert`` on an empty one if it is not there yet.

    Several processes may ask at once: one converts, the others wait. A killed conversion leaves only a
    temporary folder, which the next one removes.

    Args:
        root: cache folder, made if needed.
        name: folder of this model; it names everything the conversion depends on.
        convert: writes the model's files into the folder it is given.

    Raises:
        WeightsMissingError: the cache folder cannot be written.
    """
    folder = root / name
    if folder.is_dir():
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{name}.lock"):
            if not folder.is_dir():
                _convert_into(folder, convert)
    except OSError as error:
        raise WeightsMissingError(
            f"model cache {root}: {error}; point MM_CACHE at a folder that can be written"
        ) from error
    return folder


def converted_file(folder: Path, file_name: str) -> Path:
    """A file of a converted model, once its bytes are proven to be those that were written.

    Raises:
        WeightsMissingError: the file or the record of its hash is gone.
        WeightsHashError: the file is not the one that was written.
    """
    try:
        lines = (folder / _SUMS).read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise WeightsMissingError(
            f"converted model {folder}: {error}; delete the folder to convert it again"
        ) from error
    sums = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    path = folder / file_name
    if file_name not in sums:
        raise WeightsMissingError(f"converted model {folder}: no record of {file_name}; delete the folder")
    try:
        verify_sha256(path, sums[file_name])
    except WeightsHashError as error:
        raise WeightsHashError(
            f"converted model {path} is damaged (not the SHA-256 in {_SUMS}); delete {folder} to convert it again"
        ) from error
    return path


def _convert_into(folder: Path, convert: Callable[[Path], None]) -> None:
    prefix = f"{folder.name}.partial-"
    for stale in folder.parent.glob(f"{prefix}*"):
        shutil.rmtree(stale, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    _log.info("converting %s, once on this machine; this takes up to a minute", folder.name)
    try:
        convert(partial)
        names = sorted(path.name for path in partial.iterdir())
        sums = [f"{_digest(partial / name)}  {name}\n" for name in names]
        (partial / _SUMS).write_text("".join(sums), encoding="ascii")
        partial.chmod(0o755)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _digest(path: Path) -> str:
    with path.open("rb+") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return digest
