import gzip
import hashlib
import json
import tarfile

import pytest

from mm_assets.policy import IngestPolicy

PICTURE = b"\xff\xd8\xff not looked at here"
SAMPLE = (("0001.jpg", PICTURE), ("0001.txt", b"A duck."))


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, target
    return header


def test_samples_become_images_with_their_byte_range(read, tar) -> None:
    row = {"caption": "A bird.", "descriptions": ["Third."], "license": "MIT", "width": 3, "url": "https://x"}
    archive = tar(
        *SAMPLE,
        ("part/0002.json", json.dumps(row).encode()),
        ("part/0002.PNG", b"two"),
        ("part/0002.txt", b"Zwei\n"),
    )
    outcome = read(
        {"images/b.tar": archive, "images/a.tar": tar(("0001.webp", b"w"), ("0001.json", b'{"text": "Json."}'))}
    )
    assert [row["record_ref"] for row in outcome.images] == [
        "b1/images/a.tar!0001",
        "b1/images/b.tar!0001",
        "b1/images/b.tar!part/0002",
    ]
    assert [row["file_name"] for row in outcome.images] == ["a.tar/0001.webp", "b.tar/0001.jpg", "b.tar/part/0002.PNG"]
    assert [row["text"] for row in outcome.captions] == ["Json.", "A duck.", "Zwei", "A bird.", "Third."]
    assert outcome.images[2]["license"] == "MIT"
    for image in outcome.images[1:]:
        ref = image["source_ref"]
        content = archive[ref["byte_offset"] : ref["byte_offset"] + ref["byte_size"]]
        assert hashlib.sha256(content).hexdigest() == image["sha256"]
        assert ref["member"] in image["file_name"]
    assert not outcome.rejected


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ((("x.jpg", PICTURE),), "MISSING_FIELD"),
        ((("x.txt", b"No image."),), "MISSING_FIELD"),
        ((("README", b"No sample."),), "MISSING_FIELD"),
        ((("x.v2.jpg", PICTURE), ("x.txt", b"Dotted name.")), "MISSING_FIELD"),
        ((("x.jpg", PICTURE), ("x.txt", b" \n")), "MISSING_FIELD"),
        ((("x.jpg", b""), ("x.txt", b"t")), "EMPTY_FILE"),
        ((("x.jpg", PICTURE), ("x.png", PICTURE), ("x.txt", b"t")), "DUPLICATE_NAME"),
        ((("x.jpg", PICTURE), ("x.txt", b"\xff")), "INVALID_UTF8"),
        ((("x.jpg", PICTURE), ("x.txt", b"a\0b")), "NUL_BYTE"),
        ((("x.jpg", PICTURE), ("x.json", b"{")), "INVALID_JSON"),
        ((("x.jpg", PICTURE), ("x.json", b'{"text": NaN}')), "NAN_VALUE"),
        ((("x.jpg", PICTURE), ("x.json", b'{"text": 1}')), "WRONG_TYPE"),
        ((("x.jpg", b"p" * 3_000), ("x.txt", b"t")), "FILE_TOO_LARGE"),
        ((("x.jpg", PICTURE), ("x.txt", b"t" * 3_000)), "FILE_TOO_LARGE"),
        ((("../x.jpg", PICTURE), ("../x.txt", b"t")), "UNSAFE_PATH"),
        ((("/etc/x.jpg", PICTURE), ("/etc/x.txt", b"t")), "UNSAFE_PATH"),
        ((("a/../../x.jpg", PICTURE), ("a/../../x.txt", b"t")), "UNSAFE_PATH"),
        ((("a\\x.jpg", PICTURE), ("a\\x.txt", b"t")), "UNSAFE_PATH"),
        ((("n" * 2_000 + ".jpg", PICTURE),), "NAME_TOO_LONG"),
        ((("x\udcff.jpg", PICTURE), ("x\udcff.txt", b"t")), "INVALID_UTF8"),
        ((link("x.jpg", "/etc/passwd"), ("x.txt", b"t")), "TAR_MEMBER_TYPE"),
        ((link("x.jpg", "0001.jpg", tarfile.LNKTYPE), ("x.txt", b"t")), "TAR_MEMBER_TYPE"),
        ((link("x.jpg", "", tarfile.CHRTYPE), ("x.txt", b"t")), "TAR_MEMBER_TYPE"),
        ((link("x.jpg", "", tarfile.FIFOTYPE), ("x.txt", b"t")), "TAR_MEMBER_TYPE"),
        (SAMPLE, "DUPLICATE_NAME"),
    ],
)
def test_broken_sample_is_one_rejected_record_between_good_ones(read_local, tar, members, code: str) -> None:
    archive = tar(*SAMPLE, *members, ("9999.jpg", PICTURE), ("9999.txt", b"Last."))
    outcome = read_local({"images/a.tar": archive}, IngestPolicy(max_image_bytes=2_048, max_line_bytes=2_048))
    assert [(row["source_ref"]["member"], row["position"]) for row in outcome.images] == [
        ("0001.jpg", 0),
        ("9999.jpg", 2),
    ]
    assert outcome.codes == [code]
    assert outcome.rejected[0]["record_ref"].startswith("b1/images/a.tar!")
    assert "b1/images/a.tar" in outcome.rejected[0]["reason"]


