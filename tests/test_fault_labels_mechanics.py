"""Faults of labels: a case whose truth cannot be told is left out of training and listed, its numbers stay."""

import pytest
from cemrad.features.errors import StudyError
from cemrad.features.settings import parse_settings
from cemrad.models.design import lay_out, resolve_endpoints
from cemrad.pipeline.cohorts.manifest import Settings, read
from cemrad.pipeline.extract import FeatureSettings, extract

from .fault_cohort import BASE, HEALTHY, PARAMETERS, breast, clean, disc, healthy, save, table

STATED = ("malignant", "malignant", "benign")
RECEPTORS = ("positive", "negative", "")


def _laid_out(folder, endpoint, *faulty):
    """What an endpoint makes of the healthy cases and the faulty rows, and the table that it was given."""
    rows = [
        row | {"malignancy": finding, "er": receptor}
        for row, finding, receptor in zip(healthy(folder), STATED, RECEPTORS, strict=True)
    ]
    cohort = read(Settings(path=table(folder / "cohort.csv", [*rows, *(BASE | row for row in faulty)])))
    asked = {"families": {"radiomics": {"parameters": PARAMETERS}}}
    found = extract(cohort, parse_settings(FeatureSettings, asked, where="features"))
    (wanted,) = resolve_endpoints([endpoint], cohort.labels())
    return lay_out(found, cohort.labels(), wanted, arms=("radiomics",)), found


LEFT_OUT = {
    "D9 missing": ("malignancy", {"malignancy": ""}, "label.missing"),
    "D9 unknown": ("malignancy", {"malignancy": "unknown"}, "label.missing"),
    "D9 2": ("malignancy", {"malignancy": "2"}, "label.unreadable: malignancy is '2'"),
    "D9 word": ("er", {"malignancy": "malignant", "er": "weak"}, "label.unreadable: er is 'weak'"),
    "D10 receptor of a benign lesion": ("er", {"malignancy": "benign", "er": "positive"}, "not malignant"),
}


@pytest.mark.parametrize("fault", LEFT_OUT)
def test_a_case_without_a_readable_label_is_left_out_and_listed(tmp_path, fault):
    expected = clean(tmp_path).values
    endpoint, labels, reason = LEFT_OUT[fault]
    design, found = _laid_out(tmp_path, endpoint, labels)
    listed = design.exclusions.set_index("case_id").reason
    assert reason in listed["bad"]
    assert "bad" not in design.cases.index
    assert set(design.cases.index) | set(listed.index) == set(found.values.index)
    assert found.values.loc[list(HEALTHY)].to_numpy(float).tobytes() == expected.to_numpy(float).tobytes()
    assert found.values.loc["bad"].notna().all()


def test_d10_a_receptor_of_a_benign_lesion_is_warned_of_before_training(tmp_path):
    _, found = _laid_out(tmp_path, "malignancy", {"malignancy": "benign", "er": "positive"})
    assert found.failures[["case_id", "state", "code"]].to_numpy().tolist() == [["bad", "warned", "label.needs_cancer"]]
    assert "er is stated for a lesion that is not malignant" in found.failures.reason.item()


def test_d9_rows_of_one_lesion_that_contradict_each_other_are_listed(tmp_path):
    rows = []
    for kind in ("LE", "RC"):
        for name in ("good", "bad"):
            save(tmp_path / f"{name}_{kind.lower()}.png", breast(len(rows)))
            save(tmp_path / f"{name}_{kind.lower()}_mask.png", disc())
            row = {"patient_id": name, "lesion_id": "1", "laterality": "L", "view": "CC", "image_type": kind}
            row |= {"image_path": f"{name}_{kind.lower()}.png", "mask_path": f"{name}_{kind.lower()}_mask.png"}
            rows.append(row | {"malignancy": "malignant", "er": "positive"})
    rows[-1]["er"] = "negative"
    rows.append(rows[0] | {"lesion_id": "2", "er": "negative"})
    cohort = read(Settings(path=table(tmp_path / "cohort.csv", rows)))
    told = [(f.case_id, f.state, f.code) for f in cohort.failures if f.stage == "label"]
    assert told == [("bad_L_1", "warned", "label.conflict")]
    assert "er" in cohort.failures[0].reason
    labels = cohort.labels()
    assert labels.loc["bad_L_1", "er"] is None
    assert labels.loc["good_L_1", "er"] == "positive"


@pytest.mark.parametrize(("endpoint", "score"), [("her2", "2"), ("nodal", "3")])
def test_d9_a_bare_score_makes_the_whole_column_refused_before_training(tmp_path, endpoint, score):
    with pytest.raises(StudyError, match=f"{endpoint}.*{score}"):
        _laid_out(tmp_path, endpoint, {"malignancy": "malignant", endpoint: score})
