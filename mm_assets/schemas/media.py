"""Tables of sound, video and subtitles, as delivered and cleaned.

Times are microseconds on the medium's global clock: presentation time as the container states it, plus what the
delivery says of the clock of its first frame.
"""

from typing import Final

import polars as pl

from mm_assets.schemas.columns import BATCH, LANGUAGE, LICENSE, RECORD_REF, SHA256, SOURCE, SOURCE_REF
from mm_assets.schemas.table import Column, Table

CLIP_ID: Final = Column(pl.String, "Hash of content and place; the same on every rerun.")
START_US: Final = Column(pl.Int64, "Start on the medium's global clock, microseconds.")
END_US: Final = Column(pl.Int64, "End on the medium's global clock, microseconds.")
_POSITION: Final = Column(pl.Int64, "Place of the record in its delivery, from 0, rejected records counted.")
_REFERENCE: Final = Column(SOURCE_REF, "Where the bytes lie: uri and byte range.")
_IN_ORDER: Final = {"starts_before_it_ends": "start_us < end_us"}

_RAW_CLIP: Final[dict[str, Column]] = {
    "batch": BATCH,
    "clip_id": CLIP_ID,
    "position": _POSITION,
    "record_ref": RECORD_REF,
    "source_ref": _REFERENCE,
    "file_name": Column(pl.String, "Name in the delivery, relative to its folder."),
    "sha256": SHA256,
    "size_bytes": Column(pl.Int64, "Encoded size in bytes."),
    "source": SOURCE,
    "source_id": Column(pl.String, "The supplier's own id of the record.", nullable=True),
    "license": LICENSE,
    "language": LANGUAGE,
    "text": Column(pl.String, "What the medium shows or what is heard, as delivered.", nullable=True),
}
_AUDIO: Final[dict[str, Column]] = _RAW_CLIP | {
    "transcription": Column(pl.String, "What is said, as delivered.", nullable=True),
    "speaker": Column(pl.String, "Who speaks, as delivered.", nullable=True),
}
_VIDEO: Final[dict[str, Column]] = _RAW_CLIP | {
    "declared_start_us": Column(
        pl.Int64, "Global clock of the first frame, as delivered; null: the container's own.", nullable=True
    ),
    "audio_ref": Column(SOURCE_REF, "Where a separate sound track lies; null: in the file.", nullable=True),
    "audio_sha256": Column(pl.String, "SHA-256 of the separate sound track.", nullable=True),
}
_CUE: Final[dict[str, Column]] = {
    "batch": BATCH,
    "cue_id": Column(pl.String, "Hash of clip, place in the file, times and text."),
    "clip_id": CLIP_ID,
    "position": _POSITION,
    "cue_index": Column(pl.Int32, "Place of the cue in its file, from 0, rejected cues counted."),
    "record_ref": RECORD_REF,
    "start_us": START_US,
    "end_us": END_US,
    "text": Column(pl.String, "What the cue says, without tags."),
    "name": Column(pl.String, "Identifier of the cue in its file.", nullable=True),
    "speaker": Column(pl.String, "Who speaks, from the voice tag.", nullable=True),
    "language": LANGUAGE,
}
_SOUND_CLOCK: Final = Column(
    pl.Int64, "Global clock less presentation time of the sound, corrections included, microseconds."
)
_SOUND_MEASURES: Final[dict[str, Column]] = {
    "codec": Column(pl.String, "Codec of the sound.", nullable=True),
    "sample_rate": Column(pl.Int32, "Samples a second as delivered, Hz.", nullable=True),
    "channels": Column(pl.Int32, "Channels as delivered.", nullable=True),
    "sound_start_us": Column(pl.Int64, "Global clock of the first sample.", nullable=True),
    "sound_end_us": Column(pl.Int64, "Global clock at which the last sample ends.", nullable=True),
    "loudness_lufs": Column(pl.Float32, "Integrated loudness, EBU R 128; null below its gate.", nullable=True),
    "peak": Column(pl.Float32, "Largest magnitude; full scale is 1.", nullable=True),
    "silent_share": Column(pl.Float32, "Share of the time below the silence level.", nullable=True),
    "clipped_share": Column(pl.Float32, "Share of samples that stand at full scale in a row.", nullable=True),
    "snr_db": Column(pl.Float32, "Estimated ratio of speech to background, dB; null: no speech.", nullable=True),
    "squeal_share": Column(pl.Float32, "Share of the sounding time under one lasting tone.", nullable=True),
    "speech_share": Column(pl.Float32, "Share of the time with speech.", nullable=True),
    "music_share": Column(pl.Float32, "Share of the time with music or singing.", nullable=True),
    "sound_class": Column(pl.String, "speech, music, other or silence.", nullable=True),
}

