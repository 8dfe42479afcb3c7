"""A box of pixels: half-open ranges of rows and columns."""

from __future__ import annotations

from typing import NamedTuple


class Box(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` in pixels, half-open.

    Examples
    --------
    >>> Box(2, 5, 0, 4).grown(1, 1, (10, 10))
    Box(top=1, bottom=6, left=0, right=5)
    """

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        """To index an array with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grown(self, rows: int, columns: int, shape: tuple[int, ...]) -> Box:
        """Larger by so many rows and columns on every side, as far as an image of that shape goes."""
        return Box(
            max(self.top - rows, 0),
            min(self.bottom + rows, shape[0]),
            max(self.left - columns, 0),
            min(self.right + columns, shape[1]),
        )

    def within(self, outer: Box) -> Box:
        """The same box in the coordinates of one around it."""
        return Box(self.top - outer.top, self.bottom - outer.top, self.left - outer.left, self.right - outer.left)
