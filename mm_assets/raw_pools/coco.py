"""COCO: one ``images/coco.json`` with instances, captions or both.

The file is held in memory while it is read, together with one small object per annotation; the policy's
``max_coco_bytes`` bounds it. Segmentations are skipped, boxes are kept as delivered (``xywh_pixels``).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeVar

import msgspec

from mm_assets.errors import InputError, RecordError
from mm_assets.landing import LandedObject, Landing
from mm_assets.policy import IngestPolicy
from mm_assets.raw_pools.contract import BatchContract
from mm_assets.raw_pools.fingerprints import Declared, hash_files
from mm_assets.raw_pools.inventory import Inventory
from mm_assets.raw_pools.lines import BYTE_ORDER_MARK
from mm_assets.raw_pools.names import shown
from mm_assets.raw_pools.records import Caption, DeclaredImage, Record, Rejection, encode_annotations
from mm_assets.raw_pools.rows import Box, ShortId, decode_json, mask_nan

FORM: Final = "coco"
MANIFEST: Final = "coco.json"
BOX_FORMAT: Final = "xywh_pixels"

T = TypeVar("T")


class _File(msgspec.Struct):
    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw] = []
    categories: list[msgspec.Raw] = []
    licenses: list[msgspec.Raw] = []


class _Image(msgspec.Struct):
    id: ShortId
    file_name: str
    width: int | None = None
    height: int | None = None
    license: ShortId | None = None


class _Annotation(msgspec.Struct):
    image_id: ShortId
    id: ShortId | None = None
    caption: str | None = None
    bbox: Box | None = None
    category_id: ShortId | None = None
    iscrowd: int | None = None
    language: str | None = None


class _Category(msgspec.Struct):
    id: ShortId
    name: Annotated[str, msgspec.Meta(max_length=200)]


class _License(msgspec.Struct):
    id: ShortId
    name: str | None = None
    url: str | None = None


_FILE: Final = msgspec.json.Decoder(_File)
_IMAGE: Final = msgspec.json.Decoder(_Image)
_ANNOTATION: Final = msgspec.json.Decoder(_Annotation)
_CATEGORY: Final = msgspec.json.Decoder(_Category)
_LICENSE: Final = msgspec.json.Decoder(_License)


@dataclass(slots=True)
class _Notes:
    """What the annotations say of one image."""

    captions: list[Caption] = field(default_factory=list[Caption])
    boxes: list[Box] = field(default_factory=list[Box])
    categories: list[str] = field(default_factory=list[str])
    crowds: list[int] = field(default_factory=list[int])


def read_coco(
    landing: Landing, contract: BatchContract, policy: IngestPolicy, inventory: Inventory
) -> Iterator[Record]:
    """One record per entry of ``images``, in their order; captions are records of their own."""
    manifest = inventory.claim_if_present(MANIFEST)
    if manifest is None:
        return
    try:
        document = _decode_file(landing, manifest, policy)
    except RecordError as error:
        yield Rejection("image", manifest.key, "COCO_INVALID", error.reason)
        return
    reader = _Reader(manifest.key, contract, inventory, document)
    yield from hash_files(reader.declared(), landing, policy)


def _decode_file(landing: Landing, manifest: LandedObject, policy: IngestPolicy) -> _File:
    key = manifest.key
    if manifest.size_bytes > policy.max_coco_bytes:
        raise RecordError(
            "COCO_INVALID",
            f"{key}: {manifest.size_bytes} bytes, more than {policy.max_coco_bytes}; split the annotations",
        )
    content = landing.read(key, 0, policy.max_coco_bytes).removeprefix(BYTE_ORDER_MARK)
    try:
        return _FILE.decode(content)
    except msgspec.ValidationError as error:
        raise RecordError("COCO_INVALID", f"{key}: {error}; write a COCO object with 'images'") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        cause = str(error)
    # Python writes NaN, which JSON does not have: only the entries that hold one are to be rejected.
    masked = mask_nan(content)
    if masked is not None:
        try:
            return _FILE.decode(masked)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            cause = str(error)
    raise RecordError("COCO_INVALID", f"{key}: {cause}; write one COCO object as JSON")


class _Reader:
    def __init__(self, key: str, contract: BatchContract, inventory: Inventory, document: _File) -> None:
        self._key = key
        self._contract = contract
        self._inventory = inventory
        self._document = document
        self._notes: dict[int | str, _Notes] = {}
        self._categories: dict[int | str, str] = {}
        self._licenses: dict[int | str, str] = {}

    def declared(self) -> Iterator[Declared | Rejection]:
        """Images with what the annotations say of them; then the annotations of no image."""
        yield from self._guard("category", self._document.categories, self._read_category)
        yield from self._guard("license", self._document.licenses, self._read_license)
        yield from self._guard("annotation", self._document.annotations, self._read_annotation)
        seen: set[int | str] = set()
        for index, raw in enumerate(self._document.images):
            yield from self._declare(raw, f"{self._key}#image/@{index}", seen)
        for image_id, notes in self._notes.items():
            yield from self._refuse_orphans(image_id, notes)

    def _guard(
        self, name: str, entries: list[msgspec.Raw], read: Callable[[msgspec.Raw, str], Rejection | None]
    ) -> Iterator[Rejection]:
        """Read every entry; the broken ones, and broken parts of them, are rejected by their index, from 0."""
        for index, raw in enumerate(entries):
            where = f"{self._key}#{name}/@{index}"
            try:
                part = read(raw, where)
            except InputError as error:
                yield Rejection.of("caption" if b'"caption"' in bytes(raw) else "annotation", where, error)
            else:
                if part is not None:
                    yield part

    def _read_category(self, raw: msgspec.Raw, where: str) -> None:
        category = decode_json(raw, _CATEGORY, where)
        known = self._categories.get(category.id, category.name)
        if known != category.name:
            raise _ambiguous(where, "category", category.id, known)
        self._categories[category.id] = category.name

    def _read_license(self, raw: msgspec.Raw, where: str) -> None:
        entry = decode_json(raw, _LICENSE, where)
        name = (entry.name or entry.url or "").strip()
        if not name:
            raise RecordError("MISSING_FIELD", f"{where}: neither 'name' nor 'url' names the licence; write one")
        known = self._licenses.get(entry.id, name)
        if known != name:
            raise _ambiguous(where, "licence", entry.id, known)
        self._licenses[entry.id] = name

    def _read_annotation(self, raw: msgspec.Raw, where: str) -> Rejection | None:
        """Take in a caption, a box or both; where the caption can be used and the box beside it not, its rejection."""
        annotation = decode_json(raw, _ANNOTATION, where)
        if annotation.caption is None:
            self._read_box(annotation, where)
            return None
        self._read_caption(annotation, annotation.caption, where)
        if annotation.bbox is None:
            return None
        try:
            self._read_box(annotation, where)
        except InputError as error:
            return Rejection.of("annotation", where, error)
        return None

    def _read_caption(self, annotation: _Annotation, text: str, where: str) -> None:
        if "\0" in text:
            raise RecordError("NUL_BYTE", f"{where}: the caption holds the NUL character; write it as plain text")
        ref = where if annotation.id is None else f"{self._key}#annotation/{annotation.id}"
        caption = Caption(text, ref, annotation.language)
        self._notes.setdefault(annotation.image_id, _Notes()).captions.append(caption)

    def _read_box(self, annotation: _Annotation, where: str) -> None:
        if annotation.bbox is None or annotation.category_id is None:
            had = "neither a 'caption' nor a 'bbox' with" if annotation.bbox is None else "a 'bbox' without"
            raise RecordError("MISSING_FIELD", f"{where}: {had} its 'category_id'; add one or drop it")
        category = self._categories.get(annotation.category_id)
        if category is None:
            raise RecordError(
                "UNKNOWN_CATEGORY", f"{where}: no category has id {annotation.category_id!r}; add it to 'categories'"
            )
        notes = self._notes.setdefault(annotation.image_id, _Notes())
        notes.boxes.append(annotation.bbox)
        notes.categories.append(category)
        notes.crowds.append(annotation.iscrowd or 0)

    def _declare(self, raw: msgspec.Raw, where: str, seen: set[int | str]) -> Iterator[Declared | Rejection]:
        try:
            image = decode_json(raw, _IMAGE, where)
            if image.id in seen:
                raise RecordError(
                    "DUPLICATE_ID", f"{where}: an earlier image has id {image.id!r}; give each image its own"
                )
        except InputError as error:
            yield Rejection.of("image", where, error)
            return
        seen.add(image.id)
        notes = self._notes.pop(image.id, _Notes())
        declared = self._describe(image, notes)
        try:
            landed = self._inventory.claim(image.file_name, declared.record_ref)
            self._check(image, notes, declared)
        except InputError as error:
            yield from declared.reject(error)
            return
        yield declared, landed

    def _check(self, image: _Image, notes: _Notes, declared: DeclaredImage) -> None:
        where = declared.record_ref
        if not notes.boxes and not any(caption.text.strip() for caption in notes.captions):
            raise RecordError(
                "MISSING_FIELD", f"{where}: no annotation captions {shown(image.file_name)} or boxes it; add one"
            )
        if image.license is not None and declared.license is None and self._document.licenses:
            raise RecordError(
                "UNKNOWN_LICENSE", f"{where}: no licence has id {image.license!r}; add it to 'licenses' or drop the id"
            )

    def _describe(self, image: _Image, notes: _Notes) -> DeclaredImage:
        objects = {"bbox": notes.boxes, "categories": notes.categories, "iscrowd": notes.crowds}
        annotations: dict[str, object] = {"box_format": BOX_FORMAT, "objects": objects} if notes.boxes else {}
        annotations |= {"width": image.width, "height": image.height}
        return DeclaredImage(
            record_ref=f"{self._key}#image/{image.id}",
            form=FORM,
            file_name=image.file_name,
            captions=notes.captions,
            source=None,
            source_id=str(image.id),
            license=None if image.license is None else self._licenses.get(image.license),
            annotations_json=encode_annotations(annotations),
        )

    def _refuse_orphans(self, image_id: int | str, notes: _Notes) -> Iterator[Rejection]:
        cause = f"no usable image has id {image_id!r}; add it to 'images' or drop its annotations"
        for caption in notes.captions:
            yield Rejection("caption", caption.record_ref, "UNKNOWN_IMAGE", f"{caption.record_ref}: {cause}")
        if notes.boxes:
            where = f"{self._key}#boxes-of-image/{image_id}"
            yield Rejection("annotation", where, "UNKNOWN_IMAGE", f"{where}: {len(notes.boxes)} boxes, but {cause}")


def _ambiguous(where: str, kind: str, identifier: int | str, known: str) -> RecordError:
    """The error of an id that stands for two names; the first keeps it."""
    return RecordError(
        "DUPLICATE_ID",
        f"{where}: id {identifier!r} is already {kind} {shown(known)}; give each {kind} an id of its own",
    )
