"""The error tree and the seven codes of cross-modal failure.

::

    MMAssetsError
    ├─ InputError      this item is bad: it becomes a row in ``rejected`` with its code
    │  ├─ BatchContractError   the whole delivery is refused
    │  ├─ RecordError          one manifest row breaks the contract
    │  ├─ UnsafePathError      a name leads out of its root
    │  ├─ DecodeError          the bytes are not the medium they claim to be
    │  ├─ OrientationError     orientation metadata cannot follow the picture
    │  ├─ SidesError           a caption's words about sides cannot be kept true
    │  ├─ TransformRefusedError  a transform would make a record false
    │  └─ MemoryQuotaError     two sequences cannot be warped inside the memory quota, not even downsampled
    ├─ PolicyError     the policy file is unusable: nothing starts
    ├─ ContractError   our code is wrong: the run fails
    │  ├─ SchemaMismatchError
    │  └─ EmbeddingShapeError
    ├─ ModelError      the model failed: the run fails
    │  ├─ WeightsMissingError
    │  ├─ WeightsHashError
    │  └─ InferenceError
    ├─ HoldError       the batch is held: the run is refused, not retried
    ├─ LineageError    what is to be traced or forgotten is not there, or was not forgotten whole
    └─ ReleaseError    a release cannot be written or read as it stands
       ├─ ExportError          what is asked for is not there, or the format cannot hold it
       └─ FormatError          a sample breaks the placeholder format
          └─ UnresolvedReferenceError  a reference to a tensor cannot be followed

Every message names the culprit, the cause and the fix.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class MMAssetsError(Exception):
    """Base of every error raised on purpose by this project."""


class InputError(MMAssetsError):
    """One item of the input is bad.

    Args:
        code: short upper-case code stored in ``rejected.code``.
        reason: one sentence that names the culprit, the cause and the fix.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class BatchContractError(InputError):
    """A delivery as a whole breaks ``mm-batch/1`` and is refused."""


class RecordError(InputError):
    """One manifest row breaks the contract."""


class UnsafePathError(InputError):
    """A file name or archive member leads out of its root."""


class DecodeError(InputError):
    """The bytes cannot be decoded within the policy's bounds."""


class MemoryQuotaError(InputError):
    """Two sequences cannot be warped inside the memory quota, not even downsampled."""

    def __init__(self, reason: str) -> None:
        super().__init__(CrossModalCode.DTW_OOM.value, reason)


class PolicyError(MMAssetsError):
    """The policy file cannot be used."""


class ContractError(MMAssetsError):
    """Our own code broke a promise; the run must fail."""


class SchemaMismatchError(ContractError):
    """Rows do not have the columns of their table."""


class EmbeddingShapeError(ContractError):
    """An embedding does not have the encoder's dimension."""


class ModelError(MMAssetsError):
    """A model could not do its work; the run must fail."""


class WeightsMissingError(ModelError):
    """The weight file is not where its package puts it."""


class WeightsHashError(ModelError):
    """The weight file is not the one that was pinned."""


class InferenceError(ModelError):
    """The model ran and produced something unusable."""


class HoldError(MMAssetsError):
    """The batch is held by a gate."""


class LineageError(MMAssetsError):
    """What is to be traced or forgotten is not there, or was not forgotten whole."""


class ReleaseError(MMAssetsError):
    """A release cannot be written or read as it stands."""


class ExportError(ReleaseError):
    """What is asked for cannot be exported: it is not there, or the format cannot hold it."""


class FormatError(ReleaseError):
    """A fusion sample breaks the placeholder format."""


class CrossModalCode(StrEnum):
    """The seven codes of cross-modal failure."""

    FUSION = "ERR_CROSS_MDL_FUSION"
    OBJ_FLIP = "ERR_CROSS_MDL_OBJ_FLIP"
    HARD_NEG = "ERR_CROSS_MDL_HARD_NEG"
    DTW_OOM = "ERR_CROSS_MDL_DTW_OOM"
    TOKEN_FMT = "ERR_CROSS_MDL_TOKEN_FMT"  # noqa: S105 - an error code
    TEMPORAL = "ERR_CROSS_MDL_TEMPORAL"
    MIRROR = "ERR_CROSS_MDL_MIRROR"


@dataclass(frozen=True)
class Remedy:
    """What a code means and what to do about it."""

    cause: str
    fix: str


REMEDIES: Final[dict[CrossModalCode, Remedy]] = {
    CrossModalCode.FUSION: Remedy(
        cause="Weakly related or noisy pairs reach the contrastive loss.",
        fix="Drop corrupted pairs, clip feature norms (max norm 10) and clip gradients.",
    ),
    CrossModalCode.OBJ_FLIP: Remedy(
        cause="Boxes were not updated by a geometric augmentation.",
        fix="Bind every geometric augmentation to its boxes (Albumentations BboxParams).",
    ),
    CrossModalCode.HARD_NEG: Remedy(
        cause="The hard-negative threshold keeps true positives as negatives.",
        fix="Filter in two stages and cap negatives at two per positive.",
    ),
    CrossModalCode.DTW_OOM: Remedy(
        cause="A long segment asks for a warping matrix beyond the memory quota.",
        fix="Slice clips over 60 s into pieces of 30 s and warp inside a band or with FastDTW.",
    ),
    CrossModalCode.TOKEN_FMT: Remedy(
        cause="A placeholder was escaped, unpaired or outside the vocabulary.",
        fix="Serialise with ensure_ascii=False, never escape HTML, and lint every line.",
    ),
    CrossModalCode.TEMPORAL: Remedy(
        cause="Order or pointers were lost, as by writes to an eventually consistent store.",
        fix="Keep pointers and global timestamps in strongly consistent storage, then re-join by id.",
    ),
    CrossModalCode.MIRROR: Remedy(
        cause="A medical image was mirrored by the scanner or by augmentation.",
        fix="Validate orientation metadata and fix the direction before use.",
    ),
}