def test_members_out_of_order_are_named_as_such(read_local, tar) -> None:
    archive = tar(("1.jpg", b"1"), ("2.jpg", b"2"), ("1.txt", b"one"), ("2.txt", b"two"))
    outcome = read_local({"images/a.tar": archive})
    assert outcome.codes == ["MISSING_FIELD", "MISSING_FIELD", "DUPLICATE_NAME", "DUPLICATE_NAME"]
    assert any("adjacent" in row["reason"] for row in outcome.rejected)


def test_folders_and_other_members_are_passed_over(read, tar) -> None:
    folder = tarfile.TarInfo("part")
    folder.type = tarfile.DIRTYPE
    archive = tar(
        folder, ("part/1.cls", b"3"), ("part/1.jpg", PICTURE), ("part/1.txt", b"One."), ("part/1.seg.png", b"s")
    )
    outcome = read({"images/a.tar": archive})
    assert outcome.records == {"image": 1, "caption": 1, "text": 0}
    assert not outcome.rejected


@pytest.mark.parametrize("format_", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_unicode_names_and_times_survive(read_local, tar, format_) -> None:
    name = f"{'föld/' * 40}0001"
    outcome = read_local({"images/a.tar": tar((f"{name}.jpg", PICTURE), (f"{name}.txt", b"One."), format_=format_)})
    assert outcome.images[0]["source_ref"]["member"] == f"{name}.jpg"


@pytest.mark.parametrize("cut", [1, 300, 512, 600, 1_024, 2_000])
def test_truncated_tar_keeps_the_good_members_before_the_cut(read, tar, cut: int) -> None:
    whole = tar(*SAMPLE, ("0002.jpg", b"p" * 5_000), ("0002.txt", b"Two."))
    end_of_samples = 512 * (2 + 2 + 1 + 10 + 2)
    broken = whole[: end_of_samples - cut]
    outcome = read({"images/a.tar": broken, "images/b.tar": tar(*SAMPLE)})
    assert [row["record_ref"] for row in outcome.images if row["file_name"].startswith("b.tar")] == [
        "b1/images/b.tar!0001"
    ]
    assert outcome.images[0]["record_ref"] == "b1/images/a.tar!0001"
    assert {"b1/images/a.tar"} == {row["record_ref"] for row in outcome.rejected if "!" not in row["record_ref"]}
    assert outcome.codes in (["TAR_CORRUPT"], ["TAR_CORRUPT", "TAR_CORRUPT"])


def test_damage_that_tarfile_takes_for_the_end_is_reported(read_local, tar) -> None:
    whole = bytearray(tar(*SAMPLE, ("0002.jpg", PICTURE), ("0002.txt", b"Two.")))
    whole[512 * 4 + 150] ^= 0x15  # checksum of the third header
    outcome = read_local({"images/a.tar": bytes(whole)})
    assert len(outcome.images) == 1
    assert "header at byte 2048 is damaged" in outcome.reason("TAR_CORRUPT")


def test_joined_archives_are_reported(read_local, tar) -> None:
    outcome = read_local({"images/a.tar": tar(*SAMPLE) + tar(("0002.jpg", PICTURE), ("0002.txt", b"Two."))})
    assert len(outcome.images) == 1
    assert "more content follows" in outcome.reason("TAR_CORRUPT")


def test_missing_end_mark_is_reported(read_local, tar) -> None:
    outcome = read_local({"images/a.tar": tar(*SAMPLE)[: 512 * 4]})
    assert len(outcome.images) == 1
    assert "without an end mark" in outcome.reason("TAR_CORRUPT")


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", "EMPTY_FILE", "no bytes"),
        (b"not a tar", "TAR_CORRUPT", "cannot be read"),
        (b"\x01" * 5_000, "TAR_CORRUPT", "cannot be read"),
        (gzip.compress(b"x" * 5_000, mtime=0), "TAR_CORRUPT", "gzip"),
    ],
    ids=["empty", "words", "bytes", "gzip"],
)
def test_file_that_is_no_tar_is_one_rejected_record(read, content: bytes, code: str, words: str) -> None:
    outcome = read({"images/a.tar": content})
    assert words in outcome.reason(code)
    assert outcome.records["image"] == 1


def test_archive_with_nothing_in_it_has_no_records(read_local, tar) -> None:
    assert read_local({"images/a.tar": tar()}).records == {}


