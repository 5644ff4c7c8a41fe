"""Where an OpenCLIP model's weights lie, and proof of which they are."""

import functools
from pathlib import Path
from typing import Final

from mm_assets.errors import PolicyError, WeightsMissingError
from mm_assets.models import ModelIdentity, sha256_of

LOCAL_FOLDER: Final = "local-dir:"
HUB: Final = "hf-hub:"
_WEIGHT_SUFFIXES: Final = frozenset({".safetensors", ".bin", ".pth", ".pt"})


def find_checkpoint(model: str, weights: str, cache: Path) -> Path:
    """The weight file on this machine; a configured tag or hub model is fetched into the cache first.

    Raises:
        PolicyError: the name is incomplete or unknown.
        WeightsMissingError: the file is not there, or it cannot be fetched.
    """
    if model.startswith(LOCAL_FOLDER):
        return _only_checkpoint(Path(model.removeprefix(LOCAL_FOLDER)))
    if model.startswith(HUB):
        return _fetch(model, "", cache)
    if not weights:
        raise PolicyError(
            f"open_clip model {model!r} has no weights; name a checkpoint file or a pretrained tag, "
            f"as in 'open_clip:{model}:/models/{model}.safetensors' or 'open_clip:{model}:openai'"
        )
    if Path(weights).is_file():
        return Path(weights)
    if "/" in weights or "\\" in weights or Path(weights).suffix in _WEIGHT_SUFFIXES:
        raise WeightsMissingError(
            f"open_clip checkpoint {weights} is not a file; correct features.encoder in the policy"
        )
    return _fetch(model, weights, cache)


def identify(model: str, weights: str, checkpoint: Path) -> ModelIdentity:
    """Model, tag or file name, and the SHA-256 of the weight file."""
    name = model
    if model.startswith(LOCAL_FOLDER):
        name = LOCAL_FOLDER + Path(model.removeprefix(LOCAL_FOLDER)).name
    is_file = not weights or Path(weights).is_file()
    stat = checkpoint.stat()
    digest = _sha256(checkpoint, stat.st_mtime_ns, stat.st_size)
    return ModelIdentity(f"open_clip:{name}", checkpoint.name if is_file else weights, digest)


@functools.lru_cache(maxsize=16)
def _sha256(path: Path, mtime_ns: int, size_bytes: int) -> str:  # noqa: ARG001 - they make a changed file another key
    return sha256_of(path)


def _only_checkpoint(folder: Path) -> Path:
    found = sorted(path for path in folder.glob("*") if path.suffix in _WEIGHT_SUFFIXES)
    if len(found) != 1:
        raise WeightsMissingError(
            f"open_clip folder {folder} holds {len(found)} weight files; "
            "it must hold open_clip_config.json and exactly one of them"
        )
    return found[0]


def _fetch(model: str, tag: str, cache: Path) -> Path:
    from open_clip import pretrained  # noqa: PLC0415 - loads torch

    try:
        if not tag:
            return Path(pretrained.download_pretrained_from_hf(model.removeprefix(HUB), cache_dir=str(cache)))
        published = pretrained.get_pretrained_cfg(model.replace("/", "-"), tag)
        if not published:
            known = pretrained.list_pretrained_tags_by_model(model.replace("/", "-"))
            raise PolicyError(f"open_clip has no tag {tag!r} for {model!r}; its tags are {known}")
        return Path(pretrained.download_pretrained(published, cache_dir=str(cache)))
    except (OSError, RuntimeError, ValueError) as error:
        raise WeightsMissingError(
            f"open_clip weights {model}:{tag} are not in {cache} and cannot be fetched ({error}); "
            f"bring the checkpoint here and set features.encoder = 'open_clip:{model}:PATH'"
        ) from error
