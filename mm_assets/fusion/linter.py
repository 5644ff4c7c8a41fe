"""Check every line of releases, folders and single files; each fault with file, line, id and code.

Most lines are proven clean by a cheap proof; the others see the exact rules, which name every fault. For large inputs a
compiled pass goes first and proves lines clean in bulk; with and without it the report is the same.
"""

import contextlib
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from mm_assets.errors import ReleaseError
from mm_assets.fusion.duplicate_ids import NO_ID, Duplicate, IdLedger, Stretch
from mm_assets.fusion.findings import LintCode, LintError, LintReport, in_report_order
from mm_assets.fusion.line_blocks import read_blocks, split_lines
from mm_assets.fusion.line_facts import fingerprint
from mm_assets.fusion.line_proof import LineProof
from mm_assets.fusion.line_rules import LineRules
from mm_assets.fusion.placeholders import Vocabulary
from mm_assets.fusion.release_format import MANIFEST_NAME, SAMPLES_FOLDER, STAGING_MARK, read_release_format
from mm_assets.fusion.samples import AUDIO_CODES, AUDIO_FEATURES, VISUAL_CODES, VISUAL_FEATURES
from mm_assets.fusion.sequence_rules import SampleIndex, lint_sequences
from mm_assets.fusion.sequences import SEQUENCES_FOLDER, SequenceFormat
from mm_assets.fusion.shard_index import CODES_FOLDER, FEATURES_FOLDER, ShardIndex
from mm_assets.policy import Policy

if TYPE_CHECKING:
    from mm_assets.fusion.bulk_proof import BulkProof

_DEFAULT_POLICY: Final = Policy().fusion
_ANCESTORS: Final = 3
_BULK_BLOCKS: Final = 4  # read at once by the compiled pass
_BULK_PAYS_BYTES: Final = 268_435_456  # loading takes about 2 CPU seconds
_COMPILING_PAYS_BYTES: Final = 1_073_741_824  # compiling takes about 8


@dataclass(frozen=True)
class LintOptions:
    """How to lint; vocabulary and version count only where no manifest declares them.

    Attributes:
        vocabulary: vocabulary of files outside a release.
        placeholder_version: syntax version of files outside a release.
        sequences: format of the sequences of a release that has no manifest yet.
        block_bytes: bytes read at once.
        max_line_bytes: longest line that is looked at.
        max_errors: faults listed; more are counted per code.
        bulk_from_bytes: size of the input from which the compiled pass goes first; by default where its start pays,
            which is earlier once it has been compiled on this machine.
    """

    vocabulary: Vocabulary = field(
        default_factory=lambda: Vocabulary.of(
            _DEFAULT_POLICY, Policy().codebook.size, audio_codes=Policy().audio_codebook.size
        )
    )
    placeholder_version: str = _DEFAULT_POLICY.placeholder_version
    sequences: SequenceFormat | None = None
    block_bytes: int = 262_144
    max_line_bytes: int = 67_108_864
    max_errors: int = 100_000
    bulk_from_bytes: int | None = None

    def bulk_from(self) -> int:
        """Size of the input from which the compiled pass goes first, bytes."""
        if self.bulk_from_bytes is not None:
            return self.bulk_from_bytes
        compiled = any((Path(__file__).parent / "__pycache__").glob("line_kernel.*.nbi"))
        return _BULK_PAYS_BYTES if compiled else _COMPILING_PAYS_BYTES


@dataclass
class _Release:
    """What belongs to one release folder during a lint."""

    proof: LineProof
    rules: LineRules
    bulk: "BulkProof | None"
    has_manifest: bool
    sequences: SequenceFormat | None
    faulty: bool = False
    ids: IdLedger = field(default_factory=IdLedger)


