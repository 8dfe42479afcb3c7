"""Persons: whoever shares a picture is one person, however her ids and files are called."""

import io
import json
import logging
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.errors import LeakageError
from cemrad.features.fingerprint import MOST_NEAR_BITS, NEAR, PIXELS, fingerprint, join, near_bits, pixels_of
from cemrad.features.image import ArrayImage
from cemrad.features.mask import ArrayMask
from cemrad.features.table import FeatureTable
from cemrad.features.training_ids import KEY, TrainingIds
from cemrad.models.bundle import Bundle
from cemrad.models.design import lay_out
from cemrad.models.endpoint import resolve_endpoint
from cemrad.models.evaluate import evaluate
from cemrad.models.folds import Split, split
from cemrad.models.outer import OuterSettings, deal
from cemrad.models.persons import IDENTICAL, NEAR_COPY, SAME_PERSON_COLUMNS, persons_of, picture_ties
from cemrad.models.scoring import ScoringSettings
from cemrad.models.train import train
from cemrad.pipeline.check import check
from cemrad.pipeline.cohort import Cohort
from cemrad.pipeline.duplicates import mask_training
from cemrad.pipeline.extract import FeatureSettings, extract
from cemrad.pipeline.run import Run

from .small_batch import RADIOMICS, Here, extracted, study, write_cohort


def saved(pixels, kind, **options):
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, kind, **options)
    return np.asarray(PIL.Image.open(file))


COPIES = {
    "png": lambda p: saved(p, "PNG"),
    "jpeg": lambda p: saved(p, "JPEG", quality=75),
    "cut": lambda p: p[1:, 1:],
    "wider": lambda p: np.pad(p, 1),
    "darker": lambda p: (p * 0.8).astype(np.uint8),
    "deeper": lambda p: p.astype(np.uint16) * 16,
}


def differing(one, other):
    return int(np.bitwise_count(near_bits(one) ^ near_bits(other)).sum())


@pytest.fixture(scope="module")
def real(realdata):
    """Some real pictures, with their patients, views and kinds in their names."""
    files = sorted((realdata / "cdd-cesm" / "pairs-512" / "images").glob("*.jpg"))[::6]
    return {path.stem: np.asarray(PIL.Image.open(path).convert("L")) for path in files}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_of_real_pictures_are_found(real, kind):
    for pixels in list(real.values())[::4]:
        made, copy = fingerprint(pixels), fingerprint(COPIES[kind](pixels))
        assert (made.pixels == copy.pixels) == (kind == "png")
        assert differing(made.near, copy.near) <= MOST_NEAR_BITS


def test_no_two_real_breasts_are_taken_for_one(real):
    prints = {name: fingerprint(pixels) for name, pixels in real.items()}
    words = np.array([near_bits(found.near) for found in prints.values()])
    differ = np.bitwise_count(words[:, None] ^ words[None]).sum(axis=2)
    assert differ[np.triu_indices(len(words), 1)].min() > 1.8 * MOST_NEAR_BITS


def test_a_fingerprint_does_not_depend_on_what_holds_the_numbers():
    pixels = np.random.default_rng(0).integers(0, 200, (60, 50))
    kinds = (np.uint8, np.int16, np.uint16, np.float32, np.float64, ">u2")
    assert len({fingerprint(pixels.astype(kind)) for kind in kinds}) == 1
    assert fingerprint(pixels + 0.5).pixels != fingerprint(pixels).pixels
    assert fingerprint(pixels.T).pixels != fingerprint(pixels).pixels
    assert fingerprint(np.full((60, 50), 7)) is None


def cheap(quick, **changes):
    """One small arm, and nothing measured beside it."""
    plain = {"arms": ("clinical",), "audit": False, "scoring": ScoringSettings(n_bootstrap=100, further=())}
    return quick.model_copy(update=plain | changes)


