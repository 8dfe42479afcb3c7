"""Phantom pictures: what is drawn when a phantom image or mask is read, and nothing before."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..features.image import Image
from ..features.mask import Mask, require_same_size
from .phantom_anatomy import Background, Field, draw_background
from .phantom_lesion import Stamp, draw_lesion
from .phantom_plan import VIEWS, Breast, Lesion

T = TypeVar("T", bound=np.generic)

VERSION = 1
"""Raised with every change of what is drawn: features of older drawings are computed again."""

TRIM = 0.03  # of rows and columns: what the recombined picture lacks of the low-energy one


@dataclass(frozen=True)
class Vendor:
    """A grey scale: stored value = offset + gain x brightness, clipped to the bits stored."""

    name: str
    bits: int
    gain: float
    offset: float

    def store(self, brightness: Field) -> NDArray[np.uint16]:
        """Grey values as this vendor stores them."""
        values = np.rint(self.offset + self.gain * brightness)
        stored: NDArray[np.uint16] = values.clip(0, 2**self.bits - 1).astype(np.uint16)
        return stored


VENDORS = {
    vendor.name: vendor
    for vendor in (
        Vendor("phantom 12 bit", bits=12, gain=3000, offset=0),
        Vendor("phantom 14 bit", bits=14, gain=10500, offset=800),
    )
}


@dataclass(frozen=True)
class View:
    """One view of one breast: a low-energy and a recombined picture of the same scene.

    Parameters
    ----------
    breast : Breast
    name : {"CC", "MLO"}
    rows, columns : int
        Size of the low-energy picture. The recombined one is smaller and begins at :meth:`offset_px`.
    """

    breast: Breast
    name: str
    rows: int
    columns: int

    def offset_px(self) -> tuple[int, int]:
        """Row and column of the low-energy picture on which the recombined picture's first pixel lies."""
        rng = self._rng(1)
        return int(rng.integers(1, self._trim(self.rows) + 1)), int(rng.integers(1, self._trim(self.columns) + 1))

    def window(self, image_type: str) -> tuple[slice, slice]:
        """The part of the scene that the picture of this type shows."""
        if image_type == "LE":
            return slice(0, self.rows), slice(0, self.columns)
        top, left = self.offset_px()
        return (
            slice(top, top + self.rows - self._trim(self.rows)),
            slice(left, left + self.columns - self._trim(self.columns)),
        )

    def background(self) -> Background:
        """The breast without its lesions, chest wall on the left, whatever the side."""
        return draw_background(self.name, (self.rows, self.columns), self.breast.density, self.breast.bpe, self._rng(0))

    def lesion_rng(self, lesion: Lesion) -> np.random.Generator:
        """The random stream of one lesion in this view."""
        return self._rng(1 + lesion.number)

    def _rng(self, matter: int) -> np.random.Generator:
        # Patients plan with keys of two numbers; pictures draw with keys of four.
        key = (self.breast.patient, "LR".index(self.breast.laterality), VIEWS.index(self.name), matter)
        return np.random.default_rng(np.random.SeedSequence(self.breast.seed, spawn_key=key))

    @staticmethod
    def _trim(length: int) -> int:
        return max(2, round(TRIM * length))


@dataclass(frozen=True, eq=False)
class Scene:
    """A rendered view, before it is cut into its two pictures.

    Parameters
    ----------
    low_energy, recombined : ndarray of uint16, shape (rows, columns)
    breast : ndarray of bool
        Inside the skin.
    lesions, signs : tuple of ndarray of bool
        Per lesion: its contour, filled, and the signs planted around it.
    """

    low_energy: NDArray[np.uint16]
    recombined: NDArray[np.uint16]
    breast: Mask
    lesions: tuple[Mask, ...]
    signs: tuple[Mask, ...]


