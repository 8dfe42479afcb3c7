"""Who is known to a bundle or a step before it: by id, by the pictures of a case, and by its row of features."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from ..features.fingerprint import PIXELS
from ..features.table import FeatureTable
from ..features.training_ids import person_hash
from .bundle import Bundle, picture_marks
from .bundled_model import BundledModel
from .design import IMAGE_FAMILIES
from .persons import taught

CONTENT = "known.content: its pictures or features are those of a case that the bundle was trained or recalibrated on"
PERSON = "known.person: the bundle was trained or recalibrated on this patient id"
STEP = "known.step: the masks or the network of this cohort were trained on this patient"
MIN_VALUES = 3
"""Fewest values from images that make a row of features a fingerprint."""


def hashed_contents(
    table: FeatureTable, models: Iterable[BundledModel], pictures: Mapping[str, Sequence[str]], salt: str
) -> frozenset[str]:
    """Salted hashes of what these cases hold: each picture, and the values that the models take from images.

    Parameters
    ----------
    table : FeatureTable
    models : iterable of BundledModel
    pictures : mapping of str to sequence of str
        Per case, what tells its pictures from all others; a case may lack it.
    salt : str
    """
    return frozenset().union(*_marks(table, models, pictures, salt))


def known_cases(
    bundle: Bundle, table: FeatureTable, persons: pd.Series[str], pictures: Mapping[str, Sequence[str]]
) -> pd.Series[str]:
    """Why each case is of a person whom a bundle knows, or a step that made the table; an empty text where it is not.

    Parameters
    ----------
    bundle : Bundle
    table : FeatureTable
    persons : Series of str
        The person behind each case, as :func:`~cemrad.models.persons.persons_of` tells; all cases of a known person are
        known.
    pictures : mapping of str to sequence of str
        As :func:`hashed_contents` takes it.
    """
    marks = _marks(table, bundle.models, pictures, bundle.salt)
    alike = np.array([bool(bundle.contents & found) for found in marks], dtype=bool)
    by_id = np.array([person_hash(patient, bundle.salt) in bundle.persons for patient in table.cases["patient_id"]])
    reasons = pd.Series("", index=table.values.index, dtype=object)
    for hit, why in ((taught(table.provenance, table.cases), STEP), (alike, CONTENT), (by_id, PERSON)):
        reasons[persons.isin(set(persons[hit])).to_numpy()] = why
    return reasons


def _marks(
    table: FeatureTable, models: Iterable[BundledModel], pictures: Mapping[str, Sequence[str]], salt: str
) -> list[frozenset[str]]:
    wanted = sorted({name for model in models for name in model.features if name.split(":")[0] in IMAGE_FAMILIES})
    rows = table.values.reindex(columns=wanted).to_numpy(dtype=np.float64) + 0.0  # -0 is 0
    marks = []
    cells = table.cases[PIXELS] if PIXELS in table.cases else [""] * len(rows)
    for case_id, row, cell in zip(table.values.index, rows, cells, strict=True):
        found = [f"picture {text}" for text in pictures.get(str(case_id), ())]
        if np.isfinite(row).sum() >= MIN_VALUES:
            found.append(f"row {hashlib.sha256(row.tobytes()).hexdigest()}")
        marks.append(frozenset(person_hash(text, salt) for text in found) | picture_marks(cell, salt))
    return marks
