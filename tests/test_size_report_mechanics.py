"""Report parts of sample size, learning curve and persons: there, absent, hostile; and what a pre-flight says."""

import re

import numpy as np
import pandas as pd
import pytest
from cemrad.models.learning_curve import LEARNING_CURVE_COLUMNS, LEARNING_FIT_COLUMNS
from cemrad.models.persons import SAME_PERSON_COLUMNS
from cemrad.models.power_law import FLAT, RISING, UNCLEAR, UNKNOWN
from cemrad.models.sample_size import Offer, SampleSizeSettings, survey
from cemrad.pipeline.labels import LevelCount
from cemrad.pipeline.size_advice import size_advice
from cemrad.reports.facts import gather_facts
from cemrad.reports.sections import SHELF

from .report_fixture import make_result

HOSTILE = '"><script>alert(1)</script>'


def rendered(section, result):
    return str(SHELF.take(section).render(gather_facts(result), result))


def with_table(**tables):
    return make_result(tables=tables)


def test_sections_say_so_where_there_is_nothing():
    assert "holds no sample size" in rendered("sample_size", make_result())
    assert "No learning curve was made" in rendered("learning_curve", make_result())
    assert "under several ids" not in rendered("cohort", make_result())
    empty = with_table(
        sample_size=survey([]),
        same_person=pd.DataFrame(columns=SAME_PERSON_COLUMNS),
        learning_curve=pd.DataFrame(columns=LEARNING_CURVE_COLUMNS),
        learning_curve_fit=pd.DataFrame(columns=LEARNING_FIT_COLUMNS),
    )
    assert "holds no sample size" in rendered("sample_size", empty)
    assert "No learning curve was made" in rendered("learning_curve", empty)
    assert "No two patients share a picture" in rendered("cohort", empty)


def test_the_sample_size_says_how_many_models_have_too_few():
    few = Offer("malignancy", "radiomics", 100, 40, 500)
    many = Offer("er", "clinical", 90_000, 40_000, 3)
    both = rendered("sample_size", with_table(sample_size=survey([few, many])))
    assert "1 of 2 models have fewer patients" in both
    assert "Malignancy" in both
    assert "No model has as many" in rendered("sample_size", with_table(sample_size=survey([few])))
    assert "There are as many patients" in rendered("sample_size", with_table(sample_size=survey([many])))


def curve_of(verdict, gap=False):
    estimates = [np.nan if gap else 0.6, 0.7, 0.75, 0.78]
    method = ["not estimable: too few" if gap else "t", "t", "t", "t"]
    points = pd.DataFrame(
        {
            "endpoint": "malignancy", "level": "lesion", "arm": "fused", "fraction": [0.25, 0.5, 0.75, 1.0],
            "n_persons": [25.0, 50, 75, 100], "n_cases": [30.0, 60, 90, 120], "estimate": estimates,
            "low": [np.nan, 0.6, 0.65, 0.7], "high": [np.nan, 0.8, 0.85, 0.86], "method": method,
        }
    )[LEARNING_CURVE_COLUMNS]  # fmt: skip
    known = np.nan if verdict == UNKNOWN else 1.0
    fit = pd.DataFrame(
        [["malignancy", "lesion", "fused", 0.9 * known, 1.2, 0.5, 100.0, 0.78, 0.815, 0.5, 0.08, 0.02, 0.14, verdict]],
        columns=LEARNING_FIT_COLUMNS,
    )
    return with_table(learning_curve=points, learning_curve_fit=fit)


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (RISING, "still rises: twice as many (200 to learn from) would give about 0.8"),
        (FLAT, "would change little"),
        (UNCLEAR, "cannot be told from so few"),
        (UNKNOWN, "nothing can be said about more patients"),
    ],
)
def test_a_learning_curve_is_drawn_and_judged(verdict, words):
    page = rendered("learning_curve", curve_of(verdict))
    assert words in page
    assert page.count("<circle") == 4
    assert page.count("whisker") == 3, "a point without an interval has no bar"
    assert not re.search(r"\bnan\b", page)
    if verdict != UNKNOWN:
        assert "From 50 % of the persons to all of them the AUC changed by +0.080 [+0.020, +0.140]" in page


def test_a_share_that_could_not_be_estimated_is_told_and_not_drawn():
    page = rendered("learning_curve", curve_of(UNCLEAR, gap=True))
    assert page.count("<circle") == 3
    assert "25 % of the persons: not estimable: too few" in page


def test_ids_are_escaped():
    ties = pd.DataFrame([[HOSTILE, "P2", "identical pictures", "RC_CC", "RC_CC"]], columns=SAME_PERSON_COLUMNS)
    page = rendered("cohort", with_table(same_person=ties))
    assert "1 pair of patient ids shares pictures and is taken for one person" in page
    assert "<script" not in page
    curve = curve_of(RISING)
    for table in curve.tables.values():
        table["endpoint"] = HOSTILE
    assert "<script" not in rendered("learning_curve", curve)
    sizes = survey([Offer(HOSTILE, "fused", 100, 40, 10)])
    assert "<script" not in rendered("sample_size", with_table(sample_size=sizes))


def test_a_pre_flight_says_what_the_patients_are_enough_for():
    levels = [
        LevelCount("lesion", "er", {"positive": 200, "negative": 100}, 0, 0),
        LevelCount("patient", "er", {"positive": 200, "negative": 100}, 5, 0),
        LevelCount("patient", "grade", {"1": 20, "2": 100, "3": 50}, 0, 0),
        LevelCount("patient", "malignancy", {"malignant": 8, "benign": 10, "normal": 2, "later": 9}, 0, 0),
    ]
    lines = list(size_advice(levels, 500))
    assert lines[0].startswith("er: 100 of 300 patients on the rarer side: enough for 3 candidate parameters (R2 0.1")
    assert lines[1] == "er: 342 patients would be needed to know the overall risk within 0.05"
    assert "er: 500 columns to choose from, 0.2 events each: expect a model that is too sure of itself" in lines[2]
    assert lines[3].startswith("malignancy: 8 of 20 patients on the rarer side: enough for not one candidate parameter")
    assert not any("grade" in line for line in lines)
    better = list(size_advice(levels[:2], 0, SampleSizeSettings(auc=0.9)))
    assert "enough for 5 candidate parameters" in better[0]
    assert len(better) == 2
