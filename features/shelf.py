"""Shelves: a folder holds parts, a part is one file, and its name is the file's name."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import UnknownPartError
from .settings import nearest


class Shelf:
    """The parts in one package, found by file name and imported only when taken.

    Parameters
    ----------
    package : str
        Import name of the shelf's package, usually ``__name__`` of its ``__init__``.
    kind : str
        What a part is, for messages: ``"feature family"``.

    Examples
    --------
    >>> shelf = Shelf("cemrad.features.families", "family")
    >>> shelf.names()
    ['deep', 'radiomics']
    >>> shelf.take("radiomic")
    Traceback (most recent call last):
        ...
    cemrad.features.errors.UnknownPartError: no family 'radiomic'; did you mean 'radiomics'? There are: deep, radiomics
    """

    def __init__(self, package: str, kind: str) -> None:
        self.package = package
        self.kind = kind

    def names(self) -> list[str]:
        """Names of the parts, sorted; nothing is imported."""
        return sorted(path.stem for path in self._folder().glob("*.py") if not path.stem.startswith("_"))

    def take(self, name: str) -> Any:
        """Import the part called `name` and return its module.

        Raises
        ------
        UnknownPartError
            If there is none; the message lists what there is.
        """
        names = self.names()
        if name not in names:
            guess = nearest(name, names)
            advice = f"did you mean {guess!r}? " if guess else ""
            raise UnknownPartError(f"no {self.kind} {name!r}; {advice}There are: {', '.join(names) or 'none yet'}")
        module: ModuleType = importlib.import_module(f"{self.package}.{name}")
        return module

    def describe(self, name: str) -> str:
        """First line of the part's docstring, read without importing it."""
        source = (self._folder() / f"{name}.py").read_text(encoding="utf-8")
        text = ast.get_docstring(ast.parse(source)) or ""
        return text.split("\n", 1)[0]

    def _folder(self) -> Path:
        spec = importlib.util.find_spec(self.package)
        if spec is None or spec.origin is None:
            raise UnknownPartError(f"no shelf {self.package!r}")
        return Path(spec.origin).parent
