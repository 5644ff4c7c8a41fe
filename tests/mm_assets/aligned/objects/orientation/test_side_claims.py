import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.objects.orientation.findings import Finding, Subject
from mm_assets.aligned.objects.orientation.side_claims import Anchor, check_claims

Place = tuple[str, float] | tuple[str, tuple[float, ...]] | tuple[str, float, str]


def _anchors(caption: str, places: list[Place]) -> list[Anchor]:
    """Anchors of phrases in the order they stand in the caption; a place is one middle or several, then a label."""
    anchors: list[Anchor] = []
    end = 0
    for phrase, middle, *label in places:
        start = caption.index(phrase, end)
        end = start + len(phrase)
        anchors.append(
            Anchor(start, end, middle if isinstance(middle, tuple) else (middle,), label[0] if label else None)
        )
    return anchors


def _check(caption: str, places: list[Place], margin: float = 0.08) -> list[Finding]:
    return check_claims(caption, "cap", _anchors(caption, places), margin)


@pytest.mark.parametrize(
    ("caption", "places", "verdicts"),
    [
        # Of the picture.
        ("A duck on the left.", [("A duck", 0.2)], "consistent"),
        ("A duck on the left.", [("A duck", 0.8)], "contradicted"),
        ("A duck on the left.", [("A duck", 0.52)], "undecided"),
        ("A duck, on the left, swims.", [("A duck", 0.2)], "consistent"),
        ("A dog on the far left.", [("A dog", 0.9)], "contradicted"),
        ("There is a duck in the left half of the picture.", [("a duck", 0.9)], "contradicted"),
        ("A dog on the left side of the picture and a cat.", [("A dog", 0.9), ("a cat", 0.2)], "contradicted"),
        ("The duck is on the right-hand side.", [("The duck", 0.2)], "contradicted"),
        ("A bird in the top right corner of the image.", [("A bird", 0.9)], "consistent"),
        ("In the upper left corner a bird.", [("a bird", 0.9)], "contradicted"),
        ("A cat, left, and a dog, right.", [("A cat", 0.2), ("a dog", 0.8)], "consistent consistent"),
        ("On the left, a cat; on the right, a dog.", [("a cat", 0.2), ("a dog", 0.8)], "consistent consistent"),
        ("On the left a cat and on the right a dog.", [("a cat", 0.8), ("a dog", 0.2)], "contradicted contradicted"),
        (
            "A cat sits on the left and a dog on the right.",
            [("A cat", 0.8), ("a dog", 0.2)],
            "contradicted contradicted",
        ),
        # Against the other things rather than the middle of the picture.
        ("A duck on the left and a cat on the right.", [("A duck", 0.6), ("a cat", 0.9)], "undecided consistent"),
        # Of another thing.
        ("A cat to the left of the dog.", [("A cat", 0.6), ("the dog", 0.9)], "consistent"),
        ("A cat to the left of the dog.", [("A cat", 0.7), ("the dog", 0.2)], "contradicted"),
        ("A cat to the left of the dog.", [("A cat", 0.45), ("the dog", 0.5)], "undecided"),
        ("A cat left of a dog.", [("A cat", 0.8), ("a dog", 0.2)], "contradicted"),
        ("To the left of the dog is a cat.", [("the dog", 0.7), ("a cat", 0.2)], "consistent"),
        ("To the right of the dog, a cat sits.", [("the dog", 0.7), ("a cat", 0.2)], "contradicted"),
        ("Left of the tree stands a cow.", [("the tree", 0.3), ("a cow", 0.8)], "contradicted"),
        (
            "A cat is to the right of a dog and a bird is on the left.",
            [("A cat", 0.5), ("a dog", 0.2), ("a bird", 0.8)],
            "consistent contradicted",
        ),
        # One among several.
        (
            "The left cat, the right cat.",
            [("left cat", 0.6, "cat"), ("right cat", 0.8, "cat")],
            "consistent consistent",
        ),
        (
            "The left cat, the right cat.",
            [("The left cat", 0.8, "cat"), ("the right cat", 0.6, "cat")],
            "contradicted contradicted",
        ),
        ("The leftmost duck is white.", [("The leftmost duck", 0.3, "duck")], "consistent"),
        ("The left duck is white.", [("The left duck", 0.9, "duck")], "undecided"),  # left of what nobody boxed
        # Several boxes.
        ("Two ducks on the left.", [("Two ducks", (0.1, 0.3))], "consistent"),
        ("Two ducks on the left.", [("Two ducks", (0.1, 0.9))], "undecided"),
        # A list.
        ("From left to right: a cat, a dog.", [("a cat", 0.2), ("a dog", 0.8)], "consistent"),
        ("From left to right: a cat, a dog.", [("a cat", 0.8), ("a dog", 0.2)], "contradicted"),
        ("From right to left a cat, a dog and a cow.", [("a cat", 0.8), ("a dog", 0.5), ("a cow", 0.1)], "consistent"),
        ("From left to right a cat, a dog and a cow.", [("cat", 0.1), ("dog", 0.9), ("cow", 0.5)], "undecided"),
        ("From left to right a cat, a dog and a cow.", [("cat", 0.2), ("dog", 0.22), ("cow", 0.8)], "consistent"),
        ("From left to right a cat, a dog and a cow.", [("cat", 0.8), ("dog", 0.78), ("cow", 0.2)], "contradicted"),
        ("From left to right a cat, a dog and a cow.", [("cat", 0.5), ("dog", 0.55), ("cow", 0.6)], "undecided"),
        ("From left to right: a cat under a dog.", [("a cat", 0.8), ("a dog", 0.2)], "undecided"),
        # Said of either of two things.
        ("A man in a hat on the left.", [("A man", 0.2), ("a hat", 0.2)], "consistent"),
        ("A dog beside a car on the left.", [("A dog", 0.8), ("a car", 0.2)], "undecided"),
        # Nothing that can be checked.
        ("A duck on the left.", [], "undecided"),
        ("The man raises his left hand.", [("The man", 0.8)], "undecided"),
        ("The left lung of the patient.", [("the patient", 0.2)], "undecided"),
        ("A man turns left near a car.", [("A man", 0.8), ("a car", 0.2)], "undecided"),
        ("A cat to the left of a dog.", [("A cat", 0.8)], "undecided"),
        # No side at all.
        ("A bag left behind on a bench.", [("A bag", 0.8)], ""),
        ("A sign with the words 'KEEP LEFT' next to a car.", [("a car", 0.8)], ""),
        ("A duck right in front of a cat.", [("A duck", 0.2), ("a cat", 0.2)], ""),
        ("Nothing here.", [], ""),
    ],
)
def test_claims_are_resolved_and_judged(caption: str, places: list[Place], verdicts: str) -> None:
    findings = _check(caption, places)
    assert " ".join(finding.verdict.value for finding in findings) == verdicts, findings


