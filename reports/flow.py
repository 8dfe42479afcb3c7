"""Flow facts: who came in, who was left out and why, and who was analysed, so that the numbers add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from ..features.fingerprint import PIXELS
from ..models.persons import persons_of
from ..models.result import Result

MOST_EXITS = 8
"""Reasons told one by one; the rarer ones are summed."""
OTHERS, SEVERAL = "other reasons", "several reasons, one for each of their lesions"


@dataclass(frozen=True)
class Exit:
    """A reason to be left out.

    Parameters
    ----------
    reason : str
    n_cases : int
        Lesions with this reason.
    n_patients : int
        Patients of whom no lesion is left, all for this reason.
    """

    reason: str
    n_cases: int
    n_patients: int


@dataclass(frozen=True)
class EndpointFlow:
    """From the feature table to what is analysed for one endpoint: ``in = excluded + analysed``, lesions and patients.

    Parameters
    ----------
    key, title, positive : str
    exits : tuple of Exit
        Most frequent first; patients whose lesions were left out for different reasons stand in the last.
    n_cases, n_patients : int
        Analysed: lesions with a held-out prediction, and their patients.
    n_positive_cases, n_positive_patients : int
        Positive ones among them; a patient is where any of her lesions is.
    """

    key: str
    title: str
    positive: str
    exits: tuple[Exit, ...]
    n_cases: int
    n_patients: int
    n_positive_cases: int
    n_positive_patients: int

    @property
    def n_excluded_cases(self) -> int:
        """Lesions left out."""
        return sum(item.n_cases for item in self.exits)

    @property
    def n_excluded_patients(self) -> int:
        """Patients of whom no lesion is left."""
        return sum(item.n_patients for item in self.exits)


@dataclass(frozen=True)
class Flow:
    """The flow of a cohort.

    Parameters
    ----------
    n_cases, n_breasts, n_patients : int
        In the feature table. Patients are persons: ids that are one person count once.
    n_pictures : int or None
        Pictures that were read; None where none is known, as of a table of features.
    refused : tuple of (str, int)
        Code and number of rows that never became a case.
    n_with_failures : int
        Cases of the table with a picture or a feature that failed; they stay in where a value is left.
    endpoints : tuple of EndpointFlow
    """

    n_cases: int
    n_breasts: int
    n_patients: int
    n_pictures: int | None
    refused: tuple[tuple[str, int], ...]
    n_with_failures: int
    endpoints: tuple[EndpointFlow, ...]


def gather(result: Result) -> Flow:
    """The flow of a result's cohort.

    Parameters
    ----------
    result : Result
    """
    cases, failures = result.cases, result.failures
    persons = persons_in(result)
    lost = failures[failures["state"] == "failed"]
    known = lost["case_id"].isin(cases.index)
    refused = lost[~known & (lost["case_id"] != "")].drop_duplicates("case_id")
    failed = lost[known]
    return Flow(
        n_cases=len(cases),
        n_breasts=int(cases["breast_id"].nunique()),
        n_patients=int(persons.nunique()),
        n_pictures=_n_pictures(cases) if PIXELS in cases else None,
        refused=tuple((str(code), int(n)) for code, n in refused["code"].value_counts().items()),
        n_with_failures=int(failed["case_id"].nunique()),
        endpoints=tuple(_endpoint(result, key, persons) for key in result.endpoints),
    )


def persons_in(result: Result) -> pd.Series[str]:
    """The person behind each case, as the evaluation kept them together."""
    stated = result.provenance.get("evaluation", {}).get("same_person", ())
    return persons_of(result.cases, [name for name in stated if name in result.cases])


def _n_pictures(cases: pd.DataFrame) -> int:
    """Lesions of one breast share its pictures."""
    told = pd.DataFrame({"breast": cases["breast_id"], "picture": cases[PIXELS].str.split()}).explode("picture")
    return len(told.dropna().drop_duplicates())


def _endpoint(result: Result, key: str, persons: pd.Series[str]) -> EndpointFlow:
    stated = result.endpoints[key]
    rows = result.predictions[result.predictions["endpoint"] == key]
    truth = rows.groupby("case_id", sort=False)["truth"].max()
    analysed = persons.index.isin(truth.index)
    excluded = result.exclusions[result.exclusions["endpoint"] == key].drop_duplicates("case_id")
    problem = result.provenance.get("endpoints_not_estimable", {}).get(key, "")
    reasons = excluded.set_index("case_id")["reason"].reindex(persons.index[~analysed])
    reasons = reasons.fillna(f"not evaluated: {problem or 'no prediction was stored'}")
    positive = persons.index.isin(truth.index[truth > 0.5])
    return EndpointFlow(
        key=key,
        title=str(stated.get("title", key)),
        positive=str(stated.get("positive", "positive")),
        exits=_exits(reasons, persons, set(persons[analysed])),
        n_cases=int(analysed.sum()),
        n_patients=int(persons[analysed].nunique()),
        n_positive_cases=int(positive.sum()),
        n_positive_patients=int(persons[positive].nunique()),
    )


def _exits(reasons: pd.Series[str], persons: pd.Series[str], analysed: set[str]) -> tuple[Exit, ...]:
    n_cases = reasons.value_counts()
    told = list(n_cases.index[:MOST_EXITS])
    shown = reasons.where(reasons.isin(told), OTHERS)
    of_person = {
        str(person): set(group)
        for person, group in shown.groupby(persons.loc[reasons.index].to_numpy(dtype=object))
        if str(person) not in analysed
    }
    names = list(dict.fromkeys([*told, *shown[shown == OTHERS]]))
    found = [Exit(name, int((shown == name).sum()), _only(of_person, name)) for name in names]
    torn = sum(len(why) > 1 for why in of_person.values())
    return (*found, Exit(SEVERAL, 0, torn)) if torn else tuple(found)


def _only(of_person: Mapping[str, set[str]], reason: str) -> int:
    return sum(why == {reason} for why in of_person.values())
