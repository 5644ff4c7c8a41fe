import hashlib
import io
import random

import cv2
import faiss
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from mm_assets.cleaned import duplicates as duplicates_module
from mm_assets.cleaned.duplicates import find_duplicates
from mm_assets.cleaned.fingerprints import THUMBNAIL_SIDE_PX, thumbnail_of
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
            (batch, f"{batch}-{at:03d}", at, digest, picture.shape[1], picture.shape[0], thumbnail_of(picture))
            for at, (picture, digest) in enumerate(zip(pictures, digests, strict=True))
        ],
        schema=TABLES["image_fingerprints"].schema,
        orient="row",
    )


def named(found):
    return {row["image_id"]: (row["duplicate_of"], row["kind"]) for row in found.to_dicts()}


def test_thumbnail_is_the_area_mean_of_its_squares():
    pixels = np.repeat(np.repeat(np.arange(64, dtype=np.uint8)[None, :], 64, 0), 2, 0).repeat(2, 1)
    thumbnail = np.frombuffer(thumbnail_of(np.dstack([pixels] * 3)), np.uint8).reshape(64, 64, 3)
    assert thumbnail.shape[0] == THUMBNAIL_SIDE_PX
    assert (thumbnail == np.arange(64)[None, :, None]).all()


def test_equal_bytes_are_exact():
    one, two = drawing(1), drawing(2)
    found = find_duplicates(fingerprints([one, two, one]), [], POLICY)
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
    found = find_duplicates(fingerprints([*originals, copy(originals[seed])]), [], POLICY)
    assert named(found) == {"own-004": (f"own-{seed:03d}", "near")}
    assert 0.9 < found["similarity"][0] <= 1.0


def test_a_crop_may_come_first():
    original = drawing(3)
    assert named(find_duplicates(fingerprints([cropped(original), original]), [], POLICY)) == {
        "own-001": ("own-000", "near")
    }


def test_recoloured_mirrored_and_edited_pictures_stay():
    original = drawing(5)
    recoloured = original[:, :, ::-1].copy()
    mirrored = original[:, ::-1].copy()
    darker = (original * 0.6).astype(np.uint8)
    edited = original.copy()
    cv2.rectangle(edited, (200, 150), (260, 200), (255, 0, 255), -1)
    assert find_duplicates(fingerprints([original, recoloured, mirrored, darker, edited]), [], POLICY).is_empty()


def test_a_picture_squeezed_to_another_aspect_stays():
    original = drawing(6)
    squeezed = np.asarray(Image.fromarray(original).resize((320, 400)))
    assert find_duplicates(fingerprints([original, squeezed]), [], POLICY).is_empty()


def test_flat_pictures_are_duplicates_of_equal_bytes_only():
    flat = [np.full((100, 100, 3), level, np.uint8) for level in (255, 255, 254, 128)]
    noise = np.random.default_rng(0).integers(126, 130, (100, 100, 3), dtype=np.uint8)
    found = find_duplicates(fingerprints([*flat, noise]), [], POLICY)
    assert named(found) == {"own-001": ("own-000", "exact")}


def test_thin_line_art_of_other_line_counts_stays():
    family = [spokes(count) for count in (60, 61, 63, 66, 70)] + [spokes(60, inner=104)]
    assert find_duplicates(fingerprints(family), [], POLICY).is_empty()


def test_copies_of_thin_line_art_are_near():
    family = [spokes(count) for count in (60, 61, 63)]
    copies = [jpeg(family[1], 60), resized(family[2], 0.6)]
    found = find_duplicates(fingerprints([*family, *copies]), [], POLICY)
    assert named(found) == {"own-003": ("own-001", "near"), "own-004": ("own-002", "near")}


def faded(original, step):
    """A picture that drifts away from the original a little with every step."""
    drifted = original.copy()
    cv2.circle(drifted, (160, 120), 4 + 5 * step, (20, 160, 60), -1)
    return drifted


