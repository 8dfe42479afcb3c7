"""The device on which a network runs, and the conditions under which it gives the same numbers again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from .errors import StudyError

Device = Literal["auto", "cpu", "cuda"]


def choose_device(wanted: Device) -> torch.device:
    """The device that was asked for; ``auto`` is CUDA where there is one.

    Raises
    ------
    StudyError
        If CUDA was asked for and is not there.

    Examples
    --------
    >>> choose_device("cpu")
    device(type='cpu')
    """
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise StudyError("device: cuda was asked for and there is none; use device: auto or cpu")
    return torch.device("cuda" if there and wanted != "cpu" else "cpu")


@contextmanager
def reproducible() -> Iterator[None]:
    """One CPU thread and fixed algorithms: sums in one order, whatever runs beside."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(n_threads)
