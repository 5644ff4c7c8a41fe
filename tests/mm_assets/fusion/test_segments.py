"""Segments from their tables to a release, linted and read; every planted fault is found exactly."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from mm_assets.errors import ContractError, FormatError, ReleaseError
from mm_assets.fusion.bulk_proof import BulkProof
from mm_assets.fusion.findings import LintCode
from mm_assets.fusion.line_facts import fingerprint
from mm_assets.fusion.line_proof import LineProof
from mm_assets.fusion.line_rules import LineRules
from mm_assets.fusion.linter import LintOptions, lint_paths
from mm_assets.fusion.placeholders import Modality, Vocabulary, parse_content
from mm_assets.fusion.shard_index import ShardIndex
from mm_assets.fusion.training_reader import ReleaseDataset
from mm_assets.fusion.training_sample import collate_samples
from mm_assets.mixtures.ragged_writer import RaggedWriter
from mm_assets.policy import FusionPolicy, Policy

TEXTS = [
    ("trimodal", "The white car drives down the street."),
    ("audio_text", "She said “quack” — 5 < 6 & 7 > 3."),
    ("video_text", "池の上のアヒル 🦆"),
]
Mutation = Callable[[dict], dict | bytes]


def encode(line: dict) -> bytes:
    return json.dumps(line, ensure_ascii=False).encode()


def swap(old: str, new: str) -> Mutation:
    return lambda line: line | {"content": line["content"].replace(old, new, 1)}


def shift_code(name: str, size: int) -> Mutation:
    def change(line: dict) -> dict:
        content = line["content"]
        start = content.index(f"<{name}_") + len(name) + 2
        end = content.index(">", start)
        moved = (int(content[start:end]) + 1) % size
        return line | {"content": f"{content[:start]}{moved}{content[end:]}"}

    return change


def drop_code(name: str) -> Mutation:
    def change(line: dict) -> dict:
        content = line["content"]
        start = content.index(f"<{name}_")
        return line | {"content": content[:start] + content[content.index(">", start) + 1 :]}

    return change


def reference(field: str, change: Callable[[str], str | None]) -> Mutation:
    return lambda line: line | {field: change(line[field])}


FAULTS: dict[str, tuple[LintCode, Mutation]] = {
    "no audio start": (LintCode.UNPAIRED_SENTINEL, swap("<|audio_start|>", "")),
    "no audio end": (LintCode.UNPAIRED_SENTINEL, swap("<|audio_end|>", "")),
    "no video start": (LintCode.UNPAIRED_SENTINEL, swap("<|video_start|>", "")),
    "no video end": (LintCode.UNPAIRED_SENTINEL, swap("<|video_end|>", "")),
    "spans nest": (LintCode.UNPAIRED_SENTINEL, lambda line: swap("<|video_end|>", "")(
        line | {"content": line["content"].replace("<|audio_end|>", "<|audio_end|><|video_end|>")})),
    "escaped audio code": (LintCode.ESCAPED_PLACEHOLDER, swap("<AUD_TK_", "&lt;AUD_TK_")),
    "escaped in json": (
        LintCode.ESCAPED_PLACEHOLDER, lambda line: encode(line).replace(b"<|audio_start", b"\\u003c|audio_start", 1)),
    "audio code too large": (
        LintCode.CODE_OUT_OF_VOCABULARY, lambda line: swap("<|audio_end|>", "<AUD_TK_32><|audio_end|>")(
            drop_code("AUD_TK")(line))),
    "image code among the audio": (LintCode.MISSING_SENTINEL, swap("<|audio_end|>", "<IMG_TK_1><|audio_end|>")),
    "audio code among the pictures": (LintCode.MISSING_SENTINEL, swap("<|video_end|>", "<AUD_TK_1><|video_end|>")),
    "one audio code too many": (LintCode.COUNT_MISMATCH, swap("<|audio_end|>", "<AUD_TK_1><|audio_end|>")),
    "one audio code too few": (LintCode.COUNT_MISMATCH, drop_code("AUD_TK")),
    "one image code too few": (LintCode.COUNT_MISMATCH, drop_code("IMG_TK")),
    "another audio code": (LintCode.CODE_MISMATCH, shift_code("AUD_TK", 32)),
    "another image code": (LintCode.CODE_MISMATCH, shift_code("IMG_TK", 64)),
    "text between codes": (LintCode.TEXT_IN_SPAN, swap("><AUD_TK_", "> quack <AUD_TK_")),
    "leading zero": (LintCode.MALFORMED_PLACEHOLDER, swap("<AUD_TK_", "<AUD_TK_0")),
    "no audio path": (LintCode.MISSING_FEATURES, reference("audio_features_path", lambda _: None)),
    "no visual path": (LintCode.MISSING_FEATURES, reference("visual_features_path", lambda _: None)),
    "no such audio shard": (
        LintCode.MISSING_FEATURES, reference("audio_features_path", lambda _: "features/audio-9999.safetensors#0")),
    "no such audio row": (
        LintCode.BAD_REFERENCE, reference("audio_features_path", lambda path: path.split("#")[0] + "#7000")),
    "audio path out of the release": (
        LintCode.BAD_REFERENCE, reference("audio_features_path", lambda _: "features/../../x.safetensors#0")),
    "paths exchanged": (LintCode.MISSING_FEATURES, lambda line: line | {
        "audio_features_path": line["visual_features_path"], "visual_features_path": line["audio_features_path"]}),
    "sound undeclared": (LintCode.INVALID_FIELD, lambda line: line | {"modalities": ["text", "video"]}),
    "a time as text": (LintCode.INVALID_FIELD, lambda line: line | {"times": [{"start_us": "0", "end_us": 1}]}),
    "half a time": (LintCode.INVALID_FIELD, lambda line: line | {"times": [{"start_us": 0}]}),
}  # fmt: skip


@pytest.fixture
def segment_release(release_maker: Any, kit: ModuleType) -> Path:
    """Two batches: 24 segments of every verdict, three images and a text."""
    texts = [(verdict, f"{text} Number {n}.") for n in range(6) for verdict, text in TEXTS]
    release_maker.add(kit.make_batch("a1", [["one"], ["two"], ["three"]], [("prose", f"text {n}") for n in range(9)]))
    release_maker.add_segments(kit.make_segments("b1", texts))
    release_maker.add_segments(kit.make_segments("b2", texts[:6]))
    release_maker.write()
    return release_maker.root / "r1"


def lines_of(release: Path, verdict: str = "trimodal") -> list[tuple[Path, int, dict]]:
    found = [
        (path, number, json.loads(raw))
        for path in sorted((release / "samples").glob("*.jsonl"))
        for number, raw in enumerate(path.read_bytes().splitlines(), start=1)
    ]
    return [entry for entry in found if entry[2].get("segment", {}).get("verdict") == verdict]


def plant(path: Path, number: int, line: dict | bytes) -> None:
    lines = path.read_bytes().split(b"\n")
    lines[number - 1] = line if isinstance(line, bytes) else encode(line)
    path.write_bytes(b"\n".join(lines))


def lint(release: Path) -> Any:
    """With and without the compiled pass; both have to say the same."""
    plain = lint_paths([release], LintOptions(bulk_from_bytes=2**62))
    assert lint_paths([release], LintOptions(bulk_from_bytes=0)) == plain
    return plain


def test_content_paths_and_details_are_those_of_the_segment(segment_release: Path) -> None:
    for verdict, expected in (
        ("trimodal", {Modality.VIDEO, Modality.AUDIO}),
        ("audio_text", {Modality.AUDIO}),
        ("video_text", {Modality.VIDEO}),
    ):
        lines = lines_of(segment_release, verdict)
        assert len(lines) == 8
        for _, _, line in lines:
            parsed = parse_content(line["content"])
            assert parsed.modalities == expected
            assert [span.modality for span in parsed.spans] == [
                m for m in (Modality.VIDEO, Modality.AUDIO) if m in expected
            ]
            assert parsed.text.startswith(dict(TEXTS)[verdict])
            assert (line["audio_features_path"] is not None) == (Modality.AUDIO in expected)
            assert (line["visual_features_path"] is not None) == (Modality.VIDEO in expected)
            details = line["segment"]
            assert line["times"] == details["times"]
            assert details["words"][0]["start_us"] == line["times"][0]["start_us"]
            assert details["speakers"] == ["S0"]
            assert len(parsed.codes(Modality.VIDEO)) == 6 * len(details["key_frames_us"]) * (Modality.VIDEO in expected)
            assert line["pool"] == ("coarse_image_text" if verdict == "video_text" else "fine_grained_interleaved")
            assert "segment_json" not in line


def test_a_reference_names_the_whole_slice_of_its_sample(segment_release: Path) -> None:
    for _, _, line in lines_of(segment_release):
        parsed = parse_content(line["content"])
        for field, tensor, medium in (
            ("visual_features_path", "visual_features", Modality.VIDEO),
            ("audio_features_path", "audio_features", Modality.AUDIO),
        ):
            path, row = line[field].split("#")
            features = load_file(segment_release / path)[tensor][int(row)]
            codes = load_file(segment_release / path.replace("features", "codes", 1))
            assert len(features) == len(parsed.codes(medium))
            assert codes[tensor.replace("features", "codes")][int(row)].tolist() == list(parsed.codes(medium))


def test_manifest_and_card_count_segments(segment_release: Path) -> None:
    manifest = json.loads((segment_release / "manifest.json").read_bytes())
    assert manifest["counts"]["kinds"]["segment"] == 24
    combinations = manifest["counts"]["modality_combinations"]
    assert (combinations["audio+text+video"], combinations["audio+text"], combinations["text+video"]) == (8, 8, 8)
    assert manifest["counts"]["segment_seconds"] == {"audio": 14, "text": 21, "video": 14}
    assert manifest["audio_codebook_versions"] == ["acb-1"]
    assert manifest["vocabulary"]["audio_code_offset"] == 131_072
    declared = {one["medium"]: one for one in manifest["segment_features"]}
    assert (declared["video"]["min_vectors"], declared["video"]["max_vectors"]) == (6, 18)
    assert declared["audio"]["channels"] == 5
    card = (segment_release / "README.md").read_text()
    assert "| audio+text+video | 8 |" in card
    assert "`<AUD_TK_n>` is token 131072 + n, n below 32." in card


def test_the_release_is_clean_and_every_line_is_proven_at_once(segment_release: Path) -> None:
    assert lint(segment_release).clean
    proof, _, bulk = judges(segment_release)
    for verdict in ("trimodal", "audio_text", "video_text"):
        for _, _, line in lines_of(segment_release, verdict):
            assert proof.proven_id(encode(line)) == line["id"]
            assert all(not judged.doubtful for judged in bulk.judge(encode(line)))


@pytest.mark.parametrize("fault", FAULTS)
def test_each_planted_fault_is_found_and_nothing_else(segment_release: Path, fault: str) -> None:
    code, mutate = FAULTS[fault]
    path, number, line = lines_of(segment_release)[3]
    planted = mutate(line)
    assert planted != line
    plant(path, number, planted)
    found = [(error.file, error.line, error.id, error.code) for error in lint(segment_release).errors]
    assert found == [(str(path), number, line["id"], code)]
    with pytest.raises((FormatError, ReleaseError)):
        list(ReleaseDataset(segment_release, verify_checksums=False))


def test_shards_of_sound_that_do_not_fit_are_found(segment_release: Path) -> None:
    _, _, line = lines_of(segment_release)[0]
    shard = line["audio_features_path"].split("#")[0]
    users = sum(
        entry["audio_features_path"].startswith(f"{shard}#")
        for verdict in ("trimodal", "audio_text")
        for _, _, entry in lines_of(segment_release, verdict)
    )
    features = load_file(segment_release / shard)["audio_features"]
    save_file({"audio_features": np.ascontiguousarray(features[:, :-1])}, segment_release / shard)
    assert lint(segment_release).counts == {"MISSING_FEATURES": users}
    (segment_release / shard).unlink()
    assert lint(segment_release).counts == {"MISSING_FEATURES": users}


def judges(release: Path) -> tuple[LineProof, LineRules, BulkProof]:
    vocabulary = Vocabulary.of(Policy().fusion, 64, 32)
    visual = ShardIndex(release, "visual_features", "visual_codes", codes_required=True)
    audio = ShardIndex(release, "audio_features", "audio_codes", codes_required=True)
    return (
        LineProof(vocabulary, "1", visual, audio),
        LineRules(vocabulary, "1", visual, audio),
        BulkProof(vocabulary, "1", visual, audio),
    )


PIECES = (
    b"<|audio_end|>",
    b"<|video_start|>",
    b"<AUD_TK_3>",
    b"<IMG_TK_3>",
    b'"audio"',
    b'"video"',
    b"null",
    b" ",
    b"#0",
    b"",
    b"\\u003c",
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_edited_line_is_proven_that_the_rules_find_faulty(segment_release: Path, data: st.DataObject) -> None:
    proof, rules, bulk = judges(segment_release)
    _, _, line = data.draw(st.sampled_from(lines_of(segment_release)[:3] + lines_of(segment_release, "audio_text")[:2]))
    raw = encode(line)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, min(len(raw), 900)))
        length = data.draw(st.sampled_from([0, 0, 1, 10, 13, 15]))
        raw = raw[:start] + data.draw(st.sampled_from(PIECES)) + raw[start + length :]
    verdict = rules.check(raw)
    if (proven := proof.proven_id(raw)) is not None:
        assert verdict.faults == {}
        assert verdict.id == proven
    for part in bulk.judge(raw):
        if not part.doubtful:
            assert verdict.faults == {}
            assert fingerprint(str(verdict.id).encode()) == part.keys[0]


def test_training_reads_codes_features_words_and_times(segment_release: Path) -> None:
    dataset = ReleaseDataset(segment_release)
    samples = {sample["id"]: sample for sample in dataset}
    for verdict in ("trimodal", "audio_text", "video_text"):
        for _, _, line in lines_of(segment_release, verdict):
            sample = samples[line["id"]]
            parsed = parse_content(line["content"])
            assert sample["codes"].tolist() == list(parsed.codes(Modality.VIDEO))
            assert sample["audio_codes"].tolist() == list(parsed.codes(Modality.AUDIO))
            assert (sample["audio_token_ids"] - sample["audio_codes"]).unique().tolist() in ([], [131_072])
            assert len(sample["audio_features"]) == len(sample["audio_codes"])
            assert len(sample["features"]) == len(sample["codes"])
            for start, end in sample["audio_code_places"].tolist():
                assert line["content"][start:end].startswith("<AUD_TK_")
            for (start, end), code in zip(sample["code_places"].tolist(), sample["codes"].tolist(), strict=True):
                assert line["content"][start:end] == f"<IMG_TK_{code}>"
            assert sample["times"].tolist() == [[line["times"][0]["start_us"], line["times"][0]["end_us"]]]
            assert sample["segment"].words[0].word == "duck"
            assert sample["text"] == parsed.text
    others = [sample for sample in samples.values() if sample["kind"] != "segment"]
    assert all(sample["segment"] is None and len(sample["audio_codes"]) == 0 for sample in others)
    assert len(collate_samples(list(samples.values()))["audio_features"]) == len(samples)


def test_rows_in_are_samples_and_rejected_rows(kit: ModuleType) -> None:
    made = kit.make_segments("b1", [*TEXTS, ("audio_text", "see <|audio_start|>"), ("audio_text", "x" * 99), TEXTS[0]])
    made.clips = made.clips.filter(pl.int_range(pl.len()) != 1)
    last = made.segments["piece_id"][5]
    lacking = replace(made, audio_codes=made.audio_codes.filter(pl.col("piece_id") != last))
    packed = lacking.pack(FusionPolicy(max_caption_characters=60))
    assert packed.samples.height + packed.rejected.height == 6
    codes = dict(packed.rejected.select("record_id", "code").rows())
    ids = made.segments["sample_id"]
    assert codes == {
        ids[1]: "NO_CLIP",
        ids[3]: "PLACEHOLDER_IN_TEXT",
        ids[4]: "TEXT_TOO_LONG",
        ids[5]: "NO_AUDIO_CODES",
    }
    again = lacking.pack(FusionPolicy(max_caption_characters=60))
    assert again.samples.equals(packed.samples)


def test_codes_beside_their_codebook_or_tokens_are_our_mistake(kit: ModuleType) -> None:
    made = kit.make_segments("b1", TEXTS)
    for change in (
        {"audio_codes": made.audio_codes.with_columns(codes=pl.col("codes").list.head(1))},
        {"audio_codes": made.audio_codes.with_columns(codes=pl.col("codes") + 32)},
        {"key_frame_codes": made.key_frame_codes.with_columns(codes=pl.col("codes") - 64)},
    ):
        with pytest.raises(ContractError, match=r"piece pce_\w+"):
            replace(made, **change).pack()


def test_the_writer_keeps_lengths_apart_and_memory_bounded(tmp_path: Path) -> None:
    writer = RaggedWriter(tmp_path, "audio", ("audio_features", "audio_codes"), 4, held_bytes=600)
    random = np.random.default_rng(0)
    given_rows = [random.normal(size=(length, 5)).astype(np.float16) for length in (3, 9, 3, 9, 3, 1, 3, 3, 9)]
    places = [writer.append(rows, list(range(len(rows))), f"segment {n}") for n, rows in enumerate(given_rows)]
    writer.flush()
    assert len(set(places)) == len(places)
    for rows, place in zip(given_rows, places, strict=True):
        path, row = place.split("#")
        stored = load_file(tmp_path / path)["audio_features"]
        assert len(stored) <= 4
        np.testing.assert_array_equal(stored[int(row)], rows)
        codes = load_file(tmp_path / path.replace("features", "codes", 1))["audio_codes"][int(row)]
        assert codes.tolist() == list(range(len(rows)))
    with pytest.raises(ReleaseError, match="segment 9: features"):
        writer.append(given_rows[0], [1], "segment 9")
    with pytest.raises(ReleaseError, match="not finite"):
        writer.append(given_rows[0] * np.float16(np.inf), [1, 2, 3], "segment 9")
    with pytest.raises(ReleaseError, match="one model's features"):
        writer.append(np.zeros((3, 4), np.float16), [1, 2, 3], "segment 9")


def test_codes_of_two_audio_codebooks_make_no_release(release_maker: Any, kit: ModuleType) -> None:
    release_maker.add(kit.make_batch("a1", [["one"]], [("prose", f"text {n}") for n in range(9)]))
    release_maker.add_segments(kit.make_segments("b1", TEXTS))
    other = kit.make_segments("b2", TEXTS)
    other.audio_codes = other.audio_codes.with_columns(codebook_version=pl.lit("acb-2"))
    release_maker.add_segments(other)
    with pytest.raises(ReleaseError, match="acb-1', 'acb-2"):
        release_maker.write()
