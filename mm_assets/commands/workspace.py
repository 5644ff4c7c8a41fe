"""Where a command works: the Dagster home, the instance, and the resources the graph uses."""

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import dagster as dg
from filelock import FileLock

from mm_assets.policy import Policy
from resources.corrections import Corrections
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.model_set import ModelSet
from resources.object_store import LandingStore
from resources.provenance import Provenance

SETTINGS: Final = "dagster.yaml"
DAGSTER_YAML: Final = """\
nux:
  enabled: false
telemetry:
  enabled: false
storage:
  custom:
    module: resources.dagster_databases
    class: DagsterDatabases
    config:
      base_dir:
        env: DAGSTER_HOME
concurrency:
  runs:
    max_concurrent_runs: 2
    tag_concurrency_limits:
      - key: dagster/partition
        limit: 1
        value:
          applyLimitPerUniqueValue: true
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  poll_interval_seconds: 30
"""


def dagster_home() -> Path:
    """The Dagster home, created on first use with its settings and its storages, whole or not at all.

    Several processes may ask at once: one creates it, the others wait.
    """
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(Path(".dagster_home").absolute()))).absolute()
    os.environ["DAGSTER_HOME"] = str(home)
    if not (home / SETTINGS).exists():
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / ".making.lock"):
            if not (home / SETTINGS).exists():
                _make_home(home)
    return home


def _make_home(home: Path) -> None:
    """Build storages and settings aside and move them in, the settings last: they mark a home that is whole.

    Dagster takes a database that exists for one that is complete: an event log that was killed while its tables were
    made refuses every batch from then on. Here a killed process leaves a folder that the next one throws away.
    """
    aside = home / ".making"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    (aside / SETTINGS).touch()  # the settings proper name the home, which is not there yet
    dg.DagsterInstance.from_config(str(aside)).dispose()
    (aside / SETTINGS).write_text(DAGSTER_YAML, encoding="utf-8")
    for path in (*aside.rglob("*"), aside):
        _sync(path)
    for entry in sorted(aside.iterdir(), key=lambda path: path.name == SETTINGS):
        try:
            entry.rename(home / entry.name)
        except OSError as error:  # a folder that stood there before, say the history of runs, stays
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
        _sync(home)
    shutil.rmtree(aside)


def _sync(path: Path) -> None:
    """Have the operating system write a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class ResourceSet:
    """Resources as the graph uses them, for reading and recording outside a run.

    Args:
        resources: by their keys, see `resources.resource_set`.
    """

    def __init__(self, resources: Mapping[str, Any]) -> None:
        self.resources = resources

    @property
    def lake(self) -> DeltaLake:
        """The tables."""
        return self.resources["lake"]

    @property
    def landing(self) -> LandingStore:
        """The landing area."""
        return self.resources["landing"]

    @property
    def holds(self) -> Holds:
        """The ledger of holds."""
        return self.resources["holds"]

    @property
    def models(self) -> ModelSet:
        """Every model of the graph."""
        return self.resources["models"]

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.resources["policy_file"].policy

    @property
    def corrections(self) -> Corrections:
        """The correction layer."""
        return self.resources["corrections"]

    @property
    def provenance(self) -> Provenance:
        """Recorded digests."""
        return self.resources["provenance"]


class Workspace(ResourceSet):
    """The instance and the definitions a command works with, and their resources.

    Args:
        instance: where runs are recorded.
        definitions: the graph.
    """

    def __init__(self, instance: dg.DagsterInstance, definitions: dg.Definitions) -> None:
        super().__init__(dict(definitions.resources or {}))
        self.instance, self.definitions = instance, definitions


def open_resources() -> ResourceSet:
    """The resources alone, for commands that run nothing: no instance, and seconds less of imports."""
    from resources.resource_set import make_resources, roots_of_environment  # noqa: PLC0415 - imports every resource

    return ResourceSet(make_resources(*roots_of_environment()))


def open_workspace() -> Workspace:
    """Import the definitions and open the instance."""
    dagster_home()
    from mm_assets.definitions import definitions  # noqa: PLC0415 - seconds of import, only where it is used

    return Workspace(dg.DagsterInstance.get(), definitions)
