"""The store: results by what they were computed from, so that nothing is computed twice and nothing stale is used.

A result's key is a hash over everything that its numbers depend on: the pictures' and masks' content, the settings,
the versions of the engine and the libraries, the weights. File names, row order and the rest of a manifest are not
in it. Only complete results are kept: what failed is tried again in the next run.

Many processes may write into one store at once. A result is written beside its place and then renamed, so it is there
as a whole or not at all, and it carries its own checksum: what a power cut left behind counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..features.case import Case
from ..features.failure import Failure
from ..features.family import Unit
from ..features.fingerprint import Fingerprint

FORMAT = 2
_PROBE_BYTES = 64 * 1024


@dataclass(frozen=True, eq=False)
class Entry:
    """What a family found in one unit.

    Parameters
    ----------
    values : ndarray of float64, shape (features,)
        In the order of the family's features; all finite in a store.
    warnings : tuple of Failure
        What should be looked at, without the case's id: a store does not know cases.
    prints : mapping of str to Fingerprint
        Of the pictures that were measured, by name, where there is one.
    """

    values: NDArray[np.float64]
    warnings: tuple[Failure, ...] = ()
    prints: Mapping[str, Fingerprint] = field(default_factory=dict)


class Store:
    """Entries by key, in a folder.

    Parameters
    ----------
    folder : Path
        Made when the first entry comes.

    Examples
    --------
    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()) / "store")
    >>> store.put("ab12", Entry(np.array([1.5, 2.0])))
    >>> store.get("ab12").values.tolist(), store.get("cd34")
    ([1.5, 2.0], None)
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Entry | None:
        """The entry of a key; None where there is none, or where it is damaged."""
        try:
            head, _, body = self._path(key).read_bytes().partition(b"\n")
            record = json.loads(head)
            if record["sha256"] != _digest([record["warnings"], record["prints"]], body) or record["key"] != key:
                return None
            warnings = tuple(Failure(**warning) for warning in record["warnings"])
            prints = {name: Fingerprint(*found) for name, found in record["prints"].items()}
            return Entry(np.frombuffer(body, dtype="<f8").astype(np.float64), warnings, prints)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, key: str, entry: Entry) -> None:
        """Keep an entry.

        Raises
        ------
        OSError
            If the disk is full or the folder may not be written; nothing half-written stays.
        """
        body = entry.values.astype("<f8").tobytes()
        warnings = [asdict(warning) for warning in entry.warnings]
        about = {"warnings": warnings, "prints": {name: list(found) for name, found in entry.prints.items()}}
        head = json.dumps({"key": key, "sha256": _digest(list(about.values()), body)} | about)
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{key[2:10]}-{os.getpid()}-{secrets.token_hex(4)}")
        with self._tidied(unfinished):
            unfinished.write_bytes(head.encode() + b"\n" + body)
            os.replace(unfinished, path)

    def require_writable(self) -> None:
        """Find out now, and not after the first result, whether entries can be kept.

        Raises
        ------
        OSError
            As :meth:`put`.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        probe = self.folder / f".{os.getpid()}-{secrets.token_hex(4)}"
        with self._tidied(probe):
            probe.write_bytes(bytes(_PROBE_BYTES))

    @contextmanager
    def _tidied(self, unfinished: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            error.filename = error.filename or str(self.folder)  # a full disk does not say which
            raise
        finally:
            unfinished.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key[2:]


def _digest(about: Any, body: bytes) -> str:
    return hashlib.sha256(json.dumps(about).encode() + b"\n" + body).hexdigest()


def contents(case: Case) -> dict[str, tuple[str, str] | None]:
    """Content of image and mask of each picture by its name; None where there is none to speak of."""
    found: dict[str, tuple[str, str] | None] = {}
    for key, picture in case.pictures.items():
        try:
            found[key.name] = (picture.image.content(), picture.mask.content())  # type: ignore[attr-defined, union-attr]
        except Exception:  # noqa: BLE001 - whoever reads it will say what is wrong with it
            found[key.name] = None
    return found


def unit_key(family: str, identity: Mapping[str, Any], unit: Unit, content: Sequence[tuple[str, str]]) -> str:
    """Key of what a family finds in one unit.

    Parameters
    ----------
    family : str
    identity : mapping
        As :meth:`~cemrad.features.family.FeatureFamily.identity` gives it, with the rules for masks.
    unit : Unit
    content : sequence of (str, str)
        Content of image and mask of each of the unit's pictures.
    """
    named = [[key.name, *of_picture] for key, of_picture in zip(unit.keys, content, strict=True)]
    parts = {"format": FORMAT, "family": family, "identity": identity, "unit": unit.picture, "pictures": named}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
