"""Venn-Abers predictors: isotonic regression by another way, and the validity that is proved of them."""

import numpy as np
import pytest
from cemrad.models.venn_abers import merged, venn_abers
from sklearn.isotonic import IsotonicRegression


def _draw(seed, n=60, ties=False):
    rng = np.random.default_rng(seed)
    margin = rng.normal(size=n)
    truth = (rng.random(n) < 1 / (1 + np.exp(-2 * margin))).astype(int)
    return (margin.round(1) if ties else margin), truth


def _isotonic(margin, truth, at):
    """The closed form: the largest over the starts of the smallest over the ends of the mean of a stretch."""
    scores = np.unique(margin)
    starts, ends = scores[scores <= at], scores[scores >= at]
    means = [[truth[(margin >= a) & (margin <= b)].mean() for b in ends] for a in starts]
    return max(min(row) for row in means)


@pytest.mark.parametrize("ties", [False, True])
def test_both_ends_are_isotonic_regression_with_the_new_case_in_either_class(ties):
    margin, truth = _draw(1, ties=ties)
    new = np.array([-9.0, -0.4, 0.0, margin[3], 0.31, 9.0])
    low, high = venn_abers(margin, truth, new)
    for at, score in enumerate(new):
        for label, end in ((0, low), (1, high)):
            scores, said = np.append(margin, score), np.append(truth, label)
            fit = IsotonicRegression().fit(scores, said)
            assert end[at] == pytest.approx(fit.predict([score])[0], abs=1e-12)
            assert end[at] == pytest.approx(_isotonic(scores, said, score), abs=1e-12)


def test_the_merged_probability_lies_between_the_ends_and_is_theirs_where_they_meet():
    low, high = venn_abers(*_draw(2), np.linspace(-3, 3, 50))
    assert ((low <= merged(low, high)) & (merged(low, high) <= high)).all()
    assert merged(np.array([0.3]), np.array([0.3])) == pytest.approx([0.3])
    assert merged(np.array([0.0]), np.array([0.5])) == pytest.approx([1 / 3])  # 0.5 / (1 - 0 + 0.5)


@pytest.mark.parametrize("bend", [1.0, 5.0, 0.2])
def test_the_share_of_positives_lies_between_the_mean_ends_however_wrong_the_margins_are(bend):
    """Of a pair one is calibrated (Vovk & Petej 2012, theorem 1): the mean truth lies between the mean ends."""
    ends, truths = [], []
    for seed in range(200):
        margin, truth = _draw(seed, 45)
        low, high = venn_abers(bend * margin[:40], truth[:40], bend * margin[40:])
        ends.append([low.mean(), high.mean()])
        truths.append(truth[40:].mean())
    low, high = np.mean(ends, axis=0)
    error = np.std(truths) / np.sqrt(len(truths))
    assert low - 2 * error <= np.mean(truths) <= high + 2 * error
    assert high - low < 0.2


def test_more_cases_leave_less_open():
    widths = [np.subtract(*venn_abers(*_draw(5, n), np.linspace(-1, 1, 9))[::-1]).mean() for n in (20, 200, 2000)]
    assert widths[0] > widths[1] > widths[2]
