"""The review sheet in a real browser: the verdicts that it writes hold no formula, and come back as they were."""

import pytest
from cemrad.features.cells import guard
from cemrad.pipeline.draw import draw_cohort
from cemrad.pipeline.review import write_review
from cemrad.pipeline.verdicts import review_rows

from .browser import browser, find_browser
from .fake_drawer import BIG, FakeDrawer, case, cohort, picture
from .hostile import HOSTILE

pytestmark = pytest.mark.skipif(find_browser() is None, reason="needs Chromium: no chromium or google-chrome here")


def test_what_the_sheet_writes_is_no_formula_and_comes_back(tmp_path):
    ids = [text for text in HOSTILE if "\x00" not in text]
    folder = draw_cohort(cohort(*(case(text, RC_CC=picture(BIG)) for text in ids)), FakeDrawer(), tmp_path)
    (path,) = write_review(cohort(*(case(text, RC_CC=picture(BIG)) for text in ids)), folder)
    with browser() as tab:
        tab.open(path)
        assert tab.requests() == [path.as_uri()]
        assert tab.complaints() == []
        tab.value("document.querySelectorAll('[data-comment] input').forEach((one) => (one.value = '=1+1'))")
        text = tab.value("csv()")
    (tmp_path / "said.csv").write_text(text, encoding="utf-8", newline="")
    rows = [row for _, row in review_rows(tmp_path / "said.csv")]
    assert {row["case_id"] for row in rows} == set(ids)
    assert {row["comment"] for row in rows if not row["region"]} == {"=1+1"}
    for one in (*ids, "=1+1"):
        cell = guard(one).replace('"', '""')
        assert f"{cell}," in text or f'{cell}",' in text
