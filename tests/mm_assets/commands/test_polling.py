"""Looking at something beside the work that changes it."""

import threading

import pytest

from mm_assets.commands.polling import polled


def test_it_looks_until_the_context_ends():
    looked = threading.Event()
    with polled(looked.set):
        assert looked.wait(10.0)
    looked.clear()
    assert not looked.wait(1.5)


def test_it_ends_with_the_work_although_the_work_fails():
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), polled(lambda: None):
        _ = 1 // 0
    assert threading.active_count() == before
