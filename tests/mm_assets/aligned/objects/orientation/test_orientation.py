import itertools
import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.objects.orientation.findings import Finding, Verdict
from mm_assets.aligned.objects.orientation.orientation import AXES, parse_orientation
from mm_assets.aligned.objects.orientation.orientation_checks import check_orientation, list_declared, list_medical
from mm_assets.aligned.objects.orientation.orientation_rules import check_declared, check_markers
from mm_assets.aligned.objects.orientation.orientation_verdict import (
    agreement_row,
    count_contradictions,
    orientation_verdict,
    verdict_of_row,
    waive_captions,
)
from mm_assets.aligned.objects.orientation.patient_orientation import flip_orientation, turn_orientation
from mm_assets.aligned.objects.orientation.side_markers import Reads, Side, SideMarker, marker_rows
from mm_assets.gates.verdicts import GateVerdict
from mm_assets.policy import OrientationPolicy
from mm_assets.schemas import TABLES

POLICY = OrientationPolicy()
CHEST = {"patient_orientation": ["L", "F"], "view_position": "PA", "modality": "CR", "body_part": "CHEST"}
LEG = {"patient_orientation": ["R", "F"], "view_position": "AP", "body_part": "EXTREMITY", "laterality": "R"}


def _declared(**changes: Any) -> list[Finding]:
    return check_declared(parse_orientation(CHEST | changes))


def _verdicts(findings: list[Finding]) -> list[str]:
    return [finding.verdict.value for finding in findings]


def _marker(side: Side, at: float, reads: Reads = "as_given", confidence: float = 0.97) -> SideMarker:
    return SideMarker(side, side, reads, confidence, (at - 10.0, 40.0, at + 10.0, 70.0))


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "consistent"),
        ({"patient_orientation": ["R", "F"]}, "contradicted"),
        ({"patient_orientation": ["R", "F"], "view_position": "AP"}, "contradicted"),
        ({"patient_orientation": "R\\F"}, "contradicted"),
        ({"patient_orientation": ["R", "H"]}, "consistent"),  # upside down, not mirrored
        ({"patient_orientation": ["F", "R"]}, "consistent"),  # turned by a quarter
        ({"patient_orientation": ["L", "H"]}, "contradicted"),  # mirrored top to bottom
        ({"patient_orientation": ["R", "F"], "body_part": "HAND"}, "undecided"),
        ({"patient_orientation": ["R", "F"], "view_position": None, "body_part": None}, "contradicted"),
        ({"patient_orientation": ["A", "F"]}, "contradicted"),  # a lateral picture called PA
        ({"patient_orientation": ["A", "F"], "view_position": "LL"}, "undecided"),
        ({"patient_orientation": ["L", "F"], "view_position": "LL"}, "contradicted"),
        ({"patient_orientation": ["L", "R"]}, "contradicted"),  # impossible
        ({"patient_orientation": ["L", "P"], "view_position": None, "modality": "CT"}, "undecided"),
        (
            {"patient_orientation": ["L", "P"], "view_position": None, "image_orientation": [1, 0, 0, 0, 1, 0]},
            "consistent",
        ),
        (
            {"patient_orientation": ["R", "P"], "view_position": None, "image_orientation": [1, 0, 0, 0, 1, 0]},
            "contradicted",
        ),
        ({"patient_orientation": None}, "undecided"),
        ({"patient_orientation": ["nonsense", 7]}, "undecided"),
        ({"patient_orientation": ["R", "F"], "anatomical_orientation": "QUADRUPED"}, "undecided"),
        ({"laterality": "L", "image_laterality": "R"}, "contradicted"),
        ({"declared_flip": "horizontal"}, "contradicted"),
        ({"declared_flip": True}, "contradicted"),
        ({"declared_flip": "none"}, "consistent"),
        ({"field_of_view_flip": True}, "consistent"),  # done by the detector, and the directions are those after it
        ({"header": {"patient_orientation": ["R", "F"]}}, "contradicted"),
        ({"laterality": "L", "header": {"laterality": "R"}}, "contradicted"),
        ({"header": {"view_position": "AP"}}, "consistent"),
    ],
)
def test_declared_orientation_is_compared_with_itself(changes: dict[str, Any], verdict: str) -> None:
    findings = _declared(**changes)
    assert _verdicts(findings) == [verdict]
    assert findings[0].evidence.endswith(".")
    assert (findings[0].confidence > 0.0) == (verdict != "undecided")


