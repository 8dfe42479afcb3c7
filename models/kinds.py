"""Kinds: what a feature's name says of its block, class, filter, image type and view."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..features.case import PictureKey
from ..features.errors import TableError
from ..features.table import ColumnName

NONE, OTHER = "none", "other"
"""Where there is no such thing (a patient's age has no view), and where a name does not tell."""
POOLED = "pooled activation"
"""Class of the deep features: each is the mean of one channel's activation over the crop."""


class Kind(NamedTuple):
    """The groups that a feature belongs to, one of each sort.

    Examples
    --------
    >>> Kind.of("radiomics:RC_CC:wavelet-HL_glcm_Contrast")
    Kind(block='radiomics', feature_class='glcm', filter='wavelet-HL', image_type='RC', view='CC')
    >>> Kind.of("deep:LE_MLO2:resnet50_0007")[1:]
    ('pooled activation', 'none', 'LE', 'MLO')
    >>> Kind.of("clinical:case:age")
    Kind(block='clinical', feature_class='clinical', filter='none', image_type='none', view='none')
    """

    block: str
    feature_class: str
    filter: str
    image_type: str
    view: str

    @classmethod
    def of(cls, column: str) -> Kind:
        """Kinds of a column; ``other`` for what its name does not tell."""
        try:
            family, picture, feature = ColumnName.parse(column)
        except TableError:
            return cls(*[OTHER] * 5)
        if family == "clinical":
            return cls(family, family, NONE, NONE, NONE)
        return cls(family, *_measured(family, feature), *_seen(picture))


def _measured(family: str, feature: str) -> tuple[str, str]:
    """Feature class and filter: ``original_glcm_Contrast`` holds both."""
    if family == "deep":
        return POOLED, NONE
    parts = feature.split("_")
    return (parts[1], parts[0]) if len(parts) > 2 else (OTHER, OTHER)


def _seen(picture: str) -> tuple[str, str]:
    """Image type and view; a second exposure of a view counts to it."""
    try:
        image_type, view = PictureKey.parse(picture)
    except ValueError:
        return OTHER, OTHER
    return image_type, re.sub(r"\d+$", "", view) or NONE
