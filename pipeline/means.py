"""How an extraction is run, and what it cost; none of it changes a number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from .inputs import InputLog
from .progress import LOG
from .store import Store
from .work import Done, Task
from .workers import Limits

Progress = Callable[[int, int, str], None]


class Engine(Protocol):
    """Whatever runs tasks somewhere else: processes of this machine, or of a cluster."""

    def run(self, tasks: Iterator[Task]) -> Iterator[tuple[Task, Done]]:
        """Tasks with their results as they finish."""
        ...


@dataclass
class Effort:
    """What an extraction cost; filled while it runs.

    Parameters
    ----------
    seconds : dict of str to float
        Work by stage, summed over workers, and ``wall``.
    units_computed, units_stored : int
        Units that were measured, and units that were taken from the store.
    inputs_changed : list of str
        Pictures whose file or mask is another than in the last run in this folder.
    worker_memory_mib, memory_mib : float
        Largest resident memory of any worker, and of this process.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    units_computed: int = 0
    units_stored: int = 0
    inputs_changed: list[str] = field(default_factory=list)
    worker_memory_mib: float = 0.0
    memory_mib: float = 0.0

    def add(self, done: Done) -> None:
        """Count a finished task."""
        for stage, seconds in done.seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        self.worker_memory_mib = max(self.worker_memory_mib, done.memory_mib)


@dataclass(frozen=True)
class Means:
    """How an extraction is run; none of it changes a number.

    Parameters
    ----------
    jobs : int
        Worker processes of this machine; 0 works in this process, which then shares the fate of its cases.
    limits : Limits
        What a case may cost a worker.
    engine : Engine, optional
        Runs the tasks instead of processes of this machine.
    store : Store, optional
        Where complete results are kept and looked up.
    force : bool
        Compute everything, whatever the store holds.
    inputs : InputLog, optional
        Remembers what every picture was computed from.
    progress : callable, optional
        Called with cases done, cases in all, and what is done.
    effort : Effort
        Filled with what it cost.
    """

    jobs: int = 0
    limits: Limits = Limits()
    engine: Engine | None = None
    store: Store | None = None
    force: bool = False
    inputs: InputLog | None = None
    progress: Progress | None = None
    effort: Effort = field(default_factory=Effort)


def tell_effort(effort: Effort) -> None:
    """Say what was computed and what was there already."""
    LOG.info("extract: %d units computed, %d taken from the store", effort.units_computed, effort.units_stored)
    if effort.inputs_changed:
        named = ", ".join(effort.inputs_changed[:5]) + (", ..." if len(effort.inputs_changed) > 5 else "")
        LOG.info("extract: %d pictures changed since the last run: %s", len(effort.inputs_changed), named)
