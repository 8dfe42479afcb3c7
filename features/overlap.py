"""Overlap: how well a mask that was found agrees with a reference mask, by pixels, along the boundary and by lesion.

Terms and definitions are those of Metrics Reloaded (Maier-Hein 2024, doi 10.1038/s41592-023-02151-z).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .errors import MaskError
from .mask import Mask, bounding_box

FALSE_POSITIVES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives per image at which a sensitivity is stated: Setio 2017, doi 10.1016/j.media.2017.06.015."""
MIN_IOU = 0.1
"""Least intersection over union of a candidate and a lesion that it hits: the rule of the CEM detector that followed
Beuque 2023, doi 10.1148/radiol.221843."""
Floats = NDArray[np.float64]
_EIGHT = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class Overlap:
    """How well two masks of one picture agree.

    Parameters
    ----------
    dice, iou : float
        Sørensen-Dice coefficient and intersection over union (Jaccard); 1 where both masks are empty, 0 where one is.
    hd95_px : float
        95 % Hausdorff distance between the boundaries; NaN, which is not defined, where a mask is empty.
    assd_px : float
        Average symmetric surface distance; NaN where a mask is empty.
    reference_px, found_px, intersection_px : int
        Areas.
    """

    dice: float
    iou: float
    hd95_px: float
    assd_px: float
    reference_px: int
    found_px: int
    intersection_px: int


def compare_masks(reference: Mask, found: Mask) -> Overlap:
    """Compare a mask that was found with the reference mask of the same picture.

    A boundary pixel is one of the mask that has a side in common with a pixel outside of it; beyond the picture's edge
    is outside. From each boundary pixel of one mask the distance to the nearest of the other is taken, both ways.
    ``hd95_px`` is the larger of the two directions' 95th percentiles, linearly interpolated, as in MONAI; medpy takes
    the percentile of both directions together. ``assd_px`` is the mean over both directions together, as in MONAI;
    medpy takes the mean of the two means.

    Parameters
    ----------
    reference, found : ndarray of bool, shape (rows, columns)
        Swapped they give the same, but for the areas.

    Raises
    ------
    MaskError
        ``geometry.size`` where they differ in size.

    Examples
    --------
    >>> reference = np.zeros((8, 8), bool); reference[2:6, 2:6] = True
    >>> found = np.roll(reference, 2, axis=1)
    >>> overlap = compare_masks(reference, found)
    >>> overlap.dice, overlap.hd95_px, overlap.assd_px
    (0.5, 2.0, 1.0)
    """
    if reference.shape != found.shape:
        raise MaskError(
            "geometry.size",
            f"the reference mask is {reference.shape} and the other {found.shape} (rows, columns); "
            "compare masks of one picture",
        )
    n_reference, n_found = int(np.count_nonzero(reference)), int(np.count_nonzero(found))
    if not n_reference or not n_found:
        alike = float(n_reference == n_found)
        return Overlap(alike, alike, np.nan, np.nan, n_reference, n_found, 0)
    both = reference | found
    top, bottom, left, right = bounding_box(both)
    boxed = [mask[top:bottom, left:right] for mask in (reference, found)]
    intersection = int(np.count_nonzero(boxed[0] & boxed[1]))
    there, back = _boundary_distances(*boxed)
    return Overlap(
        dice=2 * intersection / (n_reference + n_found),
        iou=intersection / (n_reference + n_found - intersection),
        hd95_px=float(max(np.percentile(there, 95), np.percentile(back, 95))),
        assd_px=float((there.sum() + back.sum()) / (len(there) + len(back))),
        reference_px=n_reference,
        found_px=n_found,
        intersection_px=intersection,
    )


def boundary(mask: Mask) -> Mask:
    """The pixels of a mask that share a side with what is outside of it."""
    return np.asarray(mask & ~ndimage.binary_erosion(mask))


def _boundary_distances(one: Mask, other: Mask) -> tuple[Floats, Floats]:
    """Distance of each boundary pixel of either mask to the nearest of the other's; both masks hold something."""
    edges = boundary(one), boundary(other)
    to_one, to_other = (ndimage.distance_transform_edt(~edge) for edge in edges)
    return to_other[edges[0]], to_one[edges[1]]


@dataclass(frozen=True, eq=False)
class Detections:
    """What a drawer's candidates hit in one picture.

    Parameters
    ----------
    found_at : ndarray of float64, shape (n_lesions,)
        Highest score of a candidate that hits each reference lesion; minus infinity where none does.
    false_positives : ndarray of float64, shape (n_false,)
        Scores of the candidates that hit no lesion.
    """

    found_at: Floats
    false_positives: Floats


