"""Perturbed masks: what another reader, or the same one on another day, might have drawn.

A perturbed mask is a mask source like any other, so that whatever reads cases measures it. Four kinds:

- ``dilate`` and ``erode`` move the outline by an amount, along its normal.
- ``contour`` moves each point of the outline by a smooth random field: the signed distance to the outline plus
  Gaussian-filtered noise, cut at zero; `amount` is the field's standard deviation. Zwanenburg 2019,
  doi 10.1038/s41598-018-36938-4, randomises by superpixels instead, which needs structure in the picture; a Gaussian
  field over the signed distance is that of Le 2016, doi 10.1016/j.media.2016.04.005, without its pull to edges.
- ``shift`` moves the mask by an amount in a random direction: a low-energy and a recombined picture that are offset.

Amounts are pixels, or percent of the equivalent radius: that of the disc with the mask's area. Beyond the picture there
is nothing to draw on: outlines end there, and an outline that lies on the picture's edge stays there.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from .case import Case, Picture, PictureKey
from .errors import MaskError, StudyError
from .image import Image
from .mask import Mask, MaskSource, bounding_box
from .settings import Settings

VERSION = 1
SMOOTHNESS = 0.5
"""Standard deviation of the filter over a contour's noise, as a share of the equivalent radius."""
MOST = 3.0
"""Standard deviations that a contour's displacement is cut at: no island appears far from the lesion."""
_SPEC = re.compile(
    r"(?P<kind>[a-z]+):(?P<amount>[0-9.]+)(?P<unit>px|%)(\*(?P<draws>[0-9]+))?(@(?P<types>[A-Z]+(,[A-Z]+)*))?"
)


class Perturbation(Settings):
    """One way to change masks."""

    kind: Literal["dilate", "erode", "contour", "shift"]
    amount: float = Field(ge=0, le=1000, description="pixels, or percent of the equivalent radius")
    unit: Literal["px", "%"] = "%"
    draw: int = Field(default=0, ge=0, description="which of several random draws; 0 where there is only one")
    image_types: tuple[str, ...] = Field(default=(), description="pictures whose masks change: LE, RC; all without it")

    @property
    def name(self) -> str:
        """What its replicates are called: ``dilate:10%``, ``contour:10%#2``, ``shift:3px@RC``."""
        draw = f"#{self.draw}" if self.draw else ""
        types = f"@{','.join(self.image_types)}" if self.image_types else ""
        return f"{self.kind}:{self.amount:g}{self.unit}{draw}{types}"

    @property
    def is_random(self) -> bool:
        """Whether it draws."""
        return self.kind in ("contour", "shift")

    def amount_px(self, mask: Mask) -> float:
        """The amount in pixels for a mask that is not empty."""
        return self.amount * equivalent_radius_px(mask) / 100 if self.unit == "%" else self.amount


def parse_perturbation(text: str) -> tuple[Perturbation, ...]:
    """What a user writes as ``KIND:AMOUNT``, with ``*N`` for several draws and ``@TYPES`` for some pictures only.

    Raises
    ------
    StudyError
        If it is not of that form.

    Examples
    --------
    >>> [p.name for p in parse_perturbation("contour:10%*2")], parse_perturbation("shift:3px@RC")[0].name
    (['contour:10%#1', 'contour:10%#2'], 'shift:3px@RC')
    """
    found = _SPEC.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        draws = int(found["draws"] or 0)
        types = tuple(found["types"].split(",")) if found["types"] else ()
        one = Perturbation(kind=found["kind"], amount=float(found["amount"]), unit=found["unit"], image_types=types)
    except ValueError:
        raise StudyError(
            f"perturbation {text!r}: expected KIND:AMOUNT, such as dilate:10%, erode:2px, contour:10%*3 or "
            "shift:3px@RC; kinds are dilate, erode, contour, shift"
        ) from None
    if draws and not one.is_random:
        raise StudyError(f"perturbation {text!r}: {one.kind} draws nothing; leave out *{draws}")
    return tuple(one.model_copy(update={"draw": k}) for k in range(1, draws + 1)) or (one,)


def perturb(mask: Mask, how: Perturbation, seed: int = 0) -> Mask:
    """A mask as another reader might have drawn it; the same for the same arguments.

    Parameters
    ----------
    mask : ndarray of bool, shape (rows, columns)
        Not empty.
    how : Perturbation
        An amount of 0 gives the mask itself.
    seed : int
        Of what is drawn.

    Returns
    -------
    ndarray of bool, shape (rows, columns)
        May be empty.

    Examples
    --------
    >>> mask = np.zeros((40, 40), bool); mask[10:30, 10:30] = True
    >>> [int(perturb(mask, Perturbation(kind=kind, amount=2, unit="px")).sum()) for kind in ("dilate", "erode")]
    [572, 256]
    """
    amount = how.amount_px(mask)
    rng = np.random.default_rng(seed)
    if how.kind == "shift":
        angle = rng.uniform(0, 2 * math.pi)
        return _shifted(mask, round(amount * math.sin(angle)), round(amount * math.cos(angle)))
    if how.kind == "contour":
        return _grown(mask, amount * MOST, lambda shape: amount * _field(shape, mask, rng))
    return _grown(mask, amount, lambda _: amount if how.kind == "dilate" else -amount)


