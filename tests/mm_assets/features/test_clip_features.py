"""From cleaned clips to tokens and key frames: real files through the decoding process."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest

from mm_assets.errors import ContractError
from mm_assets.features.clip_features import ClipFeatures, read_clip_features
from mm_assets.features.key_frames import choose_key_frames
from mm_assets.features.ragged_shards import RaggedReader, write_ragged_shard
from mm_assets.media.decoder import MediaDecoder
from mm_assets.media.messages import AudioBlock, End, FrameBlock, Wanted
from mm_assets.policy import AudioFeaturePolicy, Policy
from mm_assets.schemas import SOURCE_REF
from resources.lake_files import open_lake_files
from resources.local_landing import LocalLanding

POLICY = Policy(audio_features=AudioFeaturePolicy(max_key_frames=2))
TIMES = list(range(0, 4_000_000, 40_000))


@pytest.fixture(scope="module")
def decoder() -> Iterator[MediaDecoder]:
    with MediaDecoder(POLICY.media) as running:
        yield running


def sound_ends(decoder: MediaDecoder, path: Path) -> int | None:
    with path.open("rb") as stream:
        told = [
            message for message in decoder.decode(stream, path.name, Wanted(audio=True)) if isinstance(message, End)
        ]
    return told[0].audio.end_us if told and told[0].audio else None


class Site:
    """Clips on disk and their rows."""

    def __init__(self, root: Path, decoder: MediaDecoder, encoder: object):
        self.landing = LocalLanding(root)
        self.folder = root / "b1" / "video"
        self.folder.mkdir(parents=True)
        self.decoder, self.encoder = decoder, encoder

    def clip(self, path: Path, number: int = 0, *, offset_us: int = 0, sound: Path | None = None, **size) -> dict:
        ended = sound_ends(self.decoder, sound or path)
        return {
            "batch": "b1",
            "clip_id": f"vid_{number}",
            "position": number,
            "record_ref": f"b1/video/metadata.jsonl:{number + 1}",
            "source_ref": self._ref(path),
            "audio_ref": self._ref(sound) if sound else None,
            "clock_offset_us": offset_us,
            "sound_clock_offset_us": offset_us,
            "width": 64,
            "height": 48,
            "start_us": offset_us,
            "end_us": offset_us + 4_000_000,
            "sound_end_us": None if ended is None else ended + offset_us,
        } | size

    def _ref(self, path: Path) -> dict:
        uri = self.landing.uri(f"b1/video/{path.name}")
        return {"uri": uri, "member": None, "byte_offset": 0, "byte_size": None, "frame_index": None}

    def read(self, clips: list[dict], pieces: list[tuple], shots: list[tuple], policy: Policy = POLICY) -> ClipFeatures:
        overrides = {"source_ref": SOURCE_REF, "audio_ref": SOURCE_REF}
        found = read_clip_features(
            [pl.DataFrame(clips, schema_overrides=overrides)],
            pl.DataFrame(
                [(clip, f"pce_{clip}_{place}", place, *span) for clip, place, *span in pieces],
                schema=["clip_id", "piece_id", "piece_index", "start_us", "end_us"],
                orient="row",
            ),
            pl.DataFrame(
                shots,
                schema={"clip_id": pl.String, "start_us": pl.Int64, "end_us": pl.Int64, "key_frame_us": pl.Int64},
                orient="row",
            ),
            self.landing,
            self.decoder,
            self.encoder,
            policy,
        )
        (only,) = list(found)
        return only


@pytest.fixture
def site(tmp_path: Path, decoder: MediaDecoder, colour_encoder: object) -> Site:
    return Site(tmp_path, decoder, colour_encoder)


@pytest.fixture
def video(site: Site, media_files: ModuleType) -> Callable[..., Path]:
    """Four seconds: a red picture for two, a blue one for two; clicks at 1 s and 3 s."""

    def write(name: str = "v.mkv", *, sound: bool = True) -> Path:
        red, blue = (np.full((48, 64, 3), colour, np.uint8) for colour in ((200, 20, 20), (20, 20, 200)))
        return media_files.write_media(
            site.folder / name,
            sound=media_files.clicks(4.0, [1_000_000, 3_000_000]) if sound else None,
            pictures=[red] * 50 + [blue] * 50,
            pts_us=TIMES,
        )

    return write


def test_key_frames_are_those_of_the_longest_shots_or_from_the_middle() -> None:
    shots = np.array([[0, 10, 5], [10, 40, 20], [40, 60, 50], [60, 200, 199]])
    chosen = choose_key_frames(np.array([[0, 60], [60, 150], [150, 250]]), shots, 2)
    assert [(frame.piece, frame.time_us) for frame in chosen] == [(0, 20), (0, 50), (1, 105), (2, 199)]
    assert choose_key_frames(np.array([[0, 60]]), shots[:0], 2) == []
    assert choose_key_frames(np.array([[300, 400]]), shots, 2) == []


def test_sound_and_pictures_stand_at_their_places_on_the_global_clock(site: Site, video: Callable) -> None:
    clip = site.clip(video(), offset_us=10_000_000)
    pieces = [("vid_0", 0, 10_000_000, 12_000_000), ("vid_0", 1, 12_000_000, 14_000_000)]
    shots = [("vid_0", 10_000_000, 12_000_000, 11_000_000), ("vid_0", 12_000_000, 14_000_000, 13_000_000)]
    found = site.read([clip], pieces, shots)
    assert found.frames.select("piece_id", "frame_index", "time_us").rows() == [
        ("pce_vid_0_0", 0, 11_000_000),
        ("pce_vid_0_1", 0, 13_000_000),
    ]
    red, blue = (np.array(value) for value in found.frames["embedding"])
    assert red[0] > 0.9
    assert blue[2] > 0.9
    assert found.spatial.shape == (2, 4, 3)
    assert found.sounds.select("piece_id", "tokens", "heard_share").rows() == [
        ("pce_vid_0_0", 25, 1.0),
        ("pce_vid_0_1", 25, 1.0),
    ]
    for tokens in found.tokens:
        assert tokens.shape == (25, 160)
        parts = tokens.reshape(100, 40).mean(axis=1)
        assert int(parts.argmax()) == pytest.approx(50, abs=1)  # 1 s at 20 ms a part
    assert found.media_seconds == 4.0


def test_a_separate_track_and_none_at_all(site: Site, video: Callable, media_files: ModuleType) -> None:
    track = media_files.write_media(site.folder / "v.wav", sound=media_files.clicks(4.0, [2_000_000]))
    clips = [
        site.clip(video("a.mp4"), 0, sound=track),
        site.clip(video("b.mp4", sound=False), 1),
    ]
    pieces = [(clip, 0, 0, 4_000_000) for clip in ("vid_0", "vid_1")]
    shots = [(clip, 0, 4_000_000, 1_200_000) for clip in ("vid_0", "vid_1")]
    found = site.read(clips, pieces, shots)
    assert found.frames["clip_id"].to_list() == ["vid_0", "vid_1"]
    assert found.sounds["clip_id"].to_list() == ["vid_0"]
    assert int(found.tokens[0].reshape(200, 40).mean(axis=1).argmax()) == pytest.approx(100, abs=1)


def test_only_wanted_frames_cross_the_process(video: Callable, decoder: MediaDecoder) -> None:
    wanted = Wanted(video=True, times_us=(0, 990_000, 1_000_000, 3_950_000, 9_000_000))
    with video().open("rb") as stream:
        blocks = [message for message in decoder.decode(stream, "v", wanted) if isinstance(message, FrameBlock)]
    assert [time for block in blocks for time in block.pts_us] == [0, 1_000_000, 3_960_000]
    with video("w.mkv").open("rb") as stream:
        kinds = {type(message) for message in decoder.decode(stream, "v", Wanted(audio=True))}
    assert AudioBlock in kinds
    assert FrameBlock not in kinds


def test_a_delivery_that_changed_is_named(site: Site, video: Callable) -> None:
    pieces, shots = [("vid_0", 0, 0, 4_000_000)], [("vid_0", 0, 4_000_000, 1_200_000)]
    clip = site.clip(video()) | {"sound_end_us": 3_000_000}
    with pytest.raises(ContractError, match=r"vid_0 of batch b1 .* CHANGED_FILE"):
        site.read([clip], pieces, shots)
    (site.folder / "v.mkv").write_bytes(b"gone")
    with pytest.raises(ContractError, match="passed cleaning and now"):
        site.read([clip], pieces, shots)


def test_ragged_records_come_back_in_any_order(tmp_path: Path) -> None:
    store = open_lake_files(str(tmp_path))
    random = np.random.default_rng(0)
    records = [random.normal(size=(length, 5)).astype(np.float16) for length in (3, 1, 7)]
    references = write_ragged_shard(store, "b1", 0, records)
    assert write_ragged_shard(store, "b1", 0, records) == references
    for place, record in zip((2, 0, 1), RaggedReader(store).read([references[i] for i in (2, 0, 1)]), strict=True):
        np.testing.assert_array_equal(record, records[place])
    with pytest.raises(ContractError, match="beyond the shard's 3 records"):
        RaggedReader(store).read([references[0].replace("#0", "#3")])
    with pytest.raises(ContractError, match="do not fit a shard"):
        write_ragged_shard(store, "b1", 1, [records[0], records[0][:0]])
    path = tmp_path / references[0].split("#")[0]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ContractError, match="damaged"):
        RaggedReader(store).read(references)
