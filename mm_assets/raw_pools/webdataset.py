"""WebDataset: tars of samples, each an image beside a caption (``.txt``) and a row (``.json``) of the same name."""

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

import msgspec

from mm_assets.errors import InputError, RecordError
from mm_assets.landing import LandedObject, Landing
from mm_assets.policy import IngestPolicy
from mm_assets.raw_pools.archives import read_members
from mm_assets.raw_pools.contract import BatchContract
from mm_assets.raw_pools.fingerprints import check_size, describe_file
from mm_assets.raw_pools.imagefolder import declare_image
from mm_assets.raw_pools.inventory import Inventory
from mm_assets.raw_pools.lines import BYTE_ORDER_MARK
from mm_assets.raw_pools.names import IMAGE_SUFFIXES, check_name, shown
from mm_assets.raw_pools.records import Bytes, Record, Rejection
from mm_assets.raw_pools.rows import SampleRow, check_utf8, decode_row

FORM: Final = "webdataset"
SUFFIX: Final = ".tar"
_BLOCK_BYTES: Final = 1_048_576
_HERE: Final = "./"  # what ``tar -C folder .`` writes before every name
_DECODER: Final = msgspec.json.Decoder(SampleRow)


@dataclass(slots=True)
class _Sample:
    """Members of one name, as far as they were read; the first fault rejects the whole sample."""

    name: str
    image: Bytes | None = None
    text: str | None = None
    row: SampleRow | None = None
    fault: InputError | None = None


def read_webdataset(
    landing: Landing, contract: BatchContract, policy: IngestPolicy, inventory: Inventory
) -> Iterator[Record]:
    """One record per sample, tar by tar in order of name; a broken tar costs its own rest only."""
    for landed in list(inventory.unclaimed(SUFFIX)):
        inventory.claim(inventory.name(landed.key), landed.key)
        if landed.size_bytes == 0:
            yield Rejection("image", landed.key, "EMPTY_FILE", f"{landed.key}: the tar has no bytes; deliver it again")
            continue
        with landing.open(landed.key) as stream:
            yield from _Archive(landed, stream, contract, policy, inventory).records()


def sample_name(member: str) -> tuple[str, str]:
    """Split a member's name at the first dot of its last segment, as WebDataset does.

    >>> sample_name("part.1/0001.seg.PNG")
    ('part.1/0001', 'seg.png')
    >>> sample_name("./0001.png")
    ('0001', 'png')
    >>> sample_name("._0001.png")
    ('._0001.png', '')
    """
    member = member.removeprefix(_HERE)
    folder, slash, last = member.rpartition("/")
    stem, _, suffix = last.partition(".")
    return (f"{folder}{slash}{stem}", suffix.lower()) if stem else (member, "")


