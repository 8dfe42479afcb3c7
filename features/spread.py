"""From a pooled feature back to its picture: shares of cells, and a resampling that loses nothing of their sum.

A pooled feature is the mean of its channel's activation map, so each cell's share of it is known exactly:
``A[h, w] / sum(A)``. Spreading a value over the cells by these shares, and each cell's part over the pixels by kernels
that sum to 1, gives a map whose sum is the value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CANCELS = 0.1
"""Where ``|sum A| < 0.1 sum |A|``, positive and negative cells nearly cancel, and shares are those of ``|A|``."""


def shares(activation: Array) -> Array:
    """Each cell's share of its channel's pooled value; the shares of a channel add up to 1.

    ``A / sum(A)``: never negative after a ReLU. A channel that is zero everywhere is spread evenly. Where positive and
    negative cells of a signed activation nearly cancel (:data:`CANCELS`), the shares are those of ``|A|``.

    Parameters
    ----------
    activation : ndarray, shape (channels, rows, columns)

    Examples
    --------
    >>> shares(np.array([[[0.0, 3.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])).tolist()
    [[[0.0, 0.75], [0.25, 0.0]], [[0.25, 0.25], [0.25, 0.25]]]
    """
    total, absolute = activation.sum(axis=(1, 2)), np.abs(activation).sum(axis=(1, 2))
    cancels = np.abs(total) < CANCELS * absolute
    part = np.where(cancels[:, None, None], np.abs(activation), activation)
    whole = np.where(cancels, absolute, total)
    silent = whole == 0
    part[silent], whole[silent] = 1.0, activation[0].size
    found: Array = part / whole[:, None, None]
    return found


def spread(activation: Array, values: Array) -> Array:
    """Values of pooled features, such as SHAP values, spread over the cells of their channels.

    Parameters
    ----------
    activation : ndarray, shape (channels, rows, columns)
    values : ndarray, shape (channels,)
        Signed.

    Returns
    -------
    ndarray, shape (rows, columns)
        Sums to the sum of `values`.

    Examples
    --------
    >>> spread(np.array([[[0.0, 3.0], [1.0, 0.0]]]), np.array([-0.4])).round(2).tolist()
    [[0.0, -0.3], [-0.1, 0.0]]
    """
    found: Array = np.tensordot(values, shares(activation), axes=1)
    return found


def kernels(n_cells: int, n_px: int) -> Array:
    """What each cell of a line gives to each pixel: bilinear hats, each of which sums to 1.

    Cells and pixels divide the same length. Beyond the outer cells' centres the outer value goes on. With fewer pixels
    than cells the hats are as wide as a pixel, so that every cell gives.

    Returns
    -------
    ndarray, shape (n_px, n_cells)

    Examples
    --------
    >>> kernels(2, 4).round(3).tolist()
    [[0.5, 0.0], [0.375, 0.125], [0.125, 0.375], [0.0, 0.5]]
    """
    places = ((np.arange(n_px) + 0.5) * n_cells / n_px - 0.5).clip(0, n_cells - 1)
    hats = (1 - np.abs(places[:, None] - np.arange(n_cells)) / max(1.0, n_cells / n_px)).clip(0)
    found: Array = hats / hats.sum(axis=0)
    return found


def upsample(cells: Array, side_px: int) -> Array:
    """A map of cells as pixels of the square that they cover; the signed sum stays what it is.

    Parameters
    ----------
    cells : ndarray, shape (rows, columns)
    side_px : int
        Rows, and columns, of the square.

    Examples
    --------
    >>> upsample(np.array([[1.0, -3.0]]), 8).sum().round(12)
    np.float64(-2.0)
    """
    rows, columns = cells.shape
    return kernels(rows, side_px) @ cells @ kernels(columns, side_px).T


def grad_cam(activation: Array, weights: Array) -> Array:
    """Grad-CAM of a linear head on pooled features: ReLU of the channels, each times its mean gradient.

    The gradient of ``sum_c weights[c] mean(A[c])`` in a cell is ``weights[c] / n_cells`` everywhere, so nothing needs
    to be differentiated. Selvaraju et al., ICCV 2017, doi 10.1109/ICCV.2017.74.

    Parameters
    ----------
    activation : ndarray, shape (channels, rows, columns)
    weights : ndarray, shape (channels,)

    Examples
    --------
    >>> grad_cam(np.array([[[2.0, 0.0]], [[0.0, 4.0]]]), np.array([1.0, -1.0])).tolist()
    [[1.0, 0.0]]
    """
    found: Array = np.tensordot(weights / activation[0].size, activation, axes=1).clip(0)
    return found
