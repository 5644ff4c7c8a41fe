# pyright: strict
"""Features of clips, one pass over each file: the sound of every piece as tokens, and its key frames."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mm_assets.errors import ContractError, InputError
from mm_assets.features.decode import make_square
from mm_assets.features.interfaces import ImageTextEncoder
from mm_assets.features.key_frames import choose_key_frames
from mm_assets.features.piece_sounds import PieceSound, PieceSounds, summarise
from mm_assets.identifiers import make_id
from mm_assets.landing import Landing
from mm_assets.media.decoder import MediaDecoder, open_landed
from mm_assets.media.messages import AudioBlock, End, FrameBlock, Wanted
from mm_assets.policy import Policy
from mm_assets.schemas import TABLES

SOUND_MODEL: Final = "log-mel@1"
_CLIP: Final = (
    "batch", "clip_id", "position", "record_ref", "source_ref", "start_us", "end_us", "sound_end_us",
    "sound_clock_offset_us",
)  # fmt: skip

Row = dict[str, Any]


@dataclass(frozen=True)
class ClipFeatures:
    """Features of some clips.

    Attributes:
        sounds: columns of ``audio_embeddings`` but ``features``, one row per piece in which there is sound.
        tokens: float16, shape (T, C) each, of the rows of ``sounds``.
        frames: columns of ``key_frames`` but ``spatial_features``, one row per key frame.
        spatial: float16, shape (N, T, C), of the rows of ``frames``; None without any.
        media_seconds: duration of the clips.
        model_seconds: wall time inside the encoder.
    """

    sounds: pl.DataFrame
    tokens: list[NDArray[np.float16]]
    frames: pl.DataFrame
    spatial: NDArray[np.float16] | None
    media_seconds: float
    model_seconds: float


@dataclass
class _Gathered:
    """What becomes the next `ClipFeatures`."""

    sounds: list[Row] = field(default_factory=list[Row])
    tokens: list[NDArray[np.float16]] = field(default_factory=list[NDArray[np.float16]])
    frames: list[Row] = field(default_factory=list[Row])
    spatial: list[NDArray[np.float16]] = field(default_factory=list[NDArray[np.float16]])
    waiting: list[NDArray[np.uint8]] = field(default_factory=list[NDArray[np.uint8]])
    seconds: float = 0.0
    model_seconds: float = 0.0

    def encode(self, encoder: ImageTextEncoder) -> None:
        """Put the waiting pictures, which belong to the last rows of ``frames``, through the encoder."""
        if not self.waiting:
            return
        started = time.perf_counter()
        features = encoder.encode_images(np.stack(self.waiting))
        self.model_seconds += time.perf_counter() - started
        for row, embedding in zip(self.frames[-len(self.waiting) :], features.embedding, strict=True):
            row["embedding"] = embedding.tolist()
        self.spatial.append(features.spatial)
        self.waiting = []

    def take(self, encoder: ImageTextEncoder) -> ClipFeatures:
        self.encode(encoder)
        return ClipFeatures(
            sounds=_frame("audio_embeddings", self.sounds, "features"),
            tokens=self.tokens,
            frames=_frame("key_frames", self.frames, "spatial_features"),
            spatial=np.concatenate(self.spatial) if self.spatial else None,
            media_seconds=self.seconds,
            model_seconds=self.model_seconds,
        )


def read_clip_features(
    chunks: Iterable[pl.DataFrame],
    pieces: pl.DataFrame,
    shots: pl.DataFrame,
    landing: Landing,
    decoder: MediaDecoder,
    encoder: ImageTextEncoder,
    policy: Policy,
) -> Iterator[ClipFeatures]:
    """Read cleaned clips in their order; memory holds one clip's tokens beyond a shard.

    Args:
        chunks: rows of ``audio_clips`` or ``video_clips``.
        pieces: rows of ``clip_pieces`` of their batch.
        shots: rows of ``shots`` of their batch.
        landing: where ``source_ref`` and ``audio_ref`` point.
        decoder: the decoding process.
        encoder: sees the key frames; `SOUND_MODEL` hears the sound.
        policy: bands, token length, key frames and the size of shards.

    Yields:
        Features of clips, as many as fill a shard of either kind; none if there are no clips.

    Raises:
        ContractError: a clip that was cleaned no longer decodes, or not to the same end: the delivery has changed.
        ModelError: the encoder failed.
    """
    pieces_of = _by_clip(pieces, "piece_id", "piece_index", "start_us", "end_us")
    shots_of = _by_clip(shots, "start_us", "end_us", "key_frame_us")
    gathered = _Gathered()
    tokens = 0
    for chunk in chunks:
        columns = [*_CLIP, *(name for name in ("audio_ref", "clock_offset_us", "width", "height") if name in chunk)]
        for clip in chunk.select(columns).iter_rows(named=True):
            if clip["clip_id"] not in pieces_of:
                raise ContractError(f"clip {clip['clip_id']} has no pieces; materialize clip_pieces again")
            reader = _ClipReader(clip, pieces_of[clip["clip_id"]], shots_of.get(clip["clip_id"]), encoder, policy)
            try:
                reader.read(landing, decoder, gathered)
            except InputError as error:
                raise ContractError(
                    f"clip {clip['clip_id']} of batch {clip['batch']} passed cleaning and now: {error}; materialize "
                    "raw_media and its clips again"
                ) from error
            tokens += reader.tokens
            if tokens >= policy.audio_features.tokens_per_shard or len(gathered.frames) >= policy.features.shard_rows:
                yield gathered.take(encoder)
                gathered, tokens = _Gathered(), 0
    if gathered.sounds or gathered.frames or gathered.seconds:
        yield gathered.take(encoder)


class _ClipReader:
    """Reads one clip."""

    def __init__(
        self, clip: Row, pieces: pl.DataFrame, shots: pl.DataFrame | None, encoder: ImageTextEncoder, policy: Policy
    ) -> None:
        self._clip = clip
        self._pieces = pieces
        self._encoder = encoder
        self._policy = policy
        self._bounds = pieces.select("start_us", "end_us").to_numpy().astype(np.int64)
        found = np.zeros((0, 3), np.int64) if shots is None else shots.to_numpy().astype(np.int64)
        self._wanted = choose_key_frames(self._bounds, found, policy.audio_features.max_key_frames)
        self._offset_us = int(clip.get("clock_offset_us") or 0)
        self._sound_offset_us = int(clip["sound_clock_offset_us"])
        self._model = str(encoder.identity) if self._wanted else ""
        self.tokens = 0

    def read(self, landing: Landing, decoder: MediaDecoder, gathered: _Gathered) -> None:
        clip, heard = self._clip, self._clip["sound_end_us"] is not None
        separate = clip.get("audio_ref")
        sounds = PieceSounds(self._bounds, self._policy.audio_features)
        wanted = Wanted(
            audio=heard and separate is None,
            video=bool(self._wanted),
            max_side_px=self._side_px(),
            times_us=tuple(sorted({frame.time_us - self._offset_us for frame in self._wanted})),
        )
        if wanted.audio or wanted.video:
            self._decode(clip["source_ref"], wanted, landing, decoder, sounds, gathered)
        if heard and separate is not None:
            self._decode(separate, Wanted(audio=True), landing, decoder, sounds, gathered)
        if heard:
            for sound in sounds.finish():
                self._keep_sound(sound, gathered)
        gathered.seconds += (clip["end_us"] - clip["start_us"]) / 1e6

    def _decode(
        self,
        reference: Row,
        wanted: Wanted,
        landing: Landing,
        decoder: MediaDecoder,
        sounds: PieceSounds,
        gathered: _Gathered,
    ) -> None:
        frames = dict.fromkeys(range(len(self._bounds)), 0)
        with open_landed(landing, reference["uri"]) as stream:
            for message in decoder.decode(stream, self._clip["record_ref"], wanted):
                if isinstance(message, AudioBlock):
                    samples = np.frombuffer(message.samples, "<f4").astype(np.float32)
                    for sound in sounds.add(message.start_us + self._sound_offset_us, samples):
                        self._keep_sound(sound, gathered)
                elif isinstance(message, FrameBlock):
                    self._keep_frames(message, frames, gathered)
                elif isinstance(message, End) and wanted.audio:
                    ended = None if message.audio is None else message.audio.end_us + self._sound_offset_us
                    if ended != self._clip["sound_end_us"]:
                        raise InputError("CHANGED_FILE", f"its sound ends at {ended} us; a delivery must not change")

    def _keep_sound(self, sound: PieceSound, gathered: _Gathered) -> None:
        if sound.heard_share == 0.0:
            return
        piece = self._pieces.row(sound.piece, named=True)
        self.tokens += len(sound.tokens)
        gathered.tokens.append(sound.tokens.astype(np.float16))
        gathered.sounds.append(
            self._place(piece)
            | {
                "start_us": piece["start_us"],
                "end_us": piece["end_us"],
                "embedding": summarise(sound.tokens).tolist(),
                "tokens": len(sound.tokens),
                "token_us": self._policy.audio_features.token_us,
                "heard_share": sound.heard_share,
                "model": SOUND_MODEL,
            }
        )

    def _keep_frames(self, block: FrameBlock, taken: dict[int, int], gathered: _Gathered) -> None:
        shape = (len(block.pts_us), block.height, block.width, 3)
        pixels = np.frombuffer(block.pixels, np.uint8).reshape(shape)
        side, mode, padding = self._encoder.input_side_px, self._encoder.resize_mode, self._encoder.padding_rgb
        for time_us, frame in zip((at + self._offset_us for at in block.pts_us), pixels, strict=True):
            place = self._piece_of(time_us)
            if place is None or taken[place] >= self._policy.audio_features.max_key_frames:
                continue
            piece = self._pieces.row(place, named=True)
            gathered.frames.append(
                self._place(piece)
                | {
                    "frame_id": make_id("frm", piece["piece_id"], time_us),
                    "frame_index": taken[place],
                    "time_us": time_us,
                    "start_us": piece["start_us"],
                    "end_us": piece["end_us"],
                    "model": self._model,
                }
            )
            taken[place] += 1
            gathered.waiting.append(make_square(frame, side, mode, padding))
            if len(gathered.waiting) >= self._policy.features.batch_size:
                gathered.encode(self._encoder)

    def _piece_of(self, time_us: int) -> int | None:
        place = int(np.searchsorted(self._bounds[:, 0], time_us, side="right")) - 1
        return place if place >= 0 and time_us < self._bounds[place, 1] else None

    def _place(self, piece: Row) -> Row:
        own = {name: self._clip[name] for name in ("batch", "clip_id", "position")}
        return own | {"piece_id": piece["piece_id"], "piece_index": piece["piece_index"]}

    def _side_px(self) -> int:
        """Longer side at which the decoded picture covers the encoder's square."""
        if not self._wanted:
            return 0
        side, width, height = self._encoder.input_side_px, self._clip["width"], self._clip["height"]
        if self._encoder.resize_mode != "shortest":
            return side
        return math.ceil(side * max(width, height) / min(width, height)) + 1


def _by_clip(rows: pl.DataFrame, *columns: str) -> dict[str, pl.DataFrame]:
    ordered = rows.sort("clip_id", "start_us")
    parts = ordered.partition_by("clip_id", as_dict=True, maintain_order=True)
    return {str(clip): part.select(columns) for (clip,), part in parts.items()}


def _frame(table: str, rows: list[Row], *left_out: str) -> pl.DataFrame:
    columns = {name: dtype for name, dtype in TABLES[table].schema.items() if name not in left_out}
    return pl.DataFrame(rows, schema=columns)
