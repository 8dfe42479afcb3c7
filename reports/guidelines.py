"""Guideline sheets: which items of four reporting guidelines this very run answers, and where.

Items and their numbers are those of CLEAR (Kocak et al. 2023, doi 10.1186/s13244-023-01415-8), METRICS (Kocak et al.
2024, doi 10.1186/s13244-023-01572-w), TRIPOD+AI (Collins et al. 2024, doi 10.1136/bmj-2023-078378) and CLAIM (Tejani
et al. 2024, doi 10.1148/ryai.240300). What an item asks for is said in a few words of our own in ``guidelines.csv``;
the publication says it whole, and alone counts. No item is scored.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, cast

import pandas as pd

from ..features.cells import write_csv
from ..features.whole import Writer, write_whole
from ..models.confounders import PANELS
from ..models.mask_comparison import MANUAL
from ..models.result import Result
from ..models.stated import plain
from .template import read_part, visible
from .words import MISSING_WORDS

Mark = Literal["evidence here", "author to state", "not available"]
MARKS: tuple[Mark, ...] = ("evidence here", "author to state", "not available")
NAMES: Mapping[str, str] = {
    "CLEAR": "Checklist for evaluation of radiomics research, 2023",
    "METRICS": "Methodological radiomics score, 2024",
    "TRIPOD+AI": "Prediction models with regression or machine learning, 2024",
    "CLAIM": "Checklist for artificial intelligence in medical imaging, 2024 update",
}
DOIS: Mapping[str, str] = {
    "CLEAR": "10.1186/s13244-023-01415-8",
    "METRICS": "10.1186/s13244-023-01572-w",
    "TRIPOD+AI": "10.1136/bmj-2023-078378",
    "CLAIM": "10.1148/ryai.240300",
}
AGAINST_COPIES = ("relevance", "spearman", "mrmr", "cfs")
"""Selectors that keep no two features that tell the same."""
COLUMNS = ("guideline", "item", "part", "asks for", "mark", "sections", "what the author adds")


@dataclass(frozen=True)
class Item:
    """One item of a guideline as this run answers it.

    Parameters
    ----------
    sheet, number, part : str
        The guideline, the item's number there, and the part of a paper that it belongs to.
    asks : str
        What it asks for, in a few words of our own.
    mark : {"evidence here", "author to state", "not available"}
    sections : tuple of str
        Names of the report's sections that hold the evidence.
    remains : str
        What the author adds, may be empty.
    """

    sheet: str
    number: str
    part: str
    asks: str
    mark: Mark
    sections: tuple[str, ...]
    remains: str


class Evidence(NamedTuple):
    """Something that a run may have: the section that shows it, and whether this one has it."""

    section: str
    there: Callable[[Result], bool]


def gather(result: Result) -> tuple[Item, ...]:
    """Every item of every sheet, in the order of the publications.

    Parameters
    ----------
    result : Result
    """
    there = {name: evidence.there(result) for name, evidence in EVIDENCE.items()}
    found = []
    for row in csv.DictReader(io.StringIO(read_part("guidelines.csv"))):
        sections = dict.fromkeys(EVIDENCE[name].section for name in row["evidence"].split() if there[name])
        mark = cast(Mark, row["otherwise"]) if not sections else "evidence here"
        found.append(Item(row["sheet"], row["item"], row["part"], row["asks"], mark, tuple(sections), row["remains"]))
    return tuple(found)


def write_guidelines(result: Result, folder: Path) -> None:
    """Write ``guidelines.csv`` and ``guidelines.md`` into a folder, to be completed by the author.

    Parameters
    ----------
    result : Result
    folder : Path
        Made where it is missing.
    """
    items = gather(result)
    writers: dict[str, Writer] = {
        "guidelines.csv": partial(write_csv, pd.DataFrame(map(_cells, items), columns=list(COLUMNS))),
        "guidelines.md": partial(_write_markdown, items=items, title=result.name, phantom=result.phantom),
    }
    write_whole(folder, writers)


def _write_markdown(path: Path, items: tuple[Item, ...], title: str, phantom: bool) -> None:
    name = visible(" ".join(title.split())).translate({ord(sign): f"\\{sign}" for sign in "\\`*_{}[]<>#|!~&"})
    lines = [f"# Guideline sheets: {name}", ""]
    if phantom:
        lines += ["**Phantom data: nothing here is evidence about patients.**", ""]
    lines += [NO_SCORE, ""]
    for sheet, told in NAMES.items():
        lines += [f"## {sheet}", "", f"{told}, doi:{DOIS[sheet]}", ""]
        lines += [f"| {' | '.join(COLUMNS[1:])} |", f"|{' --- |' * (len(COLUMNS) - 1)}"]
        lines += [f"| {' | '.join(_cells(item)[1:])} |" for item in items if item.sheet == sheet]
        lines.append("")
    path.write_text("\n".join(lines), encoding="utf-8", newline="\n")


def _cells(item: Item) -> tuple[str, ...]:
    """Text of our own alone: nothing that a user named is in it."""
    return item.sheet, item.number, item.part, item.asks, item.mark, ", ".join(item.sections), item.remains


NO_SCORE = (
    "Which items this run answers, and where in report.html. Items are told in a few words; the publication says each "
    "of them whole. Evidence here means that this run shows something of what the item asks for, not that the item is "
    "fulfilled: a reader decides that. Nothing is summed to a score: items differ in weight, and most are the author's."
)


def _table(name: str) -> Callable[[Result], bool]:
    def there(result: Result) -> bool:
        table = result.tables.get(name)
        return table is not None and not table.empty

    return there


def _evaluation(name: str) -> Callable[[Result], bool]:
    return lambda result: bool(result.provenance.get("evaluation", {}).get(name))


def _family(name: str, key: str) -> Callable[[Result], bool]:
    def there(result: Result) -> bool:
        families = result.provenance.get("extraction", {}).get("families", {})
        return bool((families.get(name) or {}).get(key))

    return there


def _predicted(result: Result) -> bool:
    return not result.predictions.empty


def _judged_inside(result: Result) -> bool:
    return _predicted(result) and not result.provenance.get("external")


def _clinical_difference(result: Result) -> bool:
    known = result.differences.dropna(subset=["difference"])
    return bool(((known["arm"] == "clinical") | (known["reference"] == "clinical")).any())


def _clinical_arm(result: Result) -> bool:
    arms = set(result.metrics.dropna(subset=["estimate"])["arm"])
    return "clinical" in arms and len(arms) > 1


def _selected(result: Result) -> bool:
    selector = result.provenance.get("evaluation", {}).get("selector", "none")
    return selector != "none" and not result.chosen.empty and not result.shap.empty


def _without_copies(result: Result) -> bool:
    told = result.provenance.get("evaluation", {})
    steps = str(told.get("selector_settings", {})) if told.get("selector") == "chain" else str(told.get("selector"))
    return _selected(result) and any(name in steps for name in AGAINST_COPIES)


def _several_sites(result: Result) -> bool:
    return any(
        plain(str(name)) in PANELS["site"] and len(set(values) - {""}) > 1 for name, values in result.cases.items()
    )


def _results_by_site(result: Result) -> bool:
    groups = result.tables.get("subgroups")
    if groups is None:
        return False
    return bool((groups["column"].map(plain).isin(PANELS["site"]) & groups["auc"].notna()).any())


def _confounders(result: Result) -> bool:
    panel = result.tables.get("confounders")
    return panel is not None and bool(panel["auc"].notna().any())


def _has_sides(result: Result) -> bool:
    return _predicted(result) and bool(result.exclusions["reason"].str.startswith("split.training").any())


def _recalibrated(result: Result) -> bool:
    told = result.tables.get("external")
    return told is not None and bool(told["recalibrated"].any())


def _masks_told(result: Result) -> bool:
    told = result.provenance.get("masks") or {}
    sources = set((told.get("used") or {}).get("sources", {}))
    return bool(sources - {MANUAL, "none"} or told.get("arms") or _table("mask_overlap")(result))


def _missing_told(result: Result) -> bool:
    return _predicted(result) and result.provenance.get("evaluation", {}).get("learner") in MISSING_WORDS


EVIDENCE: Mapping[str, Evidence] = {
    "flow": Evidence("flow", lambda result: not result.cases.empty and bool(result.endpoints)),
    "table_one": Evidence("table_one", _predicted),
    "clinical_columns": Evidence(
        "table_one", lambda result: _predicted(result) and len(result.clinical.columns) > 0
    ),
    "sites": Evidence("table_one", lambda result: _predicted(result) and _several_sites(result)),
    "split_table": Evidence("table_one", _has_sides),
    "missing": Evidence("table_one", _missing_told),
    "reader": Evidence("cohort", lambda result: bool(result.cohort.get("counts") or result.cohort.get("notes"))),
    "endpoints": Evidence("cohort", lambda result: bool(result.endpoints)),
    "masks": Evidence("masks", _masks_told),
    "mask_overlap": Evidence("masks", _table("mask_summary")),
    "sample_size": Evidence("sample_size", _table("sample_size")),
    "metrics": Evidence("arms", lambda result: bool(result.metrics["estimate"].notna().any())),
    "intervals": Evidence("arms", lambda result: bool(result.metrics["low"].notna().any())),
    "thresholds": Evidence("arms", lambda result: bool(result.predictions["threshold"].notna().any())),
    "differences": Evidence("arms", lambda result: bool(result.differences["difference"].notna().any())),
    "clinical_arm": Evidence("arms", _clinical_arm),
    "clinical_differences": Evidence("arms", _clinical_difference),
    "internal": Evidence("arms", _judged_inside),
    "external": Evidence("external", lambda result: bool(result.provenance.get("external"))),
    "recalibrated": Evidence("external", _recalibrated),
    "calibration": Evidence("calibration", _table("calibration")),
    "site_results": Evidence("subgroups", _results_by_site),
    "stability": Evidence("stability", _table("stability")),
    "selection": Evidence("shap_ranking", _selected),
    "redundancy": Evidence("shap_ranking", _without_copies),
    "shap": Evidence("shap_ranking", lambda result: not result.shap.empty),
    "audit": Evidence("audit", _table("audit")),
    "confounders": Evidence("audit", _confounders),
    "errors": Evidence("errors", _predicted),
    "failures": Evidence("failures", lambda result: bool(result.provenance.get("extraction"))),
    "split": Evidence("versions", lambda result: any(fold.get("sha256") for fold in result.folds.values())),
    "radiomics": Evidence("versions", _family("radiomics", "parameters")),
    "deep": Evidence("versions", _family("deep", "weights")),
    "weights": Evidence("versions", _family("deep", "weights")),
    "settings": Evidence("versions", lambda result: bool(result.provenance.get("evaluation"))),
    "learner": Evidence("versions", _evaluation("learner")),
    "balance": Evidence("versions", _evaluation("balance")),
    "fusion": Evidence("versions", _evaluation("fusion")),
    "tuning": Evidence("versions", lambda result: bool(result.provenance.get("params"))),
    "versions": Evidence("versions", lambda result: bool(result.provenance.get("versions"))),
    "seeds": Evidence("versions", lambda result: "seed" in result.provenance),
    "command": Evidence("versions", lambda result: bool(result.provenance.get("run", {}).get("commands"))),
}  # fmt: skip
"""Names that the column ``evidence`` of ``guidelines.csv`` knows."""


def sheets(items: tuple[Item, ...]) -> Iterator[tuple[str, list[Item], dict[Mark, int]]]:
    """Each guideline's name, items, and how many have each mark: a count, no score."""
    for sheet in NAMES:
        mine = [item for item in items if item.sheet == sheet]
        yield sheet, mine, {mark: sum(item.mark == mark for item in mine) for mark in MARKS}
