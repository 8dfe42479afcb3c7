"""The confounder panel: what knows nothing of the lesion's inside, on the very same split."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cemrad.models.audit_study import audit_result, lay_out_again
from cemrad.models.confounders import (
    CONFOUNDER_COLUMNS,
    PANELS,
    columns_of_panel,
    confounder_columns,
    confounder_panel,
)
from cemrad.models.evaluate import evaluate
from cemrad.models.folds import seed_of
from cemrad.models.intervals import cv_auc
from cemrad.models.units import held_out


@pytest.fixture(scope="module")
def studied(make_table, quick):
    """A study whose features say nothing, whose sites differ in their share of malignant cases, and its result."""
    table, labels = make_table(60, effect=0.0, seed=4)
    rng = np.random.default_rng(0)
    malignant = (labels["malignancy"] == "malignant").to_numpy()
    site = np.where(rng.random(len(malignant)) < 0.15 + 0.7 * malignant, "north", "south")
    table = replace(
        table, cases=table.cases.assign(site=site, vendor="GE", bpe=rng.choice(["mild", "marked"], len(site)))
    )
    settings = quick.model_copy(update={"arms": ("clinical", "radiomics")})
    return table, labels, settings, evaluate(table, labels, ["malignancy"], settings)


def test_columns_come_from_cases_clinical_values_and_shape_features(studied):
    table = studied[0]
    shape = table.values["radiomics:LE_CC:r000"].rename("radiomics:LE_CC:original_shape2D_PixelSurface")
    table = replace(table, values=pd.concat([table.values, shape], axis=1))
    found = list(confounder_columns(table).columns)
    assert sorted(columns_of_panel(found, "site")) == ["confounder:case:site=north", "confounder:case:site=south"]
    assert columns_of_panel(found, "age") == ["confounder:case:age"]
    assert "confounder:case:density=C" in columns_of_panel(found, "breast")
    assert "confounder:case:bpe=mild" in columns_of_panel(found, "breast")
    assert columns_of_panel(found, "size") == ["confounder:LE_CC:volume=original_shape2D_PixelSurface"]
    assert columns_of_panel(found, "geometry") == ["confounder:LE_CC:shape=original_shape2D_PixelSurface"]


def test_a_site_that_gives_the_label_away_is_found_and_fails_the_audit(studied):
    table, labels, settings, result = studied
    plans = lay_out_again(table, labels, ["malignancy"], settings, result)
    found = audit_result(table, plans, settings, confounder_columns(table), result)
    panel = found["confounders"].set_index("panel")
    assert list(found["confounders"].columns) == CONFOUNDER_COLUMNS
    assert set(panel.index) == set(PANELS)
    # Sites of 85 and 15 %: the best that a rule on the site can do is an AUC of 0.85.
    assert panel.loc["site", "auc"] == pytest.approx(0.85, abs=0.06)
    assert panel.loc["site", "low"] > 0.5
    assert panel.loc["site", "explains"]
    assert panel.loc["site", "difference"] < 0  # the best arm of features that say nothing, less the site
    assert "may be explained by it, and the arm" in panel.loc["site", "text"]
    assert not panel.loc["breast", "explains"]
    assert np.isnan(panel.loc["vendor", "auc"])  # one vendor
    assert "the same for all cases" in panel.loc["vendor", "text"]
    states = found["audit"].set_index("check")["state"]
    assert states["confounder: site"] == "failed"
    assert states["confounder: breast density or BPE"] == "finding"
    assert states["confounder: vendor"] == "not applicable"
    assert states["row garbage"] == "passed"
    assert states["duplicate person"] == "passed"


def test_a_panel_is_judged_on_the_split_of_the_arms(studied):
    """With the clinical columns as a panel, one fold fitted by hand gives the panel's margins."""
    table, labels, settings, result = studied
    [(design, split)] = lay_out_again(table, labels, ["malignancy"], settings, result)
    known = confounder_columns(table)
    row = confounder_panel([(design, split)], result, known, settings).set_index("panel").loc["age"]
    learner = settings.make_learner()
    arm = result.predictions.query("arm == 'radiomics'").set_index("case_id")
    parts = arm.assign(probability=np.nan)
    seed = seed_of(settings.seed, "malignancy", "confounder", "age")
    x = known.loc[list(design.rows.case_ids), ["confounder:case:age"]].to_numpy()
    for fold in range(5):
        held_ids = arm.index[arm["fold"] == fold]
        held = np.flatnonzero(np.isin(design.rows.case_ids, held_ids))
        fit = np.setdiff1d(np.arange(len(x)), held)
        model = learner.fit(x[fit], design.rows.y[fit], learner.candidates()[0], seed_of(seed, 0, fold))
        parts.loc[[design.rows.case_ids[i] for i in held], "probability"] = model.margin(x[held])
    expected = cv_auc(held_out(parts.reset_index(), "lesion"))
    assert row["auc"] == pytest.approx(expected.estimate, abs=1e-12)
    assert row["low"] == pytest.approx(expected.low, abs=1e-12)


def test_another_split_than_the_result_was_made_with_is_refused(studied):
    from cemrad.features.errors import LeakageError

    table, labels, settings, result = studied
    with pytest.raises(LeakageError, match="another split"):
        lay_out_again(table, labels, ["malignancy"], settings.model_copy(update={"seed": 7}), result)


def test_a_result_whose_model_saw_the_held_out_rows_is_told(studied):
    """One gain changed in the last bit: what is stored is not what an honest fit gives."""
    table, labels, settings, result = studied
    plans = lay_out_again(table, labels, ["malignancy"], settings, result)
    chosen = result.chosen.copy()
    at = chosen.index[(chosen["arm"] == "radiomics") & (chosen["fold"] == 0)][0]
    chosen.loc[at, "gain"] = np.nextafter(chosen.loc[at, "gain"], np.inf)
    changed = replace(result, chosen=chosen)
    checks = audit_result(table, plans, settings, confounder_columns(table), changed)["audit"].set_index("check")
    assert checks.loc["row garbage", "state"] == "failed"


def test_an_endpoint_of_several_classes_is_audited_class_by_class(make_table, quick):
    """Its classes share a split, which the audit must lay out again."""
    table, labels = make_table(60, seed=4)
    rng = np.random.default_rng(0)
    subtype = rng.choice(["luminal A", "luminal B", "triple negative"], len(labels))
    labels = labels.assign(malignancy="malignant", molecular_subtype=subtype)
    settings = quick.model_copy(update={"arms": ("radiomics",), "outer_folds": 3})
    result = evaluate(table, labels, ["molecular_subtype"], settings)
    plans = lay_out_again(table, labels, ["molecular_subtype"], settings, result)
    assert len(plans) == result.predictions["endpoint"].nunique() >= 3
    found = audit_result(table, plans, settings, confounder_columns(table), result)
    assert (found["audit"].query("check == 'row garbage'")["state"] == "passed").all()
    assert found["confounders"]["endpoint"].nunique() == len(plans)
