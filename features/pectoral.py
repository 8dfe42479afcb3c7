"""The pectoral muscle of a mediolateral oblique view: the triangle in the upper corner at the chest wall."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .mask import Mask, bounding_box

_SAMPLES = 64  # points along a line
_STEPS = 40  # lines tried each way
_FIRM = 0.25  # standard deviations of the breast's brightness: a step that counts
_MIN_FIRM = 0.8  # share of the line with such a step
_MIN_SCORE = 0.5  # mean step, none counted as more than one standard deviation, times the share with any


class PectoralLine(NamedTuple):
    """The edge of the muscle, in pixels, chest wall on the left.

    Parameters
    ----------
    top, left : float
        Upper edge and chest-wall edge of the breast.
    length, width : float
        Where the line meets the chest wall, below `top`; where it meets the upper edge, right of `left`.
    """

    top: float
    left: float
    length: float
    width: float

    def side(self, block: int, shape: tuple[int, int]) -> Mask:
        """The muscle's side of the line where each pixel of a picture of `shape` is a block of `block` squared."""
        row, column = ((np.arange(n * block) + 0.5) / block - 0.5 for n in shape)
        edge = self.left + self.width * (1 - (row - self.top) / self.length)
        return column[None, :] < edge[:, None]


def find_pectoral_line(small: NDArray[np.float32], breast: Mask) -> PectoralLine | None:
    """Find the straight line along which brightness falls most evenly, from the muscle to the breast.

    Lines run from the upper edge of the breast to the chest wall. Each is judged by the step in brightness across
    it in the smoothed picture (the line's response in a directed Hough transform).

    Parameters
    ----------
    small : ndarray of float32, shape (rows, columns)
        Brightness with the chest wall on the left and tissue brighter than air; some 512 pixels long.
    breast : ndarray of bool
        The breast in it.

    Returns
    -------
    PectoralLine or None
        None where no line is credible: the muscle is not in the picture, or not to be seen.
    """
    top, bottom, left, right = bounding_box(breast)
    height, width = bottom - top, right - left
    if min(height, width) < 32:
        return None
    sigma = max(1.0, height / 150)
    values = np.where(breast, small, np.median(small[breast])).astype(np.float32)
    smooth = ndimage.gaussian_filter(values, sigma)
    spread = float(smooth[breast].std())
    if spread == 0:
        return None
    across = np.linspace(0.12, 0.80, _STEPS) * width
    down = np.linspace(0.20, 0.95, _STEPS) * height
    x0, y0 = (grid.ravel()[:, None] for grid in np.meshgrid(across, down))
    steep = (y0 / x0 > 1.0) & (y0 / x0 < 6.0)
    x0, y0 = x0[steep[:, 0]], y0[steep[:, 0]]
    along = np.linspace(0.04, 0.92, _SAMPLES)[None, :]
    rows, columns = top + along * y0, left + (1 - along) * x0
    length = np.hypot(x0, y0)
    normal_r, normal_c = x0 / length, y0 / length
    reach = 3 * sigma
    inner = _sample(smooth, rows - reach * normal_r, columns - reach * normal_c)
    outer = _sample(smooth, rows + reach * normal_r, columns + reach * normal_c)
    step = (inner - outer) / spread
    held = (step > 0).mean(axis=1)
    score = np.clip(step, -1.0, 1.0).mean(axis=1) * held
    best = int(score.argmax())
    firm = float((step[best] > _FIRM).mean())
    shortest = y0[best, 0] <= down[0]  # the best line lies at the end of what was tried: a node or a fold
    if score[best] < _MIN_SCORE or firm < _MIN_FIRM or shortest:
        return None
    return PectoralLine(top, left, float(y0[best, 0]), float(x0[best, 0]))


def _sample(
    picture: NDArray[np.float32], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Values at the nearest pixels."""
    r = np.rint(rows).astype(np.intp).clip(0, picture.shape[0] - 1)
    c = np.rint(columns).astype(np.intp).clip(0, picture.shape[1] - 1)
    values: NDArray[np.float32] = picture[r, c]
    return values
