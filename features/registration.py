"""Registration of the two pictures of one view: how far the recombined image lies from the low-energy one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shift:
    """Where a picture's pixels lie in the other picture of its view.

    Parameters
    ----------
    rows_px, columns_px : float
        A pixel (row, column) of the low-energy image is (row + rows_px, column + columns_px) of the recombined one.
    method : str
        ``contours``, ``phase_correlation``, ``mutual_information`` or ``stated``.
    quality : float
        0 to 1; what it measures is said by `method`.
    """

    rows_px: float
    columns_px: float
    method: str
    quality: float
