"""The flow of patients adds up: whoever comes in is left out once or analysed, by lesion and by patient."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cemrad.features.failure import Failure, failures_frame
from cemrad.models.evaluate import evaluate
from cemrad.models.result import EXCLUSION_COLUMNS
from cemrad.reports.flow import MOST_EXITS, SEVERAL, gather
from hypothesis import given, settings
from hypothesis import strategies as st

from .report_fixture import ENDPOINTS, make_cases, make_result

RESULT = make_result()
CASES = make_cases()
REASONS = [f"label.missing: reason {i}" for i in range(MOST_EXITS + 4)]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([None, "unknown", *REASONS]), min_size=len(CASES), max_size=len(CASES)))
def test_in_is_left_out_and_analysed(fates):
    """Each case is analysed, left out with a reason, or without any trace of why."""
    analysed = {case_id for case_id, fate in zip(CASES.index, fates, strict=True) if fate is None}
    rows = [("er", c, fate) for c, fate in zip(CASES.index, fates, strict=True) if fate not in (None, "unknown")]
    kept = RESULT.predictions["case_id"].isin(analysed) | (RESULT.predictions["endpoint"] != "er")
    result = replace(
        RESULT, predictions=RESULT.predictions[kept], exclusions=pd.DataFrame(rows, columns=EXCLUSION_COLUMNS)
    )
    flow = gather(result)
    assert [lane.key for lane in flow.endpoints] == list(ENDPOINTS)
    for lane in flow.endpoints:
        assert lane.n_excluded_cases + lane.n_cases == flow.n_cases == len(CASES)
        assert lane.n_excluded_patients + lane.n_patients == flow.n_patients == CASES["patient_id"].nunique()
        assert len(lane.exits) <= MOST_EXITS + 2
    er = flow.endpoints[1]
    assert er.n_cases == len(analysed)
    assert er.n_patients == CASES.loc[sorted(analysed), "patient_id"].nunique()
    truth = RESULT.predictions.query("endpoint == 'er' and arm == 'deep'").set_index("case_id")["truth"]
    assert er.n_positive_cases == truth[sorted(analysed)].sum()
    assert er.n_positive_patients <= er.n_patients


def test_a_patient_whose_lesions_leave_for_two_reasons_stands_for_herself():
    """c000 and c030 are of one patient."""
    rows = [("er", "c000", "label missing"), ("er", "c030", "no image"), ("er", "c001", "no image")]
    gone = RESULT.predictions["case_id"].isin([row[1] for row in rows])
    result = replace(
        RESULT,
        predictions=RESULT.predictions[~gone],
        exclusions=pd.DataFrame(rows, columns=EXCLUSION_COLUMNS),
        provenance={"endpoints_not_estimable": {}},
    )
    exits = {item.reason: (item.n_cases, item.n_patients) for item in gather(result).endpoints[1].exits}
    assert exits == {"no image": (2, 0), "label missing": (1, 0), SEVERAL: (0, 1)}  # c001's patient has c031 left


def test_rows_that_never_became_a_case_are_told_by_code():
    failures = failures_frame(
        [Failure("c000", "deep", "image.damaged", "no"), Failure("x1", "cohort", "image.missing", "no"),
         Failure("x1", "cohort", "label.missing", "no"), Failure("x2", "cohort", "image.missing", "no")]
    )  # fmt: skip
    flow = gather(replace(RESULT, failures=failures))
    assert flow.refused == (("image.missing", 2),)
    assert flow.n_with_failures == 1
    assert flow.n_pictures is None


@pytest.mark.parametrize("by", ["folds", "share"])
def test_an_evaluation_adds_up(make_table, quick, by):
    table, labels = make_table(50, seed=2)
    labels.loc[labels.index[:5], "malignancy"] = None
    values = table.values.copy()
    values.loc[values.index[7], [name for name in values if name.startswith("deep:")]] = np.nan
    settings_ = quick.model_copy(
        update={"arms": ("radiomics", "fused"), "split": quick.split.model_copy(update={"by": by})}
    )
    result = evaluate(replace(table, values=values), labels, ["malignancy", "er"], settings_)
    flow = gather(result)
    for lane in flow.endpoints:
        assert lane.n_excluded_cases + lane.n_cases == len(table.cases)
        assert lane.n_excluded_patients + lane.n_patients == flow.n_patients == 50
        assert lane.n_cases == result.endpoints[lane.key]["n"]
        assert lane.n_patients == result.endpoints[lane.key]["n_patients"]
        assert lane.n_positive_cases == result.endpoints[lane.key]["n_positive"]
    reasons = {item.reason.split(":")[0]: item.n_cases for item in flow.endpoints[0].exits}
    assert reasons["label.missing"] == 5
    assert reasons["features.missing"] == 1
    assert ("split.training" in reasons) == (by == "share")
