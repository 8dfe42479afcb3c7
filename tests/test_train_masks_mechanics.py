"""Training of masks on a cohort: who teaches, who is held out, and that nobody is drawn by a network that saw her."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import timm
from cemrad.features.errors import CohortError, EvaluationError, ImageError, LeakageError, StudyError
from cemrad.features.settings import parse_settings
from cemrad.features.training_ids import TrainingIds
from cemrad.models.segmenter import SegmenterSettings
from cemrad.pipeline import mask_experiment
from cemrad.pipeline.cohorts import phantom
from cemrad.pipeline.draw import apply, draw_cohort
from cemrad.pipeline.duplicates import mask_training
from cemrad.pipeline.mask_samples import gather_samples
from cemrad.pipeline.mask_study import DRAWN, MaskChoice, gather_choice, spread_choice
from cemrad.pipeline.mask_training import MaskTrainingSettings
from cemrad.pipeline.study import parse_study
from cemrad.pipeline.train_masks import summarise, train_masks
from safetensors.torch import save_file

SMALL = {
    "folds": 2,
    "image_types": ["RC"],
    "segmenter": {
        "network": {"encoder": "resnet10t", "weights": "random", "decoder": [16, 16, 8, 8]},
        "size_px": [64, 64],
        "threshold": 0.02,
    },
    "training": {"epochs": 2, "batch": 4, "validation": 0.3, "device": "cpu"},
}


@pytest.fixture(scope="module")
def cohort():
    return phantom.read(phantom.Settings(n_patients=6, seed=4, rows=192, columns=160))


@pytest.fixture(scope="module")
def trained(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("segmenter")
    return train_masks(cohort, parse_settings(MaskTrainingSettings, SMALL, where="test"), folder)


def test_folds_share_nobody_and_hold_out_everybody(cohort, trained):
    patients = {case.patient_id for case in cohort.cases}
    unseen = [{p for p in patients if not one.trained_on.knows(p)} for one in trained.segmenters]
    assert set.union(*unseen) == patients
    assert not set.intersection(*unseen)


def test_what_it_leaves_says_what_it_was(trained):
    index = json.loads((trained.folder / "segmenter.json").read_text())
    assert index["phantom"] is True
    assert set(index["files"]) == {"fold_1.safetensors", "fold_2.safetensors"}
    assert index["files"]["fold_1.safetensors"] == trained.segmenters[0].sha256
    assert not list(trained.folder.glob("*.checkpoint"))
    assert (trained.folder / "history.csv").read_text().count("\n") == 1 + 2 * 2


def test_a_second_call_trains_nothing_again(cohort, trained):
    before = (trained.folder / "fold_1.safetensors").stat().st_mtime_ns
    again = train_masks(cohort, parse_settings(MaskTrainingSettings, SMALL, where="test"), trained.folder)
    assert (trained.folder / "fold_1.safetensors").stat().st_mtime_ns == before
    assert [one.sha256 for one in again.segmenters] == [one.sha256 for one in trained.segmenters]


def test_masks_of_the_cohort_itself_are_out_of_fold(cohort, trained, tmp_path):
    choice = MaskChoice.model_validate(gather_choice({"source": "unet", "path": str(trained.folder), "device": "cpu"}))
    folder = draw_cohort(cohort, choice.drawer(), tmp_path / "masks", pictures="all")
    drawn = apply(cohort, folder, "all")
    for case in drawn.cases:
        for picture in case.pictures.values():
            if picture.mask is not None:
                assert not picture.mask.trained_on.knows(case.patient_id)
    told = mask_training(drawn.cases, drawn.case_frame())
    assert told
    assert all(record["trained_on"]["out_of_fold"] for record in told)


def test_too_few_patients_are_refused(cohort, tmp_path):
    settings = parse_settings(MaskTrainingSettings, SMALL | {"folds": 6}, where="test")
    with pytest.raises(StudyError, match="at least 7 patients"):
        train_masks(cohort, settings, tmp_path)


def _of_patients(cohort, n):
    chosen = sorted({case.patient_id for case in cohort.cases})[:n]
    return replace(cohort, cases=tuple(case for case in cohort.cases if case.patient_id in chosen))


def test_two_folds_need_one_to_teach_and_one_to_stop(cohort, tmp_path):
    with pytest.raises(StudyError, match="at least 4 patients with masks: there are 3"):
        train_masks(_of_patients(cohort, 3), parse_settings(MaskTrainingSettings, SMALL, where="test"), tmp_path)


def test_patients_who_share_a_picture_without_a_mask_are_one(cohort, tmp_path):
    few = _of_patients(cohort, 4)
    one, other = few.cases[0], next(case for case in few.cases if case.patient_id != few.cases[0].patient_id)
    name = next(key for key in one.pictures if key.image_type == "LE")
    shared = replace(other, pictures={**other.pictures, name: replace(one.pictures[name], mask=None)})
    few = replace(few, cases=tuple(shared if case is other else case for case in few.cases))
    with pytest.raises(StudyError, match="at least 4 patients with masks: there are 3"):
        train_masks(few, parse_settings(MaskTrainingSettings, SMALL, where="test"), tmp_path)


def test_an_encoder_that_has_seen_patients_of_the_cohort_is_refused(cohort, tmp_path):
    few, path = _of_patients(cohort, 4), tmp_path / "encoder.safetensors"
    ids = TrainingIds.of([few.cases[0].patient_id]).as_record()
    tensors = timm.create_model("resnet10t", num_classes=0).state_dict()
    save_file(tensors, path, metadata={"trained_on": json.dumps(ids)})
    network = SMALL["segmenter"]["network"] | {"weights": str(path)}
    values = SMALL | {"segmenter": SMALL["segmenter"] | {"network": network}}
    with pytest.raises(LeakageError, match="trained on 1 patients of this cohort"):
        train_masks(few, parse_settings(MaskTrainingSettings, values, where="test"), tmp_path / "made")


class _Unreadable:
    def read(self):
        raise ImageError("image.damaged", "no picture")


def test_a_picture_whose_partner_cannot_be_read_teaches_alone(cohort):
    few = _of_patients(cohort, 1)
    pictures = {
        key: replace(of, image=_Unreadable(), mask=None) if key.image_type == "LE" else of
        for key, of in few.cases[0].pictures.items()
    }
    few = replace(few, cases=(replace(few.cases[0], pictures=pictures),))
    samples, _, failures = gather_samples(few, ["RC"], SegmenterSettings(channels="pair", size_px=(64, 64)))
    assert not failures
    assert (samples.inputs[:, 1:] == -1).all()


def test_a_figure_that_is_not_there_is_null():
    judged = pd.DataFrame(
        {"patient_id": ["P1"], "image_type": ["LE"], "dice": [0.0], "iou": [0.0], "hd95_px": [float("nan")]}
    )
    assert summarise(judged)["by_type"]["LE"]["hd95_px_median"] is None


def test_drawn_masks_do_not_keep_a_comparison_from_its_folder(tmp_path, monkeypatch):
    (tmp_path / DRAWN).mkdir()

    def begun(*_, **__):
        raise EvaluationError("it began")

    monkeypatch.setattr(mask_experiment, "run_mask_experiment", begun)
    study = parse_study({"schema_version": 1, "output": str(tmp_path)})
    with pytest.raises(EvaluationError, match="it began"):
        mask_experiment.mask_experiment(study, {}, tmp_path)


@pytest.mark.parametrize("masks", [None, {"source": "enhancement", "settings": 5}, {"source": 5}, []])
def test_masks_of_a_study_are_none_or_said_to_be_wrong(masks):
    values = {"schema_version": 1, "masks": masks, "mask_arms": {"manual": None}}
    if masks is None:
        assert parse_study(values).masks is None
    else:
        with pytest.raises(StudyError, match="masks"):
            parse_study(values)


def test_a_cohort_without_such_masks_is_refused(cohort, tmp_path):
    settings = parse_settings(MaskTrainingSettings, SMALL | {"image_types": ["IMG"]}, where="test")
    with pytest.raises(CohortError, match="no picture of type IMG"):
        train_masks(cohort, settings, tmp_path)


def test_a_choice_is_stored_as_it_was_written():
    written = {"source": "unet", "path": "/nowhere", "pictures": "all"}
    stored = MaskChoice.model_validate(gather_choice(written)).model_dump(mode="json")
    again = MaskChoice.model_validate(gather_choice(spread_choice(stored)))
    assert again.model_dump(mode="json") == stored
    assert again.drawer_settings().path.name == "nowhere"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "name a source"),
        ({"source": "via"}, "reads masks and draws none"),
        ({"source": "unett", "path": "x"}, "did you mean 'unet'"),
        ({"folder": "x", "lesions": "best"}, "no source is named"),
        ({"source": "unet", "path": "x", "lesion": "best"}, "did you mean 'lesions'"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        MaskChoice.model_validate(gather_choice(values))