def test_more_members_than_allowed_are_one_rejected_record(read_local, tar) -> None:
    outcome = read_local(
        {"images/a.tar": tar(*SAMPLE, ("2.jpg", b"2"), ("2.txt", b"two"))}, IngestPolicy(max_tar_members=2)
    )
    assert len(outcome.images) == 1
    assert outcome.codes == ["TAR_TOO_MANY"]


def forged(name: str, *, size: int | bytes = 0, kind: bytes = tarfile.REGTYPE, content: bytes = b"") -> bytes:
    """A header with any size field at all, and what follows it."""
    header = tarfile.TarInfo(name)
    header.type = kind
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = size if isinstance(size, bytes) else f"{size:011o}\0".encode()
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block) + content + b"\0" * (-len(content) % 512)


@pytest.mark.parametrize(
    "hostile",
    [
        forged("x.jpg", size=b"\xff" * 12),  # base-256: -1
        forged("x.jpg", size=b"\xff" * 10 + b"\xfc\x00"),  # -1024: leads back to the first header
        forged("x.jpg", size=b"\x80" + b"\xff" * 11),  # 2**88
        forged("x", size=8_000_000_000, kind=tarfile.XHDTYPE),  # a header of 8 GB
        forged("x", size=8_000_000_000, kind=tarfile.GNUTYPE_LONGNAME),
        forged("x", size=b"\xff" * 10 + b"\xfc\x00", kind=tarfile.XHDTYPE),
        forged("x", size=60_000, kind=tarfile.XHDTYPE, content=b"7" * 60_000),  # quadratic digits
        forged("x", size=30, kind=tarfile.XHDTYPE, content=b"30 size=-2048".ljust(29) + b"\n"),
        forged("x", size=9, kind=tarfile.XHDTYPE, content=b"9 path=a\n") * 900,  # a chain of headers
        forged("x.jpg", size=10, kind=tarfile.GNUTYPE_SPARSE, content=b"0123456789"),
    ],
)
def test_hostile_header_ends_its_archive_quickly(read_local, tar, hostile: bytes) -> None:
    archive = tar(*SAMPLE)[: 512 * 4] + hostile + forged("x.txt", size=1, content=b"t") + b"\0" * 1_024
    outcome = read_local({"images/a.tar": archive})
    assert len(outcome.images) == 1
    assert set(outcome.codes) & {"TAR_CORRUPT", "TAR_MEMBER_TYPE"}


def test_sample_before_the_damage_is_kept_only_if_it_lost_no_member(read_local, tar) -> None:
    first = (("1.jpg", PICTURE), ("1.json", b'{"license": "MIT"}'), ("1.txt", b"One."))
    second = (("2.jpg", PICTURE), ("2.json", b'{"license": "MIT"}'), ("2.txt", b"Two."))
    whole = tar(*first, *second)
    complete, without_text, without_row = (read_local({"images/a.tar": whole[: 512 * n]}) for n in (12, 10, 8))
    assert (len(complete.images), complete.codes) == (2, ["TAR_CORRUPT"])
    for outcome in (without_text, without_row):
        assert (len(outcome.images), outcome.codes) == (1, ["TAR_CORRUPT", "TAR_CORRUPT"])


def test_names_as_tar_writes_them_for_a_whole_folder_are_plain(read, tar) -> None:
    folder = tarfile.TarInfo("./")
    folder.type = tarfile.DIRTYPE
    archive = tar(
        folder,
        ("./0001.jpg", PICTURE),
        ("./0001.txt", b"A duck."),
        ("./part/0002.jpg", b"two"),
        ("./part/0002.txt", b"A bird."),
        ("0001.jpg", b"three"),
        ("0001.txt", b"The first name again."),
        ("./../x.jpg", PICTURE),
        ("././y.jpg", PICTURE),
    )
    outcome = read({"images/a.tar": archive})
    assert [(row["record_ref"], row["file_name"], row["source_ref"]["member"]) for row in outcome.images] == [
        ("b1/images/a.tar!0001", "a.tar/0001.jpg", "./0001.jpg"),
        ("b1/images/a.tar!part/0002", "a.tar/part/0002.jpg", "./part/0002.jpg"),
    ]
    assert outcome.codes == ["DUPLICATE_NAME", "UNSAFE_PATH", "UNSAFE_PATH"]


def test_byte_order_marks_of_members_are_no_content(read_local, tar) -> None:
    archive = tar(("1.jpg", b"1"), ("1.txt", b"\xef\xbb\xbfOne."), ("1.json", b'\xef\xbb\xbf{"caption": "Uno."}'))
    outcome = read_local({"images/a.tar": archive})
    assert [row["text"] for row in outcome.captions] == ["One.", "Uno."]
    assert not outcome.rejected
