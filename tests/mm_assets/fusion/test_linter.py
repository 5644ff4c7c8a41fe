import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from mm_assets.errors import REMEDIES, CrossModalCode, ReleaseError
from mm_assets.fusion.bulk_proof import BulkProof
from mm_assets.fusion.findings import LintCode
from mm_assets.fusion.line_facts import fingerprint
from mm_assets.fusion.line_proof import LineProof
from mm_assets.fusion.line_rules import LineRules
from mm_assets.fusion.linter import LintOptions
from mm_assets.fusion.linter import lint_paths as lint_as_configured
from mm_assets.fusion.placeholders import Vocabulary
from mm_assets.fusion.shard_index import ShardIndex
from mm_assets.policy import Policy

Mutation = Callable[[dict], dict | bytes]


def lint_paths(paths, options: LintOptions | None = None):
    """Lint with and without the compiled pass; both have to say the same."""
    options = options or LintOptions()
    plain = lint_as_configured(paths, replace(options, bulk_from_bytes=2**62))
    bulk = lint_as_configured(paths, replace(options, bulk_from_bytes=0))
    assert bulk == plain
    return plain


def encode(line: dict) -> bytes:
    return json.dumps(line, ensure_ascii=False).encode()


def content(change: Callable[[str], str]) -> Mutation:
    return lambda line: line | {"content": change(line["content"])}


def without(line: dict, field: str) -> dict:
    return {name: value for name, value in line.items() if name != field}


def move_code(text: str) -> str:
    first = text[text.index("<IMG_TK_") : text.index(">", text.index("<IMG_TK_")) + 1]
    number = int(first[len("<IMG_TK_") : -1])
    return text.replace(first, f"<IMG_TK_{(number + 1) % 64}>", 1)


def add_code(text: str) -> str:
    return text.replace("<|image_end|>", "<IMG_TK_3><|image_end|>")


def drop_code(text: str) -> str:
    start = text.index("<IMG_TK_")
    return text[:start] + text[text.index(">", start) + 1 :]


