import hashlib
import io
import random
from dataclasses import astuple

import cv2
import faiss
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from mm_assets.cleaned import duplicates
from mm_assets.cleaned.duplicates import FEATURE_COLUMNS, find_duplicates
from mm_assets.cleaned.fingerprint_spool import reader_of, reader_of_scans
from mm_assets.cleaned.fingerprints import COARSE_SIDE_PX, DETAIL_SIDE_PX, THUMBNAIL_SIDE_PX, detail_of, fingerprint_of
from mm_assets.errors import SchemaMismatchError
from mm_assets.policy import DuplicatePolicy
from mm_assets.schemas import TABLES

POLICY = DuplicatePolicy()


def drawing(seed, *, width=320, height=240, background="white"):
    """Clip art: filled shapes with outlines, always the same for a seed."""
    dice = random.Random(seed)  # noqa: S311
    picture = Image.new("RGB", (width, height), background)
    pen = ImageDraw.Draw(picture)
    for _ in range(8):
        left, top = dice.randrange(width * 3 // 4), dice.randrange(height * 3 // 4)
        box = (left, top, left + dice.randrange(30, width // 2), top + dice.randrange(30, height // 2))
        colour = tuple(dice.randrange(256) for _ in range(3))
        draw = dice.choice((pen.ellipse, pen.rectangle))
        draw(box, fill=colour, outline="black", width=3)
    return np.asarray(picture)


def spokes(count, *, side=512, inner=100):
    """Thin line art on white: chords of a circle that keep a distance from its centre."""
    scale = 4
    canvas = np.full((side * scale, side * scale, 3), 255, np.uint8)
    centre, radius = side * scale / 2, side * scale * 0.46
    half = np.arccos(inner / (side * 0.46))
    for k in range(count):
        angle = 2 * np.pi * k / count
        ends = [
            (int(centre + radius * np.cos(angle + turn)), int(centre + radius * np.sin(angle + turn)))
            for turn in (-half, half)
        ]
        cv2.line(canvas, ends[0], ends[1], (0, 0, 0), 3, cv2.LINE_AA)
    return cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA)


def jpeg(pixels, quality):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def resized(pixels, scale):
    height, width = pixels.shape[:2]
    size = (round(width * scale), round(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def cropped(pixels, left=0.02, top=0.02, right=0.02, bottom=0.02):
    height, width = pixels.shape[:2]
    return pixels[
        round(top * height) : height - round(bottom * height), round(left * width) : width - round(right * width)
    ]


def fingerprints(pictures, batch="own", digests=None):
    """Rows for pictures in their order; equal pixels have equal digests unless digests are given."""
    digests = digests or [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures]
    return pl.DataFrame(
        [
            (
                batch,
                f"{batch}-{at:03d}",
                at,
                digest,
                picture.shape[1],
                picture.shape[0],
                *astuple(fingerprint_of(picture)),
            )
            for at, (picture, digest) in enumerate(zip(pictures, digests, strict=True))
        ],
        schema=TABLES["image_fingerprints"].schema,
        orient="row",
    )


def find(own, earlier=(), policy=POLICY):
    """Duplicates among fingerprints in memory."""
    return find_duplicates(own, earlier, reader_of(own, *earlier), policy)


def named(found):
    return {row["image_id"]: (row["duplicate_of"], row["kind"]) for row in found.to_dicts()}


@pytest.mark.parametrize("size", [(64, 64), (100, 90), (500, 301), (1001, 1537), (2048, 3100)])
def test_every_view_shows_each_place_where_it_is(size):
    height, width = size
    across = (np.arange(width) + 0.5) / width
    down = (np.arange(height) + 0.5) / height
    pixels = np.rint(200 * np.dstack(np.broadcast_arrays(across, down[:, None], across))).astype(np.uint8)
    made = fingerprint_of(pixels)
    for name, side in (("coarse", COARSE_SIDE_PX), ("thumbnail", THUMBNAIL_SIDE_PX)):
        view = np.frombuffer(getattr(made, name), np.uint8).reshape(side, side, 3).astype(float)
        inner = slice(side // 16, -(side // 16))
        ramp = 200 * (np.arange(side) + 0.5) / side
        assert np.abs(view[inner, inner, 0] - ramp[None, inner]).max() < 1.5
        assert np.abs(view[inner, inner, 1] - ramp[inner, None]).max() < 1.5
    ramp = 200 * (np.arange(DETAIL_SIDE_PX) + 0.5) / DETAIL_SIDE_PX
    luma = (1 - 0.587) * ramp[None, :] + 0.587 * ramp[:, None]
    assert np.abs(detail_of(made.detail) - luma)[8:-8, 8:-8].max() < 2.5


def test_equal_bytes_are_exact():
    one, two = drawing(1), drawing(2)
    found = find(fingerprints([one, two, one]))
    assert found.rows() == [("own-002", "own-000", "own", "exact", 1.0)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "copy",
    [
        lambda picture: jpeg(picture, 40),
        lambda picture: jpeg(picture, 90),
        lambda picture: resized(picture, 0.5),
        lambda picture: resized(picture, 2.0),
        cropped,
        lambda picture: cropped(picture, 0.02, 0.0, 0.0, 0.01),
        lambda picture: jpeg(resized(cropped(picture, 0.0, 0.02, 0.01, 0.0), 0.7), 60),
    ],
    ids=["quality 40", "quality 90", "half", "double", "crop all sides", "crop two sides", "all three"],
)
def test_copies_are_near(seed, copy):
    originals = [drawing(at) for at in range(4)]
    found = find(fingerprints([*originals, copy(originals[seed])]))
    assert named(found) == {"own-004": (f"own-{seed:03d}", "near")}
    assert 0.9 < found["similarity"][0] <= 1.0


def test_a_crop_may_come_first():
    original = drawing(3)
    assert named(find(fingerprints([cropped(original), original]))) == {"own-001": ("own-000", "near")}


def test_recoloured_mirrored_and_edited_pictures_stay():
    original = drawing(5)
    recoloured = original[:, :, ::-1].copy()
    mirrored = original[:, ::-1].copy()
    darker = (original * 0.6).astype(np.uint8)
    edited = original.copy()
    cv2.rectangle(edited, (200, 150), (260, 200), (255, 0, 255), -1)
    assert find(fingerprints([original, recoloured, mirrored, darker, edited])).is_empty()


def test_a_picture_squeezed_to_another_aspect_stays():
    original = drawing(6)
    squeezed = np.asarray(Image.fromarray(original).resize((320, 400)))
    assert find(fingerprints([original, squeezed])).is_empty()


def test_flat_pictures_are_duplicates_of_equal_bytes_only():
    flat = [np.full((100, 100, 3), level, np.uint8) for level in (255, 255, 254, 128)]
    noise = np.random.default_rng(0).integers(126, 130, (100, 100, 3), dtype=np.uint8)
    found = find(fingerprints([*flat, noise]))
    assert named(found) == {"own-001": ("own-000", "exact")}


def test_thin_line_art_of_other_line_counts_stays():
    family = [spokes(count) for count in (60, 61, 63, 66, 70)] + [spokes(60, inner=104)]
    assert find(fingerprints(family)).is_empty()


def test_copies_of_thin_line_art_are_near():
    family = [spokes(count) for count in (60, 61, 63)]
    copies = [jpeg(family[1], 60), resized(family[2], 0.6)]
    found = find(fingerprints([*family, *copies]))
    assert named(found) == {"own-003": ("own-001", "near"), "own-004": ("own-002", "near")}


def faded(original, step):
    """A picture that drifts away from the original a little with every step."""
    drifted = original.copy()
    cv2.circle(drifted, (160, 120), 4 + 5 * step, (20, 160, 60), -1)
    return drifted


def test_chain_names_kept_rows_only():
    chain = fingerprints([faded(drawing(7), step) for step in range(9)])
    found = named(find(chain))
    dropped = set(found)
    assert dropped
    assert {"own-001", "own-008"} - dropped, "the ends of the chain are not alike"
    assert not dropped & {target for target, _ in found.values()}
    pairs = {
        (one, other): bool(find(chain.filter(pl.col("image_id").is_in([one, other]))).height)
        for one in chain["image_id"]
        for other in chain["image_id"]
        if one < other
    }
    kept = []
    for name in chain["image_id"]:
        alike = [earlier for earlier in kept if pairs[earlier, name]]
        assert found.get(name, (None,))[0] == (alike[0] if alike else None)
        if not alike:
            kept.append(name)


def test_the_earliest_wins():
    original = drawing(8)
    first = fingerprints([drawing(20), jpeg(original, 70)], "first")
    second = fingerprints([original, drawing(21)], "second")
    own = fingerprints([resized(original, 0.8), jpeg(drawing(21), 80), original, drawing(22), jpeg(drawing(22), 50)])
    found = find(own, [first, second])
    assert found.select("image_id", "duplicate_of", "duplicate_batch", "kind").rows() == [
        ("own-000", "first-001", "first", "near"),
        ("own-001", "second-001", "second", "near"),
        ("own-002", "first-001", "first", "near"),
        ("own-004", "own-003", "own", "near"),
    ]
    swapped = find(own, [second, first])
    assert swapped.filter(pl.col("image_id") == "own-002").rows()[0][1:4] == ("second-000", "second", "exact")


def test_within_an_earlier_batch_the_most_alike_is_named_then_the_first():
    picture = drawing(9)
    copy = jpeg(picture, 60)
    alike = [cropped(picture), picture, copy, copy]
    earlier = fingerprints(alike, "first", [str(at) for at in range(4)]).reverse()
    found = find(fingerprints([copy]), [earlier])
    assert found["duplicate_of"].to_list() == ["first-002"]


def gallery():
    """Twelve rows: four drawings, line art, and copies of some."""
    drawings = [drawing(at) for at in range(30, 34)]
    return [
        *drawings,
        jpeg(drawings[0], 60),
        cropped(drawings[1]),
        spokes(50),
        spokes(51),
        jpeg(spokes(51), 80),
        drawings[2],
        np.full((90, 90, 3), 7, np.uint8),
        resized(drawings[0], 0.7),
    ]


OWN = fingerprints(gallery())
EARLIER = [fingerprints([drawing(40), jpeg(drawing(33), 60)], "a"), fingerprints([drawing(33), drawing(41)], "b")]
EXPECTED = find(OWN, EARLIER)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(len(gallery()))), st.integers(1, 14))
def test_row_order_and_block_size_change_nothing(order, block_rows):
    own = OWN[list(order)]
    found = find(own, EARLIER, POLICY.model_copy(update={"block_rows": block_rows}))
    assert found.drop("similarity").equals(EXPECTED.drop("similarity"))
    assert np.allclose(found["similarity"], EXPECTED["similarity"], atol=1e-5)


def test_gallery_by_hand():
    assert named(EXPECTED) == {
        "own-003": ("a-001", "near"),
        "own-004": ("own-000", "near"),
        "own-005": ("own-001", "near"),
        "own-008": ("own-007", "near"),
        "own-009": ("own-002", "exact"),
        "own-011": ("own-000", "near"),
    }


def test_of_many_copies_only_the_first_is_compared_with_all(monkeypatch):
    compared = []
    original = duplicates.verdicts

    def counted(known, first, asked, second, policy):
        compared.append(len(first))
        return original(known, first, asked, second, policy)

    monkeypatch.setattr(duplicates, "verdicts", counted)
    copies = [drawing(10)] * 200
    found = find(fingerprints(copies, digests=[str(at) for at in range(200)]))
    assert found["duplicate_of"].unique().to_list() == ["own-000"]
    assert found.height == 199
    assert sum(compared) < 199 + 64


def test_nothing_compared_is_larger_than_a_block(monkeypatch):
    sizes = []
    original = duplicates.CoarseBlock

    def counted(rows):
        sizes.append(rows.height)
        return original(rows)

    monkeypatch.setattr(duplicates, "CoarseBlock", counted)
    find(OWN, EARLIER, POLICY.model_copy(update={"block_rows": 3}))
    assert max(sizes) == 3


class Reader:
    """Reads like the lake does: by image, in any order, a few rows at a time; remembers what it was asked for."""

    def __init__(self, *frames):
        self.rows = pl.concat(frames).reverse()
        self.asked = []

    def __call__(self, batch, image_ids):
        self.asked.append((batch, sorted(image_ids)))
        wanted = self.rows.filter(pl.col("batch") == batch, pl.col("image_id").is_in(image_ids.implode()))
        yield from wanted.select("image_id", "thumbnail", "detail").iter_slices(2)


def test_large_fingerprints_are_read_of_own_rows_once_and_of_earlier_candidates_only():
    read = Reader(OWN, *EARLIER)
    found = find_duplicates(
        OWN.select(FEATURE_COLUMNS), [frame.select(FEATURE_COLUMNS) for frame in EARLIER], read, POLICY
    )
    assert found.equals(EXPECTED)
    firsts = OWN.unique("sha256", keep="first")
    assert read.asked == [("a", ["a-001"]), ("own", sorted(firsts["image_id"]))], "b repeats a row that a has settled"


def test_nothing_is_read_where_there_are_no_candidates():
    read = Reader(OWN)
    own = fingerprints([drawing(60), drawing(61)])
    assert find_duplicates(own, [OWN], read, POLICY).is_empty()
    assert read.asked == []


def test_files_are_read_as_many_positions_at_a_time_as_lie_together():
    gaps = OWN.with_columns(position=pl.col("position") * 3)
    read = reader_of_scans(lambda batch: gaps.lazy().filter(pl.col("batch") == batch), 9)
    assert find_duplicates(gaps, EARLIER[:0], read, POLICY).equals(find(OWN))
    frames = list(read("own", gaps["image_id"]))
    assert max(frame.height for frame in frames) == 3
    assert pl.concat(frames).sort("image_id").equals(gaps.select("image_id", "thumbnail", "detail").sort("image_id"))
    few = list(read("own", pl.Series(["own-001", "own-009", "other-000"])))
    assert [frame["image_id"].to_list() for frame in few] == [["own-001"], ["own-009"]]
    assert list(read("other", gaps["image_id"])) == []


def test_earlier_batches_are_read_one_at_a_time():
    alive = []
    earlier = {seed: fingerprints([drawing(seed)], f"batch-{seed}") for seed in (50, 51, 52)}
    own = fingerprints([drawing(52)])

    def frames():
        for seed, frame in earlier.items():
            alive.append(seed)
            yield frame

    found = find_duplicates(own, frames(), reader_of(own, *earlier.values()), POLICY)
    assert alive == [50, 51, 52]
    assert found["duplicate_batch"].to_list() == ["batch-52"]


def test_empty_frames():
    empty = pl.DataFrame(schema=TABLES["image_fingerprints"].schema)
    assert find(empty, [empty, EARLIER[0]]).schema == EXPECTED.schema
    assert find(OWN, [empty]).height > 0


def test_faiss_threads_are_given_back():
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    try:
        find(OWN[:3])
        assert faiss.omp_get_max_threads() == 2
    finally:
        faiss.omp_set_num_threads(before)


def test_a_frame_without_its_columns_is_refused():
    with pytest.raises(SchemaMismatchError, match="lacks coarse"):
        find(OWN.drop("coarse"))


@pytest.mark.parametrize(
    ("spoiled", "message"),
    [
        (OWN.with_columns(coarse=pl.lit(b"short")), "expected 768 each; clean the images of own again"),
        (OWN.with_columns(coarse=pl.lit(None, pl.Binary)), "hold 0 bytes, expected 768 each"),
        (OWN.with_columns(thumbnail=pl.lit(b"short")), "thumbnails of 5 bytes, expected 12288 each"),
        (OWN.with_columns(detail=pl.lit(None, pl.Binary)), "thumbnails without detail; clean the images of own again"),
        (OWN.drop("detail"), "no column detail"),
    ],
    ids=["short coarse", "no coarse", "short thumbnail", "no detail", "no column"],
)
def test_fingerprints_of_another_make_are_refused(spoiled, message):
    with pytest.raises(SchemaMismatchError, match=message):
        find(spoiled)


def test_fingerprints_that_are_not_there_are_named():
    with pytest.raises(SchemaMismatchError, match="no fingerprints of 1 images, own-004 the first"):
        find_duplicates(OWN, [], reader_of(OWN.filter(pl.col("image_id") != "own-004")), POLICY)
