"""Grey level co-occurrence (IBSI 3.6, LFYI): how often levels lie side by side, averaged over directions.

Definitions: IBSI reference manual 3.6 and pyradiomics ``glcm``; MCC: Haralick et al. 1973, doi
10.1109/TSMC.1973.4309314. Entropies add the spacing of 1 to a probability before its logarithm, as pyradiomics does.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

FEATURES = {
    "Autocorrelation": "QWB0",
    "ClusterProminence": "AE86",
    "ClusterShade": "7NFM",
    "ClusterTendency": "DG8W",
    "Contrast": "ACUI",
    "Correlation": "NI2N",
    "DifferenceAverage": "TF7R",
    "DifferenceEntropy": "NTRS",
    "DifferenceVariance": "D3YU",
    "Id": "IB1Z",
    "Idm": "WF0Z",
    "Idmn": "1QCO",
    "Idn": "NDRX",
    "Imc1": "R8DG",
    "Imc2": "JN9H",
    "InverseVariance": "E8JP",
    "JointAverage": "60VM",
    "JointEnergy": "8ZQL",
    "JointEntropy": "TU9B",
    "MCC": "",
    "MaximumProbability": "GYBY",
    "SumAverage": "ZGXS",
    "SumEntropy": "P6QZ",
    "SumSquares": "UR99",
}
"""Feature to IBSI code, in pyradiomics' order."""

_MCC = list(FEATURES).index("MCC")
_EPS = float(np.spacing(1.0))
_EPS_IN_BITS = _EPS / float(np.log(2.0))
# Eigenvalues closer than this many times the perturbation cannot be told apart by refining one of them.
_SAFE_GAP = 100.0
_NOTHING = 1e-13


def measure(pairs: F64, *, symmetrical: bool, weights: F64 | None, n_present: int | None) -> F64:
    """The features in the order of :data:`FEATURES`.

    Parameters
    ----------
    pairs : ndarray, shape (directions, levels, levels)
        How often level i + 1 is followed by level j + 1.
    symmetrical : bool
        Count each pair in both orders.
    weights : ndarray, shape (directions,), optional
        Add the directions up with these weights, instead of averaging features over them.
    n_present : int, optional
        Levels that the region has; without it there is no MCC (nan), which costs as much as the others together.

    Returns
    -------
    ndarray of float64, nan where no pixel has a neighbour.
    """
    if symmetrical:
        pairs = pairs + pairs.transpose(0, 2, 1)
    if weights is not None:
        pairs = np.tensordot(weights, pairs, axes=1)[None]
    sums = pairs.sum(axis=(1, 2))
    there = np.flatnonzero(sums)
    if there.size == 0:
        return np.full(len(FEATURES), np.nan)
    p = pairs[there] / sums[there, None, None]
    found = _features(p)
    if n_present is not None:
        found[:, _MCC] = correlation_coefficients(p, n_present)
    mean: F64 = _mean(found)
    return mean


@numba.njit(cache=True, error_model="numpy")
def _mean(found):  # type: ignore[no-untyped-def]
    """Mean of each column over the rows that have a value; nan where none has."""
    mean = np.full(found.shape[1], np.nan)
    for j in range(found.shape[1]):
        n, total = 0, 0.0
        for i in range(found.shape[0]):
            if not np.isnan(found[i, j]):
                n += 1
                total += found[i, j]
        if n > 0:
            mean[j] = total / n
    return mean