FAULTS: dict[str, tuple[LintCode, Mutation]] = {
    "html escape of one placeholder": (
        LintCode.ESCAPED_PLACEHOLDER,
        content(lambda text: text.replace("<IMG_TK_", "&lt;IMG_TK_", 1)),
    ),
    "html escape of everything": (
        LintCode.ESCAPED_PLACEHOLDER,
        content(lambda text: text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")),
    ),
    "double escape": (
        LintCode.ESCAPED_PLACEHOLDER,
        content(lambda text: text.replace("<|image_start|>", "&amp;lt;|image_start|&amp;gt;")),
    ),
    "json escape": (
        LintCode.ESCAPED_PLACEHOLDER,
        lambda line: encode(line).replace(b"<IMG_TK_", b"\\u003cIMG_TK_", 1),
    ),
    "missing start": (LintCode.UNPAIRED_SENTINEL, content(lambda text: text.replace("<|image_start|>", ""))),
    "missing end": (LintCode.UNPAIRED_SENTINEL, content(lambda text: text.replace("<|image_end|>", ""))),
    "start twice": (LintCode.UNPAIRED_SENTINEL, content(lambda text: "<|image_start|>" + text)),
    "no sentinels": (
        LintCode.MISSING_SENTINEL,
        content(lambda text: text.replace("<|image_start|>", "").replace("<|image_end|>", "")),
    ),
    "no span": (LintCode.MISSING_SENTINEL, content(lambda text: text[text.index("<|image_end|>") + 13 :])),
    "audio code in an image": (
        LintCode.MISSING_SENTINEL,
        content(lambda text: text.replace("<|image_end|>", "<AUD_TK_0><|image_end|>")),
    ),
    "text in the span": (
        LintCode.TEXT_IN_SPAN,
        content(lambda text: text.replace("<|image_end|>", " duck <|image_end|>")),
    ),
    "brackets stripped": (LintCode.TEXT_IN_SPAN, content(lambda text: text.replace("><IMG_TK_", ">IMG_TK_", 1))),
    "leading zero": (LintCode.MALFORMED_PLACEHOLDER, content(lambda text: text.replace("<IMG_TK_", "<IMG_TK_0", 1))),
    "code too large": (
        LintCode.CODE_OUT_OF_VOCABULARY,
        content(lambda text: drop_code(text).replace("<|image_end|>", "<IMG_TK_64><|image_end|>")),
    ),
    "code negative": (
        LintCode.CODE_OUT_OF_VOCABULARY,
        content(lambda text: drop_code(text).replace("<|image_end|>", "<IMG_TK_-1><|image_end|>")),
    ),
    "one placeholder too many": (LintCode.COUNT_MISMATCH, content(add_code)),
    "one placeholder too few": (LintCode.COUNT_MISMATCH, content(drop_code)),
    "another code": (LintCode.CODE_MISMATCH, content(move_code)),
    "not utf-8": (LintCode.INVALID_UTF8, lambda line: encode(line).replace(b"|image_end|>", b"|image_end|>\xff", 1)),
    "not utf-8 in an ignored field": (
        LintCode.INVALID_UTF8,
        lambda line: encode(line | {"note": "caf#"}).replace(b"caf#", b"caf\xe9"),
    ),
    "surrogate": (LintCode.INVALID_UTF8, lambda line: encode(line).replace(b'"source": "', b'"source": "\xed\xa0\x80')),
    "cut off": (LintCode.INVALID_JSON, lambda line: encode(line)[:-40]),
    "empty line": (LintCode.INVALID_JSON, lambda _: b""),
    "an array": (LintCode.INVALID_JSON, lambda line: b"[" + encode(line) + b"]"),
    "nan": (LintCode.INVALID_JSON, lambda line: encode(line | {"weight": float("nan")})),
    "nul": (LintCode.INVALID_JSON, lambda line: encode(line).replace(b"vendor-a", b"vendor\x00a")),
    "no license": (LintCode.MISSING_FIELD, lambda line: without(line, "license")),
    "no content": (LintCode.MISSING_FIELD, lambda line: without(line, "content")),
    "weight as text": (LintCode.INVALID_FIELD, lambda line: line | {"weight": "1.0"}),
    "unknown pool": (LintCode.INVALID_FIELD, lambda line: line | {"pool": "everything"}),
    "half a box": (LintCode.INVALID_FIELD, lambda line: line | {"boxes": [{"phrase": [2, 6]}]}),
    "other version": (LintCode.INVALID_FIELD, lambda line: line | {"placeholder_version": "2"}),
    "undeclared image": (LintCode.INVALID_FIELD, lambda line: line | {"modalities": ["text"]}),
    "no feature path": (LintCode.MISSING_FEATURES, lambda line: line | {"visual_features_path": None}),
    "no such shard": (
        LintCode.MISSING_FEATURES,
        lambda line: line | {"visual_features_path": "features/part-9999.safetensors#0"},
    ),
    "no such row": (
        LintCode.BAD_REFERENCE,
        lambda line: line | {"visual_features_path": "features/part-0000.safetensors#5"},
    ),
    "no row": (LintCode.BAD_REFERENCE, lambda line: line | {"visual_features_path": "features/part-0000.safetensors"}),
    "out of the release": (
        LintCode.BAD_REFERENCE,
        lambda line: line | {"visual_features_path": "features/../../x.safetensors#0"},
    ),
    "absolute": (LintCode.BAD_REFERENCE, lambda line: line | {"visual_features_path": "/etc/passwd#0"}),
    "another folder": (
        LintCode.BAD_REFERENCE,
        lambda line: line | {"visual_features_path": "codes/part-0000.safetensors#0"},
    ),
}


def samples(release: Path) -> list[Path]:
    return sorted((release / "samples").glob("*.jsonl"))


def image_lines(release: Path) -> list[tuple[Path, int, dict]]:
    return [
        (path, number, json.loads(raw))
        for path in samples(release)
        for number, raw in enumerate(path.read_bytes().splitlines(), start=1)
        if b'"image_text"' in raw
    ]


def plant(path: Path, number: int, line: dict | bytes) -> None:
    lines = path.read_bytes().split(b"\n")
    lines[number - 1] = line if isinstance(line, bytes) else encode(line)
    path.write_bytes(b"\n".join(lines))


def test_a_release_is_clean(release):
    report = lint_paths([release])
    assert report.clean
    assert (report.files, report.rows) == (3, 17)
    assert report.bytes == sum(path.stat().st_size for path in samples(release))
    assert report.fix is None
    assert lint_paths([str(samples(release)[0])]).clean
    assert lint_paths([release.parent, release]).rows == 17


@pytest.mark.parametrize("fault", FAULTS)
def test_each_planted_fault_is_found_and_nothing_else(release, fault):
    code, mutate = FAULTS[fault]
    path, number, line = image_lines(release)[4]
    plant(path, number, mutate(line))
    report = lint_paths([release])
    found = [(error.file, error.line, error.code) for error in report.errors]
    assert found == [(str(path), number, code)], report.errors
    if fault not in {"empty line", "an array"}:
        assert report.errors[0].id == line["id"]
    assert report.rows == 17


def test_all_faults_at_once_are_found_one_by_one(release_maker, kit):
    captions = [[f"caption {n}"] for n in range(len(FAULTS) + 3)]
    release_maker.add(kit.make_batch("b1", captions, [("prose", f"a text of number {n}") for n in range(9)]))
    release_maker.write()
    release = release_maker.root / "r1"
    expected = []
    for (path, number, line), (code, mutate) in zip(image_lines(release), FAULTS.values(), strict=False):
        plant(path, number, mutate(line))
        expected.append((str(path), number, code))
    report = lint_paths([release])
    assert [(error.file, error.line, error.code) for error in report.errors] == expected
    assert len(expected) == len(FAULTS)
    assert lint_paths([release], LintOptions(block_bytes=100)).errors == report.errors


def test_a_duplicate_is_found_across_files(release):
    first, last = samples(release)[0], samples(release)[-1]
    line = first.read_bytes().split(b"\n")[1]
    with last.open("ab") as file:
        file.write(line + b"\n")
    (error,) = lint_paths([release]).errors
    assert (error.file, error.line, error.code) == (str(last), last.read_bytes().count(b"\n"), LintCode.DUPLICATE_ID)
    assert error.id == json.loads(line)["id"]
    assert f"{first}, line 2" in error.message


def test_every_further_copy_is_a_duplicate_and_releases_do_not_share_ids(release, tmp_path):
    copy = tmp_path / "releases" / "r2"
    shutil.copytree(release, copy)
    assert lint_paths([release.parent]).clean
    (copy / "samples" / "part-00009.jsonl").write_bytes(samples(copy)[0].read_bytes() * 2)
    report = lint_paths([release.parent])
    assert report.counts == {"DUPLICATE_ID": 14}
    assert {error.file for error in report.errors} == {str(copy / "samples" / "part-00009.jsonl")}


def test_a_damaged_text_sample_is_found(release):
    path, number, line = next(
        (path, number, json.loads(raw))
        for path in samples(release)
        for number, raw in enumerate(path.read_bytes().splitlines(), start=1)
        if b'"text_retention"' in raw
    )
    plant(path, number, line | {"content": "see &lt;IMG_TK_3&gt;", "id": "mm_other"})
    (error,) = lint_paths([release]).errors
    assert (error.line, error.id, error.code) == (number, "mm_other", LintCode.ESCAPED_PLACEHOLDER)


def test_two_faults_of_one_line_are_both_named(release):
    path, number, line = image_lines(release)[0]
    plant(
        path,
        number,
        line | {"content": line["content"].replace("<IMG_TK_", "&lt;IMG_TK_", 1), "placeholder_version": "9"},
    )
    assert [error.code for error in lint_paths([release]).errors] == [
        LintCode.INVALID_FIELD,
        LintCode.ESCAPED_PLACEHOLDER,
    ]


def test_shards_that_do_not_fit_are_found(release):
    shard = release / "features" / "part-0000.safetensors"
    features = load_file(shard)["visual_features"]
    users = [line["id"] for _, _, line in image_lines(release) if "part-0000" in line["visual_features_path"]]
    save_file({"visual_features": features[:, :-1]}, shard)
    codes = load_file(release / "codes" / "part-0000.safetensors")["visual_codes"]
    report = lint_paths([release])
    assert report.counts == {"MISSING_FEATURES": len(users)}
    save_file({"visual_codes": np.ascontiguousarray(codes[:, :-1])}, release / "codes" / "part-0000.safetensors")
    report = lint_paths([release])
    assert report.counts == {"COUNT_MISMATCH": len(users)}
    assert sorted(error.id for error in report.errors) == sorted(users)
    shard.write_bytes(shard.read_bytes()[:-5])
    assert lint_paths([release]).counts == {"MISSING_FEATURES": len(users)}
    shard.write_bytes(b"\xff" * 64)
    assert lint_paths([release]).counts == {"MISSING_FEATURES": len(users)}
    shard.unlink()
    assert lint_paths([release]).counts == {"MISSING_FEATURES": len(users)}


def test_a_reference_through_a_link_out_of_the_release_is_found(release, tmp_path):
    path, number, line = image_lines(release)[0]
    outside = tmp_path / "outside.safetensors"
    shutil.copy(release / "features" / "part-0000.safetensors", outside)
    (release / "features" / "link.safetensors").symlink_to(outside)
    plant(path, number, line | {"visual_features_path": "features/link.safetensors#0"})
    assert [error.code for error in lint_paths([release]).errors] == [LintCode.BAD_REFERENCE]


def test_the_code_and_its_fix_stand_in_the_report(release):
    path, number, line = image_lines(release)[0]
    plant(path, number, line | {"content": line["content"].replace("<|image_end|>", "")})
    report = lint_paths([release])
    assert report.cross_modal_code == "ERR_CROSS_MDL_TOKEN_FMT"
    assert report.errors[0].cross_modal_code is CrossModalCode.TOKEN_FMT
    assert report.fix == REMEDIES[CrossModalCode.TOKEN_FMT].fix
    document = json.loads(json.dumps(report.as_document()))
    assert document["errors"] == [
        {
            "file": str(path),
            "line": number,
            "id": line["id"],
            "code": "UNPAIRED_SENTINEL",
            "message": report.errors[0].message,
        }
    ]
    assert document["fix"] == report.fix


def test_a_missing_field_is_no_fault_of_the_format(release):
    path, number, line = image_lines(release)[0]
    plant(path, number, without(line, "source"))
    report = lint_paths([release])
    assert report.cross_modal_code is None
    assert "source" in report.errors[0].message


def test_a_broken_manifest_is_one_more_fault(release):
    (release / "manifest.json").write_text("{")
    report = lint_paths([release], LintOptions(vocabulary=Vocabulary.of(Policy().fusion, 64)))
    assert [(error.code, error.id) for error in report.errors] == [(LintCode.INVALID_MANIFEST, None)]


def test_the_manifest_decides_the_vocabulary(release):
    manifest = json.loads((release / "manifest.json").read_text())
    manifest["vocabulary"]["image_codes"] = 2
    (release / "manifest.json").write_text(json.dumps(manifest))
    assert set(lint_paths([release]).counts) == {"CODE_OUT_OF_VOCABULARY"}


def test_a_file_outside_a_release_is_checked_by_the_options(release, tmp_path):
    lone = tmp_path / "lone"
    lone.mkdir()
    shutil.copy(samples(release)[0], lone / "a.jsonl")
    images = samples(release)[0].read_bytes().count(b'"image_text"')
    assert lint_paths([lone]).counts == {"MISSING_FEATURES": images}
    shutil.copytree(release / "features", lone / "features")
    assert lint_paths([lone]).clean
    small = LintOptions(vocabulary=Vocabulary.of(Policy().fusion, 1))
    assert lint_paths([lone], small).counts == {"CODE_OUT_OF_VOCABULARY": images}
    shutil.copytree(release / "codes", lone / "codes")
    assert lint_paths([lone / "a.jsonl"]).clean


def test_audio_is_checked_like_pictures(release):
    save_file({"audio_features": np.zeros((2, 3, 4), np.float16)}, release / "features" / "audio-0000.safetensors")
    save_file({"audio_codes": np.array([[0, 1, 2], [3, 4, 5]], np.int32)}, release / "codes" / "audio-0000.safetensors")
    manifest = json.loads((release / "manifest.json").read_text())
    manifest["vocabulary"]["audio_codes"] = 8
    (release / "manifest.json").write_text(json.dumps(manifest))
    path, number, line = image_lines(release)[0]
    line |= {
        "kind": "segment",
        "modalities": ["audio", "text"],
        "visual_features_path": None,
        "audio_features_path": "features/audio-0000.safetensors#1",
        "content": "<|audio_start|><AUD_TK_3><AUD_TK_4><AUD_TK_5><|audio_end|> quack",
    }
    plant(path, number, line)
    assert lint_paths([release]).clean
    for audio, code in [
        ("<|audio_start|><AUD_TK_3><AUD_TK_4><|audio_end|>", LintCode.COUNT_MISMATCH),
        ("<|audio_start|><AUD_TK_3><AUD_TK_4><AUD_TK_6><|audio_end|>", LintCode.CODE_MISMATCH),
        ("<|audio_start|><AUD_TK_3><AUD_TK_4><AUD_TK_8><|audio_end|>", LintCode.CODE_OUT_OF_VOCABULARY),
    ]:
        plant(path, number, line | {"content": audio})
        assert [error.code for error in lint_paths([release]).errors] == [code]


def test_other_spellings_of_json_are_clean(release):
    path, number, line = image_lines(release)[0]
    shuffled = {name: line[name] for name in sorted(line, reverse=True)} | {"extra": [1, {"a": None}]}
    plant(path, number, json.dumps(shuffled, ensure_ascii=False, separators=(" , ", " : ")).encode() + b" \r")
    assert lint_paths([release]).clean
    plant(path, number, json.dumps(line | {"source": "é🦆"}).encode())
    assert lint_paths([release]).clean


def test_a_release_in_the_making_is_left_alone(release):
    shutil.copytree(release / "samples", release.parent / "r2.tmp-17" / "samples")
    assert lint_paths([release.parent]).files == 3


def test_nothing_to_check_is_an_error(tmp_path):
    with pytest.raises(ReleaseError, match="no such file"):
        lint_paths([tmp_path / "missing"])
    with pytest.raises(ReleaseError, match="nothing was checked"):
        lint_paths([tmp_path])


def test_a_line_without_end_costs_no_memory(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"x" * 5_000 + b"\n{}\n" + b"y" * 3_000)
    report = lint_paths([path], LintOptions(block_bytes=256, max_line_bytes=1_000))
    assert [(error.line, error.code) for error in report.errors] == [
        (1, LintCode.LINE_TOO_LONG),
        (2, LintCode.MISSING_FIELD),
        (3, LintCode.LINE_TOO_LONG),
    ]
    assert report.rows == 3


def test_faults_beyond_the_bound_are_counted(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{\n" * 10)
    report = lint_paths([path], LintOptions(max_errors=4))
    assert len(report.errors) == 4
    assert report.omitted == {"INVALID_JSON": 6}
    assert report.counts == {"INVALID_JSON": 10}


@given(st.lists(st.binary(max_size=200), max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_bytes_are_linted(tmp_path, pieces):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(pieces))
    report = lint_paths([path], LintOptions(block_bytes=64))
    assert report.rows == len({error.line for error in report.errors})


@st.composite
def _edits(draw):
    """Small damage to the bytes of a line."""
    return draw(
        st.lists(
            st.tuples(
                st.floats(0, 1),
                st.integers(0, 30),
                st.sampled_from(
                    [b"", b"<", b">", b"|", b"&lt;", b"\\u003c", b"\\/", b"\xff", b'"', b"1", b"<IMG_TK_3>"]
                )
                | st.binary(max_size=3),
            ),
            min_size=1,
            max_size=3,
        )
    )


@given(_edits(), st.integers(0, 16))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_what_is_proven_clean_is_clean_by_the_rules(edited_release, edits, place):
    rules, proof, bulk, lines = edited_release
    raw = lines[place % len(lines)]
    for where, length, put in edits:
        start = int(where * len(raw))
        raw = raw[:start] + put + raw[start + length :]
    raw = raw.replace(b"\n", b"")
    verdict = rules.check(raw)
    if (proven := proof.proven_id(raw)) is not None:
        assert verdict.faults == {}
        assert verdict.id == proven
    for ending in (b"", b"\n"):
        for judged in bulk.judge(raw + ending):
            assert len(judged.keys) == 1
            if not judged.doubtful:
                assert verdict.faults == {}
                assert fingerprint(verdict.id.encode()) == judged.keys[0]
    if LintCode.INVALID_JSON in verdict.faults:
        with pytest.raises(msgspec.DecodeError):
            msgspec.json.decode(raw, type=dict[str, object])


@pytest.fixture
def edited_release(release):
    vocabulary = Vocabulary.of(Policy().fusion, 64)
    visual = ShardIndex(release, "visual_features", "visual_codes", codes_required=True)
    audio = ShardIndex(release, "audio_features", "audio_codes", codes_required=True)
    proof = LineProof(vocabulary, "1", visual)
    lines = [raw for path in samples(release) for raw in path.read_bytes().splitlines()]
    assert all(proof.proven_id(raw) == json.loads(raw)["id"] for raw in lines)
    bulk = BulkProof(vocabulary, "1", visual, audio)
    assert all(not judged.doubtful for raw in lines if b"&amp;" not in raw for judged in bulk.judge(raw))
    return LineRules(vocabulary, "1", visual, audio), proof, bulk, lines


def test_the_compiled_pass_starts_where_it_pays():
    assert LintOptions(bulk_from_bytes=5).bulk_from() == 5
    assert LintOptions().bulk_from() in {2**28, 2**30}


def test_nested_fields_are_decoded_by_type(release):
    path, number, line = image_lines(release)[0]
    box = {"phrase": [0, 4], "xyxy": [1, 2.5, 3, 4]}
    negative = {"text": "a \u2028 <b>swan</b>", "strategy": "subtle_replacement"}
    plant(
        path,
        number,
        line | {"boxes": [box], "times": [{"start_us": 0, "end_us": 1}], "negatives": [negative, negative]},
    )
    assert lint_paths([release]).clean
    plant(path, number, line | {"boxes": [box | {"xyxy": ["1", 2, 3, 4]}]})
    assert [error.code for error in lint_paths([release]).errors] == [LintCode.INVALID_FIELD]
