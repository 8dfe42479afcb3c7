"""The mask experiment on a small phantom cohort: what each arm leads to, gaps as rows, the same cases and folds."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import MaskError, StudyError
from cemrad.features.overlap import FALSE_POSITIVES
from cemrad.features.perturbation import parse_perturbation, perturbed_case
from cemrad.features.training_ids import TrainingIds
from cemrad.models.mask_comparison import (
    AGREEMENT_COLUMNS,
    ENDPOINT_COLUMNS,
    FROC_COLUMNS,
    OVERLAP_COLUMNS,
    SUMMARY_COLUMNS,
    summarise_overlap,
)
from cemrad.models.result import Result
from cemrad.pipeline.cohorts import phantom
from cemrad.pipeline.drawer import Drawing, Region
from cemrad.pipeline.mask_experiment import NOTHING, TABLES, MaskArm, mask_experiment, run_mask_experiment
from cemrad.pipeline.mask_overlap import found_lesions, mask_facts, overlap_table
from cemrad.pipeline.means import Effort, Means
from cemrad.pipeline.store import Store
from cemrad.pipeline.study import parse_study

N_PATIENTS = 18
CLASSES = {"firstorder": ["Mean", "Entropy", "Energy"], "shape2D": ["MeshSurface", "Sphericity"], "glcm": ["Contrast"]}
FAMILIES = {"radiomics": {"parameters": {"setting": {"binCount": 16}, "featureClass": CLASSES}}}
EVALUATION = {
    "outer_folds": 3,
    "n_candidates": 1,
    "arms": ["radiomics", "clinical"],
    "selector_settings": {"n_features": 8},
    "learner_settings": {"max_depth": [2], "n_rounds": [30], "max_bin": 32},
    "scoring": {"n_bootstrap": 100, "further": []},
    "audit": False,
}


@dataclass(frozen=True)
class Broken:
    """A mask that cannot be read."""

    def read(self, image):
        raise MaskError("mask.unreadable", "the file is cut off; copy it again")

    def content(self):
        return "broken"


@dataclass(frozen=True)
class Learned:
    """A mask of a drawer that learned from patients."""

    inner: object
    trained_on: TrainingIds
    source: str = "automatic"

    def read(self, image):
        return self.inner.read(image)

    def content(self):
        return self.inner.content()


def with_masks(cohort, change):
    """The cohort with `change(case, key, mask)` in the place of every mask."""
    cases = [
        replace(
            case,
            pictures={key: replace(one, mask=change(case, key, one.mask)) for key, one in case.pictures.items()},
        )
        for case in cohort.cases
    ]
    return replace(cohort, cases=tuple(cases))


def perturbed(cohort, text):
    (how,) = parse_perturbation(text)
    return replace(cohort, cases=tuple(perturbed_case(case, how, 1) for case in cohort.cases))


def candidates(cohort):
    """Every lesion moved a little, accepted, and a square in the corner of every other picture, which is not."""
    known = {case.case_id: case for case in cohort.cases}
    (shift,) = parse_perturbation("shift:2px")

    def of(case_id, picture):
        case = perturbed_case(known[case_id], shift, 1)
        key = next(key for key in case.pictures if key.name == picture)
        image = case.pictures[key].image.read()
        labels = np.zeros(image.shape, np.int32)
        labels[:8, :8] = 7
        labels[case.pictures[key].mask.read(image)] = 2
        score = 0.9 if int(case.patient_id[2:]) % 2 else 0.1
        return Drawing(labels, (Region(2, 100, 0.5, True), Region(7, 64, score, False, "too small")))

    return of


@pytest.fixture(scope="module")
def cohort():
    return phantom.read(phantom.Settings(n_patients=N_PATIENTS, rows=160, columns=128))


@pytest.fixture(scope="module")
def arms(cohort):
    lost = cohort.cases[3].case_id

    def gaps(case, key, mask):
        if case.case_id == lost:
            return None
        return Broken() if case is cohort.cases[5] and key.image_type == "RC" else mask

    learned = TrainingIds.of([cohort.cases[0].patient_id])
    nothing = with_masks(cohort, lambda case, key, mask: None)
    seen = with_masks(cohort, lambda case, key, mask: Learned(mask, learned))
    return {
        "manual": MaskArm(cohort),
        "same": MaskArm(cohort),
        "grown": MaskArm(perturbed(cohort, "dilate:20%"), candidates(cohort), {"name": "test", "weights": "none"}),
        "gaps": MaskArm(with_masks(cohort, gaps)),
        "nothing": MaskArm(nothing),
        "seen": MaskArm(seen),
    }


def study(**more):
    values = {"schema_version": 1, "features": {"families": FAMILIES}, "evaluation": EVALUATION}
    return parse_study(values | more)


@pytest.fixture(scope="module")
def written(arms, tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment") / "out"
    return mask_experiment(study(), arms, folder, jobs=0), folder


@pytest.fixture(scope="module")
def tables(written):
    return written[0].tables


def test_every_table_is_there_with_its_columns(written):
    result, folder = written
    columns = {
        "mask_overlap": OVERLAP_COLUMNS,
        "mask_summary": SUMMARY_COLUMNS,
        "mask_froc": FROC_COLUMNS,
        "mask_endpoints": ENDPOINT_COLUMNS,
        "mask_agreement": AGREEMENT_COLUMNS,
    }
    for name in TABLES:
        assert list(result.tables[name]) == columns.get(name, ["case_id", "masks", "reason"])
        assert len(pd.read_csv(folder / f"{name}.csv")) == len(result.tables[name])
    assert result.phantom
    again = Result.load(folder)
    pd.testing.assert_frame_equal(again.tables["mask_endpoints"], result.tables["mask_endpoints"])
    assert again.provenance["masks"] == result.provenance["masks"]
    assert "Phantom data" in (folder / "report.html").read_text()


def test_one_row_per_arm_and_picture_of_all_lesions_together(cohort, tables):
    overlap = tables["mask_overlap"]
    assert list(dict.fromkeys(overlap["masks"])) == ["same", "grown", "gaps", "nothing", "seen"]
    pictures = {(case.breast_id, key) for case in cohort.cases for key in case.pictures}
    assert len(cohort.cases) > len({case.breast_id for case in cohort.cases})
    for _, of in overlap.groupby("masks"):
        assert len(of) == len(pictures)
        assert of["n_cases"].sum() == sum(len(case.pictures) for case in cohort.cases)


def test_the_same_masks_agree_in_everything(tables):
    overlap, endpoints, agreement = (tables[f"mask_{name}"] for name in ("overlap", "endpoints", "agreement"))
    same = overlap[overlap["masks"] == "same"]
    assert (same[["dice", "iou"]] == 1).all(axis=None)
    assert (same[["hd95_px", "assd_px"]] == 0).all(axis=None)
    mine = endpoints[endpoints["masks"] == "same"]
    assert (mine["difference"] == 0).all()
    assert mine["difference_method"].str.contains("rank every pair alike").all()
    known = agreement[(agreement["masks"] == "same") & agreement["icc"].notna()]
    assert len(known) > 20
    assert (known["icc"] == 1).all()


def test_grown_masks_are_told_from_the_manual_ones(tables):
    overlap, endpoints, agreement = (tables[f"mask_{name}"] for name in ("overlap", "endpoints", "agreement"))
    grown = overlap[overlap["masks"] == "grown"]
    assert grown["dice"].between(0.6, 0.95).all()
    assert (grown["found_px"] > grown["reference_px"]).all()
    mine = agreement[agreement["masks"] == "grown"].set_index("column")
    assert mine.loc["radiomics:RC_CC:original_shape2D_MeshSurface", "icc"] < 0.99
    paired = endpoints[(endpoints["masks"] == "grown") & (endpoints["level"] == "lesion")].set_index("arm")
    assert paired.loc["clinical", "difference"] == 0
    manual = endpoints[(endpoints["masks"] == "manual") & (endpoints["level"] == "lesion")].set_index("arm")
    assert paired.loc["radiomics", "difference"] == pytest.approx(
        paired.loc["radiomics", "auc"] - manual.loc["radiomics", "auc"], abs=1e-12
    )
    assert paired.loc["radiomics", "difference_low"] < paired.loc["radiomics", "difference_high"]


def test_gaps_are_rows_with_reasons_and_count_as_nothing_found(cohort, tables):
    overlap, summary = tables["mask_overlap"], tables["mask_summary"]
    gaps = overlap[overlap["masks"] == "gaps"]
    broken = gaps[gaps["state"] == "failed"]
    if cohort.cases[5].breast_id not in (cohort.cases[4].breast_id, cohort.cases[6].breast_id):
        assert set(broken["code"]) == {"mask.unreadable"}
        assert broken["reason"].str.contains("copy it again").all()
    absent = gaps[gaps["state"] != "ok"]
    assert len(absent)
    assert (absent["dice"] == 0).all()
    assert absent[["hd95_px", "assd_px"]].isna().all(axis=None)
    for image_type in ("LE", "RC"):
        mine = summary[(summary["masks"] == "gaps") & (summary["image_type"] == image_type) & (summary["view"] == "")]
        by = mine[mine["metric"] == "dice"].set_index("counted")
        of = gaps[gaps["image_type"] == image_type]
        assert by.loc["all", "mean"] == pytest.approx(of["dice"].mean())
        assert by.loc["all", "n"] == len(of)
        assert by.loc["drawn", "n"] == (of["state"] == "ok").sum()
        assert by.loc["all", "low"] <= by.loc["all", "mean"] <= by.loc["all", "high"]
        assert set(mine.loc[mine["metric"] == "hd95_px", "counted"]) == {"drawn"}


def test_all_arms_are_judged_on_the_cases_that_all_have(cohort, written):
    result, _ = written
    lost = result.tables["mask_lost"]
    assert set(lost.loc[lost["masks"] == "gaps", "case_id"]) == {cohort.cases[3].case_id}
    assert cohort.cases[3].case_id not in set(result.predictions["case_id"])
    endpoints = result.tables["mask_endpoints"]
    lesions = endpoints[(endpoints["level"] == "lesion") & (endpoints["arm"] == "radiomics")].set_index("masks")
    judged = lesions.loc[["manual", "same", "grown", "gaps"], "n"]
    assert (judged == result.predictions["case_id"].nunique()).all()
    breasts = endpoints[(endpoints["level"] == "breast") & (endpoints["masks"] == "manual")]
    assert (breasts["n"] > 0).all()


def test_an_arm_that_cannot_be_judged_is_a_row_that_says_why(tables):
    endpoints = tables["mask_endpoints"]
    for name, why in (("nothing", NOTHING), ("seen", "trained on 1 of the persons who are held out")):
        mine = endpoints[endpoints["masks"] == name]
        assert len(mine) == 6
        assert mine[["auc", "difference", "p"]].isna().all(axis=None)
        assert mine["method"].str.contains(why).all()
    assert set(tables["mask_overlap"].query("masks == 'seen'")["seen"]) == {True, False}


def test_lesions_by_false_positives(cohort, tables):
    """Every lesion is hit at 0.5; half of the patients have a false positive above it, which is not accepted."""
    froc = tables["mask_froc"]
    assert set(froc["masks"]) == {"grown"}
    for image_type, of in froc.groupby("image_type"):
        pictures = {
            (case.breast_id, key): case.patient_id
            for case in cohort.cases
            for key in case.pictures
            if key.image_type == image_type
        }
        share = np.mean([int(patient[2:]) % 2 for patient in pictures.values()])
        assert (of["n_pictures"] == len(pictures)).all()
        operating = of[of["point"] == "operating"].iloc[0]
        assert operating["false_positives"] == 0
        stated = of[of["point"] == "stated"].set_index("false_positives")["sensitivity"]
        assert list(stated.index) == list(FALSE_POSITIVES)
        assert (stated[stated.index < share] == 0).all()
        assert (stated[stated.index >= share] == operating["sensitivity"]).all()
        assert 0.5 < operating["sensitivity"] <= 1
        assert operating["low"] <= operating["sensitivity"] <= operating["high"]


def test_a_patient_counts_whatever_her_number_of_pictures():
    """A bootstrap of patients is wider than one of pictures: each patient's pictures are alike."""
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(20), 10)
    rows = pd.DataFrame({"masks": "a", "patient_id": patients.astype(str), "image_type": "RC", "view": "CC"})
    rows = rows.assign(state="ok", dice=rng.random(20)[patients], iou=0.5, hd95_px=1.0, assd_px=1.0)
    width = {}
    for name, of in (("patients", rows), ("pictures", rows.assign(patient_id=np.arange(200).astype(str)))):
        found = summarise_overlap(of, 0).query("metric == 'dice' and counted == 'all' and view == ''").iloc[0]
        width[name] = found["high"] - found["low"]
    assert width["patients"] == pytest.approx(width["pictures"] * np.sqrt(10), rel=0.25)
    expected = 2 * 1.96 * rows.groupby("patient_id")["dice"].first().std() / np.sqrt(20)
    assert width["patients"] == pytest.approx(expected, rel=0.2)


