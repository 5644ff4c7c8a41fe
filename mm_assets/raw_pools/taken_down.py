"""Turn away what was taken down: whatever form it comes back in, its record is rejected and its place not told."""

from collections.abc import Iterable, Iterator

from mm_assets.lineage.selectors import text_digest
from mm_assets.lineage.takedowns import Blocks, mask, refusal
from mm_assets.media.subtitles import Cue
from mm_assets.raw_pools.contract import BatchContract
from mm_assets.raw_pools.document_records import KIND, DocumentRecord
from mm_assets.raw_pools.media_records import AudioRecord, MediaRecord, SubtitleFile, VideoRecord
from mm_assets.raw_pools.records import ImageRecord, Record, Rejection, TextRecord


def refuse_taken_down(records: Iterable[Record], contract: BatchContract, blocks: Blocks) -> Iterator[Record]:
    """Images and texts, those that fell under a takedown rejected with code ``TAKEN_DOWN``."""
    for record in records:
        if not blocks or isinstance(record, Rejection):
            yield record
        elif isinstance(record, ImageRecord):
            yield from _refuse_image(record, contract, blocks)
        else:
            yield from _refuse_text(record, contract, blocks)


def refuse_media_taken_down(
    records: Iterable[MediaRecord], contract: BatchContract, blocks: Blocks
) -> Iterator[MediaRecord]:
    """Sounds and videos, those that fell under a takedown rejected; a video falls by its sound track and cues, too."""
    for record in records:
        if not blocks or isinstance(record, Rejection):
            yield record
            continue
        found = _takedown_of_clip(record, contract, blocks)
        kind = "audio" if isinstance(record, AudioRecord) else "video"
        yield record if found is None else _rejection(kind, record.record_ref, contract, found)


def refuse_documents_taken_down(
    records: Iterable[DocumentRecord | Rejection], contract: BatchContract, blocks: Blocks
) -> Iterator[DocumentRecord | Rejection]:
    """Documents, those that fell under a takedown rejected."""
    for record in records:
        if not blocks or isinstance(record, Rejection):
            yield record
            continue
        row = record.row
        found = blocks.takedown_of(contract.source_of(row.source), contract.license_of(row.license), record.at.sha256)
        yield record if found is None else _rejection(KIND, record.record_ref, contract, found)


def _refuse_image(record: ImageRecord, contract: BatchContract, blocks: Blocks) -> Iterator[Record]:
    declared = record.declared
    found = blocks.takedown_of(
        contract.source_of(declared.source), contract.license_of(declared.license), record.at.sha256
    )
    if found is None:
        yield record
        return
    yield _rejection("image", declared.record_ref, contract, found)
    for caption in declared.captions:
        if caption.record_ref != declared.record_ref:
            yield _rejection("caption", caption.record_ref, contract, found)


def _refuse_text(record: TextRecord, contract: BatchContract, blocks: Blocks) -> Iterator[Record]:
    found = blocks.takedown_of(
        contract.source_of(record.source), contract.license_of(record.license), text_digest(record.text)
    )
    yield record if found is None else _rejection("text", record.record_ref, contract, found)


def _takedown_of_clip(record: AudioRecord | VideoRecord, contract: BatchContract, blocks: Blocks) -> str | None:
    row = record.row
    source, license_name = contract.source_of(row.source), contract.license_of(row.license)
    if isinstance(record, AudioRecord):
        return blocks.takedown_of(source, license_name, record.at.sha256, (record.row.speaker,))
    subtitles = record.subtitles
    cues = subtitles.cues if isinstance(subtitles, SubtitleFile) else []
    speakers = {cue.speaker for cue in cues if isinstance(cue, Cue)}
    return blocks.takedown_of(source, license_name, record.at.sha256, speakers)


def _rejection(kind: str, where: str, contract: BatchContract, takedown: str) -> Rejection:
    return Rejection.of(kind, mask(contract.batch, where), refusal(takedown, contract.batch, where))
