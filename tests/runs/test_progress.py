"""What the bars of ``mm run`` say at the end of each batch."""

import pytest
from rich.console import Console

from mm_assets.commands.progress_bars import ConsoleBars
from mm_assets.commands.run import Runner


@pytest.mark.slow
def test_a_bar_says_held_where_the_batch_is_held_and_failed_only_where_it_failed(site):
    site.cut("spoiled", "shifted", None)
    site.cut("clean", "broken", 5)
    (site.landing_folder / "broken" / "batch.json").write_text("{", encoding="utf-8")
    bars = ConsoleBars(Console(quiet=True))
    summary = Runner(site.workspace, bars).run(None, None)
    assert summary.held == {"shifted": "recall"}
    assert list(summary.failed) == ["broken"]
    assert bars.states == {"shifted": "held", "broken": "failed", "views": "done"}

    again = ConsoleBars(Console(quiet=True))
    Runner(site.workspace, again).run(["shifted"], None)
    assert again.states == {"shifted": "held"}
