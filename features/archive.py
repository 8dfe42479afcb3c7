"""Archives: what a ZIP or gzip file may unpack to, judged before it fills the memory."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from collections import Counter

from .errors import ArchiveError

MAX_RATIO = 100
"""Most that content may be larger than what is stored of it."""
FREE_BYTES = 16 * 2**20
"""Content up to this size is no bomb, however well it was packed."""
_CHUNK = 2**20


def require_safe_members(archive: zipfile.ZipFile, *, max_bytes: int, max_members: int = 10_000) -> None:
    """Refuse a ZIP archive by its directory, before any member is read.

    Python's reader gives no more of a member than the directory states, so a directory that lies is an error
    of its checksum and no larger a read.

    Parameters
    ----------
    archive : ZipFile
        Open for reading.
    max_bytes : int
        Most that all members together may unpack to.
    max_members : int

    Raises
    ------
    ArchiveError
        For a member that names a place outside (``..``, an absolute path, a drive), a name that occurs twice,
        too many members, or content that is too large, alone or against its stored size.
    """
    infos = archive.infolist()
    if len(infos) > max_members:
        raise ArchiveError(f"{len(infos)} members; at most {max_members} are read")
    for name, n in Counter(info.filename for info in infos).items():
        parts = re.split(r"[/\\]", name)
        if ".." in parts or parts[0] == "" or ":" in parts[0]:
            raise ArchiveError(f"a member leads out of the archive ({name[:100]!r}); do not open it, get the file anew")
        if n > 1:
            raise ArchiveError(f"two members of one name ({name[:100]!r}); get the file anew")
    total = sum(info.file_size for info in infos)
    if total > max_bytes:
        raise ArchiveError(f"unpacks to {total} bytes; at most {max_bytes} are read")
    assert archive.fp is not None
    _require_ratio(total, archive.fp.seek(0, io.SEEK_END))  # members may share their bytes, so not the sum of these
    for info in infos:
        _require_ratio(info.file_size, info.compress_size)


def unpack_gzip(packed: bytes, *, max_bytes: int) -> bytes:
    """Content of a gzip file.

    Raises
    ------
    ArchiveError
        If it is larger than allowed, alone or against its stored size.
    OSError, EOFError, zlib.error
        If it is damaged or cut off.

    Examples
    --------
    >>> unpack_gzip(gzip.compress(b"a,b"), max_bytes=10)
    b'a,b'
    >>> unpack_gzip(gzip.compress(bytes(2**25)), max_bytes=2**30)
    Traceback (most recent call last):
        ...
    cemrad.features.errors.ArchiveError: unpacks to over 100 times its size; get the file anew, or unpack it yourself
    """
    found = bytearray()
    with gzip.open(io.BytesIO(packed)) as stream:
        while chunk := stream.read(_CHUNK):
            found += chunk
            if len(found) > max_bytes:
                raise ArchiveError(f"unpacks to over {max_bytes} bytes, more than are read")
            _require_ratio(len(found), len(packed))
    return bytes(found)


def _require_ratio(content: int, stored: int) -> None:
    if content > FREE_BYTES and content > MAX_RATIO * stored:
        raise ArchiveError(f"unpacks to over {MAX_RATIO} times its size; get the file anew, or unpack it yourself")