def test_finding_says_what_was_claimed_and_where_things_are() -> None:
    (finding,) = _check("A cat to the left of the dog.", [("A cat", 0.7), ("the dog", 0.2)])
    assert finding.evidence == ("'A cat to the left of the dog': 'A cat' is at 70% of the width, 'the dog' at 20%.")
    assert (finding.subject, finding.caption_id) == (Subject.CAPTION, "cap")
    near = _check("A cat to the left of the dog.", [("A cat", 0.32), ("the dog", 0.2)])[0]
    assert finding.confidence > near.confidence >= 0.6


_OPPOSITE = {"consistent": "contradicted", "contradicted": "consistent", "undecided": "undecided"}


@given(
    st.sampled_from(
        [
            "A duck on the left.",
            "To the right of the cat is a duck.",
            "On the left, a cat, and on the right, a duck.",
            "A cat to the left of a duck.",
        ]
    ),
    st.floats(0.02, 0.98),
    st.floats(0.02, 0.98),
)
def test_mirrored_boxes_never_agree_with_what_agreed_before(caption: str, duck: float, cat: float) -> None:
    words = {"duck": duck, "cat": cat}
    order = sorted((word for word in words if word in caption), key=caption.index)
    given_ = _check(caption, [(word, words[word]) for word in order])
    mirrored = _check(caption, [(word, 1.0 - words[word]) for word in order])
    for before, after in zip(given_, mirrored, strict=True):
        if before.verdict.value == "consistent":
            assert after.verdict.value != "consistent"
        if len(order) == 1:
            assert after.verdict.value == _OPPOSITE[before.verdict.value]


@given(
    st.text(alphabet="aleftrigh ,.'of", max_size=80),
    st.lists(st.tuples(st.integers(0, 80), st.floats(0, 1)), max_size=4),
)
def test_any_caption_is_judged(caption: str, places: list[tuple[int, float]]) -> None:
    anchors = [Anchor(start, start + 3, (middle,)) for start, middle in places if start + 3 <= len(caption)]
    assert all(finding.caption_id == "cap" for finding in check_claims(caption, "cap", anchors, 0.1))
