"""Duplicates: one person under two ids, found by the fingerprints of her pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from ..features.case import Case, PictureKey
from ..features.errors import CaseError
from ..features.fingerprint import COLUMNS, Fingerprint, fingerprint, join
from ..features.image import ImageSource
from ..features.reading import Reading
from ..features.training_ids import KEY, TrainingIds
from ..models.parallel import Progress, in_threads
from ..models.persons import Tie, out_of_fold
from .cohort import Cohort

_SHOWN = 8


def mask_training(cases: Sequence[Case], who: pd.DataFrame) -> list[dict[str, Any]]:
    """Whom the automatic masks of a cohort were trained on, for its table's provenance.

    Whether masks were made out of fold is not believed but looked up: a model is out of fold if none of the
    persons whose masks it drew is among those it was trained on, by any of her ids and pictures.

    Parameters
    ----------
    cases : sequence of Case
        Mask sources that learned carry ``trained_on``, a
        :class:`~cemrad.features.training_ids.TrainingIds`.
    who : DataFrame
        These cases as in a feature table, with the fingerprints of their pictures.

    Returns
    -------
    list of dict
        Per model: ``n_masks`` and ``trained_on``; empty where all masks were drawn by hand.
    """
    drawn: dict[TrainingIds, list[str]] = {}
    for case in cases:
        for picture in case.pictures.values():
            ids = getattr(picture.mask, KEY, None)
            if ids is not None:
                drawn.setdefault(ids, []).append(case.case_id)
    return [
        {"n_masks": len(made), KEY: replace(ids, out_of_fold=out_of_fold(ids, who, made)).as_record()}
        for ids, made in drawn.items()
    ]


def prints_of(reading: Reading) -> dict[str, Fingerprint]:
    """Fingerprints of the pictures of a case that were read, by name, where there is one."""
    made = {key.name: fingerprint(image.pixels) for key, (image, _) in reading.usable.items()}
    return {name: found for name, found in made.items() if found is not None}


def fingerprinted(cohort: Cohort, *, jobs: int = 1, progress: Progress | None = None) -> pd.DataFrame:
    """The cases of a cohort with the fingerprints of all their pictures, each of which is read once.

    Parameters
    ----------
    cohort : Cohort
    jobs : int
        Threads.
    progress : callable, optional

    Returns
    -------
    DataFrame
        As the cases of a feature table; a picture that cannot be read has no fingerprint.
    """
    sources = list(dict.fromkeys(picture.image for case in cohort.cases for picture in case.pictures.values()))
    found = dict(zip(sources, in_threads(_print_of, sources, jobs, progress, "fingerprints"), strict=True))
    prints = {case.case_id: {key.name: found[of.image] for key, of in case.pictures.items()} for case in cohort.cases}
    there = {case_id: {name: one for name, one in of.items() if one is not None} for case_id, of in prints.items()}
    return cohort.case_frame().join(print_frame(there))


def _print_of(source: ImageSource) -> Fingerprint | None:
    try:
        return fingerprint(source.read().pixels)
    except CaseError:
        return None


def tie_lines(ties: Sequence[Tie]) -> Iterator[str]:
    """Patients who share a picture, as text for a terminal."""
    if ties:
        yield "patients who are taken for one person, because of their pictures"
    for tie in ties[:_SHOWN]:
        where = f"{tie.patient_id} {tie.picture} and {tie.other_id} {tie.other_picture}"
        yield f"          {where}: {tie.why}"
    if len(ties) > _SHOWN:
        yield f"          and {len(ties) - _SHOWN} more pairs (--json names all)"


def print_frame(prints: Mapping[str, Mapping[str, Fingerprint]]) -> pd.DataFrame:
    """Fingerprints of each case's pictures as columns of a table's cases.

    Parameters
    ----------
    prints : mapping of case id to mapping of picture name to Fingerprint
        Pictures that were not read are absent.

    Returns
    -------
    DataFrame of str
        Index ``case_id``; a column per kind of fingerprint, each cell as
        :func:`~cemrad.features.fingerprint.join` writes it.
    """
    rows = []
    for of_case in prints.values():
        names = sorted(of_case, key=lambda name: PictureKey.parse(name).order)
        rows.append([join({name: of_case[name][kind] for name in names}) for kind in range(len(COLUMNS))])
    return pd.DataFrame(rows, index=pd.Index(list(prints), dtype=object), columns=list(COLUMNS), dtype=object)
