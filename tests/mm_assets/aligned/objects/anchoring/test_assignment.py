import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mm_assets.aligned.objects.anchoring.assignment import NOWHERE, assign_boxes


@st.composite
def problems(draw):
    boxes, phrases = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    cell = st.one_of(st.just(np.nan), st.integers(1, 10).map(lambda tenth: tenth / 10))
    weights = draw(st.lists(st.lists(cell, min_size=phrases, max_size=phrases), min_size=boxes, max_size=boxes))
    return np.array(weights), draw(st.lists(st.integers(0, 3), min_size=phrases, max_size=phrases))


def every_choice(weights, capacities):
    """Best total for each box at each phrase, the last column for none, by trying everything."""
    boxes, phrases = weights.shape
    best = np.full((boxes, phrases + 1), -np.inf)
    for choice in itertools.product(range(-1, phrases), repeat=boxes):
        if any(choice.count(phrase) > capacities[phrase] for phrase in range(phrases)):
            continue
        total = sum(weights[box, phrase] for box, phrase in enumerate(choice) if phrase >= 0)
        if not np.isnan(total):
            for box, phrase in enumerate(choice):
                best[box, phrase] = max(best[box, phrase], total)
    return best


@given(problems())
def test_the_total_is_the_best_and_losses_are_exact(problem):
    weights, capacities = problem
    found = assign_boxes(weights, capacities)
    best = every_choice(weights, capacities)
    total = sum(weights[box, phrase] for box, phrase in enumerate(found.phrase_of) if phrase != NOWHERE)
    assert np.isclose(total, best.max())
    expected = np.where(np.isinf(best), np.inf, best.max() - best)
    assert np.allclose(found.losses, expected)
    for phrase, capacity in enumerate(capacities):
        assert (found.phrase_of == phrase).sum() <= capacity


def test_equal_input_gives_the_equal_assignment():
    weights = np.ones((5, 5))
    first = assign_boxes(weights, [1] * 5)
    again = assign_boxes(weights.copy(), [1] * 5)
    assert first.phrase_of.tolist() == again.phrase_of.tolist()
    assert sorted(first.phrase_of.tolist()) == [0, 1, 2, 3, 4]