def test_chain_names_kept_rows_only():
    chain = fingerprints([faded(drawing(7), step) for step in range(9)])
    found = named(find_duplicates(chain, [], POLICY))
    dropped = set(found)
    assert dropped
    assert {"own-001", "own-008"} - dropped, "the ends of the chain are not alike"
    assert not dropped & {target for target, _ in found.values()}
    pairs = {
        (one, other): bool(find_duplicates(chain.filter(pl.col("image_id").is_in([one, other])), [], POLICY).height)
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
    found = find_duplicates(own, iter([first, second]), POLICY)
    assert found.select("image_id", "duplicate_of", "duplicate_batch", "kind").rows() == [
        ("own-000", "first-001", "first", "near"),
        ("own-001", "second-001", "second", "near"),
        ("own-002", "first-001", "first", "near"),
        ("own-004", "own-003", "own", "near"),
    ]
    swapped = find_duplicates(own, iter([second, first]), POLICY)
    assert swapped.filter(pl.col("image_id") == "own-002").rows()[0][1:4] == ("second-000", "second", "exact")


def test_within_an_earlier_batch_the_most_alike_is_named_then_the_first():
    picture = drawing(9)
    copy = jpeg(picture, 60)
    alike = [cropped(picture), picture, copy, copy]
    earlier = fingerprints(alike, "first", [str(at) for at in range(4)]).reverse()
    found = find_duplicates(fingerprints([copy]), [earlier], POLICY)
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
EXPECTED = find_duplicates(OWN, EARLIER, POLICY)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(len(gallery()))), st.integers(1, 14))
def test_row_order_and_block_size_change_nothing(order, block_rows):
    own = OWN[list(order)]
    found = find_duplicates(own, EARLIER, POLICY.model_copy(update={"block_rows": block_rows}))
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
    original = duplicates_module._verdicts

    def counted(first, second, contrast, policy):
        compared.append(len(contrast))
        return original(first, second, contrast, policy)

    monkeypatch.setattr(duplicates_module, "_verdicts", counted)
    copies = [drawing(10)] * 200
    found = find_duplicates(fingerprints(copies, digests=[str(at) for at in range(200)]), [], POLICY)
    assert found["duplicate_of"].unique().to_list() == ["own-000"]
    assert found.height == 199
    assert sum(compared) < 199 + 64


def test_nothing_compared_is_larger_than_a_block(monkeypatch):
    sizes = []
    original = duplicates_module._Block

    def counted(rows):
        sizes.append(rows.height)
        return original(rows)

    monkeypatch.setattr(duplicates_module, "_Block", counted)
    find_duplicates(OWN, EARLIER, POLICY.model_copy(update={"block_rows": 3}))
    assert max(sizes) == 3


def test_earlier_batches_are_read_one_at_a_time():
    alive = []

    def frames():
        for seed in (50, 51, 52):
            alive.append(seed)
            yield fingerprints([drawing(seed)], f"batch-{seed}")

    stream = frames()
    found = find_duplicates(fingerprints([drawing(52)]), stream, POLICY)
    assert alive == [50, 51, 52]
    assert found["duplicate_batch"].to_list() == ["batch-52"]


def test_empty_frames():
    empty = pl.DataFrame(schema=TABLES["image_fingerprints"].schema)
    assert find_duplicates(empty, [empty, EARLIER[0]], POLICY).schema == EXPECTED.schema
    assert find_duplicates(OWN, [empty], POLICY).height > 0


def test_faiss_threads_are_given_back():
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    try:
        find_duplicates(OWN[:3], [], POLICY)
        assert faiss.omp_get_max_threads() == 2
    finally:
        faiss.omp_set_num_threads(before)


def test_a_frame_without_its_columns_is_refused():
    with pytest.raises(SchemaMismatchError, match="lacks thumbnail"):
        find_duplicates(OWN.drop("thumbnail"), [], POLICY)


def test_a_thumbnail_of_another_size_is_refused():
    short = OWN.with_columns(thumbnail=pl.lit(b"short"))
    with pytest.raises(SchemaMismatchError, match="expected 12288 each"):
        find_duplicates(short, [], POLICY)
