"""Files of a delivery's image folder, and which of them a manifest has claimed.

Kept in a temporary SQLite database, which spills to disk: memory stays flat however many files a batch has.
"""

import sqlite3
from collections.abc import Collection, Generator, Iterator
from contextlib import closing, contextmanager
from enum import IntEnum
from typing import Final

from mm_assets.errors import InputError, RecordError, UnsafePathError
from mm_assets.landing import LandedObject, Landing
from mm_assets.raw_pools.names import check_name, shown, storable

_AFTER_ALL: Final = "\U0010ffff"
_CACHE_KIB: Final = 4_096
_SCHEMA: Final = f"""
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA temp_store = FILE;
PRAGMA cache_size = -{_CACHE_KIB};
CREATE TABLE files (name TEXT PRIMARY KEY, size_bytes INTEGER NOT NULL, version TEXT NOT NULL, state INTEGER NOT NULL)
WITHOUT ROWID;
CREATE TABLE faults (name TEXT NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE samples (archive TEXT, name TEXT, PRIMARY KEY (archive, name)) WITHOUT ROWID;
BEGIN;
"""


class _State(IntEnum):
    FREE = 0
    CLAIMED = 1
    LINK = 2


class Inventory:
    """Regular files below one folder of a batch, by name relative to it; open with `take_inventory`."""

    def __init__(self, connection: sqlite3.Connection, folder: str) -> None:
        self._connection = connection
        self.folder = folder

    def claim(self, name: str, where: str) -> LandedObject:
        """Take a file for the record at ``where``; no other record may have it afterwards.

        Raises:
            UnsafePathError: the name leads out of the folder, or is a link that does.
            RecordError: code ``MISSING_FILE`` or ``DUPLICATE_NAME``.
        """
        check_name(name, where)
        taken = self._connection.execute(
            "UPDATE files SET state = ? WHERE name = ? AND state = ? RETURNING size_bytes, version",
            (_State.CLAIMED, name, _State.FREE),
        ).fetchone()
        if taken is not None:
            return LandedObject(self.key(name), *taken)
        found = self._connection.execute("SELECT state FROM files WHERE name = ?", (name,)).fetchone()
        if found is None:
            raise RecordError(
                "MISSING_FILE", f"{where}: {shown(name)} is not in {self.folder}; deliver the file or drop its record"
            )
        if found[0] == _State.LINK:
            self._connection.execute("DELETE FROM files WHERE name = ?", (name,))
            raise link_outside(where, name)
        raise RecordError(
            "DUPLICATE_NAME", f"{where}: {shown(name)} was declared by an earlier record; keep one record per file"
        )

    def claim_if_present(self, name: str) -> LandedObject | None:
        """Take a manifest of the contract, if the delivery has it."""
        present = self._connection.execute(
            "SELECT 1 FROM files WHERE name = ? AND state = ?", (name, _State.FREE)
        ).fetchone()
        return self.claim(name, self.folder) if present else None

    def first_sample(self, archive: str, name: str) -> bool:
        """Whether this sample name is new in its archive."""
        inserted = self._connection.execute("INSERT OR IGNORE INTO samples VALUES (?, ?)", (archive, name))
        return inserted.rowcount == 1

    def unclaimed(self, suffix: str = "") -> Iterator[LandedObject]:
        """Files no record has claimed, in order of name, with the given suffix in any case."""
        rows = self._connection.execute(
            "SELECT name, size_bytes, version FROM files WHERE state = ? AND lower(name) LIKE ? ORDER BY name",
            (_State.FREE, f"%{suffix}"),
        )
        for name, size_bytes, version in rows:
            yield LandedObject(self.key(name), size_bytes, version)

    def folders(self, suffixes: Collection[str]) -> Iterator[str]:
        """Folders that directly hold a file with one of the suffixes, claimed or not, sorted; "" is the top."""
        ends = " OR ".join("lower(name) LIKE ?" for _ in suffixes)
        rows = self._connection.execute(
            "SELECT DISTINCT rtrim(name, replace(name, '/', '')) AS folder FROM files "  # noqa: S608 - no value in it
            f"WHERE state <> ? AND ({ends}) ORDER BY folder",
            (_State.LINK, *(f"%{suffix}" for suffix in suffixes)),
        )
        for (folder,) in rows:
            yield folder.rstrip("/")

    def inside(self, folder: str) -> Iterator[LandedObject]:
        """Files directly in a folder that no record has claimed, in order of name; "" is the top."""
        start = f"{folder}/" if folder else ""
        rows = self._connection.execute(
            "SELECT name, size_bytes, version FROM files WHERE state = ? AND name >= ? AND name < ? "
            "AND instr(substr(name, ?), '/') = 0 ORDER BY name",
            (_State.FREE, start, f"{folder}0" if folder else _AFTER_ALL, len(start) + 1),  # "0" follows "/"
        )
        for name, size_bytes, version in rows:
            yield LandedObject(self.key(name), size_bytes, version)

    def faults(self) -> Iterator[tuple[str, InputError]]:
        """Names that are never opened and no record has named, each with its reason."""
        for name, code, reason in self._connection.execute("SELECT name, code, reason FROM faults ORDER BY name"):
            yield self.key(name), UnsafePathError(code, reason)
        links = self._connection.execute("SELECT name FROM files WHERE state = ? ORDER BY name", (_State.LINK,))
        for (name,) in links:
            yield self.key(name), link_outside(self.key(name), name)

    def key(self, name: str) -> str:
        """The landing key of a name."""
        return f"{self.folder}/{name}"

    def name(self, key: str) -> str:
        """The name of a landing key."""
        return key[len(self.folder) + 1 :]

    def add_file(self, landed: LandedObject) -> None:
        """Enter a file, or the reason why its name is never opened."""
        name = self.name(landed.key)
        try:
            check_name(name, self.folder)
        except UnsafePathError as error:
            self._add_fault(name, error)
        else:
            row = (name, landed.size_bytes, landed.version, _State.FREE)
            self._connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", row)

    def add_link(self, key: str) -> None:
        """Enter a symbolic link that is never opened."""
        name = self.name(key)
        if key == self.folder:
            self._add_fault("", link_outside(self.folder, self.folder))
            return
        try:
            check_name(name, self.folder)
        except UnsafePathError as error:
            self._add_fault(name, error)
        else:
            self._connection.execute("INSERT OR REPLACE INTO files VALUES (?, 0, '', ?)", (name, _State.LINK))

    def _add_fault(self, name: str, error: UnsafePathError) -> None:
        row = (storable(name), error.code, storable(error.reason))
        self._connection.execute("INSERT INTO faults VALUES (?, ?, ?)", row)


@contextmanager
def take_inventory(landing: Landing, folder: str) -> Generator[Inventory]:
    """List a folder of a batch, such as ``b1/images``; the inventory goes with the context."""
    with closing(sqlite3.connect("", isolation_level=None, check_same_thread=False)) as connection:
        connection.executescript(_SCHEMA)
        inventory = Inventory(connection, folder)
        for landed in landing.objects(f"{folder}/"):
            inventory.add_file(landed)
        for link in landing.links(f"{folder}/"):
            inventory.add_link(link)
        yield inventory


def link_outside(where: str, name: str) -> UnsafePathError:
    """The error of a symbolic link that is never followed."""
    return UnsafePathError(
        "LINK_OUTSIDE",
        f"{where}: {shown(name)} is a link or special file that does not lead to a regular file of its batch; "
        "deliver the file itself",
    )