@pytest.fixture
def twins(make_table):
    """A table with pictures, in which P001 is P000 under another id, by equal pixels, and P005 a near copy of P002."""
    table, labels = make_table(60, seed=2)
    rng = np.random.default_rng(1)
    near = {patient: bytearray(rng.bytes(64)) for patient in table.cases["patient_id"].unique()}
    near["P005"] = bytearray(near["P002"])
    near["P005"][:7] = bytes(255 - byte for byte in near["P005"][:7])  # 56 bits
    near["P006"] = bytearray(near["P003"])
    near["P006"][:8] = bytes(255 - byte for byte in near["P006"][:8])  # 64 bits: another breast
    pixels = {patient: f"{at:064x}" for at, patient in enumerate(near)} | {"P001": f"{0:064x}"}
    cells = {
        PIXELS: [join({"RC_CC": pixels[patient]}) for patient in table.cases["patient_id"]],
        NEAR: [join({"RC_CC": near[patient].hex()}) for patient in table.cases["patient_id"]],
    }
    return FeatureTable(table.values, table.cases.assign(**cells)), labels


def test_equal_and_near_equal_pictures_make_one_person(twins):
    ties = picture_ties(twins[0].cases)
    assert [tie[:4] for tie in ties] == [("P000", "P001", IDENTICAL, "RC_CC"), ("P002", "P005", NEAR_COPY, "RC_CC")]
    persons = persons_of(twins[0].cases)
    assert set(persons[twins[0].cases["patient_id"].isin(["P000", "P001"])]) == {"P000"}
    assert persons.nunique() == 58
    turned = twins[0].cases.iloc[::-1]
    assert persons_of(turned).equals(persons.iloc[::-1])


def test_t6_a_split_by_patient_ids_alone_is_refused_where_a_person_has_two(twins):
    table, labels = twins
    design = lay_out(table, labels, resolve_endpoint("malignancy", labels))
    mine = table.cases.loc[list(design.rows.case_ids)]
    naive = replace(design.rows, persons=tuple(mine["patient_id"]))
    made = split(naive.case_ids, naive.persons, naive.y, n_folds=20, seed=1)
    with pytest.raises(LeakageError, match="one person by her pictures"):
        Split(made.case_ids, made.persons, made.assignment, tied=tuple(persons_of(mine)))
    with pytest.raises(LeakageError, match="both sides"):
        deal(naive, mine, OuterSettings(), n_folds=20, n_repeats=2, seed=1)
    assert deal(design.rows, mine, OuterSettings(), n_folds=20, n_repeats=2, seed=1).n_folds == 20


def test_an_evaluation_takes_them_for_one_person_and_says_so(twins, quick, caplog):
    with caplog.at_level(logging.WARNING, logger="cemrad"):
        found = evaluate(*twins, ["malignancy"], cheap(quick))
    assert "identical pictures under two ids, taken for one person: P000 and P001" in caplog.text
    assert "near-identical pictures under two ids, taken for one person: P002 and P005" in caplog.text
    assert list(found.tables["same_person"].columns) == SAME_PERSON_COLUMNS
    assert found.tables["same_person"]["other_id"].tolist() == ["P001", "P005"]
    assert found.endpoints["malignancy"]["n_patients"] == 58
    ids = twins[0].cases["patient_id"].reindex(found.predictions["case_id"]).to_numpy()
    folds = found.predictions.groupby(ids)["fold"].first()
    assert folds["P000"] == folds["P001"]
    assert folds["P002"] == folds["P005"]


def test_a_training_picture_under_a_new_id_is_known_to_the_bundle(twins, quick, tmp_path):
    table, labels = twins
    bundle = train(*twins, ["malignancy"], quick, arm="clinical")
    bundle.save(tmp_path / "model.cemrad")
    renamed = table.cases.assign(patient_id="new " + table.cases["patient_id"])
    strange = renamed.assign(**{PIXELS: "RC_CC:" + 64 * "f"})
    for made in (bundle, Bundle.load(tmp_path / "model.cemrad")):
        assert made.predict(FeatureTable(table.values, renamed))["seen_in_training"].all()
        assert not made.predict(FeatureTable(table.values, strange))["seen_in_training"].any()
        assert not made.predict(FeatureTable(table.values, renamed.drop(columns=PIXELS)))["seen_in_training"].any()
    text = json.dumps(sorted(bundle.contents))
    assert not any(cell.partition(":")[2] in text for cell in table.cases[PIXELS])


