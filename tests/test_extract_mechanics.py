"""The extraction stage: same columns for all, nothing missing without a reason, workers that may die."""

import json
import logging
import os
import signal
import sys
from dataclasses import dataclass

import cloudpickle
import numpy as np
import pandas as pd
import pytest
import SimpleITK
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.clinical import encode_clinical
from cemrad.features.errors import ImageError, StudyError, WeightsError
from cemrad.features.failure import Failure
from cemrad.features.families import SHELF
from cemrad.features.image import ArrayImage, Image
from cemrad.features.mask import ArrayMask
from cemrad.features.settings import parse_settings
from cemrad.features.table import ColumnName, FeatureTable
from cemrad.pipeline.cohort import Cohort
from cemrad.pipeline.extract import FeatureSettings, extract
from cemrad.pipeline.means import Means

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test

LE, RC, LE_MLO, RC_MLO = (PictureKey(image_type, view) for view in ("CC", "MLO") for image_type in ("LE", "RC"))
SMALL = {
    "radiomics": {"parameters": {"featureClass": {"firstorder": ["Mean", "Range"], "glcm": ["Contrast"]}}},
    "deep": {"weights": "random", "size": 32},
}


@dataclass(frozen=True)
class Deadly:
    """An image whose decoder takes the process with it, unless this is the test's own."""

    parent: int

    def read(self) -> Image:
        if os.getpid() != self.parent:
            os.kill(os.getpid(), signal.SIGKILL)
        raise ImageError("image.deadly", "read in the test's own process")


@dataclass(frozen=True)
class Faulty:
    """An image that raises what no reader should raise."""

    def read(self) -> Image:
        raise RuntimeError("a decoder's own fault")


def mask(side=64, top=20, height=20):
    drawn = np.zeros((side, side), bool)
    drawn[top : top + height, 24:44] = True
    return drawn


def picture(seed, drawn=None):
    pixels = np.random.default_rng(seed).integers(0, 4096, (64, 64)).astype(np.uint16)
    return Picture(ArrayImage(pixels), ArrayMask(mask() if drawn is None else drawn))


def case(i, keys=(LE, RC), **clinical):
    return Case(f"c{i}", f"p{i}", pictures={key: picture(10 * i + j) for j, key in enumerate(keys)}, clinical=clinical)


def cohort(*cases, **more):
    return Cohort("small", cases, **more)


def small(**more):
    return FeatureSettings(families=SMALL, **more)


def told(table, case_id):
    rows = table.failures[table.failures.case_id == case_id]
    return list(rows[["stage", "code", "picture", "state"]].itertuples(index=False, name=None))


def assert_every_gap_has_a_reason(table):
    reasons = set(zip(table.failures.case_id, table.failures.picture, strict=True))
    for case_id, row in table.values.iterrows():
        for column in row.index[row.isna()]:
            picture_name = ColumnName.parse(column).picture
            assert (case_id, picture_name) in reasons or (case_id, "") in reasons, (case_id, column)


@pytest.fixture(scope="module")
def mixed():
    """Eleven cases with most of what can go wrong; more than two chunks."""
    flat = Picture(ArrayImage(np.full((64, 64), 5)), ArrayMask(mask()))
    cases = [case(i, age=40 + i, density="ABCD"[i % 4]) for i in range(8)]
    cases += [
        case(8, (LE, RC, LE_MLO)),
        Case("c9", "p9", pictures={LE: picture(1, np.zeros((64, 64), bool)), RC: picture(2)}),
        Case("c10", "p10", pictures={LE: picture(1, mask(32)), RC: flat}),
    ]
    return cohort(*cases, failures=(Failure("row 12", "cohort", "path.missing", "no such file"),), phantom=True)


def test_numbers_and_failures_do_not_depend_on_the_number_of_workers(mixed):
    one, two = (extract(mixed, small(), Means(jobs=jobs)) for jobs in (0, 2))
    pd.testing.assert_frame_equal(one.values, two.values, check_exact=True)
    pd.testing.assert_frame_equal(one.failures, two.failures)
    pd.testing.assert_frame_equal(one.cases, two.cases)


def test_every_row_has_the_columns_of_the_whole_cohort_and_every_gap_a_reason(mixed):
    table = extract(mixed, small())
    assert table.values.index.tolist() == [c.case_id for c in mixed.cases]
    assert table.families() == ["radiomics", "deep", "clinical"]
    pictures = {family: [] for family in table.families()}
    for column in table.values.columns:
        name = ColumnName.parse(column)
        if name.picture not in pictures[name.family]:
            pictures[name.family].append(name.picture)
    assert pictures == {
        "radiomics": ["LE_CC", "RC_CC", "LE_MLO"],
        "deep": ["LE_CC", "RC_CC", "LERC_CC", "LE_MLO"],
        "clinical": ["case"],
    }
    assert_every_gap_has_a_reason(table)
    no_mlo = ("cohort", "picture.missing", "LE_MLO", "skipped")
    assert told(table, "row 12") == [("cohort", "path.missing", "", "failed")]
    assert told(table, "c0") == [no_mlo]
    assert told(table, "c8")[0][1:] == ("clinical.missing", "case", "skipped")
    assert told(table, "c9")[:3] == [
        no_mlo,
        ("mask", "mask.empty", "LE_CC", "failed"),  # told once, though two families met it
        ("deep", "pair.failed", "LERC_CC", "failed"),
    ]
    assert [row[1] for row in told(table, "c10")][1:5] == [
        "geometry.size", "roi.constant", "image.constant", "pair.failed",
    ]  # fmt: skip
    counts = table.provenance["counts"]
    assert counts["cases"] == 11
    assert counts["cases_failed"] == 2
    assert counts["cases_ok"] == 9
    assert counts["rows_refused"] == 1


