"""Progress: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

LOG = logging.getLogger("cemrad")
_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_OF_RATE = 120.0


class Report(Protocol):
    """Called as work goes on: how much is done, of how much, and what it is."""

    def __call__(self, done: int, total: int, what: str) -> None:
        """Note that `done` of `total` steps of `what` are done."""
        ...


@contextmanager
def shown_progress() -> Iterator[Report]:
    """A progress report for the length of one stage, on standard error."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield _PlainLines()
        return
    columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, int] = {}

        def report(done: int, total: int, what: str) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]

        yield report


class _Rate(ProgressColumn):
    """Steps per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.3g} per s" if task.speed else "")


class _PlainLines:
    """A line now and then: a log of a long run stays short."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._recent: dict[str, deque[tuple[float, int]]] = {}
        self._last = time.monotonic()

    def __call__(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()
        start = self._started.setdefault(what, now)
        recent = self._recent.setdefault(what, deque([(now, 0)]))
        recent.append((now, done))
        while recent[0][0] < now - _SECONDS_OF_RATE and len(recent) > 2:
            recent.popleft()
        if done < total and now - self._last < _SECONDS_BETWEEN_LINES:
            return
        self._last = now
        LOG.info("%s: %d of %d after %.0f s%s", what, done, total, now - start, _outlook(recent, total))


def _outlook(recent: deque[tuple[float, int]], total: int) -> str:
    """Rate of late, and the time that the rest takes at it."""
    (before, n_before), (now, done) = recent[0], recent[-1]
    if done >= total or now <= before or done <= n_before:
        return ""
    rate = (done - n_before) / (now - before)
    left = (total - done) / rate
    shown = f"{left:.0f} s" if left < 100 else f"{left / 60:.0f} min" if left < 6000 else f"{left / 3600:.1f} h"
    return f", {rate:.3g} per s, {shown} left"