@pytest.mark.parametrize("by_picture", [False, True])
def test_a_step_that_learned_from_a_held_out_person_is_refused_unless_it_is_out_of_fold(twins, quick, by_picture):
    table, labels = twins
    settings = cheap(quick)
    whom = ((), [f"{7:064x}"]) if by_picture else (["P007", "somebody else"], ())

    def weighed(*ids, **more):
        record = {"families": {"deep": {"weights": {KEY: TrainingIds.of(*ids, **more).as_record()}}}}
        return FeatureTable(table.values, table.cases, provenance=record)

    with pytest.raises(LeakageError, match=r"families\.deep\.weights was trained on 1 of the persons .*'P007'"):
        evaluate(weighed(*whom), labels, ["malignancy"], settings)
    evaluate(weighed(*whom, out_of_fold=True), labels, ["malignancy"], settings)
    evaluate(weighed(["somebody else"]), labels, ["malignancy"], settings)


def test_who_taught_a_network_may_stay_on_the_training_side(twins, quick):
    table, labels = twins
    parts = table.cases["patient_id"].isin([f"P{i:03d}" for i in range(20)]).map({True: "old", False: "new"})
    record = {"masks": [{"n_masks": 3, KEY: TrainingIds.of(["P007"]).as_record()}]}
    made = FeatureTable(table.values, table.cases.assign(part=parts), provenance=record)
    held_out = {name: OuterSettings(by="column", column="part", held_out=(name,)) for name in ("new", "old")}
    evaluate(made, labels, ["malignancy"], cheap(quick, split=held_out["new"]))
    with pytest.raises(LeakageError, match=r"masks\[0\] was trained on"):
        evaluate(made, labels, ["malignancy"], cheap(quick, split=held_out["old"]))


def test_a_weights_file_states_whom_it_was_trained_on(tmp_path):
    from cemrad.features.errors import WeightsError
    from cemrad.features.weights import load_network
    from safetensors.torch import save_file

    model, plain = load_network("resnet18", "random")
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    assert KEY not in plain.as_record()
    record = TrainingIds.of(["P1"]).as_record()
    save_file(tensors, tmp_path / "tuned.safetensors", metadata={KEY: json.dumps(record)})
    _, tuned = load_network("resnet18", str(tmp_path / "tuned.safetensors"))
    assert tuned.as_record()[KEY] == record
    assert tuned.sha256 == plain.sha256
    for text in ("{", "[]", '{"persons": []}'):
        save_file(tensors, tmp_path / "bad.safetensors", metadata={KEY: text})
        with pytest.raises(WeightsError, match="not a record of training ids"):
            load_network("resnet18", str(tmp_path / "bad.safetensors"))


@dataclass(frozen=True, eq=False)
class Drawn(ArrayMask):
    """A mask of a segmenter that learned."""

    trained_on: TrainingIds | None = None


def small_case(patient, ids):
    rng = np.random.default_rng(int(patient[1:]))
    mask = np.zeros((40, 40), dtype=bool)
    mask[10:30, 10:30] = True
    picture = Picture(ArrayImage(rng.integers(20, 200, (40, 40))), Drawn(mask, ids))
    return Case(f"c{patient}", patient, pictures={PictureKey("RC", "CC"): picture})


def drawn(*cases, **more):
    """What the masks of these cases say, with other columns of the table's cases as they are given."""
    return mask_training(cases, Cohort("c", cases).case_frame().assign(**more))


