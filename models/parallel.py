"""Work in threads: outcomes in the order of the work, whatever their number, and who wants to know how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
Progress = Callable[[int, int, str], None]
"""Called with what is done, of how much, and what it is."""


def in_threads(
    do: Callable[[Item], Outcome], work: Sequence[Item], jobs: int, progress: Progress | None, what: str
) -> Iterator[Outcome]:
    """Outcomes of `do` in the order of the work; what has not begun when one fails is not begun.

    Examples
    --------
    >>> list(in_threads(abs, [-2, 1], 2, None, "numbers"))
    [2, 1]
    """
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        futures = [pool.submit(do, item) for item in work]
        try:
            for done, future in enumerate(futures, start=1):
                yield future.result()
                if progress is not None:
                    progress(done, len(work), what)
        finally:
            pool.shutdown(cancel_futures=True)