def test_every_contradiction_is_told() -> None:
    found = _declared(patient_orientation=["R", "F"], laterality="L", image_laterality="R", header={"laterality": "R"})
    assert _verdicts(found) == ["contradicted"] * 3
    assert "header R" in found[0].evidence


def test_a_file_that_asks_to_be_mirrored_is_noted() -> None:
    (found,) = check_declared(parse_orientation({"image_flip": True}))
    assert (found.verdict, "mirror" in found.evidence) == (Verdict.UNDECIDED, True)


_PAIRS = [
    list(pair) for pair in itertools.permutations(AXES, 2) if set(pair) not in ({"L", "R"}, {"A", "P"}, {"H", "F"})
]


@given(st.sampled_from(_PAIRS), st.integers(0, 3), st.booleans())
def test_a_mirror_reverses_what_points_away_and_a_turn_does_not(
    pair: list[str], quarters: int, horizontal: bool
) -> None:
    given_ = {"patient_orientation": pair}
    away = parse_orientation(given_).away
    assert away is not None
    assert parse_orientation(turn_orientation(given_, quarters)).away == away
    mirrored = parse_orientation(flip_orientation(given_, horizontal=horizontal)).away
    assert mirrored is not None
    assert [-axis for axis in AXES[mirrored]] == list(AXES[away])


@given(
    st.dictionaries(
        st.sampled_from([*CHEST, "header", "declared_flip", "image_orientation", "laterality"]),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=3),
            lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
            max_leaves=6,
        ),
    )
)
def test_whatever_a_manifest_declares_is_judged(declared: dict[str, Any]) -> None:
    assert check_declared(parse_orientation(declared))


@pytest.mark.parametrize(
    ("declared", "markers", "verdict", "says"),
    [
        (CHEST, [_marker("R", 100, "mirrored")], "contradicted", "mirrored"),
        (CHEST, [_marker("R", 100)], "consistent", "Reads as given"),
        (CHEST, [_marker("R", 900)], "contradicted", "patient's left"),
        (CHEST, [_marker("L", 900)], "consistent", "Reads as given"),
        (CHEST, [_marker("R", 520)], "consistent", "Reads as given"),  # in the middle it stands on no side
        (CHEST, [_marker("R", 100), _marker("L", 900, "mirrored")], "undecided", "both directions"),
        (CHEST | {"patient_orientation": ["R", "F"]}, [_marker("R", 900)], "consistent", "Reads as given"),
        (CHEST | {"patient_orientation": None}, [_marker("R", 900)], "contradicted", "standard display"),
        (LEG, [_marker("R", 900, "mirrored")], "contradicted", "those of a mirrored picture"),
        (LEG, [_marker("L", 900)], "contradicted", "right side is declared"),
        (LEG, [_marker("R", 100)], "consistent", "Reads as given"),
        ({"laterality": "L"}, [_marker("R", 100)], "contradicted", "left side is declared"),
        (CHEST | {"laterality": "L"}, [_marker("R", 100)], "consistent", "Reads as given"),  # both sides are in it
        ({}, [_marker("R", 900)], "consistent", "Reads as given"),
    ],
)
def test_markers_are_compared_with_what_is_declared(
    declared: dict[str, Any], markers: list[SideMarker], verdict: str, says: str
) -> None:
    (finding,) = check_markers(parse_orientation(declared), markers, 1000, 0.08)
    assert (finding.verdict.value, says in finding.evidence) == (verdict, True), finding


