# pyright: strict
"""Pictures and captions into the joint space: decoding overlaps the model, order is kept, memory is flat."""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.errors import ContractError, EmbeddingShapeError, InputError
from mm_assets.features.decode import decode_square, use_calling_thread_only
from mm_assets.features.interfaces import ImageTextEncoder
from mm_assets.landing import Landing
from mm_assets.policy import FeaturePolicy

_BATCHES_AHEAD: Final = (
    2  # decoded or decoding while the model runs; one would leave it waiting for the slowest picture
)

_CARRIED_BY_CAPTIONS: Final = ("batch", "caption_id", "image_id", "position", "caption_index")


@dataclass(frozen=True)
class EmbeddedChunk:
    """Up to ``shard_rows`` embedded pictures.

    Attributes:
        frame: columns of ``image_embeddings`` but ``spatial_features``, one row per picture.
        spatial: float16, shape (N, T, C), row i of the frame's row i.
        model_seconds: wall time inside the encoder.
    """

    frame: pl.DataFrame
    spatial: NDArray[np.float16]
    model_seconds: float


@dataclass(frozen=True)
class EmbeddedCaptions:
    """Some embedded captions.

    Attributes:
        frame: columns of ``caption_embeddings``, one row per caption.
        model_seconds: wall time inside the encoder.
    """

    frame: pl.DataFrame
    model_seconds: float


