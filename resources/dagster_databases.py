"""Dagster's SQLite storages with connections that are used again; `dagster.yaml` of a home names them.

Dagster 1.13 makes an engine and opens a connection for every query and closes it again: the SQL is compiled anew each
time, and the last one to close makes SQLite fold its write-ahead log into the database and wait for the disk. A run
of a batch asks some 2,000 times. Here engines live as long as the process, and a commit is in the write-ahead log
before it returns but waits for the disk only at a checkpoint, as SQLite advises with such a log: a killed process loses
nothing, a power cut at most the last events, of which every sensor here finds the state anew.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy
import sqlalchemy.event
import sqlalchemy.exc
from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage, SqliteStorageConfig
from dagster._serdes import ConfigurableClassData

_RUNS_KEPT_OPEN: Final = 8
_VERSION: Final = sqlalchemy.Table(
    "alembic_version", sqlalchemy.MetaData(), sqlalchemy.Column("version_num", sqlalchemy.String(32), primary_key=True)
)


def _engine(address: str) -> sqlalchemy.Engine:
    engine = sqlalchemy.create_engine(address, max_overflow=-1, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})
    sqlalchemy.event.listen(engine, "connect", _sync_at_checkpoints)
    return engine


def _sync_at_checkpoints(connection: sqlite3.Connection, _: Any) -> None:  # noqa: ANN401 - SQLAlchemy's record
    connection.execute("PRAGMA synchronous=NORMAL")


class RunDatabase(SqliteRunStorage):
    """Dagster's record of runs."""

    def __init__(self, conn_string: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(conn_string, inst_data)
        self._engine = _engine(conn_string)

    @contextmanager
    def connect(self) -> Iterator[sqlalchemy.Connection]:
        """A connection inside a transaction."""
        with self._engine.begin() as connection:
            yield connection

    def dispose(self) -> None:
        """Close every connection."""
        self._engine.dispose()


class ScheduleDatabase(SqliteScheduleStorage):
    """Dagster's record of sensors and their ticks."""

    def __init__(self, conn_string: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(conn_string, inst_data)
        self._engine = _engine(conn_string)

    @contextmanager
    def connect(self) -> Iterator[sqlalchemy.Connection]:
        """A connection inside a transaction."""
        with self._engine.begin() as connection:
            yield connection

    def dispose(self) -> None:
        """Close every connection."""
        self._engine.dispose()


class EventDatabases(SqliteEventLogStorage):
    """Dagster's event log: a database per run, of which the last few stay open, and an index."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, sqlalchemy.Engine] = OrderedDict()
        self._revision: str | None = None
        self._has_partitions = False
        super().__init__(base_dir, inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sqlalchemy.Connection]:
        with self._db_lock:
            engine = self._open(shard)
            if shard not in self._initialized_dbs:
                self._make(engine, shard)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def _make(self, engine: sqlalchemy.Engine, shard: str) -> None:
        """Have the tables of a database made; Dagster reads its 50 revisions for it, here once in a process."""
        if self._revision is None or Path(self.path_for_shard(shard)).exists():
            self._initdb(engine)
            with engine.connect() as connection:
                self._revision = connection.scalar(sqlalchemy.select(_VERSION.c.version_num))
            return
        try:
            with engine.begin() as connection:
                SqlEventLogStorageMetadata.create_all(connection)
                _VERSION.create(connection)
                connection.execute(_VERSION.insert().values(version_num=self._revision))
            with engine.connect() as connection:
                connection.execute(sqlalchemy.text("PRAGMA journal_mode=WAL"))
        except sqlalchemy.exc.OperationalError:  # another process makes it at this moment; Dagster's way waits for it
            self._initdb(engine)

    def _open(self, shard: str) -> sqlalchemy.Engine:
        if shard not in self._engines:
            self._engines[shard] = _engine(self.conn_string_for_shard(shard))
        self._engines.move_to_end(shard)
        if INDEX_SHARD_NAME in self._engines:
            self._engines.move_to_end(INDEX_SHARD_NAME)
        while len(self._engines) > _RUNS_KEPT_OPEN + 1:
            self._engines.popitem(last=False)[1].dispose()
        return self._engines[shard]

    def _check_partitions_table(self) -> None:
        """Ask SQLite once whether it knows dynamic partitions; Dagster asks before each use of one."""
        if not self._has_partitions:
            super()._check_partitions_table()
            self._has_partitions = True

    def wipe(self) -> None:
        """Delete every event; the databases of the runs go with their connections."""
        self._close()
        super().wipe()

    def dispose(self) -> None:
        """Stop watching and close every connection."""
        super().dispose()
        self._close()

    def _close(self) -> None:
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()


class DagsterDatabases(DagsterSqliteStorage):
    """Runs, events and schedules in SQLite databases under one folder, laid out as Dagster's own."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super(DagsterSqliteStorage, self).__init__()  # not its own: that opens the storages replaced here
        self.base_dir = base_dir
        self._inst_data = inst_data
        self._run_storage = RunDatabase.from_local(str(Path(base_dir) / "history"))
        self._event_log_storage = EventDatabases(str(Path(base_dir) / "history" / "runs"))
        self._schedule_storage = ScheduleDatabase.from_local(str(Path(base_dir) / "schedules"))

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: SqliteStorageConfig
    ) -> "DagsterDatabases":
        """Open the storages of a home."""
        return cls.from_local(inst_data=inst_data, **config_value)