@lru_cache(maxsize=2)
def render(view: View) -> Scene:
    """Draw a view; the last two are kept, as image, mask and both types are asked for in turn."""
    ground = view.background()
    lesions, signs = [], []
    for lesion in view.breast.lesions:
        stamp = draw_lesion(lesion, view.rows, view.lesion_rng(lesion))
        mask, planted = _put(stamp, ground, _centre(lesion, ground))
        lesions.append(mask)
        signs.append(planted)
    vendor = VENDORS[view.breast.vendor]
    flip = view.breast.laterality == "R"
    low_energy, recombined = (_finish(vendor.store(field), flip) for field in (ground.low_energy, ground.recombined))
    return Scene(
        low_energy,
        recombined,
        _finish(ground.breast, flip),
        tuple(_finish(mask, flip) for mask in lesions),
        tuple(_finish(mask, flip) for mask in signs),
    )


def _finish(array: NDArray[T], flip: bool) -> NDArray[T]:
    """Right breasts mirrored; read-only, as what is kept must not change."""
    finished: NDArray[T] = np.ascontiguousarray(array[:, ::-1]) if flip else array
    finished.flags.writeable = False
    return finished


def _centre(lesion: Lesion, ground: Background) -> tuple[int, int]:
    """Row and column of a lesion: its height along the chest wall, its depth as a share of the breast's."""
    reach = ground.span_rows if lesion.height > 0 else 0.75 * ground.span_rows
    row = round(ground.middle_row - lesion.height * reach)
    return row, round(lesion.depth * float(ground.skin_column[row]))


def _put(stamp: Stamp, ground: Background, centre: tuple[int, int]) -> tuple[Mask, Mask]:
    """Add a stamp to the background, inside the skin only; its mask and signs at the picture's size."""
    rows, columns = ground.breast.shape
    half = stamp.mask.shape[0] // 2
    top, left = centre[0] - half, centre[1] - half
    place = (slice(max(top, 0), min(top + 2 * half + 1, rows)), slice(max(left, 0), min(left + 2 * half + 1, columns)))
    part = (slice(place[0].start - top, place[0].stop - top), slice(place[1].start - left, place[1].stop - left))
    inside = ground.breast[place]
    ground.low_energy[place] += stamp.low_energy[part] * inside
    ground.recombined[place] += stamp.recombined[part] * inside
    masks = []
    for pixels in (stamp.mask, stamp.signs):
        full = np.zeros((rows, columns), dtype=bool)
        full[place] = pixels[part] & inside
        masks.append(full)
    return masks[0], masks[1]


@dataclass(frozen=True)
class PhantomImage:
    """An image that is drawn when it is read; no spacing is stated, as in PNG and JPEG exports."""

    view: View
    image_type: str

    def read(self) -> Image:
        """Draw the picture, or take it from the two views drawn last."""
        scene = render(self.view)
        pixels = scene.low_energy if self.image_type == "LE" else scene.recombined
        return Image(pixels[self.view.window(self.image_type)].copy())

    def content(self) -> str:
        """Everything that the picture is drawn from."""
        return f"phantom {VERSION} {self!r}"

    def breast(self) -> Mask:
        """Inside the skin, of the picture's shape."""
        return render(self.view).breast[self.view.window(self.image_type)].copy()


@dataclass(frozen=True)
class PhantomMask:
    """The mask of one lesion on one picture."""

    view: View
    image_type: str
    number: int

    def read(self, image: Image) -> Mask:
        """The filled contour, of the picture's shape."""
        return require_same_size(self._cut(render(self.view).lesions), image)

    def content(self) -> str:
        """Everything that the mask is drawn from."""
        return f"phantom {VERSION} {self!r}"

    def planted(self) -> Mask:
        """Where the signs around the lesion are that the deep latent moved, of the picture's shape."""
        return self._cut(render(self.view).signs)

    def _cut(self, masks: tuple[Mask, ...]) -> Mask:
        return masks[self.number - 1][self.view.window(self.image_type)].copy()
