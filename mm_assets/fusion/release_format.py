"""What a release says about its own format: the part of ``manifest.json`` that linter and reader rely on."""

from pathlib import Path
from typing import Final

import msgspec

from mm_assets.errors import PolicyError, ReleaseError
from mm_assets.fusion.placeholders import Vocabulary
from mm_assets.fusion.sequences import SequenceFormat

MANIFEST_NAME: Final = "manifest.json"
SAMPLES_FOLDER: Final = "samples"
STAGING_MARK: Final = ".tmp-"
REVOKED_NAME: Final = "REVOKED.json"
"""Stands beside the manifest of a release that held what was taken down; its other files are gone."""


class VocabularyDeclaration(msgspec.Struct, frozen=True):
    """Token ids of a release: ``<IMG_TK_n>`` is image_code_offset + n, ``<AUD_TK_n>`` audio_code_offset + n."""

    text_vocab_size: int
    image_code_offset: int
    image_codes: int
    audio_code_offset: int
    audio_codes: int

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> "VocabularyDeclaration":
        """Declare a vocabulary."""
        return cls(
            text_vocab_size=vocabulary.text_size,
            image_code_offset=vocabulary.image_offset,
            image_codes=vocabulary.image_codes,
            audio_code_offset=vocabulary.audio_offset,
            audio_codes=vocabulary.audio_codes,
        )

    def vocabulary(self) -> Vocabulary:
        """The vocabulary declared.

        Raises:
            PolicyError: its ranges overlap.
        """
        return Vocabulary(
            self.text_vocab_size, self.image_code_offset, self.image_codes, self.audio_code_offset, self.audio_codes
        )


class FileRecord(msgspec.Struct, frozen=True):
    """A file of a release."""

    path: str
    size_bytes: int
    sha256: str


class ReleaseFormat(msgspec.Struct, frozen=True):
    """The part of a manifest that tells how to read the release."""

    release: str
    placeholder_version: str
    vocabulary: VocabularyDeclaration
    files: list[FileRecord]
    sequences: SequenceFormat | None = None


def read_release_format(folder: Path) -> ReleaseFormat | None:
    """Read the format of a release folder; None if it has no manifest.

    Raises:
        ReleaseError: the manifest cannot be read or does not declare the format, or the release was revoked.
    """
    path = folder / MANIFEST_NAME
    if (folder / REVOKED_NAME).is_file():
        raise ReleaseError(f"{folder}: was revoked, for samples of it were taken down; delete it and draw it again")
    try:
        declared = msgspec.json.decode(path.read_bytes(), type=ReleaseFormat)
        declared.vocabulary.vocabulary()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, msgspec.DecodeError, RecursionError, PolicyError) as error:
        raise ReleaseError(f"{path}: {error}; restore the manifest or rebuild the release") from error
    return declared
