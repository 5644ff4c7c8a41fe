"""Where a command works: the Dagster home, the instance, and the resources the graph uses."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import dagster as dg

from resources.corrections import Corrections
from resources.holds import Holds
from resources.model_set import ModelSet
from resources.object_store import LandingStore
from resources.provenance import Provenance

DAGSTER_YAML: Final = """\
nux:
  enabled: false
telemetry:
  enabled: false
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
    """The Dagster home, created with its settings on first use."""
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(Path(".dagster_home").absolute()))).absolute()
    os.environ["DAGSTER_HOME"] = str(home)
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        settings.write_text(DAGSTER_YAML, encoding="utf-8")
    return home


@dataclass(frozen=True)
class Workspace:
    """The instance and the definitions a command works with."""

    instance: dg.DagsterInstance
    definitions: dg.Definitions

    @cached_property
    def resources(self) -> dict[str, dg.ConfigurableResource]:
        """Resources as the graph uses them, for reading outside a run."""
        return dict(self.definitions.resources or {})

    def resource(self, name: str) -> dg.ConfigurableResource:
        """One resource by its key."""
        return self.resources[name]

    @property
    def holds(self) -> Holds:
        """The ledger of holds."""
        return self.resources["holds"]  # pyright: ignore[reportReturnType] - keyed by definitions.py

    @property
    def landing(self) -> LandingStore:
        """The landing area."""
        return self.resources["landing"]  # pyright: ignore[reportReturnType] - keyed by definitions.py

    @property
    def models(self) -> ModelSet:
        """Every model of the graph."""
        return self.resources["models"]  # pyright: ignore[reportReturnType] - keyed by definitions.py

    @property
    def corrections(self) -> Corrections:
        """The correction layer."""
        return self.resources["corrections"]  # pyright: ignore[reportReturnType] - keyed by definitions.py

    @property
    def provenance(self) -> Provenance:
        """Recorded digests."""
        return self.resources["provenance"]  # pyright: ignore[reportReturnType] - keyed by definitions.py


def open_workspace() -> Workspace:
    """Import the definitions and open the instance."""
    dagster_home()
    from mm_assets.definitions import definitions  # noqa: PLC0415 - seconds of import, only where it is used

    return Workspace(dg.DagsterInstance.get(), definitions)
