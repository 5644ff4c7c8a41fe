import polars as pl

from mm_assets.aligned.objects.orientation.write_back import list_contradicted
from mm_assets.schemas import TABLES

CAPTIONS = pl.DataFrame(
    {
        "batch": ["b"] * 5,
        "caption_id": ["c1", "c2", "c3", "c4", "c5"],
        "image_id": ["i1", "i1", "i2", "i3", "i4"],
        "record_ref": ["r1", "r1", "r2", "r3", "r4"],
    }
)


def findings(*rows: tuple[str, str | None, str, float, str]) -> pl.DataFrame:
    columns = ("image_id", "caption_id", "subject", "confidence", "verdict")
    frame = pl.DataFrame(rows, schema=list(columns), orient="row", schema_overrides={"caption_id": pl.String})
    return frame.with_columns(evidence=pl.format("{} {}", "subject", "image_id"))


def turned_away(*rows) -> dict[str, str]:
    rejected = list_contradicted(findings(*rows), CAPTIONS, 0.9, "fusion_samples")
    assert rejected.schema == TABLES["rejected"].schema
    assert set(rejected["stage"]) <= {"fusion_samples"}
    assert set(rejected["code"]) <= {"ERR_CROSS_MDL_MIRROR"}
    return dict(rejected.select("record_id", "reason").iter_rows())


def test_a_mirrored_picture_takes_all_its_captions_with_it():
    found = turned_away(("i1", None, "marker", 0.95, "contradicted"))
    assert found.keys() == {"c1", "c2"}
    assert found["c1"].startswith("r1: marker i1;")


def test_a_wrong_claim_takes_its_caption_only():
    assert turned_away(("i1", "c2", "caption", 0.6, "contradicted")).keys() == {"c2"}


def test_what_is_consistent_undecided_or_unsure_stays():
    assert not turned_away(
        ("i1", None, "marker", 0.95, "consistent"),
        ("i2", None, "declared", 0.95, "undecided"),
        ("i3", None, "marker", 0.89, "contradicted"),
    )


def test_a_caption_is_turned_away_once():
    found = turned_away(
        ("i3", None, "marker", 0.95, "contradicted"),
        ("i3", None, "declared", 1.0, "contradicted"),
        ("i3", "c4", "caption", 0.99, "contradicted"),
        ("i3", "c4", "caption", 0.7, "contradicted"),
    )
    assert list(found) == ["c4"]
    assert found["c4"].startswith("r3: declared i3;")
