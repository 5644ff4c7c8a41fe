import io
import json

import polars as pl
import pytest

from mm_assets.policy import IngestPolicy


def parquet(**columns: object) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_parquet(buffer, row_group_size=2)
    return buffer.getvalue()


def test_lines_rows_and_files_become_texts_in_order_of_key(read, jsonl) -> None:
    lines = jsonl(
        {"text": "One.", "kind": "code", "language": "de", "license": "MIT", "source": "s"}, b"", {"text": "Zwö."}
    )
    rows = parquet(text=["R0", "R1", "R2"], kind=["math", None, "logic"], other=[1, 2, 3])
    outcome = read({"text/c.txt": b"\xef\xbb\xbfA whole\nfile.\n", "text/a.jsonl": lines, "text/sub/b.parquet": rows})
    assert [(row["record_ref"], row["text"], row["kind"]) for row in outcome.texts] == [
        ("b1/text/a.jsonl:1", "One.", "code"),
        ("b1/text/a.jsonl:3", "Zwö.", "prose"),
        ("b1/text/c.txt", "A whole\nfile.\n", "prose"),
        ("b1/text/sub/b.parquet#row/0", "R0", "math"),
        ("b1/text/sub/b.parquet#row/1", "R1", "prose"),
        ("b1/text/sub/b.parquet#row/2", "R2", "logic"),
    ]
    assert [row["position"] for row in outcome.texts] == [0, 1, 2, 3, 4, 5]
    first, second = outcome.texts[:2]
    assert (first["language"], first["license"], first["source"]) == ("de", "MIT", "s")
    assert (second["language"], second["license"], second["source"]) == ("en", "CC-BY-4.0", "vendor-a")
    ref = second["source_ref"]
    assert json.loads(lines[ref["byte_offset"] : ref["byte_offset"] + ref["byte_size"]])["text"] == "Zwö."
    assert not outcome.rejected


def test_what_a_row_says_of_its_origin_is_kept_in_whatever_form(read, jsonl) -> None:
    said = {"generator": "gpt-x", "prompt_version": {"name": "chat", "v": 2}, "spot_check": True}
    deep = b'{"text": "Deep.", "generator": ' + b"[" * 300 + b"]" * 300 + b"}"
    lines = jsonl({"text": "One."} | said, {"text": "Two.", "generator": None, "prompt_version": "p" * 500}, deep)
    rows = parquet(
        text=["R0", "R1"], generator=["gpt-y", None], prompt_version=[1, 2], spot_check=["q" * 5_000, "passed"]
    )
    texts = read({"text/a.jsonl": lines, "text/b.parquet": rows}).texts
    told = [(row["generator"], row["prompt_version"], row["spot_check"]) for row in texts]
    assert told[0] == ("gpt-x", '{"name": "chat", "v": 2}', "true")
    assert told[1] == (None, "p" * 200, None)
    assert told[2] == ("[" * 200, None, None)
    assert told[3:] == [("gpt-y", None, "q" * 200), (None, None, "passed")]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.jsonl", b"{", "INVALID_JSON"),
        ("a.jsonl", b'{"text": "\xff"}', "INVALID_UTF8"),
        ("a.jsonl", b'{"text": "a\0"}', "NUL_BYTE"),
        ("a.jsonl", b'{"text": "a\\u0000"}', "NUL_BYTE"),
        ("a.jsonl", b'{"text": "a", "score": NaN}', "NAN_VALUE"),
        ("a.jsonl", b'{"kind": "prose"}', "MISSING_FIELD"),
        ("a.jsonl", b'{"text": null}', "WRONG_TYPE"),
        ("a.jsonl", b'{"text": " "}', "MISSING_FIELD"),
        ("a.jsonl", b'{"text": "a", "kind": "poem"}', "UNKNOWN_KIND"),
        ("a.jsonl", b'{"text": "' + b"a" * 3_000 + b'"}', "LINE_TOO_LONG"),
        ("a.jsonl", b'{"text": "' + b"a" * 1_500 + b'"}', "TEXT_TOO_LARGE"),
        ("a.txt", b"", "MISSING_FIELD"),
        ("a.txt", b"\xff\xfe", "INVALID_UTF8"),
        ("a.txt", b"a\0", "NUL_BYTE"),
        ("a.txt", b"a" * 1_001, "TEXT_TOO_LARGE"),
        ("a.json", b"[]", "UNKNOWN_FORM"),
        ("a.jsonl.gz", b"\x1f\x8b", "UNKNOWN_FORM"),
        ("README", b"Hello.", "UNKNOWN_FORM"),
        ("a.parquet", b"", "EMPTY_FILE"),
        ("a.parquet", b"p" * 9_000, "FILE_TOO_LARGE"),
        ("a.parquet", parquet(text=["x"], kind=["poem"]), "UNKNOWN_KIND"),
    ],
)
def test_broken_record_is_rejected_and_the_other_files_are_read(read_local, jsonl, name, content, code) -> None:
    policy = IngestPolicy(max_text_bytes=1_000, max_line_bytes=2_000, max_text_file_bytes=8_000)
    outcome = read_local({f"text/{name}": content, "text/z.jsonl": jsonl({"text": "Last."})}, policy)
    assert [(row["text"], row["position"]) for row in outcome.texts] == [("Last.", 1)]
    assert outcome.codes == [code]
    assert outcome.rejected[0]["record_kind"] == "text"
    assert f"b1/text/{name}" in outcome.rejected[0]["reason"]


def test_links_out_of_the_text_folder_are_rejected(read_local, tmp_path) -> None:
    folder = tmp_path / "landing/b1/text"
    folder.mkdir(parents=True)
    (folder / "passwd.txt").symlink_to("/etc/hostname")
    outcome = read_local({"text/a.txt": b"Real."})
    assert [row["text"] for row in outcome.texts] == ["Real."]
    assert outcome.codes == ["LINK_OUTSIDE"]
