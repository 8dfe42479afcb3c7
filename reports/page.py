"""The page: facts and sections become one HTML file that needs nothing else; where cases are many, pages beside it."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from markupsafe import Markup

from ..features.cells import write_csv
from ..features.whole import write_whole
from ..models.result import Result
from .case_index import page_name, split_cases
from .case_page import render_case
from .facts import Facts, ReportSettings, gather_facts, shown_cases
from .guidelines import write_guidelines
from .sections import SHELF
from .template import fill, read_part
from .twin import facts_tables, twin_text

STYLES = ("page.css", "cohort.css", "shap.css", "cases.css", "case_maps.css", "case_index.css", "chart.css")
SCRIPTS = ("page.js", "cases.js", "case_index.js", "chart.js")
"""Files of this package that become the page's one style sheet and its one script, in this order."""

MAX_CASE_BYTES = 7_000_000
"""Most that the cases in the report's own file take, so that it opens at once and can be sent."""
_SAMPLED = 5
_OF_CASES = ("cases", "glossary")
"""Sections of a page of cases beside the report."""

__all__ = ["ReportSettings", "Section", "shown_cases", "write_report"]


class Section(Protocol):
    """The contract of ``reports/sections/NAME.py``: a title, a place, and what it prints."""

    TITLE: str
    ORDER: int

    def render(self, facts: Facts, result: Result) -> Markup:
        """The section's body as escaped HTML.

        It says so where there is nothing to show. A section that is about another kind of evaluation than this one is
        empty, and left out.
        """
        ...


def write_report(result: Result, path: Path, settings: ReportSettings | None = None) -> Path:
    """Write a result as one self-contained HTML file, with its numbers beside it.

    Of ``report.html`` these are ``report.json`` (every fact of the page) and the tables ``report_tables/*.csv``. Where
    more cases are shown than fit one file, the others stand in ``report_cases/*.html``, each as self-contained.

    Parameters
    ----------
    result : Result
    path : Path
        The file; its folder is made where it is missing. It appears whole or not at all.
    settings : ReportSettings, optional
        What is shown, and how much of it.

    Returns
    -------
    Path
        The file.
    """
    facts = gather_facts(result, settings)
    facts = facts.placed(min(facts.n_here, _fitting(facts, result)), path.stem)
    tables = facts_tables(facts, result)
    csv = {f"{name}.csv": partial(write_csv, table) for name, table in tables.items()}
    folder = path.with_name(f"{path.stem}_tables")
    write_whole(folder, csv)
    for file in folder.glob("*.csv"):
        if file.name not in csv:
            file.unlink()  # of an earlier report
    _write_pages(facts, result, path)
    texts = {path.name: render_page(facts, result), f"{path.stem}.json": twin_text(facts, result, tables)}
    write_whole(path.parent, {name: partial(_write_text, text) for name, text in texts.items()})
    write_guidelines(result, path.parent)
    return path


def render_page(facts: Facts, result: Result) -> str:
    """The report's own file as text.

    Parameters
    ----------
    facts : Facts
        Of the same result.
    result : Result
        For what only one section needs: pixels, single failures, provenance.
    """
    here = replace(facts, cases=tuple(split_cases(facts.cases, facts.n_here)[0]))
    parts = {name: SHELF.take(name) for name in SHELF.names()}
    ordered: dict[str, Section] = dict(sorted(parts.items(), key=lambda item: (item[1].ORDER, item[0])))
    sections = [(name, part.TITLE, body) for name, part in ordered.items() if (body := part.render(here, result))]
    return _whole_page("page.html.j2", facts=here, sections=sections)


def render_cases(facts: Facts, result: Result, number: int, home: str) -> str:
    """A page of cases that the report's own file has no room for, as text.

    Parameters
    ----------
    facts : Facts
    result : Result
    number : int
        Of the page, from 1.
    home : str
        Name of the report's file, in the folder above.
    """
    pages = split_cases(facts.cases, facts.n_here)
    here = replace(facts, cases=tuple(pages[number]))
    first = sum(map(len, pages[:number])) + 1
    last = first + len(here.cases) - 1
    parts: dict[str, Section] = {name: SHELF.take(name) for name in _OF_CASES}
    sections = [(name, part.TITLE, body) for name, part in parts.items() if (body := part.render(here, result))]
    return _whole_page(
        "case_pages.html.j2",
        facts=here,
        sections=sections,
        first=first,
        last=last,
        home=f"../{quote(home)}",
        before=page_name(number - 1) if number > 1 else "",
        after=page_name(number + 1) if number + 1 < len(pages) else "",
    )


def _fitting(facts: Facts, result: Result) -> int:
    """How many cases of the size of these are no larger than the report's own file may become."""
    some = facts.cases[:: max(1, len(facts.cases) // _SAMPLED)]
    largest = max((len(render_case(facts, result, case)) for case in some), default=1)
    return int(MAX_CASE_BYTES // largest)


def _write_pages(facts: Facts, result: Result, path: Path) -> None:
    """The pages of cases, one after the other; those of an earlier report that has more go."""
    folder = path.with_name(f"{path.stem}_cases")
    n_pages = len(split_cases(facts.cases, facts.n_here)) - 1

    def write(number: int, part: Path) -> None:
        _write_text(render_cases(facts, result, number, path.name), part)

    if n_pages:
        write_whole(folder, {page_name(number): partial(write, number) for number in range(1, n_pages + 1)})
    for old in folder.glob("[0-9]*.html"):
        if old.stem.isdigit() and int(old.stem) > n_pages:
            old.unlink()
    if not n_pages and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _whole_page(template: str, **values: Any) -> str:
    script = "\n".join(map(read_part, SCRIPTS))
    style = "\n".join(map(read_part, STYLES))
    return str(fill(template, style=Markup(style), script=Markup(script), policy=content_policy(script), **values))


def _write_text(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def content_policy(script: str) -> str:
    """The page's content security policy: no network at all, and no script but this one.

    Parameters
    ----------
    script : str
        The text between the script tags, byte for byte.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
