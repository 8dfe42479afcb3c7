"""The file of a bundle: an archive with bounds, a manifest and its seal; nothing in it is run or unpacked to disk."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..features.archive import require_safe_members
from ..features.errors import ArchiveError, BundleError
from ..features.whole import write_whole

MANIFEST, SEAL, CARD = "manifest.json", "manifest.sha256", "model_card.md"
MAX_MEMBERS, MAX_MEMBER_BYTES, MAX_TOTAL_BYTES = 100, 256 * 2**20, 1024 * 2**20


def write_bundle(path: Path, manifest: Mapping[str, Any], parts: Mapping[str, bytes]) -> None:
    """Write an archive; the same content gives the same bytes.

    Parameters
    ----------
    path : Path
    manifest : mapping
        JSON values; its hash is the seal.
    parts : mapping of str to bytes
        Further members, whose hashes the manifest holds.
    """
    text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False).encode()
    members = {MANIFEST: text, SEAL: sha256(text).encode(), **parts}
    write_whole(path.parent, {path.name: lambda unfinished: _write_members(unfinished, members)})


def read_bundle(path: Path) -> tuple[Any, dict[str, bytes]]:
    """Manifest and members of an archive.

    Raises
    ------
    BundleError
        If it is not such an archive, is damaged or too large, or its manifest was altered.
    """
    members = _read_members(path)
    text = members.get(MANIFEST, b"")
    if sha256(text).encode() != members.get(SEAL):
        raise BundleError(f"{path.name}: {MANIFEST} was altered or is missing; get the bundle again")
    try:
        return json.loads(text), members
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path.name}: {MANIFEST} is not that of a bundle: {error!r}") from None


def sha256(content: bytes) -> str:
    """Hash of a member."""
    return hashlib.sha256(content).hexdigest()


def _read_members(path: Path) -> dict[str, bytes]:
    """Contents of the archive's members, each and all together no larger than allowed."""
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise BundleError(f"{path.name}: not a regular file")
    try:
        with zipfile.ZipFile(path) as archive:
            require_safe_members(archive, max_bytes=MAX_TOTAL_BYTES, max_members=MAX_MEMBERS)
            return dict(_bounded(archive, archive.infolist(), path.name))
    except ArchiveError as error:
        raise BundleError(f"{path.name}: not what a bundle is: {error}") from None
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise BundleError(f"{path.name}: not a bundle, or a damaged one: {error}") from None
    except OSError as error:
        raise BundleError(f"{path.name}: cannot be read: {error.strerror}") from None


def _bounded(archive: zipfile.ZipFile, infos: Sequence[zipfile.ZipInfo], where: str) -> Iterator[tuple[str, bytes]]:
    for info in infos:
        with archive.open(info) as member:
            content = member.read(MAX_MEMBER_BYTES + 1)  # the stated size may lie
        if len(content) > MAX_MEMBER_BYTES:
            raise BundleError(f"{where}: larger than a bundle can be")
        yield info.filename, content


def _write_members(path: Path, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, content)
