"""Leaky pipelines are caught by the same audit that an honest one, and cemrad's own, pass."""

from functools import lru_cache, partial

import numpy as np
import pytest
from cemrad.models.audit import check_garbage, check_planted, fold_pipeline
from cemrad.models.audit_null import check_noise, check_permuted, check_views, deal_folds, signatures
from cemrad.models.audit_study import Depth, audit_pipeline
from cemrad.models.design import lay_out
from cemrad.models.endpoint import resolve_endpoint
from cemrad.models.evaluate import EvaluationSettings

from . import leaky_pipelines as leaky

DEPTH = Depth(n_folds=1, n_permutations=12, n_noise=10, n_views=3)


ROWS = {
    "oversampling_before_split": {"positive": 0.25},
    "split_by_image": {"n": 40, "n_columns": 60, "per_person": 3},
    "imputation_by_class": {"missing": 0.4},
}


@lru_cache
def _judged(pipeline):
    rows = leaky.null_rows(**ROWS.get(pipeline.__name__, {}), seed=1)
    found = audit_pipeline(pipeline, rows, deal_folds(rows, 5), deal_folds, DEPTH, seed=5)
    found.append(check_views(pipeline, ["radiomics"], n=DEPTH.n_views, seed=5))
    return {check.check: check for check in found}


def _failed(found):
    return {name for name, check in found.items() if check.state == "failed"}


@pytest.mark.parametrize("pipeline", leaky.LEAKY, ids=lambda pipeline: pipeline.__name__)
def test_every_leaky_pipeline_is_caught(pipeline):
    """Each changes what is fitted when held-out rows become garbage."""
    found = _judged(pipeline)
    assert "row garbage" in _failed(found)


@pytest.mark.parametrize(
    ("pipeline", "check", "least"),
    [
        (leaky.selection_before_split, "permuted labels", 0.7),
        (leaky.imputation_by_class, "permuted labels", 0.6),
        (leaky.oversampling_before_split, "permuted labels", 0.7),
        (leaky.split_by_image, "permuted labels", 0.9),
        (leaky.split_by_image, "views of a person", 0.9),
        (leaky.tuning_on_held_out, "permuted labels", 0.6),
        (leaky.tuning_on_held_out, "noise features", 0.6),
    ],
    ids=lambda item: getattr(item, "__name__", None),
)
def test_a_leak_of_labels_shows_where_there_is_nothing_to_find(pipeline, check, least):
    found = _judged(pipeline)
    assert found[check].state == "failed"
    assert found[check].value > least
    if check == "permuted labels":
        assert found["p-values"].state == "failed"


def test_an_honest_pipeline_passes():
    found = _judged(leaky.honest)
    assert _failed(found) == set()
    assert found["views of a person"].state == "passed"
    assert 0.4 < found["permuted labels"].value < 0.6
    assert found["permutation p-value"].state == "finding"


def _own(table, labels, settings, arms):
    design = lay_out(table, labels, resolve_endpoint("malignancy", labels))
    return fold_pipeline(design, arms, settings), design


def test_the_evaluation_itself_passes(make_table, quick):
    """The same audit, with fewer repetitions, of the folds that every result is made of."""
    table, labels = make_table(40, seed=3)
    pipeline, design = _own(table, labels, quick, ["radiomics", "fused+clinical"])
    rows, deal = design.rows, partial(deal_folds, n_folds=3)
    split = deal(rows, 1)
    found = [
        check_garbage(pipeline, rows, split, n_folds=1, seed=1),
        check_planted(pipeline, rows, split, seed=1),
    ]
    single, _ = _own(table, labels, quick, ["radiomics"])
    found += check_permuted(single, deal, rows, n=10, seed=1)
    found += check_noise(single, deal, rows, n=10, seed=1)
    found.append(check_views(single, ["radiomics"], n=3, seed=1))
    states = {check.check: check.state for check in found}
    assert states == {
        "row garbage": "passed", "planted feature": "passed", "permuted labels": "passed", "p-values": "passed",
        "permutation p-value": "finding", "noise features": "passed", "interval covers 0.5": "passed",
        "views of a person": "passed",
    }  # fmt: skip
    by_name = {check.check: check for check in found}
    assert by_name["permutation p-value"].value == pytest.approx(1 / 11)  # the planted effect beats every permutation


@pytest.mark.parametrize(
    "options",
    [
        {"fusion": "stacked", "balance": "oversample"},
        {"fusion": "vote", "balance": "weights"},
        {"harmonise": {"column": "site", "min_per_site": 3}},
    ],
    ids=["stacked", "vote", "harmonised"],
)
def test_fits_of_every_kind_are_blind_to_what_is_held_out(make_table, quick, options):
    """T1 and T5 with late fusion, balanced classes, and harmonised sites."""
    table, labels = make_table(40, seed=3)
    table.cases["site"] = np.where(np.arange(len(table.cases)) % 2, "north", "south")
    settings = EvaluationSettings(**quick.model_dump(exclude_unset=True) | options)
    design = lay_out(table, labels, resolve_endpoint("malignancy", labels), site_column=settings.site_column)
    pipeline = fold_pipeline(design, ["radiomics", "fused+clinical"], settings)
    split = deal_folds(design.rows, 1)
    assert check_garbage(pipeline, design.rows, split, n_folds=1, seed=1).state == "passed"
    assert check_planted(pipeline, design.rows, split, seed=1).state in ("passed", "not applicable")


def test_a_signature_is_seen_only_where_persons_are_torn_apart(make_table, quick):
    """T8: dealt by person 0.50 within 0.03 and its Monte-Carlo error, dealt by image above 0.9."""
    single, _ = _own(*make_table(40, seed=3), quick, ["radiomics"])
    found = check_views(single, ["radiomics"], n=4, seed=2)
    assert found.state == "passed"
    assert float(found.text.rsplit(" ", 1)[1]) > 0.9
    rows = signatures(["radiomics"], seed=1)
    assert len(set(rows.persons)) == 40
    assert np.bincount([rows.persons.index(person) for person in rows.persons]).max() == 4