def lint_paths(paths: Sequence[Path | str], options: LintOptions | None = None) -> LintReport:
    """Check all lines of all ``*.jsonl`` files that the paths name or hold.

    A release folder is read as one: its manifest declares vocabulary and version, its shards are what placeholders are
    counted against, and an id may occur once in it. Its sequences are checked with it, and compared with its samples
    unless a fault of those explains whatever differs; files, rows and bytes of the report count samples only.

    Args:
        paths: release folders, other folders, or single files.
        options: bounds, and the vocabulary of files outside a release.

    Returns:
        The report; ``report.clean`` says whether there is no fault.

    Raises:
        ReleaseError: a path does not exist, cannot be read, or holds no ``*.jsonl`` file.
    """
    return _Lint(options or LintOptions()).run([Path(path) for path in paths])


class _Lint:
    def __init__(self, options: LintOptions) -> None:
        self._options = options
        self._releases = OrderedDict[Path, _Release]()
        self._errors: list[LintError] = []
        self._omitted = Counter[str]()
        self._bulk = False

    def run(self, paths: list[Path]) -> LintReport:
        found = list(OrderedDict.fromkeys(file for path in paths for file in _find_files(path)))
        files = [file for file in found if not _is_of_sequences(file)]
        try:
            size_bytes = sum(file.stat().st_size for file in files)
            self._bulk = size_bytes >= self._options.bulk_from()
            rows = sum(self._lint_file(file) for file in files)
            for release in self._releases.values():
                for duplicate in release.ids.duplicates():
                    self._report_duplicate(release, duplicate)
            for root in _with_sequences(found):
                self._lint_sequences(root)
        except OSError as error:
            raise ReleaseError(f"{error.filename}: cannot be read ({error.strerror}); restore the file") from error
        return LintReport(len(files), rows, size_bytes, in_report_order(self._errors, files), dict(self._omitted))

    def _lint_file(self, file: Path) -> int:
        release = self._release(file)
        line = 0
        block_bytes = self._options.block_bytes * (_BULK_BLOCKS if self._bulk else 1)
        for block in read_blocks(file, block_bytes, self._options.max_line_bytes):
            if block.data is None:
                line += 1
                message = f"line is longer than {self._options.max_line_bytes} bytes; split the sample"
                self._report(release, LintError(str(file), line, None, LintCode.LINE_TOO_LONG, message))
                continue
            release.ids.begin(Stretch(file, line + 1, block.offset, len(block.data)))
            if release.bulk is None:
                line = self._lint_lines(release, file, line, block.data)
            else:
                line = self._lint_in_bulk(release, release.bulk, file, line, block.data)
        return line

    def _lint_lines(self, release: _Release, file: Path, line: int, data: bytes) -> int:
        proven_id, add = release.proof.proven_id, release.ids.add
        for raw in split_lines(data):
            line += 1
            identifier = proven_id(raw)
            if identifier is None:
                identifier = self._check(release, file, line, raw)
            add(NO_ID if identifier is None else hash(identifier))
        return line

    def _lint_in_bulk(self, release: _Release, bulk: "BulkProof", file: Path, line: int, data: bytes) -> int:
        for judged in bulk.judge(data):
            for place, raw in judged.doubtful:
                identifier = release.proof.proven_id(raw)
                if identifier is None:
                    identifier = self._check(release, file, line + place + 1, raw)
                judged.keys[place] = NO_ID if identifier is None else fingerprint(_utf8(identifier))
            release.ids.extend(judged.keys)
            line += len(judged.keys)
        return line

    def _check(self, release: _Release, file: Path, line: int, raw: bytes) -> str | None:
        verdict = release.rules.check(raw)
        for code, message in verdict.faults.items():
            self._report(release, LintError(str(file), line, verdict.id, code, message))
        return verdict.id if verdict.valid else None

    def _lint_sequences(self, root: Path) -> None:
        """Check the sequences of a release; where its manifest tells nothing of them there is nothing to check by."""
        release = self._release(root / SAMPLES_FOLDER / "_")
        if release.sequences is None and not release.has_manifest:
            return
        samples = None
        if release.sequences is not None and not release.faulty:
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                samples = SampleIndex.read(root)
        for error in lint_sequences(root, release.sequences, samples):
            self._report(release, error)

    def _report(self, release: _Release, error: LintError) -> None:
        release.faulty = True
        self._list(error)

    def _list(self, error: LintError) -> None:
        if len(self._errors) < self._options.max_errors:
            self._errors.append(error)
        else:
            self._omitted[error.code] += 1

    def _report_duplicate(self, release: _Release, duplicate: Duplicate) -> None:
        message = f"id already stands in {duplicate.first_file}, line {duplicate.first_line}; keep one of them"
        error = LintError(str(duplicate.file), duplicate.line, duplicate.id, LintCode.DUPLICATE_ID, message)
        self._report(release, error)

    def _release(self, file: Path) -> _Release:
        root = _release_folder(file)
        if root not in self._releases:
            self._releases[root] = self._open(root)
        return self._releases[root]

    def _open(self, root: Path) -> _Release:
        vocabulary, version = self._options.vocabulary, self._options.placeholder_version
        declared = None
        try:
            declared = read_release_format(root)
        except ReleaseError as error:
            self._list(LintError(str(root / MANIFEST_NAME), 1, None, LintCode.INVALID_MANIFEST, str(error)))
        if declared is not None:
            vocabulary, version = declared.vocabulary.vocabulary(), declared.placeholder_version
        codes_required = declared is not None or (root / CODES_FOLDER).is_dir()
        visual = ShardIndex(root, VISUAL_FEATURES, VISUAL_CODES, codes_required=codes_required)
        audio = ShardIndex(root, AUDIO_FEATURES, AUDIO_CODES, codes_required=codes_required)
        proof = LineProof(vocabulary, version, visual, audio)
        bulk = None
        if self._bulk:
            from mm_assets.fusion.bulk_proof import BulkProof  # noqa: PLC0415 - numba takes a second to load

            bulk = BulkProof(vocabulary, version, visual, audio)
        sequences = self._options.sequences if declared is None else declared.sequences
        rules = LineRules(vocabulary, version, visual, audio)
        return _Release(proof, rules, bulk, declared is not None, sequences)


