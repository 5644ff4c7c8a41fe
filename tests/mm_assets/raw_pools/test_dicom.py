import json
import logging
import warnings
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

from mm_assets.errors import DecodeError
from mm_assets.raw_pools.dicom import FIRST_BYTES, read_orientation
from mm_assets.raw_pools.names import is_dicom

MANIFEST = "images/metadata.jsonl"
SECRETS = ("ROENTGEN", "WILHELM", "MRN-20260101", "18450327", "ACC-777", "DR. BECQUEREL", "ST ELSEWHERE")
CHEST = {
    "Modality": "CR",
    "BodyPartExamined": "CHEST",
    "ViewPosition": "PA",
    "PatientOrientation": ["L", "F"],
    "FieldOfViewHorizontalFlip": "YES",
    "FieldOfViewRotation": "90",
    "PatientPosition": "HFS",
}


def _identify(dataset: Dataset) -> None:
    dataset.PatientName = "ROENTGEN^WILHELM"
    dataset.PatientID = "MRN-20260101"
    dataset.PatientBirthDate = "18450327"
    dataset.AccessionNumber = "ACC-777"
    dataset.ReferringPhysicianName = "DR. BECQUEREL"
    dataset.InstitutionName = "ST ELSEWHERE"
    dataset.PatientComments = "ROENTGEN"
    dataset.add_new((0x0009, 0x0010), "LO", "ROENTGEN PRIVATE")
    dataset.add_new((0x0009, 0x1001), "LO", "MRN-20260101")


def _file(
    syntax: str = ExplicitVRLittleEndian, *, extra: Callable[[Dataset], None] | None = None, **tags: Any
) -> bytes:
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["test"])
    _identify(dataset)
    for name, value in tags.items():
        setattr(dataset, name, value)
    if extra is not None:
        extra(dataset)
    dataset.Rows = dataset.Columns = 4
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.SamplesPerPixel, dataset.PixelRepresentation = 7, 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = bytes(range(16))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _orientation(outcome: Any) -> Any:
    (image,) = outcome.images
    return json.loads(image["annotations_json"])["orientation"]


