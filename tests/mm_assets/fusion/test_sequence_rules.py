"""The linter finds every fault of sequences, names it once, and leaves them alone where the samples are at fault."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mm_assets.fusion.findings import LintCode
from mm_assets.fusion.linter import LintOptions, lint_paths

Mutation = Callable[[list[dict]], list[Any]]


def lint(*paths: Path) -> Any:
    """With and without the compiled pass; both have to say the same."""
    plain = lint_paths(paths, LintOptions(bulk_from_bytes=2**62))
    assert lint_paths(paths, LintOptions(bulk_from_bytes=0)) == plain
    return plain


def first(**fields: Any) -> Mutation:
    """Change the first line; a function gets the value there was."""

    def mutate(lines: list[dict]) -> list[dict]:
        made = {name: value(lines[0][name]) if callable(value) else value for name, value in fields.items()}
        return [lines[0] | made, *lines[1:]]

    return mutate


def without_last_sample(lines: list[dict]) -> list[dict]:
    line = lines[0]
    cut = {name: line[name][:-1] for name in ("samples", "positions", "boundaries")}
    return [line | cut | {"tokens": line["boundaries"][-2]}, *lines[1:]]


INVALID, MISMATCH = LintCode.INVALID_SEQUENCE, LintCode.SEQUENCE_MISMATCH
FAULTS: dict[str, tuple[LintCode, str, Mutation]] = {
    "no json": (INVALID, "no sequence", lambda lines: ["{", *lines[1:]]),
    "a field missing": (INVALID, "no sequence", lambda lines: [{"id": "seq_1"}, *lines[1:]]),
    "an empty line": (INVALID, "no sequence", lambda lines: ["", *lines[1:]]),
    "no id": (INVALID, "is empty", first(id="")),
    "no samples": (INVALID, "0 samples", first(samples=[], positions=[], boundaries=[0], tokens=0)),
    "a position missing": (INVALID, "do not go together", first(positions=lambda places: places[1:])),
    "a boundary missing": (INVALID, "do not go together", first(boundaries=lambda ends: ends[1:])),
    "another start": (INVALID, "are not 0 to", first(boundaries=lambda ends: [1, *ends[1:]])),
    "another end": (INVALID, "are not 0 to", first(tokens=lambda tokens: tokens - 1)),
    "boundaries fall": (INVALID, "do not rise", first(boundaries=lambda ends: [0, ends[2], ends[1], *ends[3:]])),
    "longer than a window": (
        INVALID, "those of a window", first(boundaries=lambda ends: [*ends[:-1], 65], tokens=65)),
    "a sample cut": (
        MISMATCH, "placeholders, but", first(boundaries=lambda ends: [0, 1, *ends[2:]])),
    "an unknown sample": (MISMATCH, "is not sample", first(samples=lambda names: ["mm_other", *names[1:]])),
    "positions exchanged": (
        MISMATCH, "is not sample", first(positions=lambda places: [places[1], places[0], *places[2:]])),
    "a position outside": (MISMATCH, "is not sample", first(positions=lambda places: [99, *places[1:]])),
    "a negative position": (MISMATCH, "is not sample", first(positions=lambda places: [-1, *places[1:]])),
    "twice in a window": (
        MISMATCH, "twice in one window",
        first(positions=lambda places: [places[1], *places[1:]], samples=lambda names: [names[1], *names[1:]])),
}  # fmt: skip


@pytest.fixture
def picture_windows(release_maker: Any, kit: Any) -> Path:
    """A release whose first window holds three samples or more, pictures among them first."""
    release_maker.add(
        kit.make_batch("b1", [[f"Duck {n}."] for n in range(12)], [("prose", f"Text {n}.") for n in range(4)])
    )
    release_maker.write()
    return release_maker.root / "r1"


def sequence_file(release: Path) -> tuple[Path, list[dict]]:
    path = release / "sequences" / "part-00000.jsonl"
    return path, [json.loads(raw) for raw in path.read_bytes().splitlines()]


def write(path: Path, lines: list[Any]) -> None:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))


@pytest.mark.parametrize("fault", FAULTS)
def test_each_planted_fault_is_found_and_nothing_else(picture_windows: Path, fault: str) -> None:
    code, told, mutate = FAULTS[fault]
    path, lines = sequence_file(picture_windows)
    kinds = {json.loads(raw)["id"]: json.loads(raw)["kind"] for raw in sample_lines(picture_windows)}
    place = next(
        n for n, line in enumerate(lines) if kinds[line["samples"][0]] == "image_text" and len(line["samples"]) > 2
    )
    lines = [lines[place], *lines[:place], *lines[place + 1 :]]
    write(path, lines)
    assert lint(picture_windows).clean
    write(path, mutate(lines))
    (error,) = lint(picture_windows).errors
    assert (error.file, error.line, error.code) == (str(path), 1, code)
    assert told in error.message
    assert lint(path).errors == [error]


def sample_lines(release: Path) -> list[bytes]:
    return [raw for path in sorted((release / "samples").iterdir()) for raw in path.read_bytes().splitlines()]


@pytest.mark.parametrize(
    ("mutate", "told"),
    [
        (lambda lines: lines[1:], "of sequences, but the files hold"),
        (without_last_sample, "of sequences, but the files hold"),
        (lambda lines: [*lines, lines[0] | {"id": "seq_more"}], "of sequences, but the files hold"),
    ],
)
def test_what_the_manifest_promises_has_to_be_there(picture_windows: Path, mutate: Mutation, told: str) -> None:
    path, lines = sequence_file(picture_windows)
    write(path, mutate(lines))
    errors = lint(picture_windows).errors
    assert {error.code for error in errors} == {MISMATCH}
    assert any(told in error.message for error in errors)


def test_a_repeated_line_and_a_lost_folder_are_found(picture_windows: Path) -> None:
    path, lines = sequence_file(picture_windows)
    write(path, [*lines, lines[0]])
    (error,) = lint(picture_windows).errors
    assert (error.line, error.code) == (len(lines) + 1, INVALID)
    path.unlink()
    errors = lint(picture_windows).errors
    assert {(error.file, error.code) for error in errors} == {(str(path.parent), MISMATCH)}
    assert any("stands in no window" in error.message for error in errors)


def test_a_sample_in_no_window_is_named(picture_windows: Path) -> None:
    path, lines = sequence_file(picture_windows)
    donor, taker = (line for line in lines if len(line["samples"]) > 1), lines[-1]
    first_line = next(donor)
    copied = {name: [*taker[name][:-1], first_line[name][0]] for name in ("samples", "positions")}
    lost = taker["positions"][-1]
    write(path, [*lines[:-1], taker | copied])
    errors = lint(picture_windows).errors
    assert [error.message.split(";")[0] for error in errors] == [f"sample {lost} of the release stands in no window"]


def test_too_long_samples_stand_by_themselves(release_maker: Any, kit: Any) -> None:
    release_maker.add(kit.make_batch("b1", [], [("prose", "word " * 90), ("prose", "a"), ("prose", "b")]))
    release_maker.write()
    release = release_maker.root / "r1"
    path = release / "sequences" / "too_long.jsonl"
    (apart,) = (json.loads(raw) for raw in path.read_bytes().splitlines())
    assert lint(release).clean
    write(path, [apart | {"boundaries": [0, 64], "tokens": 64}])
    (error,) = lint(release).errors
    assert (error.file, error.code) == (str(path), INVALID)
    assert "one that is longer than 64" in error.message


def test_undeclared_sequences_are_found_and_those_without_a_manifest_are_not_judged(picture_windows: Path) -> None:
    manifest = picture_windows / "manifest.json"
    declared = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(declared | {"sequences": None}))
    (error,) = lint(picture_windows).errors
    assert (error.code, "declares no sequences" in error.message) == (MISMATCH, True)
    manifest.unlink()
    path, lines = sequence_file(picture_windows)
    write(path, lines[1:])
    report = lint_paths([picture_windows], LintOptions())
    assert {error.code for error in report.errors} <= {LintCode.CODE_OUT_OF_VOCABULARY}


def test_a_fault_of_the_samples_is_not_told_twice(picture_windows: Path) -> None:
    samples = min((picture_windows / "samples").iterdir())
    lines = samples.read_bytes().splitlines(keepends=True)
    samples.write_bytes(b"".join(lines[:-1]) + lines[0])
    assert [error.code for error in lint(picture_windows).errors] == [LintCode.DUPLICATE_ID]
    samples.write_bytes(b"".join(lines[:-1]))
    assert {error.code for error in lint(picture_windows).errors} == {MISMATCH}


def test_one_file_of_samples_says_nothing_about_the_windows(picture_windows: Path) -> None:
    path, lines = sequence_file(picture_windows)
    write(path, lines[1:])
    samples = sorted((picture_windows / "samples").iterdir())
    assert lint(samples[0]).clean
    assert not lint(*samples).clean
    report = lint(picture_windows.parent)
    assert (report.files, report.rows) == (len(samples), len(sample_lines(picture_windows)))
    assert not report.clean
