# pyright: strict
"""Texts and pictures of evaluation sets, read from the files that the policy names."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import polars as pl

from mm_assets.cleaned.decoding import decode_image
from mm_assets.cleaned.fingerprints import fingerprint_of
from mm_assets.errors import DecodeError, ReleaseError
from mm_assets.policy import ImagePolicy
from mm_assets.policy.mixtures import EvaluationSet

_PICTURES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
_TEXTS: Final = frozenset({".jsonl", ".parquet", ".txt"})
_ANY_PICTURE: Final = ImagePolicy(min_side_px=1, max_aspect=1e9)
_ROWS_AT_ONCE: Final = 512


@dataclass(frozen=True)
class EvaluationPicture:
    """A picture of an evaluation set.

    Attributes:
        name: file, or file and row.
        data: encoded bytes.
    """

    name: str
    data: bytes


def files_of(one: EvaluationSet) -> list[Path]:
    """Files of a set, sorted.

    Raises:
        ReleaseError: there is none that could be read.
    """
    path = Path(one.path)
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    known = [file for file in files if file.suffix.lower() in _PICTURES | _TEXTS]
    if not known:
        raise ReleaseError(
            f"evaluation set {one.name!r}: {one.path} holds no picture and no *.jsonl, *.parquet or *.txt file, so "
            "nothing can be compared with it; correct mixtures.evaluation_sets"
        )
    return known


def digest_of(one: EvaluationSet) -> str:
    """Hash of a set's files.

    Raises:
        ReleaseError: a file is missing or cannot be read.
    """
    digest = hashlib.sha256(one.model_dump_json().encode())
    for file in files_of(one):
        with _opened(one, file) as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:32]


def read_texts(one: EvaluationSet) -> Iterator[str]:
    """Texts of a set, file by file.

    Raises:
        ReleaseError: a file cannot be read, or its rows lack the named fields.
    """
    for file in files_of(one):
        if file.suffix.lower() == ".txt":
            with _opened(one, file) as stream:
                yield stream.read().decode("utf-8", "replace")
        elif file.suffix.lower() in _TEXTS:
            for number, row in _rows(one, file):
                yield from (value for value in _values(one, file, number, row) if isinstance(value, str))


def read_pictures(one: EvaluationSet) -> Iterator[EvaluationPicture]:
    """Pictures of a set: its files, and the bytes in rows of Parquet files.

    Raises:
        ReleaseError: a file cannot be read.
    """
    for file in files_of(one):
        if file.suffix.lower() in _PICTURES:
            with _opened(one, file) as stream:
                yield EvaluationPicture(file.name, stream.read())
        elif file.suffix.lower() == ".parquet":
            for number, row in _rows(one, file):
                for value in _values(one, file, number, row):
                    if isinstance(value, bytes):
                        yield EvaluationPicture(f"{file.name}#row/{number}", value)


def fingerprint_pictures(one: EvaluationSet, batch: str) -> Iterator[pl.DataFrame]:
    """Rows of ``image_fingerprints`` of a set's pictures, some at a time; image_id is the picture's name.

    Args:
        one: the set.
        batch: what stands in column batch.

    Raises:
        ReleaseError: a picture cannot be decoded.
    """
    rows: list[dict[str, Any]] = []
    for position, picture in enumerate(read_pictures(one)):
        try:
            pixels = decode_image(picture.data, picture.name, _ANY_PICTURE).pixels
        except DecodeError as error:
            raise ReleaseError(
                f"evaluation set {one.name!r}: {error}; repair it, or no sample can be proven not to show it"
            ) from error
        made = fingerprint_of(pixels)
        rows.append(
            {
                "batch": batch, "image_id": f"{position:09d}:{picture.name}", "position": position,
                "sha256": hashlib.sha256(picture.data).hexdigest(), "width": pixels.shape[1], "height": pixels.shape[0],
                "coarse": made.coarse, "thumbnail": made.thumbnail, "detail": made.detail,
            }
        )  # fmt: skip
        if len(rows) == _ROWS_AT_ONCE:
            yield pl.DataFrame(rows)
            rows = []
    if rows:
        yield pl.DataFrame(rows)


def _opened(one: EvaluationSet, file: Path) -> Any:  # noqa: ANN401 - a binary stream
    try:
        return file.open("rb")
    except OSError as error:
        raise ReleaseError(f"evaluation set {one.name!r}: {file} cannot be read ({error.strerror})") from error


def _rows(one: EvaluationSet, file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows of a file of rows, numbered from 0."""
    try:
        if file.suffix.lower() == ".parquet":
            number = 0
            for frame in pl.scan_parquet(file).collect_batches(chunk_size=_ROWS_AT_ONCE, maintain_order=True):
                for row in frame.iter_rows(named=True):
                    yield number, row
                    number += 1
            return
        with file.open("rb") as stream:
            for number, line in enumerate(stream):
                if line.strip():
                    row: object = json.loads(line)
                    yield number, cast("dict[str, Any]", row) if isinstance(row, dict) else {"text": row}
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise ReleaseError(f"evaluation set {one.name!r}: {file} cannot be read ({error}); correct the file") from error


def _values(one: EvaluationSet, file: Path, number: int, row: Mapping[str, Any]) -> Iterator[str | bytes]:
    missing = [name for name in one.fields if name not in row]
    if missing:
        raise ReleaseError(
            f"evaluation set {one.name!r}: {file}, row {number} lacks {', '.join(missing)}; it has "
            f"{', '.join(row)}: correct the fields of the set in mixtures.evaluation_sets"
        )
    for name, value in cast("dict[str, object]", row).items():
        if not one.fields or name in one.fields or isinstance(value, bytes | dict):
            yield from _leaves(cast("object", value), texts=not one.fields or name in one.fields)


def _leaves(value: object, *, texts: bool) -> Iterator[str | bytes]:
    """Strings and bytes in a value, however deep; strings only where texts are asked for."""
    if isinstance(value, bytes) or (isinstance(value, str) and texts):
        yield value
    elif isinstance(value, dict):
        for inner in cast("dict[str, object]", value).values():
            yield from _leaves(inner, texts=texts)
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            yield from _leaves(inner, texts=texts)
