"""What a run did, whichever process did it."""

from dataclasses import dataclass, field


@dataclass
class RunSummary:
    """What a run did."""

    ran: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    current: list[str] = field(default_factory=list[str])
    refused: dict[str, str] = field(default_factory=dict[str, str])
    failed: dict[str, str] = field(default_factory=dict[str, str])
    held: dict[str, str] = field(default_factory=dict[str, str])
    release: str | None = None

    def take(self, other: "RunSummary") -> None:
        """Add what another process did; of a batch that ran there and here, both."""
        for batch, steps in other.ran.items():
            self.ran.setdefault(batch, []).extend(steps)
        self.current = [batch for batch in self.current if batch not in other.ran]
        self.current += [batch for batch in other.current if batch not in self.ran and batch not in self.current]
        self.refused.update(other.refused)
        self.failed.update(other.failed)
