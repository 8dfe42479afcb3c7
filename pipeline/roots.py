"""Roots: the folders that a table's paths may lead into, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..features.errors import CaseError


@dataclass(frozen=True)
class Roots:
    """Folders that hold a cohort's files.

    Parameters
    ----------
    base : Path
        Folder of the table; relative paths start here.
    named : Path, optional
        One more folder that the user named; relative paths that lead nowhere from `base` start here.
    """

    base: Path
    named: Path | None = None

    def file(self, text: str) -> Path:
        """The existing file that a cell names; links are followed to judge its place, and its own name is kept.

        Raises
        ------
        CaseError
            ``path.missing`` for an empty cell, ``path.invalid``, ``path.outside_root``,
            ``file.unreadable``, ``file.missing`` or ``file.not_file``.
        """
        plain = text.strip().replace("\\", "/")
        if not plain:
            raise CaseError("path.missing", "the cell is empty; name the file")
        if "\0" in plain or len(plain) > 4096:
            raise CaseError("path.invalid", "not a path")
        try:
            return self._judged(plain)
        except PermissionError:
            raise CaseError("file.unreadable", f"{plain}: no permission to look at it") from None
        except (OSError, RuntimeError):  # a loop of links, a name longer than a file's may be
            raise CaseError("path.invalid", f"{plain[:200]}: cannot be followed") from None

    def _judged(self, plain: str) -> Path:
        allowed = [folder.resolve() for folder in (self.base, self.named) if folder is not None]
        found = [folder / plain for folder in allowed]
        path = next((path for path in found if path.exists()), found[0])
        real = path.resolve()
        home = plain.startswith("~") and not real.exists()  # a shell's word for a folder elsewhere, never followed
        if home or not any(real.is_relative_to(folder) for folder in allowed):
            raise CaseError(
                "path.outside_root",
                f"{plain}: leads out of the table's folder; move it there or name its folder as root",
            )
        if not real.exists():
            raise CaseError("file.missing", f"{plain}: no such file")
        if not real.is_file():
            raise CaseError("file.not_file", f"{plain}: a folder or device, not a file")
        return path.parent.resolve() / path.name