def test_without_markers_there_is_nothing_to_say() -> None:
    assert check_markers(parse_orientation(CHEST), [], 1000, 0.08) == []


def _batch(size: int, orientations: dict[int, dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "batch": ["b1"] * size,
            "image_id": [f"img_{place}" for place in range(size)],
            "position": list(range(size)),
            "width": [1000] * size,
            "format": ["PNG"] * size,
            "annotations_json": [
                json.dumps({"orientation": orientations[place]}) if place in orientations else None
                for place in range(size)
            ],
        },
        schema_overrides={"annotations_json": pl.String, "width": pl.Int32},
    )


def _captions(texts: dict[int, str]) -> pl.DataFrame:
    rows = [(f"cap_{place}", f"img_{place}", text) for place, text in texts.items()]
    return pl.DataFrame(rows, schema={"caption_id": pl.String, "image_id": pl.String, "text": pl.String}, orient="row")


def _alignments(middles: dict[int, float], phrase: tuple[int, int] = (0, 6)) -> pl.DataFrame:
    rows = [
        {
            "caption_id": f"cap_{place}",
            "image_id": f"img_{place}",
            "phrase_start": phrase[0],
            "phrase_end": phrase[1],
            "x1": 1000 * middle - 50,
            "x2": 1000 * middle + 50,
            "lexical": "exact",
            "verdict": "anchored",
        }
        for place, middle in middles.items()
    ]
    table = TABLES["object_alignments"].schema
    names = ("caption_id", "image_id", "phrase_start", "phrase_end", "x1", "x2", "lexical", "verdict")
    return pl.DataFrame(rows, schema={name: table[name] for name in names})


NO_MARKERS = marker_rows([])


def _verdict_of(rows: pl.DataFrame) -> GateVerdict:
    return orientation_verdict("b1", rows, POLICY)


def _duck_rows(wrong: int, size: int) -> pl.DataFrame:
    texts = dict.fromkeys(range(size), "A duck on the left.")
    middles = {place: 0.8 if place < wrong else 0.2 for place in range(size)}
    return check_orientation(_batch(size, {}), _captions(texts), _alignments(middles), NO_MARKERS, POLICY)


def test_rows_are_those_of_the_table() -> None:
    images = _batch(4, {0: CHEST, 1: {"laterality": "L"}, 3: {}})
    found = marker_rows([("img_1", [_marker("R", 100)]), ("img_gone", [_marker("R", 100)])])
    texts = {2: "A duck on the left.", 3: "A duck left behind."}
    rows = check_orientation(images, _captions(texts), _alignments({2: 0.9}), found, POLICY)
    assert rows.schema == TABLES["orientation_checks"].schema
    assert rows.select("image_id", "caption_id", "subject", "verdict", "code").rows() == [
        ("img_0", None, "declared", "consistent", None),
        ("img_1", None, "declared", "undecided", None),
        ("img_1", None, "marker", "contradicted", "ERR_CROSS_MDL_MIRROR"),
        ("img_2", "cap_2", "caption", "contradicted", "ERR_CROSS_MDL_MIRROR"),
    ]


@pytest.mark.parametrize(
    ("verdict", "lexical", "found"),
    [
        ("anchored", "none", "contradicted"),
        ("mismatched", "exact", "contradicted"),  # its words agree, its place does not
        ("mismatched", "none", "undecided"),
        ("ambiguous", "exact", "undecided"),
    ],
)
def test_only_boxes_that_the_phrase_names_count(verdict: str, lexical: str, found: str) -> None:
    alignments = _alignments({0: 0.9}).with_columns(verdict=pl.lit(verdict), lexical=pl.lit(lexical))
    rows = check_orientation(_batch(1, {}), _captions({0: "A duck on the left."}), alignments, NO_MARKERS, POLICY)
    assert rows["verdict"].to_list() == [found]