@numba.njit(cache=True, error_model="numpy")
def _features(p_all):  # type: ignore[no-untyped-def]  # noqa: C901
    n_directions, n, _ = p_all.shape
    out = np.full((n_directions, 24), np.nan)
    px, py, log_x, log_y = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    plus, minus = np.empty(2 * n + 1), np.empty(n)
    for a in range(n_directions):
        p = p_all[a]
        px[:] = 0.0
        py[:] = 0.0
        plus[:] = 0.0
        minus[:] = 0.0
        energy = entropy = largest = auto = 0.0
        for i in range(n):
            for j in range(n):
                v = p[i, j]
                if v == 0.0:
                    continue
                px[i] += v
                py[j] += v
                plus[i + j + 2] += v
                minus[abs(i - j)] += v
                energy += v * v
                entropy -= v * np.log2(v + _EPS)
                largest = max(largest, v)
                auto += v * ((i + 1) * (j + 1))
        ux = uy = 0.0
        for i in range(n):
            ux += px[i] * (i + 1)
            uy += py[i] * (i + 1)
        vx = vy = 0.0
        for i in range(n):
            vx += px[i] * (i + 1 - ux) ** 2
            vy += py[i] * (i + 1 - uy) ** 2
        tendency = shade = prominence = covariance = 0.0
        hxy1 = hxy2 = 0.0
        for i in range(n):
            log_x[i], log_y[i] = np.log2(px[i]), np.log2(py[i])
        for i in range(n):
            if px[i] == 0.0:
                continue
            for j in range(n):
                m = px[i] * py[j]
                if m == 0.0:
                    continue
                # log2(m + eps): what is left out is below (eps / m)^2, which m makes nothing of.
                log = log_x[i] + log_y[j] + _EPS_IN_BITS / m
                hxy2 -= m * log
                v = p[i, j]
                if v == 0.0:
                    continue
                hxy1 -= v * log
                s = (i + 1) + (j + 1) - ux - uy
                tendency += v * s**2
                shade += v * s**3
                prominence += v * s**4
                covariance += v * (i + 1 - ux) * (j + 1 - uy)
        hx = hy = 0.0
        for i in range(n):
            hx -= px[i] * np.log2(px[i] + _EPS)
            hy -= py[i] * np.log2(py[i] + _EPS)
        contrast = difference = identity = idm = idmn = idn = inverse = difference_entropy = 0.0
        for k in range(n):
            v = minus[k]
            contrast += v * k * k
            difference += v * k
            identity += v / (1 + k)
            idm += v / (1 + k * k)
            idmn += v / (1 + (k * k) / (n * n))
            idn += v / (1 + k / n)
            if k > 0:
                inverse += v / (k * k)
            difference_entropy -= v * np.log2(v + _EPS)
        difference_variance = 0.0
        for k in range(n):
            difference_variance += minus[k] * (k - difference) ** 2
        total = sum_entropy = 0.0
        for k in range(2, 2 * n + 1):
            total += plus[k] * k
            sum_entropy -= plus[k] * np.log2(plus[k] + _EPS)
        spread = np.sqrt(vx) * np.sqrt(vy)
        most = max(hx, hy)
        o = out[a]
        o[0], o[1], o[2], o[3], o[4] = auto, prominence, shade, tendency, contrast
        o[5] = covariance / (spread + _EPS) if spread != 0.0 else 1.0
        o[6], o[7], o[8] = difference, difference_entropy, difference_variance
        o[9], o[10], o[11], o[12] = identity, idm, idmn, idn
        o[13] = (entropy - hxy1) / most if most != 0.0 else 0.0
        o[14] = np.sqrt(1 - np.exp(-2 * (hxy2 - entropy))) if hxy2 != entropy else 0.0
        o[15], o[16], o[17], o[18] = inverse, ux, energy, entropy
        o[20], o[21], o[22], o[23] = largest, total, sum_entropy, vx
    return out


def correlation_coefficients(p: F64, n_present: int) -> F64:
    """Maximal correlation coefficient of each direction: root of the second eigenvalue of Q.

    ``Q(i, j) = sum_k p(i, k) p(j, k) / (px(i) py(k) + eps)``

    Without eps, Q is similar to the square of a symmetric matrix, whose eigenvalues are cheap; eps, which counts where
    levels are rare, is then put right by inverse iteration on Q. Where that could take one eigenvalue for another, all
    are computed.

    Parameters
    ----------
    p : ndarray, shape (directions, levels, levels)
        Probabilities.
    n_present : int
        Levels that the region has; 1 for a flat one.
    """
    if n_present < 2:
        return np.ones(len(p))
    there = np.flatnonzero(p.sum(axis=(0, 1)) + p.sum(axis=(0, 2)))
    if there.size < p.shape[1]:
        p = np.ascontiguousarray(p[:, there][:, :, there])
    if there.size < 2:  # other levels have no neighbours at all
        return np.zeros(len(p))
    if not np.array_equal(p, p.transpose(0, 2, 1)):
        return np.array([_any_second(one) for one in p])
    px = p.sum(axis=2)
    root = np.sqrt(np.where(px > 0, px, 1.0))
    squares = np.sort(np.linalg.eigvalsh(p / (root[:, :, None] * root[:, None, :])) ** 2, axis=1)
    out: F64 = _put_right(p, px, squares)
    for a in np.flatnonzero(np.isnan(out)):
        out[a] = _any_second(p[a])
    return out