def test_too_few_patients_have_no_interval():
    rows = pd.DataFrame({"masks": ["a"] * 2, "patient_id": ["1", "2"], "image_type": "RC", "view": ""})
    found = summarise_overlap(rows.assign(state="ok", dice=0.5, iou=0.4, hd95_px=1.0, assd_px=1.0), 0)
    assert found["mean"].notna().all()
    assert found[["low", "high"]].isna().all(axis=None)


def test_a_picture_without_a_manual_mask_is_told_and_not_judged(cohort):
    first = cohort.cases[0]
    manual = with_masks(cohort, lambda case, key, mask: None if case is first else mask)
    table = overlap_table(manual, {"auto": cohort})
    mine = table[table["state"] == "no_reference"]
    assert set(mine["case_id"]) <= {first.case_id}
    assert mine["dice"].isna().all()
    assert mine["reason"].str.contains("no manual mask to compare with").all()
    assert len(found_lesions(manual, lambda case_id, picture: None)) == len(table) - len(mine)


def test_candidates_that_cannot_be_read_are_told_and_count_as_none(cohort, caplog):
    def broken(case_id, picture):
        raise MaskError("mask.unreadable", "the file is cut off")

    def small(case_id, picture):
        return Drawing(np.ones((5, 5), np.int32), (Region(1, 25, 0.5, True),))

    one = replace(cohort, cases=cohort.cases[:1])
    for made, why in ((broken, "the file is cut off"), (small, "drawn on a picture of another size")):
        with caplog.at_level("WARNING", "cemrad"):
            found = found_lesions(one, made)
        assert len(found) == len(one.cases[0].pictures)
        assert all(np.isinf(part.candidates.found_at).all() for part in found)
        assert why in caplog.text