def test_a_bad_case_leaves_the_others_bit_for_bit_as_they_were(mixed):
    with_bad = extract(mixed, small())
    clean = extract(cohort(*mixed.cases[:8]), small())
    shared = [column for column in clean.values.columns if not column.startswith("clinical")]
    pd.testing.assert_frame_equal(with_bad.values.loc[clean.values.index, shared], clean.values[shared])


def test_a_worker_that_dies_costs_only_the_case_that_killed_it():
    deadly = Case("dead", "p", pictures={LE: Picture(Deadly(os.getpid()), ArrayMask(mask())), RC: picture(5)})
    cases = [*(case(i) for i in range(5)), deadly, *(case(i) for i in range(6, 10))]
    settings = FeatureSettings(families={"radiomics": SMALL["radiomics"]})
    table = extract(cohort(*cases), settings, Means(jobs=2))
    clean = extract(cohort(*(c for c in cases if c is not deadly)), settings)
    assert table.values.loc["dead"].isna().all()
    assert told(table, "dead") == [("radiomics", "worker.lost", "", "failed")]
    pd.testing.assert_frame_equal(table.values.drop(index="dead"), clean.values)
    assert table.failures.case_id.unique().tolist() == ["dead"]
    assert_every_gap_has_a_reason(table)


def test_a_fault_that_nobody_foresaw_costs_only_its_case():
    faulty = Case("faulty", "p", pictures={LE: Picture(Faulty(), ArrayMask(mask())), RC: picture(5)})
    table = extract(cohort(case(0), faulty, case(2)), small())
    assert [row[:2] for row in told(table, "faulty")] == [("radiomics", "family.error"), ("deep", "family.error")]
    assert table.failures.reason.str.contains("RuntimeError: a decoder's own fault").all()
    assert table.values.loc[["c0", "c2"]].notna().all(axis=None)
    assert_every_gap_has_a_reason(table)


@pytest.mark.parametrize(("state", "skipped"), [("failed", False), ("warned", True)])
def test_a_picture_that_the_reader_refused_is_not_also_one_that_was_not_taken(state, skipped):
    refused = Failure("c1", "cohort", "file.missing", "no such file", RC.name, state)
    settings = FeatureSettings(families={"radiomics": SMALL["radiomics"]})
    table = extract(cohort(case(0), case(1, (LE,)), case(2, (LE,)), failures=(refused,)), settings)
    not_taken = ("cohort", "picture.missing", RC.name, "skipped")
    assert told(table, "c1") == [("cohort", "file.missing", RC.name, state)] + [not_taken] * skipped
    assert told(table, "c2") == [not_taken]
    assert_every_gap_has_a_reason(table)


def test_a_family_that_forgets_to_explain_is_explained(monkeypatch):
    deep = SHELF.take("deep")
    plain = deep.Family.measure

    def forgetful(self, *asked):
        rows = plain(self, *asked)
        rows[0].values.pop("deep:LE_CC:resnet18_0003")
        return rows

    monkeypatch.setattr(deep.Family, "measure", forgetful)
    table = extract(cohort(case(0), case(1)), small())
    assert told(table, "c0") == [("deep", "feature.missing", "LE_CC", "failed")]
    assert_every_gap_has_a_reason(table)


def test_progress_tells_how_many_cases_are_done():
    seen = []
    extract(cohort(*(case(i) for i in range(10))), small(), Means(progress=lambda *said: seen.append(said)))
    assert seen == [(8, 10, "extract"), (10, 10, "extract")]


def test_random_weights_are_said_aloud_once(caplog):
    with caplog.at_level(logging.WARNING, logger="cemrad"):
        extract(cohort(*(case(i) for i in range(6))), small())
    assert [record.getMessage() for record in caplog.records] == [
        "deep: resnet18 has random weights: nothing was learned from images"
    ]


def test_weights_that_cannot_be_had_stop_the_run_before_any_case():
    settings = FeatureSettings(families={"deep": {"weights": "absent.safetensors"}})
    with pytest.raises(WeightsError, match="absent.safetensors"):
        extract(cohort(case(0)), settings)


