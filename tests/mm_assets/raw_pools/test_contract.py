import json

import pytest

from mm_assets.errors import BatchContractError
from mm_assets.policy import IngestPolicy
from mm_assets.raw_pools.contract import BatchContract, landing_signature, read_contract
from resources.object_store import LocalLanding

GOOD = {
    "contract": "mm-batch/1",
    "source": "vendor-a",
    "license": "CC0-1.0",
    "box_format": "xywh_pixels",
    "language": "en",
}


def document(**changes: object) -> bytes:
    merged = {**GOOD, **changes}
    return json.dumps({name: value for name, value in merged.items() if value is not ...}).encode()


def test_contract_is_read_with_unknown_keys_and_a_byte_order_mark(land) -> None:
    landing = land({"b1/batch.json": b"\xef\xbb\xbf" + document(note="x"), "b1/_SUCCESS": b""})
    assert read_contract(landing, "b1", IngestPolicy()) == BatchContract(
        "b1", "vendor-a", "CC0-1.0", "xywh_pixels", "en"
    )


def test_box_format_and_language_are_optional(read_local) -> None:
    outcome = read_local({"text/a.txt": b"Some text."}, box_format=None, language=None)
    assert outcome.texts[0]["language"] is None


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "INVALID_JSON"),
        (b"{", "INVALID_JSON"),
        (b"[" * 60_000, "WRONG_TYPE"),
        (b'{"x":' + b"[" * 60_000, "INVALID_JSON"),
        (b"[]", "WRONG_TYPE"),
        (b"null", "WRONG_TYPE"),
        (b'{"contract": "mm-batch/1\xff"}', "INVALID_UTF8"),
        (b'{"contract": "mm-\0batch/1"}', "NUL_BYTE"),
        (document(source="a\0b"), "WRONG_TYPE"),
        (document(weight=float("nan")), "NAN_VALUE"),
        (document(source=...), "MISSING_FIELD"),
        (document(license=...), "MISSING_FIELD"),
        (document(license="  "), "MISSING_FIELD"),
        (document(contract=...), "MISSING_FIELD"),
        (document(source=3), "WRONG_TYPE"),
        (document(source="x" * 300), "WRONG_TYPE"),
        (document(contract="mm-batch/2"), "WRONG_CONTRACT"),
        (document(box_format="polar"), "UNKNOWN_BOX_FORMAT"),
        (document(language="English!"), "UNKNOWN_LANGUAGE"),
        (document(note="x" * 70_000), "CONTRACT_TOO_LARGE"),
    ],
)
def test_broken_batch_json_is_refused_with_one_clear_message(land, content: bytes, code: str) -> None:
    landing = land({"b1/batch.json": content, "b1/_SUCCESS": b""})
    with pytest.raises(BatchContractError) as refused:
        read_contract(landing, "b1", IngestPolicy())
    assert refused.value.code == code
    assert "b1/batch.json" in refused.value.reason
    assert "\n" not in refused.value.reason


def test_unfinished_batch_is_refused_and_harms_no_other(land) -> None:
    landing = land({"b1/batch.json": document(), "b2/batch.json": document(), "b2/_SUCCESS": b"", "b3/_SUCCESS": b""})
    assert landing.batches() == ["b2", "b3"]
    for batch, code in (("b1", "UNFINISHED_BATCH"), ("b9", "UNFINISHED_BATCH"), ("b3", "MISSING_CONTRACT")):
        with pytest.raises(BatchContractError) as refused:
            read_contract(landing, batch, IngestPolicy())
        assert refused.value.code == code
        assert batch in refused.value.reason
    assert read_contract(landing, "b2", IngestPolicy()).batch == "b2"


@pytest.mark.parametrize("batch", ["", "B1", "../b1", "b1/..", "-b", "a" * 64, "b 1", "b1\n", "b1\0"])
def test_bad_batch_id_is_refused_before_anything_is_opened(land, batch: str) -> None:
    landing = land({"b1/_SUCCESS": b""})
    with pytest.raises(BatchContractError, match="BATCH_ID"):
        read_contract(landing, batch, IngestPolicy())
    with pytest.raises(BatchContractError, match="BATCH_ID"):
        landing_signature(landing, batch)


def test_batch_json_that_links_out_of_its_batch_is_refused(tmp_path) -> None:
    (tmp_path / "b1").mkdir()
    (tmp_path / "b1/_SUCCESS").touch()
    (tmp_path / "secret.json").write_bytes(document())
    (tmp_path / "b1/batch.json").symlink_to("../secret.json")
    with pytest.raises(BatchContractError, match="LINK_OUTSIDE"):
        read_contract(LocalLanding(tmp_path), "b1", IngestPolicy())


def test_signature_changes_with_any_object_and_only_with_its_own_batch(land) -> None:
    landing = land({"b1/_SUCCESS": b"", "b1/text/a.txt": b"one", "b2/_SUCCESS": b""})
    first, other = landing_signature(landing, "b1"), landing_signature(landing, "b2")
    assert landing_signature(landing, "b1") == first != other


def test_signature_sees_a_changed_file(tmp_path) -> None:
    path = tmp_path / "b1/text/a.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"one")
    landing = LocalLanding(tmp_path)
    signatures = {landing_signature(landing, "b1")}
    path.write_bytes(b"three")
    signatures.add(landing_signature(landing, "b1"))
    path.rename(path.with_name("b.txt"))
    signatures.add(landing_signature(landing, "b1"))
    path.symlink_to("/etc/hostname")
    signatures.add(landing_signature(landing, "b1"))
    assert len(signatures) == 4
