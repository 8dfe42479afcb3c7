"""Shuffled voxels: the same pictures with the grey values inside each mask dealt anew.

Volume, shape and first-order features stay; what the arrangement of the values told is gone. A signature that
predicts as well without it is one of size (Welch et al. 2019, doi 10.1016/j.radonc.2018.10.027).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from ..features.case import Case, Picture
from ..features.errors import MaskError
from ..features.image import Image, ImageSource
from ..features.mask import MaskRules, MaskSource, require_usable
from .cohort import Cohort


@dataclass(frozen=True)
class ShuffledImage:
    """An image whose pixels inside its mask are shuffled when it is read.

    Parameters
    ----------
    image : ImageSource
    mask : MaskSource
        Drawn on this image.
    rules : MaskRules
        As in the extraction; a mask that cannot be used leaves the image as it is, and its failure to the reader.
    seed : int
        Of this picture alone.
    """

    image: ImageSource
    mask: MaskSource
    rules: MaskRules
    seed: int

    def read(self) -> Image:
        """The image with the same values inside the mask, in another order."""
        image = self.image.read()
        try:
            mask = require_usable(self.mask.read(image), self.rules)
        except MaskError:
            return image
        pixels = image.pixels.copy()
        pixels[mask] = np.random.default_rng(self.seed).permutation(pixels[mask])
        return replace(image, pixels=pixels)


def shuffle_cohort(cohort: Cohort, rules: MaskRules, seed: int) -> Cohort:
    """The cohort with the voxels inside every mask shuffled.

    Parameters
    ----------
    cohort : Cohort
    rules : MaskRules
        As in the extraction.
    seed : int
        With the case's id and the picture's name it gives the seed of each picture.
    """
    return replace(cohort, cases=tuple(_shuffle(case, rules, seed) for case in cohort.cases))


def _shuffle(case: Case, rules: MaskRules, seed: int) -> Case:
    pictures = {
        key: picture
        if picture.mask is None
        else Picture(ShuffledImage(picture.image, picture.mask, rules, _seed(seed, case, key.name)), picture.mask)
        for key, picture in case.pictures.items()
    }
    return replace(case, pictures=pictures)


def _seed(seed: int, case: Case, picture: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}|{case.case_id}|{picture}".encode()).digest()[:8])