@pytest.mark.parametrize(
    ("families", "message"),
    [
        ({"radiomic": {}}, "no feature family 'radiomic'; did you mean 'radiomics'?"),
        ({"deep": {"weihgts": "random"}}, "features.families.deep: unknown key 'weihgts'; did you mean 'weights'?"),
        ({"radiomics": {"preset": "nothing"}}, "no radiomics preset 'nothing'"),
        (["deep"], "valid dictionary"),
    ],
)
def test_settings_of_families_are_checked_with_the_study(families, message):
    with pytest.raises(StudyError) as caught:
        parse_settings(FeatureSettings, {"families": families}, where="study: features")
    assert message in str(caught.value)


def test_settings_survive_json_and_a_null_means_defaults(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("featureClass: {firstorder: [Mean]}\n", encoding="utf-8")
    written = {"families": {"radiomics": {"parameter_file": str(path)}, "deep": None}, "mask_rules": {"min_area_px": 9}}
    settings = parse_settings(FeatureSettings, written, where="study")
    path.unlink()
    again = parse_settings(FeatureSettings, json.loads(settings.model_dump_json()), where="bundle")
    assert again == settings
    assert again.families["radiomics"]["parameters"] == {"featureClass": {"firstorder": ["Mean"]}}
    assert again.families["deep"] == {}


def test_clinical_values_become_numbers_and_indicators():
    cases = [
        Case("a", "p", clinical={"age": 51, "density": "C", "palpable": True}),
        Case("b", "p", clinical={"age": None, "density": "A", "palpable": False}),
        Case("c", "p", clinical={"age": 47.5, "density": ""}),
        Case("d", "p", clinical={"age": "unknown", "density": "C", "palpable": True}),
    ]
    frame, failures = encode_clinical(cases)
    expected = pd.DataFrame(
        {
            "clinical:case:age": [51, np.nan, 47.5, np.nan],
            "clinical:case:density=A": [0, 1, np.nan, 0],
            "clinical:case:density=C": [1, 0, np.nan, 1],
            "clinical:case:palpable": [1, 0, np.nan, 1],
        },
        index=list("abcd"),
    )
    pd.testing.assert_frame_equal(frame, expected, check_index_type=False)
    assert [(f.case_id, f.code, f.state) for f in failures] == [
        ("b", "clinical.missing", "skipped"),
        ("d", "clinical.not_number", "failed"),
        ("c", "clinical.missing", "skipped"),
        ("c", "clinical.missing", "skipped"),
    ]


def test_spellings_of_one_category_are_one_column_named_alike_in_every_cohort():
    one = [Case("a", "p", clinical={"density": "c", "status": "Post"}), Case("b", "q", clinical={"density": " C "})]
    frame, _ = encode_clinical(one)
    assert frame["clinical:case:density=C"].tolist() == [1.0, 1.0]
    assert frame.columns.tolist() == ["clinical:case:density=C", "clinical:case:status=post"]
    assert encode_clinical(one[:1])[0].columns.tolist() == frame.columns.tolist()


def test_clinical_values_can_be_left_out():
    table = extract(cohort(case(0, age=50), case(1, age=60)), small(clinical=False))
    assert table.columns_of("clinical") == []


def test_a_cohort_that_brings_its_table_keeps_it_and_gains_clinical_columns():
    cases = (Case("a", "p", clinical={"age": 50}), Case("b", "q", clinical={"age": None}))
    plain = cohort(*cases)
    values = pd.DataFrame({"radiomics:RC_CC:x": [1.0, 2.0]}, index=pd.Index(["a", "b"], dtype=object))
    brought = FeatureTable(values, plain.case_frame(), provenance={"from": "elsewhere"})
    table = extract(cohort(*cases, table=brought), FeatureSettings())
    assert table.values.columns.tolist() == ["radiomics:RC_CC:x", "clinical:case:age"]
    assert told(table, "b") == [("clinical", "clinical.missing", "case", "skipped")]
    assert table.provenance == {"from": "elsewhere"}


def test_the_table_can_be_saved_and_read(mixed, tmp_path):
    table = extract(mixed, small())
    table.save(tmp_path)
    again = FeatureTable.load(tmp_path)
    pd.testing.assert_frame_equal(again.values, table.values, check_index_type=False)
    assert again.provenance == table.provenance
    assert again.provenance["phantom"] is True


@pytest.mark.slow
def test_all_real_pairs_give_a_row_with_the_same_columns(realdata):
    folder = realdata / "cdd-cesm" / "pairs-512"
    read = {name: SimpleITK.ReadImage for name in ("images", "masks")}
    cases = []
    for path in sorted((folder / "images").iterdir()):
        pixels, drawn = (
            SimpleITK.GetArrayFromImage(reader(str(folder / name / path.name))) for name, reader in read.items()
        )
        pictures = {PictureKey("IMG"): Picture(ArrayImage(pixels), ArrayMask(drawn > 127))}
        cases.append(Case(path.stem, path.stem.split("_")[0], pictures=pictures))
    settings = FeatureSettings(families={"radiomics": {}, "deep": {"weights": "random"}})
    table = extract(cohort(*cases), settings, Means(jobs=2))
    assert table.values.shape == (317, 1404 + 512)
    assert_every_gap_has_a_reason(table)
    assert not (table.failures.state == "failed").any()