@numba.njit(cache=True, error_model="numpy")
def _put_right(p, px, squares):  # type: ignore[no-untyped-def]
    """Root of the second largest of each direction's eigenvalues, with eps counted; nan where that is not safe."""
    out = np.full(len(p), np.nan)
    for a in range(len(p)):
        largest, second = squares[a, -1], squares[a, -2]
        shift = _EPS / _rarest(p[a], px[a])
        gap = largest - second if squares.shape[1] == 2 else min(largest - second, second - squares[a, -3])
        if shift < _NOTHING:
            out[a] = np.sqrt(second)
        elif min(gap, second) > _SAFE_GAP * shift:
            out[a] = np.sqrt(_refined(_q(p[a], px[a], px[a]), second))
    return out


def _any_second(p: F64) -> float:
    values = np.linalg.eigvals(_q(np.ascontiguousarray(p), p.sum(axis=1), p.sum(axis=0)))
    values.sort()
    second = complex(values[-2])
    return float(np.sqrt(second).real) if second.imag or second.real >= 0 else float("nan")


@numba.njit(cache=True, error_model="numpy")
def _rarest(p, px):  # type: ignore[no-untyped-def]
    """Smallest product of two levels' shares, of those that meet."""
    least = 1.0
    for i in range(px.size):
        for j in range(px.size):
            if p[i, j] > 0.0:
                least = min(least, px[i] * px[j])
    return least


@numba.njit(cache=True, error_model="numpy")
def _q(p, px, py):  # type: ignore[no-untyped-def]
    n = px.size
    q = np.zeros((n, n))
    scaled = np.empty((n, n))
    for i in range(n):
        for k in range(n):
            scaled[i, k] = p[i, k] / (px[i] * py[k] + _EPS)
    transposed = p.T.copy()
    for i in range(n):
        row = q[i]
        for k in range(n):
            s = scaled[i, k]
            if s != 0.0:
                column = transposed[k]
                for j in range(n):
                    row[j] += s * column[j]
    return q


@numba.njit(cache=True, error_model="numpy")
def _refined(q, value):  # type: ignore[no-untyped-def]  # noqa: C901
    """The eigenvalue of q next to `value`, by inverse iteration from both sides and their Rayleigh quotient."""
    n = q.shape[0]
    lu = q.copy()
    for i in range(n):
        lu[i, i] -= value * (1 + 1e-9)
    order = np.arange(n)
    for k in range(n):
        best = k
        for i in range(k + 1, n):
            if abs(lu[i, k]) > abs(lu[best, k]):
                best = i
        if best != k:
            order[k], order[best] = order[best], order[k]
            for j in range(n):
                lu[k, j], lu[best, j] = lu[best, j], lu[k, j]
        if lu[k, k] == 0.0:
            lu[k, k] = 1e-300
        for i in range(k + 1, n):
            factor = lu[i, k] / lu[k, k]
            lu[i, k] = factor
            if factor != 0.0:
                for j in range(k + 1, n):
                    lu[i, j] -= factor * lu[k, j]
    right, left = np.ones(n), np.ones(n)
    for i in range(n):
        right[i] += 0.37 * ((i * 7) % 5)
        left[i] += 0.41 * ((i * 3) % 7)
    for _ in range(4):
        right = _solved(lu, order, right)
        left = _solved_transposed(lu, order, left)
    product = q @ right
    return np.dot(left, product) / np.dot(left, right)


@numba.njit(cache=True, error_model="numpy")
def _solved(lu, order, b):  # type: ignore[no-untyped-def]
    n = b.size
    x = b[order]
    for i in range(n):
        for j in range(i):
            x[i] -= lu[i, j] * x[j]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            x[i] -= lu[i, j] * x[j]
        x[i] /= lu[i, i]
    return x / np.abs(x).max()


@numba.njit(cache=True, error_model="numpy")
def _solved_transposed(lu, order, b):  # type: ignore[no-untyped-def]
    n = b.size
    y = b.copy()
    for i in range(n):
        for j in range(i):
            y[i] -= lu[j, i] * y[j]
        y[i] /= lu[i, i]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            y[i] -= lu[j, i] * y[j]
    x = np.empty(n)
    for i in range(n):
        x[order[i]] = y[i]
    return x / np.abs(x).max()