def test_masks_are_out_of_fold_only_if_no_model_drew_one_of_its_own_patients():
    halves = TrainingIds.of(["P1", "P2"]), TrainingIds.of(["P3", "P4"])
    crossed = [small_case(p, halves[p in ("P1", "P2")]) for p in ("P1", "P2", "P3", "P4")]
    assert [record[KEY]["out_of_fold"] for record in drawn(*crossed)] == [True, True]
    own = [small_case(p, halves[0]) for p in ("P1", "P3")]
    assert [(record["n_masks"], record[KEY]["out_of_fold"]) for record in drawn(*own)] == [(2, False)]
    assert drawn(small_case("P1", None)) == []


def test_masks_are_not_out_of_fold_where_the_person_is_known_by_another_id_or_a_picture():
    pixels = {PIXELS: ["RC_CC:1f", "RC_CC:1f", "RC_CC:a0"]}
    persons = [small_case(p, None) for p in ("P1", "P2", "P3")]
    for ids in (TrainingIds.of(["P1"]), TrainingIds.of(["elsewhere"], ["1f"])):
        for at, known in ((1, True), (2, False)):
            cases = [small_case(f"P{i + 1}", ids) if i == at else case for i, case in enumerate(persons)]
            [record] = drawn(*cases, **pixels)
            assert record[KEY]["out_of_fold"] is not known


def test_an_extraction_looks_masks_up_by_their_pictures():
    settings = FeatureSettings(families={"radiomics": RADIOMICS})
    shown = extract(Cohort("c", (small_case("P1", None),)), settings).cases[PIXELS].iloc[0]
    ids = TrainingIds.of(["elsewhere"], pixels_of(shown))
    record = extract(Cohort("c", (small_case("P1", ids),)), settings).provenance
    assert record["masks"][0][KEY]["out_of_fold"] is False


def test_blanks_around_a_stated_value_do_not_part_a_person():
    cases = pd.DataFrame({"patient_id": ["A", "B", "C"], "exam": ["7", " 7\t", "8"]}, index=list("xyz"))
    assert persons_of(cases, ["exam"]).tolist() == ["A", "A", "C"]


def test_check_names_patients_who_share_a_picture():
    pictures = {"P1": 1, "P2": 1, "P3": 3}
    cases = tuple(
        Case(f"c{p}", p, pictures=small_case(f"P{seed}", None).pictures) for p, seed in pictures.items()
    )  # fmt: skip
    found = check(Cohort("three", cases))
    assert [tie[:3] for tie in found.ties] == [("P1", "P2", IDENTICAL)]
    assert any("P1 RC_CC and P2 RC_CC: identical pictures" in line for line in found.lines())
    assert found.as_dict()["same_person"][0]["other_id"] == "P2"
    assert check(Cohort("three", cases), decode=False).ties == ()


def test_a_run_and_its_store_give_every_case_its_fingerprints(tmp_path):
    manifest = write_cohort(tmp_path / "cohort", 3)
    folder = tmp_path / "cohort"
    pixels = np.asarray(PIL.Image.open(folder / "0000.png"))
    PIL.Image.fromarray(pixels).save(folder / "0002.tif")
    manifest.write_text(manifest.read_text().replace("0002.png", "0002.tif"), encoding="utf-8")
    _, first = extracted(manifest, tmp_path / "run")
    again, second = extracted(manifest, tmp_path / "run")
    assert (again.effort.units_computed, second) == (0, first)
    table = FeatureTable.load(tmp_path / "run")
    assert table.cases[PIXELS].str.fullmatch(r"IMG:[0-9a-f]{64}").all()
    assert table.cases[NEAR].str.fullmatch(r"IMG:[0-9a-f]{128}").all()
    assert [tie[:3] for tie in picture_ties(table.cases)] == [("p0000", "p0002", IDENTICAL)]
    (folder / "0001_mask.png").write_bytes(b"not a picture")
    run = Run.start(study(manifest, tmp_path / "run"))
    run.extract(Here())
    assert run.table.cases.loc["c0001", PIXELS] == ""
