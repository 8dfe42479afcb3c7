"""The report in a real browser: it asks for nothing, complains of nothing, works by mouse and keyboard and prints."""

import re
from pathlib import Path

import pytest
from cemrad.reports.page import ReportSettings, write_report

from .browser import browser, find_browser
from .hostile import hostile_result
from .report_fixture import N_CASES, make_result

pytestmark = pytest.mark.skipif(find_browser() is None, reason="needs Chromium: no chromium or google-chrome here")
WIDTHS = (1280, 390)
SHOWN = "Array.from(document.querySelectorAll('#case-rows tbody tr')).filter((row) => !row.hidden)"
CHECKS = Path(__file__).with_name("page_checks.js").read_text(encoding="utf-8")


def _check(tab, name):
    return tab.value(f"(() => {{ {CHECKS}\nreturn {name}(); }})()")


@pytest.fixture(scope="module")
def tab():
    with browser() as one:
        yield one


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A phantom report with 4 cases in its file and 26 on two pages; every fourth case has pictures."""
    folder = tmp_path_factory.mktemp("report")
    drawn = make_result().crops
    crops = {case_id: drawn[case_id] for case_id in list(drawn)[::4]}
    return write_report(
        make_result(phantom=True, crops=crops), folder / "report.html", ReportSettings(max_cases=30, cases_in_file=4)
    )


@pytest.fixture
def opened(tab, report):
    tab.emulate()
    tab.open(report)
    return tab


@pytest.mark.parametrize("width", WIDTHS)
def test_the_report_asks_for_nothing_and_complains_of_nothing(tab, report, width):
    tab.open(report, width=width)
    tab.value("window.scrollTo(0, document.body.scrollHeight)")
    assert tab.requests() == [report.as_uri()]
    assert tab.complaints() == []
    assert tab.value("performance.getEntriesByType('resource').filter((e) => !e.name.startsWith('data:')).length") == 0


def test_every_section_is_there_and_none_is_empty(opened):
    listed = opened.value("Array.from(document.querySelectorAll('.contents a')).map((a) => a.hash.slice(1))")
    assert listed == opened.value("Array.from(document.querySelectorAll('main > section')).map((s) => s.id)")
    assert {"summary", "cohort", "arms", "roc", "case_index", "cases", "failures", "versions"} <= set(listed)
    assert opened.value("Array.from(document.querySelectorAll('main > section')).every((s) => s.innerText.length > 60)")


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(tab, report, width):
    tab.open(report, width=width)
    tab.value("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    assert tab.value("document.documentElement.scrollWidth") <= width


def test_a_click_on_a_heading_sorts_and_another_turns_it(opened):
    column = "Array.from(document.querySelectorAll('#case-rows tbody tr')).map((r) => Number(r.cells[5].dataset.value))"
    opened.click("#case-rows thead th:nth-child(6) button")
    values = opened.value(column)
    assert len(values) == 2 * N_CASES
    assert values == sorted(values)
    assert opened.value("document.querySelector('#case-rows thead th:nth-child(6)').ariaSort") == "ascending"
    opened.click("#case-rows thead th:nth-child(6) button")
    assert opened.value(column) == sorted(values, reverse=True)


def test_the_filter_shows_what_is_sought_and_says_how_much(opened):
    assert opened.value(f"{SHOWN}.length") == 2 * N_CASES
    opened.click("[data-filter] [data-text]")
    opened.type("C01")
    assert opened.value(f"{SHOWN}.map((row) => row.cells[0].textContent.slice(0, 3))") == ["c01"] * 20
    status = "document.querySelector('[data-filter] [role=status]').textContent"
    assert opened.value(status) == "20 of 80 rows shown, of 10 cases"
    for outcome in ("true negative", "true positive"):
        opened.click(f'[data-filter] [data-outcome="{outcome}"]')
    assert all(text.startswith("false") for text in opened.value(f"{SHOWN}.map((row) => row.cells[8].textContent)"))
    opened.value("(() => { const one = document.querySelector('[data-filter] select'); one.value = '2';"
                 " one.dispatchEvent(new Event('input', { bubbles: true })); })()")  # fmt: skip
    assert set(opened.value(f"{SHOWN}.map((row) => row.cells[3].textContent)")) == {"ER status"}


def test_a_case_opens_from_the_table_and_has_the_focus(opened):
    opened.value("document.querySelector('#case-3').open = false")
    case_id = opened.value("document.querySelector('#case-3 .case-id').textContent")
    opened.value("document.querySelector('#case-rows a[href=\"#case-3\"]').id = 'wanted'")
    opened.click("#wanted")
    opened.wait("location.hash === '#case-3'")
    assert opened.value("document.querySelector('#wanted').textContent") == case_id
    opened.wait("document.querySelector('#case-3').open")
    opened.wait("document.activeElement === document.querySelector('#case-3 > summary')")
    opened.wait("[...document.querySelectorAll('#case-3 img')].every((one) => one.complete && one.naturalWidth)")


def test_a_case_on_a_page_beside_the_report_opens(opened, report):
    opened.value("document.querySelector('#case-rows a[href*=\"0002.html\"]').id = 'far'")
    case_id = opened.value("document.querySelector('#far').textContent")
    opened.click("#far")
    opened.wait("location.href.includes('report_cases/0002.html#') && document.readyState === 'complete'")
    opened.wait("document.activeElement.localName === 'summary'")
    assert case_id in opened.value("document.activeElement.textContent")
    assert opened.complaints() == []
    assert opened.requests() == [report.as_uri(), (report.parent / "report_cases" / "0002.html").as_uri()]
    assert _check(opened, "brokenRules") == []
    opened.click(".contents a[href='../report.html#case_index']")
    opened.wait("location.href.endsWith('report.html#case_index')")


def test_the_keyboard_alone_reaches_and_opens_a_case(opened):
    opened.press("Tab")
    assert opened.value("document.activeElement.className") == "skip"
    assert opened.value("document.activeElement.getBoundingClientRect().top >= 0")
    opened.value("document.querySelector('#case-rows thead th:last-child button').focus()")
    opened.press("Tab")
    assert opened.value("document.activeElement.closest('#case-rows tbody') !== null")
    outline = opened.value("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    while not opened.value("document.activeElement.getAttribute('href')?.startsWith('#case-')"):
        opened.press("Tab")
    sought = opened.value("document.activeElement.hash")
    opened.press("Enter")
    opened.wait(f"location.hash === '{sought}'")
    opened.wait(f"document.activeElement === document.querySelector('{sought} > summary')")
    opened.press("Enter")
    assert opened.value(f"document.querySelector('{sought}').open") is False


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read_against_what_is_behind_them(tab, report, scheme):
    """WCAG 2.2, 1.4.3: at least 4.5 to 1."""
    tab.emulate(scheme=scheme)
    tab.open(report)
    assert tab.value("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)" if scheme == "light" else "rgb(18, 22, 26)"
    )
    assert _check(tab, "faintWords") == []
    tab.emulate()


def test_a_screen_reader_finds_names_roles_and_an_order_of_headings(opened):
    assert _check(opened, "brokenRules") == []


def test_one_case_is_one_sheet_of_paper(tab, report, tmp_path):
    tab.open(report, "?chart#case-3")
    assert tab.value("[...document.querySelectorAll('.case')].filter((one) => one.checkVisibility()).length") == 1
    text = tab.value("document.body.innerText")
    for words in ("PHANTOM DATA", "Research use only", "Phantom demo study"):
        assert words.lower() in text.lower()
    assert _n_sheets(tab.pdf(tmp_path / "chart.pdf").read_bytes()) == 1
    assert tab.complaints() == []


def test_the_whole_report_prints_with_its_cases_open(tab, report, tmp_path):
    tab.open(report)
    assert _n_sheets(tab.pdf(tmp_path / "whole.pdf").read_bytes()) > 10
    assert (
        tab.value("[...document.querySelectorAll('details.case')].filter((one) => one.open).length") == 1
    )  # as before


def _n_sheets(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


@pytest.mark.parametrize("where", ["report.html", "report_cases/0001.html"])
def test_hostile_text_runs_nothing_and_asks_for_nothing(tab, tmp_path, where):
    path = write_report(hostile_result(), tmp_path / "report.html", ReportSettings(max_cases="all", cases_in_file=20))
    page = path.parent / where
    tab.open(page)
    tab.value("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    tab.value("[...document.querySelectorAll('main *')].slice(0, 4000).forEach((one) => {"
              " one.dispatchEvent(new MouseEvent('mouseover')); one.focus(); })")  # fmt: skip
    tab.value("new Promise((done) => setTimeout(done, 200))")
    assert tab.requests() == [page.as_uri()]
    assert tab.complaints() == []
    assert _check(tab, "executable") == {"found": [], "scripts": 1, "styles": 1, "links": 1}


def test_hostile_file_names_lead_to_their_pages(tab, tmp_path):
    settings = ReportSettings(max_cases=20, cases_in_file=2)
    path = write_report(make_result(crops={}), tmp_path / "a #1 %41&'b.html", settings)
    tab.open(path)
    assert tab.value("document.querySelectorAll('#case-rows a').length") == 2 * 20
    tab.value("document.querySelector('#case-rows a[href*=\"_cases\"]').id = 'far'")
    tab.click("#far")
    tab.wait("document.title.includes('cases 3 to 20')")
    tab.click(".contents a")
    tab.wait("location.hash === '#case_index' && document.readyState === 'complete'")
    assert tab.complaints() == []