def equivalent_radius_px(mask: Mask) -> float:
    """Radius of the disc with a mask's area."""
    return math.sqrt(np.count_nonzero(mask) / math.pi)


@dataclass(frozen=True)
class PerturbedMask:
    """A mask source whose mask is changed when it is read.

    Parameters
    ----------
    source : MaskSource
    how : Perturbation
    seed : int
        Of what is drawn.
    """

    source: MaskSource
    how: Perturbation
    seed: int = 0

    def read(self, image: Image) -> Mask:
        """The changed mask.

        Raises
        ------
        MaskError
            As the source does; ``mask.perturbed_away`` where nothing is left.
        """
        mask = self.source.read(image)
        if not mask.any():
            return mask
        changed = perturb(mask, self.how, self.seed)
        if not changed.any():
            raise MaskError("mask.perturbed_away", f"{self.how.name} leaves nothing of a mask of {int(mask.sum())} px")
        return changed

    def content(self) -> str:
        """The source's content, and what is done to it."""
        source: Any = self.source
        return f"{source.content()} perturbed {VERSION} {self.how.name} {self.seed}"


@dataclass(frozen=True)
class AbsentMask:
    """The mask that a second reader did not draw."""

    code: str
    reason: str

    def read(self, image: Image) -> Mask:
        """Raises :class:`~cemrad.features.errors.MaskError`, with the reason."""
        raise MaskError(self.code, self.reason)


def perturbed_case(case: Case, how: Perturbation, seed: int) -> Case:
    """The case with perturbed masks; draws differ from picture to picture and from case to case."""
    pictures = {}
    for key, picture in case.pictures.items():
        own = _seed_of(seed, case.case_id, key.name, how.name) if how.is_random else 0
        applies = picture.mask is not None and (not how.image_types or key.image_type in how.image_types)
        pictures[key] = Picture(picture.image, PerturbedMask(picture.mask, how, own)) if applies else picture  # type: ignore[arg-type]
    return replace(case, pictures=pictures)


def second_reading(case: Case, other: Case | None) -> Case:
    """The case on its own images with the masks that another reader drew for it.

    Parameters
    ----------
    case : Case
    other : Case, optional
        The case of that id as the other reader's cohort has it; None where it has none.
    """
    return replace(case, pictures={key: _second(key, picture, other) for key, picture in case.pictures.items()})


def _second(key: PictureKey, picture: Picture, other: Case | None) -> Picture:
    absent = AbsentMask("reader.case_missing", "the second reader's cohort has no case of this id")
    if other is not None:
        drawn = other.pictures[key].mask if key in other.pictures else None
        if drawn is not None:
            return Picture(picture.image, drawn)
        absent = AbsentMask("reader.mask_missing", "the second reader drew no mask on this picture")
    return Picture(picture.image, None if picture.mask is None else absent)


def _grown(mask: Mask, reach_px: float, growth: Any) -> Mask:
    """Where the signed distance to the outline plus the growth is not negative."""
    # One size for every amount up to the radius: the noise of a larger amount is then that of a smaller one, scaled.
    margin = math.ceil(max(reach_px, equivalent_radius_px(mask))) + 2
    top, bottom, left, right = bounding_box(mask)
    rows = slice(max(top - margin, 0), min(bottom + margin, mask.shape[0]))
    columns = slice(max(left - margin, 0), min(right + margin, mask.shape[1]))
    # Edge values go on beyond the picture: what touches its edge is not eroded from there.
    part = np.pad(mask[rows, columns], margin, mode="edge")
    kept = (_signed_distance(part) + growth(part.shape) >= 0)[margin:-margin, margin:-margin]
    changed = np.zeros_like(mask)
    changed[rows, columns] = kept
    return changed


def _signed_distance(mask: Mask) -> NDArray[np.float64]:
    """Distance of each pixel's centre to the outline, which runs between pixels; positive inside."""
    if mask.all():
        return np.full(mask.shape, np.inf)
    inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    return np.asarray(np.where(mask, inside - 0.5, 0.5 - outside))


def _field(shape: tuple[int, int], mask: Mask, rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth noise of standard deviation 1, cut at :data:`MOST`."""
    sigma = max(1.0, SMOOTHNESS * equivalent_radius_px(mask))
    noise = ndimage.gaussian_filter(rng.normal(size=shape), sigma, mode="wrap")
    # What a Gaussian filter leaves of white noise: variance 1 / (4 pi sigma^2).
    return np.asarray(np.clip(noise * 2 * sigma * math.sqrt(math.pi), -MOST, MOST))


def _shifted(mask: Mask, rows: int, columns: int) -> Mask:
    moved = np.zeros_like(mask)
    n_rows, n_columns = mask.shape
    if abs(rows) < n_rows and abs(columns) < n_columns:
        moved[max(rows, 0) : n_rows + min(rows, 0), max(columns, 0) : n_columns + min(columns, 0)] = mask[
            max(-rows, 0) : n_rows + min(-rows, 0), max(-columns, 0) : n_columns + min(-columns, 0)
        ]
    return moved


def _seed_of(seed: int, *parts: str) -> int:
    text = "\n".join([str(seed), *parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
