"""Dagster's SQLite databases, kept open while this process writes events to them."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import dagster as dg


@contextlib.contextmanager
def databases_kept_open(instance: dg.DagsterInstance) -> Iterator[int]:
    """Keep an idle connection to each database of the instance; yields how many there are, 0 for other storages.

    Dagster opens a connection for every event and closes it again. The last one to close makes SQLite fold its
    write-ahead log into the database and wait for the disk. An idle connection holds no lock and is never the last.
    """
    history = Path(instance.root_directory) / "history"
    with contextlib.ExitStack() as kept:
        opened = 0
        for path in sorted((*history.glob("*.db"), *history.glob("*/index.db"))):
            connection = kept.enter_context(contextlib.closing(sqlite3.connect(path)))
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # it is open from its first use on
            opened += 1
        yield opened
