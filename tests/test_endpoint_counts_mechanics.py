"""What check tells of endpoints: counts by class at the label's level, who is left out, numbers as a summary."""

import pandas as pd
import pytest
from cemrad.features.case import Case
from cemrad.pipeline.check import check
from cemrad.pipeline.cli import app
from cemrad.pipeline.cohort import Cohort
from cemrad.pipeline.cohorts.phantom import Settings, read
from cemrad.pipeline.endpoint_counts import count_endpoints
from typer.testing import CliRunner


def cohort_of(**columns):
    frame = pd.DataFrame(columns, dtype=object)
    patients = frame.pop("patient") if "patient" in frame else frame.index.astype(str)
    rows = zip(patients, frame.to_dict("records"), strict=True)
    return Cohort("c", tuple(Case(f"c{i}", str(who), "L", labels=labels) for i, (who, labels) in enumerate(rows)))


def told(cohort, *wanted):
    return {item.name: item for item in count_endpoints(cohort, wanted)}


def test_what_the_labels_allow_is_counted_unasked():
    found = told(
        cohort_of(er=["pos", "neg", "neg"], pr=["pos", "neg", "neg"], her2=["neg", "3+", "2+"], ki67=[5, 40, 60]),
        "er", {"target": "molecular_subtype", "cutoff": 20},
    )  # fmt: skip
    assert list(found) == ["er", "molecular_subtype", "her2", "ki67", "pr", "triple_negative"]
    assert found["er"].line() == "er by lesion: ER positive 1, others 2; cases left out: none"
    assert found["molecular_subtype"].classes == {
        "luminal A": 1, "luminal B": 0, "HER2-enriched": 1, "triple negative": 0
    }  # fmt: skip
    assert found["molecular_subtype"].left_out == {"label.equivocal": 1}
    assert "not usable as it stands: endpoint 'ki67'" in found["ki67"].line()
    assert "state the cut-off" in found["ki67"].problem


def test_a_patients_label_is_counted_by_patient():
    cohort = cohort_of(patient=["P", "P", "Q", "R", "R"], nodal=["pos", "pos", "neg", "pos", "neg"])
    (found,) = told(cohort, "nodal").values()
    assert (found.level, found.classes, found.left_out) == (
        "patient", {"node positive": 1, "others": 1}, {"label.contradictory": 2}
    )  # fmt: skip


def test_an_endpoint_that_is_not_there_is_told_and_not_raised():
    assert "needs the label column er" in told(cohort_of(pr=["pos", "neg"]), "er")["er"].problem


@pytest.mark.parametrize("asked", ["ki67>=20", {"target": "ki67", "cutoff": 20}])
def test_numbers_are_summed_up(asked):
    report = check(read(Settings(n_patients=12)), decode=False, endpoints=[asked])
    lines = [line.strip() for line in report.lines()]
    (numbers,) = [line for line in lines if line.startswith("ki67 by lesion")]
    assert "numbers from " in numbers
    assert len(numbers) < 120
    (counted,) = [line for line in lines if line.startswith("ki67>=20 by lesion: Ki-67 >= 20 % ")]
    assert "others" in counted
    assert report.as_dict()["endpoints"][0]["name"] == "ki67>=20"


def test_few_values_and_words_beside_numbers_are_listed():
    report = check(cohort_of(grade=[1, 2, 3, 3], ki67=[*range(3)] + ["low"]), decode=False)
    assert "  grade by lesion: 3 2, 1 1, 2 1; missing 0, mixed 0" in report.lines()
    many = check(cohort_of(ki67=[*range(10, 30), "low", "low"]), decode=False)
    assert "  ki67 by lesion: 20 numbers from 10 to 29, median 19.5, low 2; missing 0, mixed 0" in many.lines()


def test_the_command_counts_the_endpoints_of_a_study(tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text(
        "schema_version: 1\ncohort: {reader: phantom, n_patients: 8}\n"
        "endpoints: [malignancy, {target: molecular_subtype, cutoff: 20}, grade]\n"
    )
    done = CliRunner().invoke(app, ["check", str(study), "--no-decode"])
    assert "molecular_subtype by lesion: luminal A" in done.output
    assert "grade by lesion: grade 3" in done.output