TABLES: Final[tuple[Table, ...]] = (
    Table(
        name="raw_audio",
        grain="One row per audio record that keeps the batch contract, before any of it is decoded.",
        columns=_AUDIO,
        order_by=("position",),
        constraints={"position_is_not_negative": "position >= 0", "size_is_positive": "size_bytes > 0"},
    ),
    Table(
        name="raw_videos",
        grain="One row per video record that keeps the batch contract, before any of it is decoded.",
        columns=_VIDEO,
        order_by=("position",),
        constraints={"position_is_not_negative": "position >= 0", "size_is_positive": "size_bytes > 0"},
    ),
    Table(
        name="raw_subtitles",
        grain="One row per subtitle file of a video record.",
        columns={
            "batch": BATCH,
            "clip_id": CLIP_ID,
            "position": _POSITION,
            "record_ref": RECORD_REF,
            "source_ref": _REFERENCE,
            "file_name": Column(pl.String, "Name in the delivery, relative to video/."),
            "sha256": SHA256,
            "form": Column(pl.String, "vtt or srt."),
            "source": SOURCE,
            "license": LICENSE,
        },
        order_by=("position",),
    ),
    Table(
        name="raw_cues",
        grain="One row per cue as delivered, in the order of its file.",
        columns=_CUE,
        order_by=("position", "cue_index"),
        constraints={"times_are_not_negative": "start_us >= 0 AND end_us >= 0"},
    ),
    Table(
        name="audio_clips",
        grain="One row per sound that decodes to its end and meets the rules.",
        columns=_AUDIO
        | {"start_us": START_US, "end_us": END_US, "sound_clock_offset_us": _SOUND_CLOCK}
        | _SOUND_MEASURES,
        order_by=("position",),
        constraints=_IN_ORDER
        | {"sound_lies_inside": "sound_start_us IS NULL OR (sound_start_us >= start_us AND sound_end_us <= end_us)"},
    ),
    Table(
        name="video_clips",
        grain="One row per video that decodes to its end and meets the rules.",
        columns=_VIDEO
        | {
            "start_us": START_US,
            "end_us": END_US,
            "clock_offset_us": Column(pl.Int64, "Global clock less presentation time of the pictures, microseconds."),
            "sound_clock_offset_us": _SOUND_CLOCK,
            "video_codec": Column(pl.String, "Codec of the pictures."),
            "width": Column(pl.Int32, "Width in pixels, upright."),
            "height": Column(pl.Int32, "Height in pixels, upright."),
            "frames": Column(pl.Int64, "Frames decoded."),
            "frame_rate": Column(pl.Float32, "Frames a second, from presentation times: (frames - 1) / span."),
            "has_variable_rate": Column(pl.Boolean, "Whether frames are shown for unequal times."),
            "black_share": Column(pl.Float32, "Share of the time with a black picture."),
            "frozen_share": Column(pl.Float32, "Share of the time in which the picture stands still."),
        }
        | _SOUND_MEASURES,
        order_by=("position",),
        constraints=_IN_ORDER | {"size_px_is_positive": "width > 0 AND height > 0"},
    ),
    Table(
        name="shots",
        grain="One row per shot of a cleaned video; the shots of a video tile it.",
        columns={
            "batch": BATCH,
            "clip_id": CLIP_ID,
            "position": _POSITION,
            "shot_index": Column(pl.Int32, "Place of the shot in its video, from 0."),
            "start_us": START_US,
            "end_us": END_US,
            "key_frame_us": Column(pl.Int64, "Global clock of the frame that stands for the shot."),
        },
        order_by=("position", "shot_index"),
        constraints=_IN_ORDER | {"key_frame_lies_inside": "key_frame_us >= start_us AND key_frame_us < end_us"},
    ),
    Table(
        name="clip_tracks",
        grain="One row per cleaned clip: speech, onsets and motion along it, for comparison in time.",
        columns={
            "batch": BATCH,
            "clip_id": CLIP_ID,
            "sound_start_us": Column(pl.Int64, "Global clock of the first value of speech and onsets.", nullable=True),
            "sound_step_us": Column(pl.Int64, "Time between them, microseconds."),
            "speech": Column(pl.List(pl.Float32), "Probability of speech, 0 to 1.", nullable=True),
            "onsets": Column(pl.List(pl.Float32), "Rise of the level, dB.", nullable=True),
            "motion_start_us": Column(pl.Int64, "Global clock of the first value of motion.", nullable=True),
            "motion_step_us": Column(pl.Int64, "Time between them, microseconds."),
            "motion": Column(pl.List(pl.Float32), "Change of the picture, mean of levels of 255.", nullable=True),
        },
        order_by=("clip_id",),
        constraints={"steps_are_positive": "sound_step_us > 0 AND motion_step_us > 0"},
    ),
    Table(
        name="pauses",
        grain="One row per pause of a cleaned clip: no speech, and little sound beside the rest.",
        columns={
            "batch": BATCH,
            "clip_id": CLIP_ID,
            "start_us": START_US,
            "end_us": END_US,
        },
        order_by=("clip_id", "start_us"),
        constraints=_IN_ORDER,
    ),
    Table(
        name="cues",
        grain="One row per cue that lies inside its medium, in order, and says something.",
        columns=_CUE
        | {
            "correction_id": Column(pl.String, "Last correction that changed its times or clip.", nullable=True),
            "raw_text": Column(pl.String, "The text before repair."),
            "clip_start_us": Column(pl.Int64, "Start of the cue's medium on the same clock."),
            "clip_end_us": Column(pl.Int64, "End of the cue's medium on the same clock."),
            "previous_start_us": Column(pl.Int64, "Start of its clip's cue before; null of the first.", nullable=True),
        },
        order_by=("position", "cue_index"),
        constraints=_IN_ORDER
        | {
            "lies_inside_its_medium": "start_us >= clip_start_us AND end_us <= clip_end_us",
            "follows_the_one_before": "previous_start_us IS NULL OR previous_start_us <= start_us",
            "text_is_not_empty": "text <> ''",
        },
    ),
    Table(
        name="clip_pieces",
        grain="One row per piece of a clip; the pieces of a clip tile it exactly.",
        columns={
            "batch": BATCH,
            "piece_id": Column(pl.String, "Hash of clip and times."),
            "clip_id": CLIP_ID,
            "position": _POSITION,
            "piece_index": Column(pl.Int32, "Place of the piece in its clip, from 0."),
            "start_us": START_US,
            "end_us": END_US,
            "cut": Column(pl.String, "Why it ends here: end, shot, silence, gap or forced."),
        },
        order_by=("position", "piece_index"),
        constraints=_IN_ORDER,
    ),
)
