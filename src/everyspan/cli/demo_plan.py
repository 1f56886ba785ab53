"""What the demo runs: the rows of the bug report, the ways to leave, and the environment of each run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

ROWS = ("sequential", "gather", "gather-parent", "gather-flush", "gather-no-flush", "threads")
"""How the calls are made; `examples/report.py` says what each means."""

EXITS = ("return", "_exit", "sigkill")
"""How the process leaves after the last answer."""

_FOREIGN = ("OTEL_", "LANGFUSE_", "EVERYSPAN_", "LITELLM_", "ANTHROPIC_", "OPENAI_", "USE_OTEL_", "REPORT_")


class Side(StrEnum):
    """Who watches the program."""

    WITHOUT = "without"
    """litellm's callback and Langfuse's SDK, as they are installed."""
    WITH = "with"
    """The same, started by `everyspan run`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One process to run."""

    side: Side
    row: str
    calls: int
    how: str

    @property
    def name(self) -> str:
        """Unique in a demo: it is the run's service name, and stands in every prompt."""
        return f"{self.side.value}-{self.row}-{self.calls}-{self.how.lstrip('_')}"

    @property
    def api_key(self) -> str:
        """The key the fake provider bills this run by."""
        return f"sk-ant-demo-{self.name}"


def scenarios(side: Side, sizes: Sequence[int], burst: int) -> Iterator[Scenario]:
    """Every row with every exit in each size, and one big gather, which takes longest and therefore comes first."""
    if burst:
        yield Scenario(side=side, row="gather", calls=burst, how="return")
    for calls in sizes:
        for row in ROWS:
            for how in EXITS:
                yield Scenario(side=side, row=row, calls=calls, how=how)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where everything stands while the demo runs.

    Attributes:
        script: the report's program.
        folder: holds the demo's spool, logs and notes.
        collector_url: where both sides deliver to, by Langfuse's own variables.
        provider_url: the fake provider; empty for the real one.
        live: variables of the real provider: its key, and the model to ask.
    """

    script: Path
    folder: Path
    collector_url: str
    provider_url: str = ""
    live: Mapping[str, str] = field(default_factory=dict)

    @property
    def spool_dir(self) -> Path:
        """One spool for all runs with everyspan, so that each may send what a killed one left."""
        return self.folder / "spool"

    def log_path(self, scenario: Scenario) -> Path:
        """What the run printed."""
        return self.folder / f"{scenario.name}.log"

    def parents_path(self, scenario: Scenario) -> Path:
        """Where the run notes whose children its calls are."""
        return self.folder / f"{scenario.name}.parents"

    def arguments(self, scenario: Scenario) -> list[str]:
        """The script's arguments; the same on both sides."""
        words = ["--row", scenario.row, "--calls", str(scenario.calls), "--exit", scenario.how]
        return [*words, "--batch", scenario.name, "--parents", str(self.parents_path(scenario))]

    def environment(self, scenario: Scenario | None = None) -> dict[str, str]:
        """The variables of a run; without a scenario those that all runs share.

        Whatever the user's shell says about telemetry is left out: the demo must not send to a real backend.
        """
        found = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        found |= {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LANGFUSE_PUBLIC_KEY": "pk-lf-demo",
            "LANGFUSE_SECRET_KEY": "sk-lf-demo",
            "LANGFUSE_BASE_URL": self.collector_url,
            "LANGFUSE_HOST": self.collector_url,
            "EVERYSPAN_SPOOL_DIR": str(self.spool_dir),
        }
        if scenario is not None:
            found["OTEL_SERVICE_NAME"] = scenario.name
            found["ANTHROPIC_API_KEY"] = scenario.api_key
        if self.provider_url:
            found["ANTHROPIC_BASE_URL"] = self.provider_url
        return found | dict(self.live)
