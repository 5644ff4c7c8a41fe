"""The policy as a resource: the defaults, with the overrides of one TOML file."""

from functools import cached_property
from pathlib import Path

import dagster as dg

from mm_assets.policy import Policy, load_policy


class PolicyFile(dg.ConfigurableResource):
    """Loads the policy once.

    Attributes:
        path: a TOML file, or empty for the defaults.
    """

    path: str = ""

    @cached_property
    def policy(self) -> Policy:
        """The policy in force."""
        return load_policy(Path(self.path) if self.path else None)
