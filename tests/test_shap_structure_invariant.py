"""Clusters, credit of groups, steadiness and accounts: laws that hold whatever the data."""

import numpy as np
import pandas as pd
import pytest
from cemrad.models.account import SHELF
from cemrad.models.clusters import LEAST, cluster_table, correlation, groups_of
from cemrad.models.credit import HeldOutShap, places
from cemrad.models.evaluate import EvaluationSettings, evaluate
from cemrad.models.kinds import Kind
from cemrad.models.ranking import SELECTION_COLUMNS, mean_over_folds, selection_stability
from cemrad.models.result import Result
from cemrad.reports.explanation import gather
from cemrad.reports.page import write_report

STRONG, COPY = "radiomics:LE_CC:r000", "radiomics:RC_CC:twin"
QUICK = {
    "n_candidates": 1, "arms": ["fused"], "scoring": {"n_bootstrap": 100, "further": []}, "sample_size": {},
    "learner_settings": {"max_depth": [2], "n_rounds": [30], "max_bin": 32, "colsample_bytree": 1.0},
}  # fmt: skip


@pytest.fixture(scope="module")
def studied(make_table):
    """A table whose strongest radiomic feature has a twin, and evaluations of it: all features given, or selected."""
    table, labels = make_table(70, n_columns=8)
    values = table.values.copy()
    rng = np.random.default_rng(1)
    values[COPY] = 3 * values[STRONG] + 0.6 * rng.normal(size=len(values))
    twins = type(table)(values, table.cases)

    def study(of, **settings):
        return evaluate(of, labels, ["malignancy"], EvaluationSettings(**(QUICK | settings)))

    return {
        "alone": study(table, selector="none"),
        "twins": study(twins, selector="none"),
        "selected": study(twins, selector_settings={"n_features": 5}),
        "interventional": study(twins, selector="none", shap="interventional"),
    }


def _told(result):
    return gather(result, "malignancy", "fused", 15)


def test_twins_end_in_one_cluster_that_has_the_credit_of_the_one(studied):
    alone, twins = (_told(studied[name]).further.clusters for name in ("alone", "twins"))
    (one,) = [cluster for cluster in alone if STRONG in cluster.members]
    (both,) = [cluster for cluster in twins if STRONG in cluster.members]
    assert set(both.members) >= {STRONG, COPY}
    assert both.credit.moved == pytest.approx(one.credit.moved, rel=0.2)
    assert both.strongest < 0.9 * one.strongest  # alone each looks weaker than it is
    assert both.n_models == 5


def test_a_twin_that_no_model_was_given_is_named(studied):
    result = studied["selected"]
    chosen = set(result.chosen.query("arm == 'fused'")["feature"])
    assert len({STRONG, COPY} & chosen) == 1  # the selector takes one of what is alike
    (left_out,) = {STRONG, COPY} - chosen
    (cluster,) = [one for one in _told(result).further.clusters if {STRONG, COPY} & set(one.members)]
    assert (cluster.n_stand_ins, cluster.stand_ins[0][0]) == (1, left_out)
    assert cluster.stand_ins[0][1] > 0.95


def test_the_first_features_are_the_planted_ones(studied):
    """The first five columns of either block carry the label, and the twin."""
    for name in ("alone", "twins", "selected", "interventional"):
        first = [feature.name for feature in _told(studied[name]).ranking[:4]]
        assert all(one == COPY or int(one[-3:]) < 5 for one in first), (name, first)


def test_credit_of_groups_is_the_sum_over_their_features(studied):
    result = studied["twins"]
    shap = result.shap.query("arm == 'fused'")
    keys = ["repeat", "fold", "case_id"]
    for part in _told(result).further.partitions:
        own = shap.assign(group=[getattr(Kind.of(name), part.sort) for name in shap["feature"]])
        moved = own.groupby([*keys, "group"])["shap"].sum().abs().groupby("group").mean()
        size = own["shap"].abs().groupby(own["group"]).sum()
        assert {one.group: one.moved for one in part.groups} == pytest.approx(moved.to_dict())
        assert {one.group: one.share for one in part.groups} == pytest.approx((size / size.sum()).to_dict())
        for one in part.groups:
            assert one.moved_low <= one.moved <= one.moved_high
            assert one.share_low <= one.share <= one.share_high


def test_every_account_has_its_columns_and_adds_up(studied, tmp_path):
    result = studied["twins"]
    for name in SHELF.names():
        assert list(result.tables[name]) == list(SHELF.take(name).COLUMNS)
        assert len(result.tables[name])
    keys = ["endpoint", "arm", "repeat", "fold"]
    both = result.tables["interventional"].set_index([*keys, "feature"])
    own = result.shap.query("arm == 'fused'").assign(size=lambda rows: rows["shap"].abs())
    mean = own.groupby([*keys, "feature"])["size"].mean()
    np.testing.assert_allclose(both["path_dependent"], mean.loc[both.index], atol=1e-9)
    other = studied["interventional"].shap.query("arm == 'fused'").assign(size=lambda rows: rows["shap"].abs())
    mean = other.groupby([*keys, "feature"])["size"].mean()
    np.testing.assert_allclose(both["interventional"], mean.loc[both.index], atol=1e-9)
    result.save(tmp_path)
    assert "interventional" in Result.load(tmp_path).tables