def embed_images(
    rows: Iterable[pl.DataFrame],
    landing: Landing,
    encoder: ImageTextEncoder,
    policy: FeaturePolicy,
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[EmbeddedChunk]:
    """Embed cleaned pictures in their order.

    ``decode_threads`` threads read and decode up to two model batches ahead while the calling thread runs the encoder.

    Args:
        rows: chunks of table ``images``.
        landing: where their ``source_ref`` points; read from several threads.
        encoder: the model.
        policy: batch size, threads and rows per chunk.
        on_progress: told how many more pictures are done, after each model call.

    Yields:
        Chunks of ``shard_rows`` pictures, the last one shorter; none if there are no rows.

    Raises:
        ContractError: a picture is gone, has changed since it was cleaned, or does not decode: cleaning let it pass.
        EmbeddingShapeError: the encoder returned another shape than it promised.
        ModelError: the encoder failed.
    """
    pictures = _decode_ahead(_records(rows), landing, encoder, policy)
    try:
        while chunk := _embed_chunk(pictures, encoder, policy, on_progress):
            yield chunk
    finally:
        pictures.close()


def embed_captions(
    rows: Iterable[pl.DataFrame],
    encoder: ImageTextEncoder,
    policy: FeaturePolicy,
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[EmbeddedCaptions]:
    """Embed cleaned captions in their order.

    Args:
        rows: chunks of table ``captions``.
        encoder: the model.
        policy: captions per call.
        on_progress: told how many more captions are done, after each call.

    Yields:
        At most ``captions_per_call`` captions at a time; none if there are no rows.

    Raises:
        EmbeddingShapeError: the encoder returned another shape than it promised.
        ModelError: the encoder failed.
    """
    model = str(encoder.identity)
    for frame in rows:
        for block in frame.iter_slices(policy.captions_per_call):
            if block.is_empty():
                continue
            started = time.perf_counter()
            embedding = encoder.encode_texts(block["text"].to_list())
            seconds = time.perf_counter() - started
            _refuse_other_shape("captions", embedding, (block.height, encoder.dimension))
            yield EmbeddedCaptions(
                block.select(*_CARRIED_BY_CAPTIONS, _as_lists(embedding), pl.lit(model).alias("model")), seconds
            )
            if on_progress:
                on_progress(block.height)


@dataclass(frozen=True)
class _Record:
    """What of an image row the pipeline needs."""

    batch: str
    image_id: str
    position: int
    uri: str
    byte_offset: int
    byte_size: int | None
    sha256: str


_Picture = tuple[_Record, NDArray[np.uint8]]


def _records(rows: Iterable[pl.DataFrame]) -> Iterator[_Record]:
    reference = pl.col("source_ref").struct
    for frame in rows:
        columns = frame.select(
            "batch",
            "image_id",
            "position",
            reference.field("uri"),
            reference.field("byte_offset").fill_null(0),
            reference.field("byte_size"),
            "sha256",
        )
        yield from (_Record(*row) for row in columns.iter_rows())


def _decode_ahead(
    records: Iterator[_Record], landing: Landing, encoder: ImageTextEncoder, policy: FeaturePolicy
) -> Generator[_Picture]:
    """Decoded pictures in order, a bounded number of them under way; a generator, to be closed."""
    use_calling_thread_only()
    shape = (encoder.input_side_px, encoder.resize_mode, encoder.padding_rgb)

    def decode(record: _Record) -> NDArray[np.uint8]:
        return decode_square(_read(record, landing), *shape)

    pool = ThreadPoolExecutor(policy.decode_threads, thread_name_prefix="decode")
    under_way: deque[tuple[_Record, Future[NDArray[np.uint8]]]] = deque()
    try:
        while True:
            for record in islice(records, _BATCHES_AHEAD * policy.batch_size - len(under_way)):
                under_way.append((record, pool.submit(decode, record)))
            if not under_way:
                return
            record, future = under_way.popleft()
            try:
                pixels = future.result()
            except InputError as error:
                raise ContractError(
                    f"image {record.image_id} ({record.uri}) of batch {record.batch} passed cleaning and now: {error}; "
                    "materialize raw_images and images of the batch again"
                ) from error
            yield record, pixels
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read(record: _Record, landing: Landing) -> bytes:
    data = landing.read(landing.key(record.uri), record.byte_offset, record.byte_size)
    if hashlib.sha256(data).hexdigest() != record.sha256:
        raise InputError("CHANGED_FILE", "its bytes are not those that were cleaned; a delivery must not change")
    return data


def _embed_chunk(
    pictures: Iterator[_Picture],
    encoder: ImageTextEncoder,
    policy: FeaturePolicy,
    on_progress: Callable[[int], None] | None,
) -> EmbeddedChunk | None:
    """The next ``shard_rows`` pictures, or None when there are none left."""
    capacity = policy.shard_rows
    embedding: NDArray[np.float32] | None = None
    spatial: NDArray[np.float16] | None = None
    records: list[_Record] = []
    seconds = 0.0
    while block := list(islice(pictures, min(policy.batch_size, capacity - len(records)))):
        pixels = np.stack([picture for _, picture in block])
        started = time.perf_counter()
        features = encoder.encode_images(pixels)
        seconds += time.perf_counter() - started
        _refuse_other_shape("pictures", features.embedding, (len(block), encoder.dimension))
        _refuse_other_shape("spatial features", features.spatial, (len(block), *encoder.spatial_shape))
        if embedding is None or spatial is None:
            embedding = np.empty((capacity, encoder.dimension), np.float32)
            spatial = np.empty((capacity, *encoder.spatial_shape), np.float16)
        filled = slice(len(records), len(records) + len(block))
        embedding[filled], spatial[filled] = features.embedding, features.spatial
        records.extend(record for record, _ in block)
        if on_progress:
            on_progress(len(block))
    if embedding is None or spatial is None:
        return None
    frame = pl.DataFrame(
        {
            "batch": [record.batch for record in records],
            "image_id": [record.image_id for record in records],
            "position": pl.Series([record.position for record in records], dtype=pl.Int64),
            "embedding": _as_lists(embedding[: len(records)]),
            "model": pl.repeat(str(encoder.identity), len(records), eager=True),
        }
    )
    return EmbeddedChunk(frame, spatial[: len(records)], seconds)


def _as_lists(embedding: NDArray[np.float32]) -> pl.Series:
    return pl.Series("embedding", embedding).cast(pl.List(pl.Float32))


def _refuse_other_shape(what: str, values: NDArray[Any], wanted: tuple[int, ...]) -> None:
    if values.shape != wanted:
        raise EmbeddingShapeError(
            f"the encoder returned {values.shape} for {what}, not {wanted}; its configuration lies"
        )
