"""Pictures of a report for the docs, taken by a real browser.

    python tests/report_pictures.py runs/demo docs/img

Of a run's folder, or of a report's file: the top, the table of all cases and a case at 1280 and 390 px, in the dark,
and a case as a sheet of paper.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

if __package__:
    from .browser import Tab, browser
else:
    from browser import Tab, browser  # type: ignore[no-redef]

WIDTHS = {1280: 900, 390: 844}


def take_pictures(report: Path, folder: Path, places: tuple[str, ...] = ("case_index", "case-1")) -> list[Path]:
    """Pictures of a report as PNG files, and where they are.

    Parameters
    ----------
    report : Path
        The HTML file.
    folder : Path
    places : tuple of str
        Ids of sections and cases to show, beside the top of the page.
    """
    found = []
    with browser() as tab:
        for width, height in WIDTHS.items():
            tab.open(report, width=width, height=height)
            found.append(tab.picture(folder / f"report-top-{width}.png"))
            for place in places:
                _go(tab, place)
                found.append(tab.picture(folder / f"report-{place.removesuffix('-1')}-{width}.png"))
            assert tab.value("document.documentElement.scrollWidth") <= width, "wider than the window"
        tab.emulate(scheme="dark")
        tab.open(report)
        _go(tab, places[-1])
        found.append(tab.picture(folder / "report-dark-1280.png"))
        tab.emulate(media="print")
        tab.open(report, "?chart#case-1", width=718, height=1010)
        found.append(tab.picture(folder / "report-chart.png", whole=True))
        assert not tab.complaints(), tab.complaints()
    return found


def _go(tab: Tab, place: str) -> None:
    """Show a part of the page, its pictures decoded."""
    at = f"document.getElementById({json.dumps(place)})"
    tab.value(f"{at}.open = true; document.querySelectorAll('img').forEach((one) => (one.loading = 'eager'))")
    tab.value(f"Promise.all(Array.from({at}.querySelectorAll('img'), (one) => one.decode()))")
    tab.value(f"{at}.scrollIntoView()")


def main() -> None:
    source, folder = map(Path, sys.argv[1:])
    for path in take_pictures(source / "report.html" if source.is_dir() else source, folder):
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
