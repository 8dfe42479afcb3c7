"""The console: a terminal or a log file that is closed, full or knows no letters but ASCII stops no run."""

from __future__ import annotations

import io
import logging
import os
import sys
from contextlib import suppress
from typing import Any


def open_closed_streams() -> None:
    """Give a process that was started with closed standard streams empty ones.

    Otherwise the next file that is opened would be the standard output of whatever prints.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            os.set_inheritable(number, True)  # for worker processes
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def print_whatever() -> None:
    """Print what the console's encoding does not have as escapes, rather than not at all."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class Log(logging.StreamHandler[Any]):
    """Lines of a log; that they cannot be written is noted, and the run goes on."""

    is_broken = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Note that the log does not take lines; any other fault is told as usual."""
        if isinstance(sys.exc_info()[1], OSError):
            self.is_broken = True
        else:
            super().handleError(record)


def leave_quietly(log: Log) -> None:
    """Say on standard output what could not be said on standard error; an unwritten line is not a failed run."""
    try:
        sys.stderr.flush()
    except OSError:
        log.is_broken = True
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    if log.is_broken:
        with suppress(OSError):
            print("the log could not be written: standard error is full or closed", flush=True)  # noqa: T201
