"""The page: facts and sections become one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Protocol

from markupsafe import Markup

from ..features.whole import write_whole
from ..models.result import Result
from .facts import Facts, ReportSettings, gather_facts, shown_cases
from .sections import SHELF
from .template import fill, read_part

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
    """Write a result as one self-contained HTML file.

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
    text = render_page(gather_facts(result, settings), result)
    write_whole(path.parent, {path.name: lambda part: part.write_text(text, encoding="utf-8", newline="\n")})
    return path


def render_page(facts: Facts, result: Result) -> str:
    """The whole page as text.

    Parameters
    ----------
    facts : Facts
        Of the same result.
    result : Result
        For what only one section needs: pixels, single failures, provenance.
    """
    parts = {name: SHELF.take(name) for name in SHELF.names()}
    ordered: dict[str, Section] = dict(sorted(parts.items(), key=lambda item: (item[1].ORDER, item[0])))
    script = read_part("page.js")
    return str(
        fill(
            "page.html.j2",
            facts=facts,
            sections=[
                (name, part.TITLE, body) for name, part in ordered.items() if (body := part.render(facts, result))
            ],
            style=Markup(read_part("page.css")),
            script=Markup(script),
            policy=content_policy(script),
        )
    )


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