def test_labels_tell_one_of_several_from_all() -> None:
    caption = "The left cat is black and the right cat is white."
    alignments = pl.concat([_alignments({0: 0.6}, (4, 12)), _alignments({0: 0.9}, (30, 39))])
    labelled = alignments.with_columns(label=pl.lit("cat"))
    images, captions = _batch(1, {}), _captions({0: caption})
    rows = check_orientation(images, captions, labelled, NO_MARKERS, POLICY)
    assert rows["verdict"].to_list() == ["consistent", "consistent"]


@pytest.mark.parametrize(
    ("wrong", "size", "passed"), [(0, 500, True), (1, 500, True), (1, 1, True), (2, 4, True), (60, 200, False)]
)
def test_captions_are_held_only_beyond_the_confusion_of_people(wrong: int, size: int, passed: bool) -> None:
    verdict = _verdict_of(_duck_rows(wrong, size))
    assert verdict.passed is passed
    assert verdict.measured == wrong / size
    assert verdict.threshold == POLICY.caption_null_rate
    assert verdict.code == (None if passed else "ERR_CROSS_MDL_MIRROR")
    assert verdict.diagnosis["caption"]["decided"] == size
    assert len(verdict.diagnosis["affected_images"]) == wrong
    assert len(verdict.diagnosis["examples"]) == min(wrong, POLICY.listed_findings)
    assert verdict.to_row()["gate"] == "orientation"


@pytest.mark.parametrize(("wrong", "size", "passed"), [(0, 20, True), (1, 500, True), (1, 20, False), (4, 500, False)])
def test_medical_contradictions_are_judged_strictly_and_always_listed(wrong: int, size: int, passed: bool) -> None:
    mirrored = CHEST | {"patient_orientation": ["R", "F"]}
    images = _batch(size, {place: mirrored if place < wrong else CHEST for place in range(size)})
    rows = check_orientation(images, _captions({}), _alignments({}), NO_MARKERS, POLICY)
    verdict = _verdict_of(rows)
    assert verdict.passed is passed
    assert [example["image_id"] for example in verdict.diagnosis["examples"]] == [f"img_{n}" for n in range(wrong)]
    assert ("medical" in verdict.reason) is True


def test_weak_medical_findings_are_listed_and_do_not_count() -> None:
    images = _batch(20, {place: {"view_position": "PA"} for place in range(20)})
    found = marker_rows([(f"img_{n}", [_marker("R", 900)]) for n in range(20)])  # nothing says where left is
    verdict = _verdict_of(check_orientation(images, _captions({}), _alignments({}), found, POLICY))
    assert verdict.passed
    assert len(verdict.diagnosis["examples"]) == 20


def test_nothing_to_check_passes_and_says_so() -> None:
    rows = check_orientation(_batch(3, {}), _captions({}), _alignments({}), NO_MARKERS, POLICY)
    verdict = _verdict_of(rows)
    assert (verdict.passed, verdict.measured, verdict.threshold) == (True, None, None)
    assert verdict.reason.startswith("Nothing about sides could be decided")


def test_evaluation_follows_rows_and_policy_only() -> None:
    rows = _duck_rows(3, 10)
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=1)
    assert _verdict_of(shuffled) == _verdict_of(rows)
    other = orientation_verdict("b1", rows, OrientationPolicy(caption_null_rate=0.2))
    assert other.evaluation_id != _verdict_of(rows).evaluation_id
    assert _verdict_of(_duck_rows(4, 10)).evaluation_id != _verdict_of(rows).evaluation_id


@given(st.integers(0, 60), st.integers(1, 60))
def test_interval_holds_the_share_and_chance_falls_as_the_count_grows(contradicted: int, decided: int) -> None:
    contradicted = min(contradicted, decided)
    found = count_contradictions(contradicted, decided, 0.1, 0.01, 0.95)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= contradicted / decided <= found.high
    if contradicted:
        assert found.p_value <= count_contradictions(contradicted - 1, decided, 0.1, 0.01, 0.95).p_value