def test_facts_of_an_ordinary_run(cohort, arms):
    facts = mask_facts(arms["seen"].cohort, {"name": "unet", "trained_on": {"persons": []}})
    n = sum(len(case.pictures) for case in cohort.cases)
    first = sum(len(case.pictures) for case in cohort.cases if case.patient_id == cohort.cases[0].patient_id)
    assert facts == {"n_pictures": n, "sources": {"automatic": n}, "n_seen": first, "drawer": {"name": "unet"}}
    assert mask_facts(arms["nothing"].cohort)["sources"] == {"none": n}


def test_nothing_is_computed_twice(arms, written):
    """The manual masks and the same once more are measured once; a second experiment measures nothing."""
    result, folder = written
    few = {name: arms[name] for name in ("manual", "same", "grown")}
    effort = Effort()
    again = run_mask_experiment(study(), few, means=Means(store=Store(folder / "store"), effort=effort))
    assert effort.units_computed == 0
    assert effort.units_stored > 0
    for name in ("mask_overlap", "mask_agreement"):
        then = result.tables[name].query("masks in ('same', 'grown')").reset_index(drop=True)
        pd.testing.assert_frame_equal(again.tables[name], then)


def test_what_is_no_experiment_is_refused(arms, cohort, tmp_path):
    with pytest.raises(StudyError, match="compares the arm 'manual' with others"):
        run_mask_experiment(study(), {"same": arms["same"], "grown": arms["grown"]})
    with pytest.raises(StudyError, match="compares the arm"):
        run_mask_experiment(study(), {"manual": arms["manual"]})
    stranger = replace(cohort, cases=tuple(replace(case, case_id=f"{case.case_id}x") for case in cohort.cases))
    with pytest.raises(StudyError, match="masks 'other': none of its cases"):
        run_mask_experiment(study(), {"manual": arms["manual"], "other": MaskArm(stranger)})
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StudyError, match="choose another output folder"):
        mask_experiment(study(), arms, tmp_path)
    replicates = {"stability": {"replicates": "x.parquet"}}
    with pytest.raises(StudyError, match="leave it out of a mask experiment"):
        run_mask_experiment(study(evaluation=EVALUATION | replicates), arms)
