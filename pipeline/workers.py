"""Worker processes that may die: their tasks are tried again alone, and the others go on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Generic, TypeVar

from loky.process_executor import BrokenProcessPool, ProcessPoolExecutor

T = TypeVar("T")
R = TypeVar("R")

# One thread each: with as many workers as cores, more threads only get in each other's way.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
}


class Workers(Generic[T, R]):
    """Runs tasks in processes.

    Parameters
    ----------
    work : callable
        Task to result; importable by the workers. What it raises is raised here.
    n_workers : int
        Processes, and tasks on their way at a time: when a process dies, only these are in doubt.
    prepare : callable
        Called once in each new process, to load what tasks share.
    split : callable
        A task as tasks of one case each.
    lost : callable
        The result of a task of one case whose process died when it ran alone.
    """

    def __init__(
        self,
        work: Callable[[T], R],
        n_workers: int,
        *,
        prepare: Callable[[], object],
        split: Callable[[T], Sequence[T]],
        lost: Callable[[T], R],
    ) -> None:
        self.work = work
        self.n_workers = n_workers
        self.prepare = prepare
        self.split = split
        self.lost = lost

    def run(self, tasks: Sequence[T], here: Sequence[T] = ()) -> Iterator[tuple[T, R]]:
        """Tasks with their results as they finish.

        Parameters
        ----------
        tasks : sequence
            For the workers.
        here : sequence
            For this process, in between: they use a device that is not shared.
        """
        queue, own = deque(tasks), deque(here)
        running: dict[Future[R], T] = {}
        pool = self._pool(self.n_workers) if queue else None
        try:
            while queue or running or own:
                broken = pool is not None and not self._feed(pool, queue, running)
                if own:
                    task = own.popleft()
                    yield task, self.work(task)
                done, _ = wait(running, timeout=0 if own else None, return_when=FIRST_COMPLETED)
                if broken or any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                    _kill(pool)
                    yield from self._alone(list(running.values()))
                    running.clear()
                    pool = self._pool(self.n_workers)
                    continue
                for future in done:
                    yield running.pop(future), future.result()
        finally:
            _kill(pool)

    def _feed(self, pool: Any, queue: deque[T], running: dict[Future[R], T]) -> bool:
        """Keep every worker busy; False where the pool takes no work because a worker died."""
        while queue and len(running) < self.n_workers:
            try:
                future = pool.submit(self.work, queue[0])
            except BrokenProcessPool:
                return False
            running[future] = queue.popleft()
        return True

    def _alone(self, suspects: Sequence[T]) -> Iterator[tuple[T, R]]:
        pool = self._pool(1)
        try:
            for task in (single for suspect in suspects for single in self.split(suspect)):
                try:
                    result = pool.submit(self.work, task).result()
                except BrokenProcessPool:
                    _kill(pool)
                    pool = self._pool(1)
                    result = self.lost(task)
                yield task, result
        finally:
            _kill(pool)

    def _pool(self, n_workers: int) -> Any:
        return ProcessPoolExecutor(n_workers, initializer=self.prepare, env=ONE_THREAD)


def _kill(pool: Any) -> None:
    if pool is not None:
        pool.shutdown(wait=True, kill_workers=True)
