"""Files that are there as a whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

UNFINISHED = ".part."
"""What the name of a file begins with while it is written; left behind only where the process was killed."""

Writer = Callable[[Path], object]


def write_whole(folder: Path, writers: Mapping[str, Writer]) -> None:
    """Write files beside their places; they take these, in order, when all are on the disk.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    writers : mapping of str to callable
        Name of a file in the folder to what writes it, given the path to write to.

    Raises
    ------
    OSError
        If the disk is full or the folder may not be written; no file changes then.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_whole(folder, {"a.txt": lambda path: path.write_text("whole")})
    >>> [path.name for path in folder.iterdir()]
    ['a.txt']
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = {name: folder / f"{UNFINISHED}{name}" for name in writers}
    try:
        for name, write in writers.items():
            write(parts[name])
            with parts[name].open("rb") as file:
                os.fsync(file.fileno())
        for name, part in parts.items():
            os.replace(part, folder / name)
    except OSError as error:
        error.filename = error.filename or str(folder)  # a full disk does not say which
        raise
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