def test_header_joins_the_record_without_who_the_patient_is(read, jsonl, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    outcome = read(
        {MANIFEST: jsonl({"file_name": "a.dcm", "text": "A chest radiograph."}), "images/a.dcm": _file(**CHEST)}
    )
    assert _orientation(outcome) == {
        "modality": "CR",
        "body_part": "CHEST",
        "view_position": "PA",
        "patient_orientation": ["L", "F"],
        "patient_position": "HFS",
        "field_of_view_flip": True,
        "field_of_view_rotation": 90,
    }
    everything = json.dumps([outcome.images, outcome.captions, outcome.rejected]) + caplog.text
    assert not [secret for secret in SECRETS if secret in everything.upper()]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_values_outside_the_closed_lists_are_dropped(syntax: UID) -> None:
    strayed = _file(
        syntax,
        ViewPosition="ROENTGEN",
        BodyPartExamined="WILHELM",
        Laterality="ROENTGEN",
        Modality="ROENTGEN",
        PatientOrientation=["ROENTGEN", "F"],
        PatientPosition="WILHELM",
        FieldOfViewHorizontalFlip="MAYBE",
        ImageRotation=17,
    )
    assert read_orientation(strayed, "x") == ({}, True)


def test_every_key_is_read() -> None:
    def coded_view(dataset: Dataset) -> None:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "R-10226", "SRT", "medio-lateral oblique"
        dataset.ViewCodeSequence = [item]

    data = _file(
        extra=coded_view,
        Modality="MG",
        Laterality="L",
        ImageLaterality="R",
        PatientOrientation=["P", "FL"],
        AnatomicalOrientationType="BIPED",
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        ImageHorizontalFlip="Y",
        ImageRotation=270,
    )
    assert read_orientation(data, "x")[0] == {
        "modality": "MG",
        "view_position": "MLO",
        "laterality": "L",
        "image_laterality": "R",
        "patient_orientation": ["P", "FL"],
        "anatomical_orientation": "BIPED",
        "image_orientation": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "image_flip": True,
        "image_rotation": 270,
    }


def test_manifest_keeps_its_word_and_the_header_stands_beside_it(read, jsonl) -> None:
    row = {
        "file_name": "a.dcm",
        "text": "A chest radiograph.",
        "orientation": {"patient_orientation": ["R", "F"], "declared_flip": "horizontal", "view_position": "PA"},
        "objects": {"bbox": [[0, 0, 2, 2]], "categories": ["lung"]},
    }
    outcome = read({MANIFEST: jsonl(row), "images/a.dcm": _file(**CHEST)})
    orientation = _orientation(outcome)
    assert orientation["patient_orientation"] == ["R", "F"]
    assert orientation["declared_flip"] == "horizontal"
    assert orientation["header"] == {"patient_orientation": ["L", "F"]}
    assert orientation["modality"] == "CR"
    assert json.loads(outcome.images[0]["annotations_json"])["objects"]["categories"] == ["lung"]


def test_dicom_in_a_tar_and_in_coco_are_read_alike(read, tar) -> None:
    data = _file(**CHEST)
    coco = {
        "images": [{"id": 1, "file_name": "b.DCM"}],
        "annotations": [{"id": 1, "image_id": 1, "caption": "A chest radiograph."}],
    }
    outcome = read(
        {
            "images/a.tar": tar(("0001.dcm", data), ("0001.txt", b"A chest radiograph.")),
            "images/coco.json": json.dumps(coco).encode(),
            "images/b.DCM": data,
        }
    )
    found = [json.loads(image["annotations_json"])["orientation"] for image in outcome.images]
    assert [orientation["patient_orientation"] for orientation in found] == [["L", "F"], ["L", "F"]]


def test_header_longer_than_the_first_bytes_is_read_whole(read, jsonl) -> None:
    def pad(dataset: Dataset) -> None:
        dataset.add_new((0x0009, 0x1002), "OB", b"\0" * (FIRST_BYTES + 2))

    data = _file(extra=pad, **CHEST)
    assert read_orientation(data[:FIRST_BYTES], "x")[1] is False
    outcome = read({MANIFEST: jsonl({"file_name": "a.dcm", "text": "A chest."}), "images/a.dcm": data})
    assert _orientation(outcome)["patient_orientation"] == ["L", "F"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x89PNG\r\n\x1a\n no DICOM at all", "NOT_AN_IMAGE"),
        (_file()[132:], "NOT_AN_IMAGE"),
        (_file(DeflatedExplicitVRLittleEndian), "DICOM_UNSUPPORTED"),
    ],
)
def test_a_file_that_is_no_readable_dicom_is_one_rejected_record(read, jsonl, data: bytes, code: str) -> None:
    rows = [{"file_name": "a.dcm", "text": "Bad."}, {"file_name": "b.dcm", "text": "Good."}]
    outcome = read({MANIFEST: jsonl(*rows), "images/a.dcm": data, "images/b.dcm": _file(**CHEST)})
    assert outcome.codes == [code]
    assert outcome.reason(code).startswith("b1/images/metadata.jsonl:1: ")
    assert [caption["text"] for caption in outcome.captions] == ["Good."]


def test_undeclared_dicom_is_an_unlisted_picture(read) -> None:
    assert read({"images/a.dcm": _file()}).codes == ["UNLISTED_FILE"]


def test_other_files_are_not_opened_as_dicom(read, jsonl) -> None:
    outcome = read({MANIFEST: jsonl({"file_name": "a.png", "text": "x y z"}), "images/a.png": _file(**CHEST)})
    assert outcome.images[0]["annotations_json"] is None


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_anywhere_gives_an_error_of_ours_or_known_terms(data: st.DataObject) -> None:
    whole = bytearray(_GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(128, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    code, shown = _read(cut)
    assert code in {None, "NOT_AN_IMAGE", "DICOM_INVALID", "DICOM_UNSUPPORTED"}
    assert is_dicom(cut) or code == "NOT_AN_IMAGE"
    assert not [secret for secret in SECRETS if secret in shown.upper()]


def _read(data: bytes) -> tuple[str | None, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            orientation, _ = read_orientation(data, "x")
        except DecodeError as error:
            return error.code, error.reason
    return None, json.dumps(orientation)


_GOOD = _file(**CHEST)