def detections(
    reference: Mask, labels: NDArray[np.int32], scores: Sequence[float], *, min_iou: float = MIN_IOU
) -> Detections:
    """Which reference lesions the candidates of one picture hit.

    Reference lesions are the 8-connected components of the reference mask. A candidate hits a lesion where their
    intersection over union is at least `min_iou`. A second hit on a lesion is neither a hit nor a false positive.

    Parameters
    ----------
    reference : ndarray of bool, shape (rows, columns)
    labels : ndarray of int, shape (rows, columns)
        0, or the number of the candidate, from 1.
    scores : sequence of float
        Of candidate 1, 2, ...
    min_iou : float
        Above 0.

    Raises
    ------
    MaskError
        ``geometry.size`` where they differ in size.
    ValueError
        Where a label has no score.

    Examples
    --------
    >>> reference = np.zeros((8, 8), bool); reference[1:4, 1:4] = True
    >>> labels = np.zeros((8, 8), int); labels[1:4, 2:5] = 1; labels[6:8, 6:8] = 2
    >>> hits = detections(reference, labels, [0.9, 0.4])
    >>> hits.found_at.tolist(), hits.false_positives.tolist()
    ([0.9], [0.4])
    """
    if reference.shape != labels.shape:
        raise MaskError("geometry.size", "the candidates' labels and the reference mask differ in size")
    n = len(scores)
    if labels.min(initial=0) < 0 or labels.max(initial=0) > n:
        raise ValueError(f"the labels run to {labels.max()}, and {n} scores were given; each candidate has one")
    lesions, n_lesions = ndimage.label(reference, structure=_EIGHT)
    crossed = np.bincount((lesions.astype(np.int64) * (n + 1) + labels).ravel(), minlength=(n_lesions + 1) * (n + 1))
    shared = crossed.reshape(n_lesions + 1, n + 1)
    inner = shared[1:, 1:]
    union = shared.sum(axis=1)[1:, None] + shared.sum(axis=0)[None, 1:] - inner
    hit = (inner > 0) & (inner >= min_iou * union)
    given = np.asarray(scores, dtype=np.float64)
    found_at = np.where(hit, given, -np.inf).max(axis=1, initial=-np.inf)
    return Detections(found_at, given[~hit.any(axis=0)])


def sensitivity_at(
    pictures: Sequence[Detections],
    false_positives: Sequence[float] = FALSE_POSITIVES,
    *,
    weights: Floats | None = None,
) -> Floats:
    """Lesion sensitivity at given numbers of false positives per image, from the free-response ROC curve.

    The highest sensitivity of any threshold on the score that leaves at most so many false positives per image
    (Chakraborty 1989, doi 10.1118/1.596358); the curve is a staircase, nothing is interpolated.

    Parameters
    ----------
    pictures : sequence of Detections
        Of every picture, also of those without a lesion or without a candidate.
    false_positives : sequence of float
        Per image.
    weights : ndarray, shape (n_pictures,), optional
        How often each picture counts, as of a bootstrap.

    Returns
    -------
    ndarray of float64
        NaN where no picture has a lesion.

    Examples
    --------
    >>> one = Detections(np.array([0.9, 0.2]), np.array([0.5]))
    >>> sensitivity_at([one, one], [0.5, 1.0]).tolist()
    [0.5, 1.0]
    """
    _, rates, sensitivities = froc(pictures, weights=weights)
    places = np.searchsorted(rates, np.asarray(false_positives, dtype=np.float64), side="right") - 1
    return np.asarray(sensitivities[places])


def froc(pictures: Sequence[Detections], *, weights: Floats | None = None) -> tuple[Floats, Floats, Floats]:
    """The free-response ROC curve: threshold on the score, false positives per image and lesion sensitivity.

    Parameters
    ----------
    pictures : sequence of Detections
    weights : ndarray, shape (n_pictures,), optional

    Returns
    -------
    thresholds, false_positives, sensitivities : ndarray of float64
        From an infinite threshold, at which nothing is found, downwards; candidates at or above it count.
    """
    counted = np.ones(len(pictures)) if weights is None else weights
    found, of_found = _pooled([part.found_at for part in pictures], counted)
    false, of_false = _pooled([part.false_positives for part in pictures], counted)
    scores = np.concatenate([found, false])
    thresholds = np.concatenate([[np.inf], np.unique(scores[np.isfinite(scores)])[::-1]])
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivities = _at_least(found, of_found, thresholds) / of_found.sum()
        rates = _at_least(false, of_false, thresholds) / counted.sum()
    return thresholds, rates, sensitivities


def _pooled(parts: Sequence[Floats], weights: Floats) -> tuple[Floats, Floats]:
    """Values of all pictures together, and how often each counts."""
    values = np.concatenate([np.zeros(0), *parts])
    return values, np.repeat(weights, [len(part) for part in parts])


def _at_least(values: Floats, weights: Floats, thresholds: Floats) -> Floats:
    """Weight of the values at or above each threshold."""
    order = np.argsort(values)
    above = np.append(np.cumsum(weights[order][::-1])[::-1], 0.0)
    return np.asarray(above[np.searchsorted(values[order], thresholds, side="left")])
