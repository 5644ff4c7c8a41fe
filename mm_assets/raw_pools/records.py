"""What the readers produce, and the chunks of table rows it becomes.

Rows in = rows out + rejected, per kind of record: an *image* record is one manifest line, archive sample, COCO image or
undeclared file; a *text* record one line, row or file of the text pool; a *caption* record one caption of an accepted
image, or one caption annotation of COCO whatever became of its image. A COCO box annotation that cannot be used is
rejected as an *annotation*; the usable ones travel inside their image's ``annotations_json``.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec
import polars as pl

from mm_assets.errors import InputError
from mm_assets.identifiers import make_id
from mm_assets.landing import Landing
from mm_assets.policy import IngestPolicy
from mm_assets.raw_pools.chunking import in_chunks
from mm_assets.raw_pools.contract import BatchContract
from mm_assets.raw_pools.names import storable
from mm_assets.schemas import TABLES

STAGE: Final = "raw_pools"
_MAX_REF_CHARACTERS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Rejection:
    """One record that is turned away."""

    record_kind: str
    record_ref: str
    code: str
    reason: str

    @classmethod
    def of(cls, record_kind: str, record_ref: str, error: InputError) -> "Rejection":
        """The rejection an error stands for."""
        return cls(record_kind, record_ref, error.code, error.reason)


@dataclass(frozen=True, slots=True)
class Bytes:
    """Where bytes lie and what they are: object, archive member, range and SHA-256."""

    key: str
    member: str | None
    offset: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Caption:
    """One caption as delivered; its record_ref differs from its image's where it was declared apart."""

    text: str
    record_ref: str
    language: str | None


