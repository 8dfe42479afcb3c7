"""Progress: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LOG = logging.getLogger("cemrad")
_SECONDS_BETWEEN_LINES = 10.0


class Report(Protocol):
    """Called as work goes on: how much is done, of how much, and what it is."""

    def __call__(self, done: int, total: int, what: str) -> None:
        """Note that `done` of `total` steps of `what` are done."""
        ...


@contextmanager
def shown_progress() -> Iterator[Report]:
    """A progress report for the length of one stage, on standard error."""
    if not sys.stderr.isatty():
        yield _PlainLines()
        return
    columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, int] = {}

        def report(done: int, total: int, what: str) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]

        yield report


class _PlainLines:
    """A line now and then: a log of a long run stays short."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._last = time.monotonic()

    def __call__(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()
        start = self._started.setdefault(what, now)
        if done < total and now - self._last < _SECONDS_BETWEEN_LINES:
            return
        self._last = now
        LOG.info("%s: %d of %d after %.0f s", what, done, total, now - start)