class _Archive:
    def __init__(
        self,
        landed: LandedObject,
        stream: BinaryIO,
        contract: BatchContract,
        policy: IngestPolicy,
        inventory: Inventory,
    ) -> None:
        self._key = landed.key
        self._size_bytes = landed.size_bytes
        self._stream = stream
        self._contract = contract
        self._policy = policy
        self._inventory = inventory
        self._has_texts = self._has_rows = False

    def records(self) -> Iterator[Record]:
        """Samples in order; then the damage, if there is any."""
        sample: _Sample | None = None
        broken: RecordError | None = None
        members = read_members(self._stream, self._size_bytes, self._policy.max_tar_members, self._key)
        try:
            for member in members:
                if member.isdir():
                    continue
                name, suffix = sample_name(member.name)
                if sample is None or name != sample.name or self._repeats(sample, suffix):
                    if sample is not None:
                        yield self._close(sample)
                    sample = _Sample(name)
                self._add(sample, member, suffix)
        except RecordError as error:
            broken = error
        if sample is not None:
            if broken is not None and not self._is_complete(sample):
                sample.fault = sample.fault or broken
            yield self._close(sample)
        if broken is not None:
            yield Rejection.of("image", self._key, broken)

    def _is_complete(self, sample: _Sample) -> bool:
        """Whether the sample before the damage has every kind of member that the archive's samples have."""
        has_text, has_row = sample.text is not None, sample.row is not None
        return sample.image is not None and has_text >= self._has_texts and has_row >= self._has_rows

    def _repeats(self, sample: _Sample, suffix: str) -> bool:
        """Whether the member starts the same sample over, rather than add to it."""
        if suffix == "txt":
            return sample.text is not None
        if suffix == "json":
            return sample.row is not None
        return (
            sample.image is not None
            and sample.image.member is not None
            and sample.image.member.lower().endswith(f".{suffix}")
        )

    def _add(self, sample: _Sample, member: tarfile.TarInfo, suffix: str) -> None:
        where = f"{self._key}!{member.name}"
        try:
            check_name(member.name.removeprefix(_HERE), self._key)
            if not member.isreg() or member.issparse():
                raise RecordError(
                    "TAR_MEMBER_TYPE", f"{where}: a link, device or sparse file; pack the regular file itself"
                )
            if f".{suffix}" in IMAGE_SUFFIXES:
                self._add_image(sample, member, where)
            elif suffix == "txt":
                self._has_texts = True
                sample.text = check_utf8(self._read_whole(member, where), where).removeprefix("\ufeff").strip()
            elif suffix == "json":
                self._has_rows = True
                content = self._read_whole(member, where).removeprefix(BYTE_ORDER_MARK)
                sample.row = decode_row(content, _DECODER, where)
        except InputError as error:
            sample.fault = sample.fault or error

    def _add_image(self, sample: _Sample, member: tarfile.TarInfo, where: str) -> None:
        check_size(member.size, self._policy, where)
        if sample.image is not None:
            raise RecordError(
                "DUPLICATE_NAME", f"{where}: the sample has a second image; give each image a name of its own"
            )
        digest = hashlib.sha256()
        for block in self._blocks(member, where):
            digest.update(block)
        sample.image = Bytes(self._key, member.name, member.offset_data, member.size, digest.hexdigest())

    def _read_whole(self, member: tarfile.TarInfo, where: str) -> bytes:
        if member.size > self._policy.max_line_bytes:
            raise RecordError(
                "FILE_TOO_LARGE",
                f"{where}: {member.size} bytes of text, more than {self._policy.max_line_bytes}; shorten it",
            )
        return b"".join(self._blocks(member, where))

    def _blocks(self, member: tarfile.TarInfo, where: str) -> Iterator[bytes]:
        self._stream.seek(member.offset_data)
        left = member.size
        while left:
            block = self._stream.read(min(left, _BLOCK_BYTES))
            if not block:
                raise RecordError(
                    "TAR_CORRUPT", f"{where}: the archive ends {left} bytes before the member does; deliver it again"
                )
            left -= len(block)
            yield block

    def _first(self, at: Bytes, size: int) -> bytes:
        self._stream.seek(at.offset)
        return self._stream.read(size)

    def _close(self, sample: _Sample) -> Record:
        where = f"{self._key}!{sample.name}"
        try:
            if sample.fault is not None:
                raise sample.fault
            if not self._inventory.first_sample(self._key, sample.name):
                raise RecordError(
                    "DUPLICATE_NAME",
                    f"{where}: an earlier sample of this tar has the name {shown(sample.name)}; "
                    "name samples uniquely and keep their members adjacent",
                )
            if sample.image is None or sample.image.member is None:
                raise RecordError(
                    "MISSING_FIELD",
                    f"{where}: no image member; pack NAME.png (or jpg, webp …) with NAME.txt, without dots in NAME",
                )
            row = sample.row or SampleRow()
            texts = list(dict.fromkeys(text for text in (sample.text, row.text, row.caption) if text))
            file_name = f"{self._inventory.name(self._key)}/{sample.image.member.removeprefix(_HERE)}"
            declared = declare_image(row, file_name, [*texts], FORM, where, self._contract)
            at = sample.image
            return describe_file(declared, at, lambda size: self._first(at, size))
        except InputError as error:
            return Rejection.of("image", where, error)