@dataclass(frozen=True, slots=True)
class DeclaredImage:
    """An image record that keeps the contract so far; nobody has looked at its file yet."""

    record_ref: str
    form: str
    file_name: str
    captions: list[Caption]
    source: str | None
    source_id: str | None
    license: str | None
    annotations_json: str | None

    def reject(self, error: InputError) -> Iterator[Rejection]:
        """Turn away the image, and with it the captions that were declared apart."""
        yield Rejection.of("image", self.record_ref, error)
        for caption in self.captions:
            if caption.record_ref != self.record_ref:
                yield Rejection(
                    "caption",
                    caption.record_ref,
                    "IMAGE_REJECTED",
                    f"{caption.record_ref}: its image {self.record_ref} was rejected ({error.code}); repair the image",
                )


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image record with its bytes found and hashed."""

    declared: DeclaredImage
    at: Bytes


@dataclass(frozen=True, slots=True)
class TextRecord:
    """A text record that keeps the contract."""

    record_ref: str
    key: str
    offset: int
    size_bytes: int
    text: str
    kind: str
    language: str | None
    source: str | None
    license: str | None
    generator: str | None = None
    prompt_version: str | None = None
    spot_check: str | None = None


Record = ImageRecord | TextRecord | Rejection


@dataclass(frozen=True)
class RawChunk:
    """A bounded number of records, as rows of their tables.

    Attributes:
        images: rows of ``raw_images``.
        captions: rows of ``raw_captions``.
        texts: rows of ``raw_texts``.
        rejected: rows of ``rejected``.
        records: records seen per kind; for each kind the rows plus the rejected ones.
    """

    images: pl.DataFrame
    captions: pl.DataFrame
    texts: pl.DataFrame
    rejected: pl.DataFrame
    records: dict[str, int]

    @property
    def tables(self) -> dict[str, pl.DataFrame]:
        """Rows of each table but ``rejected``."""
        return {"raw_images": self.images, "raw_captions": self.captions, "raw_texts": self.texts}


def as_chunks(
    records: Iterable[Record], landing: Landing, contract: BatchContract, policy: IngestPolicy
) -> Iterator[RawChunk]:
    """Number the records, give them ids and hand them on in chunks bounded in rows and bytes."""
    yield from in_chunks(records, _Rows(landing, contract), policy)


@dataclass
class _Rows:
    """Rows of the next chunk, and the positions that run through the whole batch."""

    landing: Landing
    contract: BatchContract
    image_position: int = 0
    text_position: int = 0
    count: int = 0
    size_bytes: int = 0
    records: dict[str, int] = field(default_factory=dict[str, int])
    images: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])
    captions: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])
    texts: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])
    rejected: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])

    def add(self, record: Record) -> None:
        if isinstance(record, ImageRecord):
            self._add_image(record)
        elif isinstance(record, TextRecord):
            self._add_text(record)
        else:
            self._reject(record)

    def take(self) -> RawChunk:
        """The chunk so far; starts the next one."""
        chunk = RawChunk(
            images=_frame("raw_images", self.images),
            captions=_frame("raw_captions", self.captions),
            texts=_frame("raw_texts", self.texts),
            rejected=_frame("rejected", self.rejected),
            records=self.records,
        )
        self.records = {}
        self.count = self.size_bytes = 0
        self.images, self.captions, self.texts, self.rejected = [], [], [], []
        return chunk

    def _saw(self, kind: str, size_bytes: int) -> None:
        self.records[kind] = self.records.get(kind, 0) + 1
        self.count += 1
        self.size_bytes += size_bytes

    def _add_image(self, record: ImageRecord) -> None:
        declared, at = record.declared, record.at
        image_id = make_id("img", at.key, at.member or "", at.sha256)
        position = self.image_position
        self.image_position += 1
        self._saw("image", len(declared.annotations_json or ""))
        self.images.append(
            (
                self.contract.batch,
                image_id,
                position,
                declared.form,
                declared.record_ref,
                self._source_ref(at.key, at.member, at.offset, at.size_bytes),
                declared.file_name,
                at.sha256,
                at.size_bytes,
                self.contract.source_of(declared.source),
                declared.source_id,
                self.contract.license_of(declared.license),
                declared.annotations_json,
            )
        )
        index = 0
        for caption in declared.captions:
            if not caption.text.strip():
                self._reject(
                    Rejection(
                        "caption",
                        caption.record_ref,
                        "EMPTY_TEXT",
                        f"{caption.record_ref}: a caption is blank; write it or leave it out",
                    )
                )
                continue
            self._saw("caption", len(caption.text))
            self.captions.append(
                (
                    self.contract.batch,
                    make_id("cap", image_id, index, caption.text),
                    image_id,
                    position,
                    index,
                    caption.record_ref,
                    caption.text,
                    caption.language or self.contract.language,
                )
            )
            index += 1

    def _add_text(self, record: TextRecord) -> None:
        content = hashlib.sha256(record.text.encode("utf-8")).hexdigest()
        position = self.text_position
        self.text_position += 1
        self._saw("text", len(record.text))
        self.texts.append(
            (
                self.contract.batch,
                make_id("txt", record.record_ref, content),
                position,
                record.record_ref,
                self._source_ref(record.key, None, record.offset, record.size_bytes),
                record.text,
                record.kind,
                record.language or self.contract.language,
                self.contract.source_of(record.source),
                self.contract.license_of(record.license),
                record.generator,
                record.prompt_version,
                record.spot_check,
            )
        )

    def _reject(self, rejection: Rejection) -> None:
        if rejection.record_kind == "image":
            self.image_position += 1
        elif rejection.record_kind == "text":
            self.text_position += 1
        self._saw(rejection.record_kind, len(rejection.reason))
        self.rejected.append(
            (
                self.contract.batch,
                STAGE,
                rejection.record_kind,
                storable(rejection.record_ref[:_MAX_REF_CHARACTERS]),
                None,
                rejection.code,
                storable(rejection.reason[:_MAX_REF_CHARACTERS]),
            )
        )

    def _source_ref(self, key: str, member: str | None, offset: int, size_bytes: int) -> dict[str, object]:
        return {
            "uri": self.landing.uri(key),
            "member": member,
            "byte_offset": offset,
            "byte_size": size_bytes,
            "frame_index": None,
        }


def _frame(table: str, rows: list[tuple[object, ...]]) -> pl.DataFrame:
    return TABLES[table].conform(pl.DataFrame(rows, schema=TABLES[table].schema, orient="row"))


def encode_annotations(annotations: dict[str, object]) -> str | None:
    """Declared annotations as JSON, without the absent ones; None if none is left."""
    present = {name: value for name, value in annotations.items() if value is not None}
    return msgspec.json.encode(present).decode("utf-8") if present else None
