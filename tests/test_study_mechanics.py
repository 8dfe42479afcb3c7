"""A study file is checked before anything runs, and says what is wrong and where."""

import pytest
from cemrad.features.errors import StudyError, UnknownPartError
from cemrad.pipeline.study import load_study, override, parse_study, parse_yaml

GOOD = {"schema_version": 1, "cohort": {"reader": "phantom", "n_patients": 8}}


def test_a_good_study():
    study = parse_study(GOOD)
    assert study.cohort.settings == {"n_patients": 8}
    assert study.endpoints == ("malignancy",)


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        parse_study(GOOD).jobs = 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "schema_version is missing"),
        ({"schema_version": 2}, "schema_version"),
        (GOOD | {"endpionts": ["er"]}, "unknown key 'endpionts'; did you mean 'endpoints'"),
        (GOOD | {"cohort": {"reader": "phantom", "n_patient": 8}}, "cohort: unknown key 'n_patient'; did you mean"),
        (GOOD | {"cohort": {"reader": "phantm"}}, "no cohort reader 'phantm'; did you mean 'phantom'"),
        (GOOD | {"cohort": "phantom"}, "cohort: expected keys and values"),
        (GOOD | {"evaluation": {"outer_fold": 3}}, "evaluation: unknown key 'outer_fold'; did you mean 'outer_folds'"),
        (GOOD | {"evaluation": {"outer_folds": "many"}}, "evaluation.outer_folds"),
        (GOOD | {"jobs": 0}, "jobs"),
        (GOOD | {"features": {"familys": {}}}, "features: unknown key 'familys'; did you mean 'families'"),
    ],
)
def test_a_mistake_is_named_with_its_place(values, message):
    with pytest.raises(StudyError) as caught:
        parse_study(values)
    assert message in str(caught.value)


def test_every_mistake_is_listed_at_once():
    with pytest.raises(StudyError) as caught:
        parse_study(GOOD | {"jobs": 0, "endpionts": []})
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "the same key twice: a"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("a: !!python/object/apply:os.system [echo]", "not plain YAML"),
        ("a: [1", "not plain YAML"),
    ],
)
def test_only_plain_yaml_is_read(text, message):
    with pytest.raises(StudyError, match=message):
        parse_yaml(text, where="study.yaml")


def test_relative_inputs_start_from_the_study_file(tmp_path):
    (tmp_path / "study.yaml").write_text(
        "schema_version: 1\ncohort: {reader: manifest, path: cases.csv}\noutput: runs/x\n", encoding="utf-8"
    )
    study = load_study(tmp_path / "study.yaml")
    assert study.cohort.settings["path"] == str(tmp_path / "cases.csv")
    assert str(study.output) == "runs/x"


def test_assignments_win_over_the_file(tmp_path):
    (tmp_path / "study.yaml").write_text("schema_version: 1\nevaluation: {seed: 1}\n", encoding="utf-8")
    study = load_study(tmp_path / "study.yaml", ("evaluation.seed=7", "endpoints=[er]"))
    assert study.evaluation.seed == 7
    assert study.endpoints == ("er",)


def test_setting_one_family_does_not_leave_out_the_other():
    study = parse_study(override(GOOD, ("features.families.deep.weights=random",)))
    assert study.features.families == {"radiomics": {}, "deep": {"weights": "random"}}


def test_a_study_that_names_its_families_means_only_them():
    named = GOOD | {"features": {"families": {"deep": {"network": "resnet50"}}}}
    study = parse_study(override(named, ("features.families.deep.weights=random",)))
    assert study.features.families == {"deep": {"network": "resnet50", "weights": "random"}}


def test_an_assignment_leaves_the_original_alone():
    values = {"evaluation": {"seed": 1}}
    override(values, ("evaluation.seed=7",))
    assert values == {"evaluation": {"seed": 1}}


def test_an_assignment_without_a_value_is_refused():
    with pytest.raises(StudyError, match="expected key=value"):
        override({}, ("evaluation.seed",))


def test_files_that_are_no_study(tmp_path):
    with pytest.raises(StudyError, match="no such study file"):
        load_study(tmp_path / "absent.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n", encoding="utf-8")
    with pytest.raises(StudyError, match="expected keys and values"):
        load_study(tmp_path / "list.yaml")
    (tmp_path / "huge.yaml").write_text("#" * 1_000_001, encoding="utf-8")
    with pytest.raises(StudyError, match="larger than"):
        load_study(tmp_path / "huge.yaml")


def test_an_unknown_part_is_a_study_error():
    with pytest.raises(UnknownPartError) as caught:
        parse_study(GOOD | {"cohort": {"reader": "cddcesm"}})
    assert "cdd_cesm" in str(caught.value)
