"""Worker processes that may die or hang: a task that they take with them is tried once more, and the others go on."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from typing import Any, NamedTuple

from loky.process_executor import BrokenProcessPool, ProcessPoolExecutor
from pydantic import Field

from ..features.errors import StudyError
from ..features.settings import Settings
from .work import NO_MEMORY, Done, Recipe, Task, lost, prepare, work

# With as many workers as cores, more threads only get in each other's way.
_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
# loky would replace a process that grew by a new one that lacks what _begin_worker does.
_NO_RECYCLING = {"LOKY_MAX_MEMORY_LEAK_SIZE": "1e18"}
_START_S = 600.0
LOST = "the process that worked on this case died, twice; too little memory, or a file that crashes its decoder"
_LATE = "no result after {} s, twice; look at the file and where it lies, or raise limits.wall_s"


class Limits(Settings):
    """What one case may cost before it is given up as failed."""

    wall_s: float = Field(default=120.0, gt=0, description="seconds that a case may take, in each of two tries")
    memory_gib: float | None = Field(default=4.0, gt=0, description="memory of a worker beyond what it starts with")


class Workers:
    """Processes of one worker each, so that what a process dies or hangs on is known.

    Parameters
    ----------
    n_workers : int
        Processes, and tasks on their way at a time.
    recipes : sequence of Recipe
        Families that each process makes once, before its first task.
    limits : Limits
    expected : mapping, optional
        What :func:`~cemrad.pipeline.work.identities` must be in every process, if another machine asked.
    """

    def __init__(
        self, n_workers: int, recipes: Sequence[Recipe], limits: Limits, *, expected: Mapping[str, Any] | None = None
    ) -> None:
        self._slots = [_Slot(tuple(recipes), limits, expected) for _ in range(n_workers)]

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, tasks: Iterator[Task]) -> Iterator[tuple[Task, Done]]:
        """Tasks with their results as they finish; a case that a worker died or hung on has one that says so.

        Raises
        ------
        StudyError
            If a worker cannot even start, or would compute other numbers than expected.
        """
        again: deque[Task] = deque()
        while True:
            for slot in self._slots:
                if slot.task is None and again:
                    slot.begin(again.popleft(), is_last_try=True)
                elif slot.task is None and (task := next(tasks, None)) is not None:
                    slot.begin(task)
            busy = [slot for slot in self._slots if slot.task is not None]
            if not busy:
                return
            first = min(slot.deadline for slot in busy)
            wait([slot.future for slot in busy], max(0.0, first - time.monotonic()), FIRST_COMPLETED)
            for slot in busy:
                if (ended := slot.collect()) is not None:
                    task, result = ended
                    if isinstance(result, Done):
                        yield task, result
                    elif result.is_last_try:
                        yield task, lost(task, result.code, result.reason)
                    else:
                        again += task.split()

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        for slot in self._slots:
            slot.kill()


class _Loss(NamedTuple):
    """Why a worker gave no result."""

    code: str
    reason: str
    is_last_try: bool


class _Slot:
    """One process, what it works on, and until when."""

    def __init__(self, recipes: tuple[Recipe, ...], limits: Limits, expected: Mapping[str, Any] | None) -> None:
        self.recipes = recipes
        self.limits = limits
        self.expected = expected
        self.task: Task | None = None
        self.future: Future[Any] = Future()
        self.deadline = 0.0
        self._pool: Any = None
        self._is_starting = False
        self._is_last_try = False
        self._n_false_starts = 0

    def begin(self, task: Task, *, is_last_try: bool = False) -> None:
        self.task, self._is_last_try = task, is_last_try
        if self._pool is not None:
            self._submit()
            return
        # loky does not import the caller's main module, so a script needs no guard around its calls.
        self._pool = ProcessPoolExecutor(1, env=environment())
        self._is_starting = True
        self.deadline = time.monotonic() + _START_S
        with without_ctrl_c():
            self.future = self._pool.submit(_begin_worker, os.getpid(), self.recipes, self.limits.memory_gib)

    def _submit(self) -> None:
        assert self.task is not None
        self.deadline = time.monotonic() + self.limits.wall_s * len(self.task.cases)
        try:
            self.future = self._pool.submit(work, self.task)
        except BrokenProcessPool as error:  # it died between two tasks
            self.future = Future()
            self.future.set_exception(error)

    def collect(self) -> tuple[Task, Done | _Loss] | None:
        """The task with its result, or with why there is none; None while it is on its way."""
        assert self.task is not None
        if not self.future.done():
            return None if time.monotonic() < self.deadline else self._give_up("case.timeout", self._late())
        try:
            result = self.future.result()
        except BrokenProcessPool:
            return self._give_up("worker.lost", LOST)
        if self._is_starting:
            _require_equal(result, self.expected)
            self._is_starting, self._n_false_starts = False, 0
            self._submit()
            return None
        if any(failure.code == NO_MEMORY for found in result.found for failure in found.failures):
            if not self._is_last_try:  # perhaps what came before took the memory: once more, in a new process
                return self._give_up(NO_MEMORY, "")
            self.kill()
        task, self.task = self.task, None
        return task, result

    def _give_up(self, code: str, reason: str) -> tuple[Task, Done | _Loss] | None:
        assert self.task is not None
        self.kill()
        if self._is_starting:
            self._n_false_starts += 1
            if self._n_false_starts > 1:
                raise StudyError("a worker process died while it was starting, twice; is there enough memory?")
            self.begin(self.task, is_last_try=self._is_last_try)
            return None
        task, self.task = self.task, None
        return task, _Loss(code, reason, self._is_last_try)

    def _late(self) -> str:
        return _LATE.format(f"{self.limits.wall_s:g}")

    def kill(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=True)
            self._pool = None


@contextmanager
def without_ctrl_c() -> Iterator[None]:
    """A process that is started here does not get Ctrl-C, not even while it loads; this one gets it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _require_equal(found: Mapping[str, Any], expected: Mapping[str, Any] | None) -> None:
    if expected is None or found == expected:
        return
    differing = [name for name in expected if found.get(name) != expected[name]]
    what = ", ".join(f"{name} is {found.get(name)} and should be {expected[name]}" for name in differing)
    raise StudyError(f"{socket.gethostname()} would compute other numbers: {what}")


def _begin_worker(parent: int, recipes: tuple[Recipe, ...], memory_gib: float | None) -> dict[str, Any]:
    """Prepare a new process; it ends with its parent, and Ctrl-C is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(parent)
    return prepare(recipes, memory_gib)


def environment() -> dict[str, str]:
    """What loky is to set in a worker process: one thread in each, unless the user said otherwise."""
    return {name: os.environ.get(name, "1") for name in _THREADS} | _NO_RECYCLING


def end_with_parent(parent: int) -> None:
    """End this process soon after the one that started it, whatever that one died of."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