def test_a_learner_without_them_has_empty_accounts_and_a_page_that_says_so(make_table, tmp_path):
    table, labels = make_table(40, n_columns=6)
    settings = QUICK | {"learner": "logistic", "learner_settings": {}, "shap": "interventional"}
    result = evaluate(table, labels, ["malignancy"], EvaluationSettings(**settings))
    assert len(result.tables["interventional"]) == len(result.tables["interactions"]) == 0
    assert len(result.tables["permutation"])
    result.save(tmp_path)
    again = Result.load(tmp_path)
    told = _told(again)
    assert (told.further.both, told.further.interactions) == (None, None)
    page = write_report(again, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "No interactions were stored for this endpoint and arm" in page
    assert "Path-dependent:" not in page


def test_interventional_values_add_up_to_the_same_margins(studied):
    one, other = studied["twins"], studied["interventional"]
    pd.testing.assert_frame_equal(one.predictions, other.predictions)
    told = _told(other)
    assert (told.perturbation, _told(one).perturbation) == ("interventional", "path_dependent")
    assert told.additivity_gap < 1e-4


def test_what_is_chosen_everywhere_has_nothing_to_be_stable_in(studied):
    table = studied["twins"].tables["selection"]
    assert list(table) == SELECTION_COLUMNS
    assert (table["n_chosen"] == table["n_candidates"]).all()
    assert table["stability"].isna().all()
    matrix = (
        studied["selected"]
        .chosen.query("arm == 'fused'")
        .pivot_table(index="fold", columns="feature", values="gain", aggfunc="size", fill_value=0)
        .to_numpy(dtype=float)
    )
    whole = np.pad(matrix, ((0, 0), (0, 17 - matrix.shape[1])))  # 8 columns of either block, and the twin
    (stated,) = studied["selected"].tables["selection"].to_dict("records")
    assert stated["n_candidates"] == 17
    assert stated["stability"] == pytest.approx(selection_stability(whole).stability)


def test_correlation_is_pandas_spearman_where_all_is_known_and_close_with_gaps():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(rng.normal(size=(60, 6)))
    frame[1] = frame[0] ** 3 + 0.3 * frame[1]
    frame[2] = -frame[0]
    for gaps, tolerance in ((False, 1e-12), (True, 0.03)):
        if gaps:
            frame = frame.mask(rng.random(frame.shape) < 0.1)
        ranks = frame.rank()
        own = (ranks - ranks.mean()).to_numpy()
        np.testing.assert_allclose(correlation(own, own), frame.corr(method="spearman").abs(), atol=tolerance)


def test_every_two_of_a_cluster_are_alike():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(200, 4))[:, rng.integers(0, 4, 30)] + 0.5 * rng.normal(size=(200, 30))
    alike = np.abs(pd.DataFrame(x).corr(method="spearman").to_numpy())
    number = groups_of(alike)
    same = number[:, None] == number
    assert alike[same].min() >= LEAST - 1e-9
    assert 1 < len(set(number)) < 30


def test_columns_without_information_are_alike_to_nothing():
    values = pd.DataFrame({f"radiomics:RC_CC:{name}": 0.0 for name in "ab"}, index=range(9))
    values["radiomics:RC_CC:c"] = np.nan
    values["radiomics:RC_CC:d"] = np.arange(9.0)
    chosen = pd.DataFrame({"endpoint": "e", "arm": "radiomics", "repeat": 0, "fold": 0, "feature": list(values)})
    found = cluster_table(values, chosen.assign(gain=1.0), {"e": "radiomics"})
    assert found["cluster"].nunique() == 4
    assert found["correlation"].isna().all()


def test_patients_are_redrawn_whole_and_too_few_leave_no_interval():
    shap = pd.DataFrame(
        [(0, i % 2, f"c{i}", name, value) for i in range(4) for name, value in (("a", 1.0), ("b", -0.5 * i))],
        columns=["repeat", "fold", "case_id", "feature", "shap"],
    )
    persons = pd.Series({f"c{i}": "P" if i < 3 else "Q" for i in range(4)})
    held = HeldOutShap.of(shap, persons)
    (one,) = held.credit(["g", "g"])
    assert one.moved == pytest.approx(np.mean([1, 0.5, 0, 0.5]))
    assert (one.n_features, one.share) == (2, 1)
    assert np.isnan([one.moved_low, one.share_high, *held.rank_bounds().ravel()]).all()
    many = HeldOutShap.of(shap, pd.Series({f"c{i}": f"P{i}" for i in range(4)}))
    assert many.credit(["g", "g"])[0].moved_low < one.moved
    np.testing.assert_array_equal(held.by_model, [[1, 0.5], [1, 1]])


def test_places_and_means_over_folds():
    assert places(np.array([[0.2, 0.2, 0.1]])).tolist() == [[1, 1, 3]]
    assert mean_over_folds(np.array([0.5, np.nan]), 1)[0] == 0.5
    assert np.isnan(mean_over_folds(np.array([np.nan]), 1)).all()
    once, thrice = mean_over_folds(np.array([0.1, 0.3]), 1), mean_over_folds(np.tile([0.1, 0.3], 3), 3)
    assert thrice[2] - thrice[0] < once[2] - once[0]  # more folds know the spread better; their number is not counted
