"""Reading again: what a picture is not to blame for, such as network storage that stalls or memory that is out."""

from __future__ import annotations

import errno
import re
import time

from .case import Picture
from .errors import CaseError, ImageError
from .image import Image
from .mask import Mask, MaskRules

PAUSES_S = (0.1, 0.5, 2.0)
"""How long to wait before each further try."""

_PASSING = {
    errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.EAGAIN, errno.ECONNRESET, errno.ENOTCONN, errno.EHOSTDOWN,
}  # fmt: skip
"""What a file system says that may be well a moment later."""
_NO_MEMORY = re.compile(r"(can't|cannot|failed to|unable to) allocate|out of memory|bad_alloc", re.IGNORECASE)


def read_again(picture: Picture, rules: MaskRules) -> tuple[Image, Mask]:
    """A picture with its mask, tried a few times where the storage stalls.

    Raises
    ------
    CaseError
        As the picture's own ``read`` does, or ``file.unreadable`` where the storage did not come back.
    MemoryError
        Where memory, and not the picture, was at fault.
    """
    for pause_s in (*PAUSES_S, None):
        try:
            return picture.read(rules)
        except (CaseError, OSError) as error:
            if is_out_of_memory(error):
                raise MemoryError(str(error)) from None
            stall = _stall(error)
            if stall is None:
                raise
            if pause_s is None:
                kind = type(error) if isinstance(error, CaseError) else ImageError
                reason = f"{stall.strerror}, in {len(PAUSES_S) + 1} tries; look at the storage that the file lies on"
                raise kind("file.unreadable", reason) from None
            time.sleep(pause_s)
    raise AssertionError("the last try returns or raises")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception, or one that it took the place of, tells of memory; decoders have their own words for it.

    Examples
    --------
    >>> is_out_of_memory(RuntimeError("Failed to allocate memory for image.")), is_out_of_memory(ValueError("no"))
    (True, False)
    """
    return any(isinstance(one, MemoryError) or bool(_NO_MEMORY.search(str(one))) for one in _chain(error))


def _stall(error: BaseException) -> OSError | None:
    return next((one for one in _chain(error) if isinstance(one, OSError) and one.errno in _PASSING), None)


def _chain(error: BaseException) -> list[BaseException]:
    """An exception and those that it took the place of."""
    found = [error]
    while (before := found[-1].__cause__ or found[-1].__context__) is not None and before not in found:
        found.append(before)
    return found