def test_interval_is_clopper_and_pearson_s() -> None:
    found = count_contradictions(7, 50, 0.1, 0.01, 0.95)
    assert (found.low, found.high) == (pytest.approx(0.0582, abs=1e-4), pytest.approx(0.2674, abs=1e-4))
    assert found.p_value == pytest.approx(0.2298, abs=1e-4)  # 1 less the binomial sum up to 6 of 50 at 0.1


def test_pictures_worth_reading_are_medical_and_of_a_modality_with_markers() -> None:
    images = _batch(5, {0: CHEST, 1: {"laterality": "L"}, 2: {"modality": "CT"}, 3: {"laterality": None}})
    assert list_medical(images, POLICY)["image_id"].to_list() == ["img_0", "img_1"]
    assert list_medical(images, OrientationPolicy(ocr_enabled=False)).is_empty()
    assert list_declared(images) == ["img_0", "img_1", "img_2"]
    silent = images.with_columns(format=pl.lit("DICOM"))  # no header says what these show, so they are looked at
    assert list_medical(silent, POLICY)["image_id"].to_list() == ["img_0", "img_1", "img_3", "img_4"]


def _marked(mirrored: int, size: int) -> pl.DataFrame:
    found = [(f"img_{n}", [_marker("R", 100, "mirrored" if n < mirrored else "as_given")]) for n in range(size)]
    images = _batch(size, {place: {"laterality": "R"} for place in range(size)})
    return check_orientation(images, _captions({}), _alignments({}), marker_rows(found), POLICY)


@pytest.mark.parametrize(("mirrored", "size", "passed"), [(0, 40, True), (1, 40, True), (6, 40, False), (3, 3, False)])
def test_markers_are_allowed_the_errors_of_their_reader(mirrored: int, size: int, passed: bool) -> None:
    verdict = _verdict_of(_marked(mirrored, size))
    assert (verdict.passed, verdict.measured) == (passed, mirrored / size)
    assert verdict.threshold == pytest.approx(POLICY.medical_null_rate + POLICY.marker_error_rate)
    assert verdict.diagnosis["failed"] == ([] if passed else ["marker"])
    assert verdict.diagnosis["hypothesis"] == (None if passed else "mirrored pictures")


def test_the_reason_names_the_files_of_the_kind_that_fails() -> None:
    rows = _marked(5, 20)
    names = {f"img_{n}": f"chest-{n}.dcm" for n in range(20)}
    verdict = orientation_verdict("b1", rows, POLICY, names)
    assert verdict.reason.endswith("Contradicted: chest-0.dcm, chest-1.dcm, chest-2.dcm and 2 more.")
    assert [example["file_name"] for example in verdict.diagnosis["examples"]] == [f"chest-{n}.dcm" for n in range(5)]


@pytest.mark.parametrize(
    "rows", [_marked(5, 20), _marked(0, 3).clear(), _duck_rows(60, 200)], ids=["marker", "none", "caption"]
)
def test_a_verdict_is_the_same_read_back_from_its_row(rows: pl.DataFrame) -> None:
    verdict = _verdict_of(rows)
    row = agreement_row(verdict, "clinic", 20)
    declared = TABLES["orientation_agreement"]
    assert declared.conform(pl.DataFrame([row], schema=declared.schema)).height == 1
    assert verdict_of_row(row) == verdict


def test_a_waiver_of_the_pairing_silences_captions_and_never_medical_pictures() -> None:
    captions, markers = _verdict_of(_duck_rows(60, 200)), _verdict_of(_marked(5, 20))
    waived = waive_captions(captions, "objects")
    assert (waived.passed, waived.code) == (True, None)
    assert waived.reason.startswith("Not judged, objects was waived.")
    assert waive_captions(markers, "objects") == markers
