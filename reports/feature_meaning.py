"""What features measure: each sentence once, for a glossary to which the names of features link."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from ..features.case import PictureKey
from ..features.errors import StudyError, TableError
from ..features.native.dictionary import Entry, find
from ..features.table import ColumnName
from .words import feature_words, filter_words, network_words, radiomics_words

_CLASSES = {
    "shape2D": "the mask's outline",
    "firstorder": "grey values, wherever they lie",
    "glcm": "pairs of neighbouring pixels",
    "glrlm": "straight runs of one grey level",
    "glszm": "connected patches of one grey level",
    "gldm": "pixels and the neighbours that are like them",
    "ngtdm": "pixels and the mean of what surrounds them",
}
_SYMBOLS = {
    "glcm": "p_ij is the share of neighbours with levels i and j",
    "glrlm": "i is the level, l the length of a run",
    "glszm": "i is the level, s the size of a patch",
    "gldm": "i is the level, d how many neighbours are alike, the pixel included",
    "ngtdm": "p_i is the share of level i",
}
_PICTURES = {
    "LE": "Low-energy picture: like a mammogram without contrast medium; density, distortion and calcifications.",
    "RC": "Recombined picture: the tissue is subtracted, what is bright has taken up contrast medium.",
    "LERC": "Of the low-energy and the recombined picture together.",
    "IMG": "Of a picture whose kind was not stated.",
}


class Meaning(NamedTuple):
    """One entry of the glossary.

    Parameters
    ----------
    anchor : str
        Of the entry in the page.
    kind : {"Features", "Filters", "Pictures", "Deep and clinical features"}
    name : str
        In words.
    plain : str
        What it measures, in a sentence.
    definition : str
        The same exactly; empty where there is nothing more exact to say.
    code : str
        IBSI's; empty where IBSI does not have it.
    """

    anchor: str
    kind: str
    name: str
    plain: str
    definition: str = ""
    code: str = ""


@cache
def meanings(column: str) -> tuple[Meaning, ...]:
    """What a column measures: the feature, then the filter and the picture where it has one; empty where not known.

    Parameters
    ----------
    column : str
        ``family:picture:feature``.

    Examples
    --------
    >>> [(m.name, m.code) for m in meanings("radiomics:RC_CC:log-sigma-3-0-mm-3D_glcm_Contrast")]
    [('GLCM contrast', 'ACUI'), ('LoG', 'L6PA'), ('Recombined', '')]
    >>> meanings("deep:LE_MLO:resnet50_0007")[0].plain
    'Mean activation of one channel of the last layer of ResNet-50 over the crop; it has no name of its own.'
    """
    try:
        family, picture, feature = ColumnName.parse(column)
    except TableError:
        return ()
    if family == "clinical":
        return (_clinical(feature),)
    made = _deep(feature) if family == "deep" else _radiomics(feature) if family == "radiomics" else ()
    return (*made, *_picture(picture)) if made else ()


def glossary(columns: Iterable[str]) -> dict[str, list[Meaning]]:
    """Every entry that these columns need, once, by its kind."""
    entries = {one.anchor: one for column in columns for one in meanings(column)}
    kinds: dict[str, list[Meaning]] = {}
    for one in sorted(entries.values(), key=lambda entry: (_KINDS.index(entry.kind), entry.name)):
        kinds.setdefault(one.kind, []).append(one)
    return kinds


_KINDS = ("Features", "Filters", "Pictures", "Deep and clinical features")


def _radiomics(feature: str) -> tuple[Meaning, ...]:
    try:
        image, entry = find(feature)
    except StudyError:
        return ()
    definition = ". ".join(filter(None, (_definition(entry), _SYMBOLS.get(entry.kind, ""))))
    measured = Meaning(
        _anchor(entry.kind, entry.feature),
        "Features",
        radiomics_words(entry.kind, entry.feature),
        f"{entry.plain}. Measured on {_CLASSES[entry.kind]}.",
        f"{definition}.",
        entry.ibsi_code,
    )
    if image.feature == "original":
        return (measured,)
    name = "LoG" if image.feature == "log-sigma" else filter_words(image.feature)
    return measured, Meaning(
        _anchor("filter", image.feature),
        "Filters",
        name[:1].upper() + name[1:],
        f"{image.plain}.",
        f"{_definition(image)}.",
        image.ibsi_code,
    )


def _definition(entry: Entry) -> str:
    # What the preset ibsi corrects is not IBSI's definition in the others.
    state, _, how = entry.compliance.partition(": ")
    return f"{entry.meaning} ({how})" if state in ("deviates", "ibsi") and how else entry.meaning


def _deep(feature: str) -> tuple[Meaning, ...]:
    network = network_words(feature)
    if not network:
        return ()
    sentence = (
        f"Mean activation of one channel of the last layer of {network} over the crop; it has no name of its own."
    )
    return (Meaning(_anchor("deep", network), "Deep and clinical features", f"{network} channel", sentence),)


def _clinical(feature: str) -> Meaning:
    name, is_level, level = feature.partition("=")
    said = f"1 where the cohort states {level!r}, 0 where it states another" if is_level else "As the cohort states it"
    words = feature_words(f"clinical:case:{feature}")
    return Meaning(
        _anchor("clinical", feature), "Deep and clinical features", words, f"{said}; missing where it does not."
    )


def _picture(picture: str) -> tuple[Meaning, ...]:
    try:
        kind = PictureKey.parse(picture).image_type
    except ValueError:
        return ()
    name = {"LE": "Low-energy", "RC": "Recombined", "LERC": "Low-energy and recombined", "IMG": "Image"}[kind]
    return (Meaning(_anchor("picture", kind), "Pictures", name, _PICTURES[kind]),)


def _anchor(kind: str, name: str) -> str:
    """An id of the page: letters and digits; what else a name holds is spelt as its code, so that none collide."""
    text = re.sub(r"[^A-Za-z0-9]", lambda found: f"_{ord(found[0]):x}_", name)
    return f"m-{kind}-{text}"
