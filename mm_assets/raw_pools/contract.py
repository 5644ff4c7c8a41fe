"""The batch contract ``mm-batch/1``: what a delivery as a whole must state before a record of it is read."""

import hashlib
import re
from typing import Final

import msgspec

from mm_assets.errors import BatchContractError, RecordError, UnsafePathError
from mm_assets.identifiers import validate_batch_id
from mm_assets.landing import LandedObject, Landing
from mm_assets.policy import IngestPolicy
from mm_assets.raw_pools.lines import BYTE_ORDER_MARK
from mm_assets.raw_pools.names import SUCCESS, shown
from mm_assets.raw_pools.rows import decode_json

CONTRACT: Final = "mm-batch/1"
BOX_FORMATS: Final = ("xyxy_pixels", "xywh_pixels", "cxcywh_0_1", "xyxy_0_1", "xyxy_0_1000")
TEXT_KINDS: Final = ("math", "code", "logic", "prose", "dialogue")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")
_MAX_NAME_CHARACTERS: Final = 200


class BatchContract(msgspec.Struct, frozen=True):
    """What ``batch.json`` promises for every record that does not say otherwise.

    Attributes:
        batch: id of the batch.
        source: who delivered it.
        license: licence of its records.
        box_format: convention of declared boxes, one of `BOX_FORMATS`; None if the batch declares no boxes.
        language: ISO 639-1 code of captions and texts, if they share one.
    """

    batch: str
    source: str
    license: str
    box_format: str | None = None
    language: str | None = None

    def source_of(self, own: str | None) -> str:
        """The source a record names itself, or the batch's; blanks name none.

        >>> BatchContract("b1", "vendor-a", "MIT").source_of("  ")
        'vendor-a'
        """
        return (own or "").strip() or self.source

    def license_of(self, own: str | None) -> str:
        """The licence a record names itself, or the batch's; blanks name none.

        >>> BatchContract("b1", "vendor-a", "MIT").license_of(" CC0-1.0 ")
        'CC0-1.0'
        """
        return (own or "").strip() or self.license


class _BatchJson(msgspec.Struct):
    contract: str
    source: str
    license: str
    box_format: str | None = None
    language: str | None = None


_DECODER: Final = msgspec.json.Decoder(_BatchJson)


def read_contract(landing: Landing, batch: str, policy: IngestPolicy) -> BatchContract:
    """Read and check ``batch.json`` of a finished delivery.

    Raises:
        BatchContractError: code ``BATCH_ID``, ``UNFINISHED_BATCH``, ``MISSING_CONTRACT``, ``CONTRACT_TOO_LARGE``,
            ``LINK_OUTSIDE``, ``NUL_BYTE``, ``INVALID_UTF8``, ``INVALID_JSON``, ``NAN_VALUE``, ``MISSING_FIELD``,
            ``WRONG_TYPE``, ``WRONG_CONTRACT``, ``UNKNOWN_BOX_FORMAT`` or ``UNKNOWN_LANGUAGE``.
    """
    validate_batch_id(batch)
    try:
        document = _read_document(landing, batch, policy)
    except (RecordError, UnsafePathError) as error:
        raise BatchContractError(error.code, error.reason) from error
    where = f"{batch}/batch.json"
    if document.contract != CONTRACT:
        raise BatchContractError(
            "WRONG_CONTRACT", f"{where}: contract is {shown(document.contract)}; this reader knows {CONTRACT!r}"
        )
    for name, value in (("source", document.source), ("license", document.license)):
        if not value.strip():
            raise BatchContractError("MISSING_FIELD", f"{where}: {name!r} is blank; say who or what it is")
        if len(value) > _MAX_NAME_CHARACTERS or "\0" in value:
            raise BatchContractError(
                "WRONG_TYPE",
                f"{where}: {name!r} is not a name of at most {_MAX_NAME_CHARACTERS} characters; shorten it",
            )
    if document.box_format is not None and document.box_format not in BOX_FORMATS:
        raise BatchContractError(
            "UNKNOWN_BOX_FORMAT",
            f"{where}: box_format {shown(document.box_format)} is unknown; use one of {', '.join(BOX_FORMATS)}",
        )
    if document.language is not None and _LANGUAGE.fullmatch(document.language) is None:
        raise BatchContractError(
            "UNKNOWN_LANGUAGE",
            f"{where}: language {shown(document.language)} is no language code; write one such as 'en'",
        )
    return BatchContract(
        batch=batch,
        source=document.source.strip(),
        license=document.license.strip(),
        box_format=document.box_format,
        language=document.language,
    )


def _read_document(landing: Landing, batch: str, policy: IngestPolicy) -> _BatchJson:
    if landing.find(f"{batch}/{SUCCESS}") is None:
        raise BatchContractError(
            "UNFINISHED_BATCH", f"{batch}: there is no {batch}/{SUCCESS}; wait for the delivery, or write it last"
        )
    key = f"{batch}/batch.json"
    found = landing.find(key)
    if found is None:
        raise BatchContractError(
            "MISSING_CONTRACT", f"{batch}: there is no {key}; deliver one that states {CONTRACT!r}"
        )
    content = landing.read(key, 0, policy.max_batch_json_bytes + 1)
    if len(content) > policy.max_batch_json_bytes:
        raise BatchContractError(
            "CONTRACT_TOO_LARGE",
            f"{key}: {found.size_bytes} bytes, over {policy.max_batch_json_bytes}; state only the batch's own facts",
        )
    return decode_json(content.removeprefix(BYTE_ORDER_MARK), _DECODER, key)


PARTS: Final = ("audio", "documents", "images", "text", "video")
"""Folders of a delivery that hold records."""


def landing_signature(landing: Landing, batch: str) -> str:
    """Hash of every object's key, size and version, and the parts there are: ``HASH:images+text``.

    Equal means that nothing was delivered since.
    """
    validate_batch_id(batch)
    digest = hashlib.sha256()
    parts: set[str] = set()
    for landed in landing.objects(f"{batch}/"):
        digest.update(_signature_line(landed))
        parts.add(_part_of(landed.key))
    for link in landing.links(f"{batch}/"):
        digest.update(f"link\0{link}\n".encode("utf-8", "surrogatepass"))
        parts.add(_part_of(link))
    return f"{digest.hexdigest()}:{'+'.join(sorted(parts.intersection(PARTS)))}"


def parts_of(signature: str) -> frozenset[str]:
    """Parts of the delivery with this signature.

    >>> sorted(parts_of("0c1d:images+text"))
    ['images', 'text']
    """
    return frozenset(part for part in signature.partition(":")[2].split("+") if part)


def _part_of(key: str) -> str:
    """The folder of the batch that the object lies in, or the name of the object."""
    return key.split("/", 2)[1]


def _signature_line(landed: LandedObject) -> bytes:
    return f"{landed.key}\0{landed.size_bytes}\0{landed.version}\n".encode("utf-8", "surrogatepass")