def _find_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ReleaseError(f"{path}: no such file or folder; give a release, a folder or a *.jsonl file")
    samples = path / SAMPLES_FOLDER
    sequences = (path / SEQUENCES_FOLDER).glob("*.jsonl")
    inside = chain(samples.glob("*.jsonl"), sequences) if samples.is_dir() else path.rglob("*.jsonl")
    files = sorted(file for file in inside if file.is_file() and not _is_staged(file.relative_to(path)))
    if not files:
        raise ReleaseError(f"{path}: holds no *.jsonl file; nothing was checked")
    return files


def _is_of_sequences(file: Path) -> bool:
    """Whether the file says which samples of a release share a window, and holds none itself."""
    return file.parent.name == SEQUENCES_FOLDER and (file.resolve().parents[1] / SAMPLES_FOLDER).is_dir()


def _with_sequences(found: Sequence[Path]) -> Iterator[Path]:
    """Folders of the releases whose sequences are to be checked: all of their samples were, or a sequence was named."""
    checked = {file.resolve() for file in found}
    for root in OrderedDict.fromkeys(_release_folder(file) for file in found):
        own = set((root / SAMPLES_FOLDER).glob("*.jsonl"))
        named = any(file.parent == root / SEQUENCES_FOLDER for file in checked)
        if named or (own and own <= checked):
            yield root


def _is_staged(file: Path) -> bool:
    """Whether the file lies in a release that is still being written beside the finished ones."""
    return any(STAGING_MARK in part for part in file.parts[:-1])


def _release_folder(file: Path) -> Path:
    """The nearest folder above the file with a manifest or features; else where a release would begin."""
    parents = list(file.resolve().parents)[:_ANCESTORS]
    for folder in parents:
        if (folder / MANIFEST_NAME).is_file() or (folder / FEATURES_FOLDER).is_dir():
            return folder
    return parents[1] if parents[0].name in {SAMPLES_FOLDER, SEQUENCES_FOLDER} else parents[0]


def _utf8(identifier: str) -> bytes:
    return identifier.encode("utf-8", "surrogatepass")
