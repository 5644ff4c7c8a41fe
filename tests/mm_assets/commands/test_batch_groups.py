"""Which batches may run at once."""

from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

from hypothesis import given
from hypothesis import strategies as st

from mm_assets.commands.batch_groups import group_batches
from mm_assets.commands.run_workers import _outcome

_MARKS = st.dictionaries(st.sampled_from("abcdefgh"), st.sets(st.integers(0, 5).map(str), max_size=3))


@given(_MARKS)
def test_groups_share_nothing_and_keep_the_order(marks):
    batches = sorted(marks)
    groups = group_batches(batches, marks)
    assert sorted(batch for group in groups for batch in group) == batches
    assert all(group == sorted(group) for group in groups)
    owned = [set().union(*(marks[batch] for batch in group)) for group in groups]
    assert sum(map(len, owned)) == len(set().union(*owned))
    for group in groups:
        for batch in group:  # nobody stands in a group without sharing a mark with another of it
            others = set().union(*(marks[other] for other in group if other != batch))
            assert len(group) == 1 or marks[batch] & others


def test_batches_of_a_process_that_died_have_failed():
    future = Future()
    future.set_exception(BrokenProcessPool())
    assert set(_outcome(["a", "b"], future).failed) == {"a", "b"}
