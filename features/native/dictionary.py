"""The data dictionary: what each handcrafted feature and filter means, its unit, and how it stands to IBSI.

Data: ``dictionary.csv`` beside this file; codes are IBSI's (https://ibsi.readthedocs.io). The tables of
``docs/features.md`` are written from it: ``python -m cemrad.features.native.dictionary``.
"""

from __future__ import annotations

import csv
import sys
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

from ..errors import StudyError

FILTER = "filter"
CONFORM = "conform"
_COMPLIANCE = {
    "ibsi": "conforms in preset ibsi",
    "conform": "conforms",
    "deviates": "deviates",
    "not in IBSI": "not in IBSI",
}
_CLASSES = {
    "shape2D": "Shape of the mask, of the original picture only",
    "firstorder": "First order: statistics of grey values",
    "glcm": "Grey level co-occurrence matrix: p_ij is the share of neighbours with levels i and j",
    "glrlm": "Grey level run length matrix: straight runs of one level, i the level, l the length",
    "glszm": "Grey level size zone matrix: connected zones of one level, i the level, s the size",
    "gldm": "Grey level dependence matrix (IBSI: NGLDM): i the level, d the dependence",
    "ngtdm": "Neighbourhood grey tone difference matrix: p_i is the share of level i",
    FILTER: "Filters: the part of a name before the class",
}
_ABSOLUTE = ("JointAverage", "SumAverage", "Autocorrelation", "Busyness")


class Entry(NamedTuple):
    """One feature, or one filter (``kind`` is ``filter``).

    ``compliance`` is ``conform``, ``not in IBSI``, ``deviates: how``, or ``ibsi: what the preset ibsi corrects``.
    ``unit``: ``grey`` of the filtered picture, ``level`` a bin's number, ``length`` in pixels or mm. ``meaning`` is the
    definition, ``plain`` the same for a reader who looks at pictures.
    """

    kind: str
    feature: str
    ibsi_code: str
    unit: str
    compliance: str
    meaning: str
    plain: str

    @property
    def depends_on_origin(self) -> bool:
        """Whether it changes where levels are counted from: with a fixed bin width only the preset ibsi conforms."""
        if self.kind == "glcm" or self.kind == "ngtdm":
            return self.feature in _ABSOLUTE
        return "LowGrayLevel" in self.feature or "HighGrayLevel" in self.feature


@lru_cache(maxsize=1)
def entries() -> tuple[Entry, ...]:
    """Everything in the dictionary, class by class, filters last."""
    text = resources.files(__package__).joinpath("dictionary.csv").read_text(encoding="utf-8")
    return tuple(
        Entry(**{("kind" if k == "class" else k): v for k, v in row.items()})
        for row in csv.DictReader(text.splitlines())
    )


def find(name: str) -> tuple[Entry, Entry]:
    """The filter and the feature that a name or a column is made of.

    Parameters
    ----------
    name : str
        Such as ``wavelet-LH_glcm_Contrast`` or ``radiomics:RC_CC:original_firstorder_Mean``.

    Raises
    ------
    StudyError
        If the dictionary doesn't know it.

    Examples
    --------
    >>> image, feature = find("radiomics:RC_CC:log-sigma-2-0-mm-3D_glcm_Contrast")
    >>> image.ibsi_code, feature.ibsi_code, feature.meaning
    ('L6PA', 'ACUI', 'Sum of (i - j)^2 p_ij')
    """
    parts = name.rsplit(":", 1)[-1].split("_", 2)
    known = {(entry.kind, entry.feature): entry for entry in entries()}
    images = [e for e in entries() if e.kind == FILTER and parts[0].startswith(e.feature)]
    if len(parts) != 3 or (parts[1], parts[2]) not in known or not images:
        raise StudyError(f"no feature {name!r} in the data dictionary")
    return max(images, key=lambda e: len(e.feature)), known[parts[1], parts[2]]


def markdown() -> str:
    """The dictionary as tables for a page of documentation."""
    blocks = []
    for kind, title in _CLASSES.items():
        rows = [entry for entry in entries() if entry.kind == kind]
        blocks.append(f"## {title}\n\n{_HEAD}\n" + "\n".join(_row(entry) for entry in rows))
    return "\n\n".join(blocks) + "\n"


def _row(entry: Entry) -> str:
    state, _, detail = entry.compliance.partition(":")
    said = _COMPLIANCE[state] + (f":{detail}" if detail else "") + (" *" if entry.depends_on_origin else "")
    cells = (f"`{entry.feature}`", entry.ibsi_code, entry.unit, said, entry.meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


_HEAD = "| name | IBSI | unit | compliance | meaning |\n| --- | --- | --- | --- | --- |"


if __name__ == "__main__":
    sys.stdout.write(markdown())
