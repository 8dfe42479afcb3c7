"""The store and resume: nothing is computed twice, nothing stale is used, and the table is the same bytes."""

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.failure import Failure
from cemrad.features.families import SHELF
from cemrad.features.image import ArrayImage
from cemrad.features.imagefile import ImageFile
from cemrad.features.mask import ArrayMask
from cemrad.pipeline import extract as stage
from cemrad.pipeline.cohort import Cohort
from cemrad.pipeline.extract import FeatureSettings, extract
from cemrad.pipeline.inputs import InputLog
from cemrad.pipeline.means import Effort, Means
from cemrad.pipeline.store import Entry, Store

LE, RC = (PictureKey(image_type, "CC") for image_type in ("LE", "RC"))
SMALL = {
    "radiomics": {"parameters": {"featureClass": {"firstorder": ["Mean", "Range"], "glcm": ["Contrast"]}}},
    "deep": {"weights": "random", "size": 32},
}


def picture(seed, parts=1):
    pixels = np.random.default_rng(seed).integers(0, 4096, (64, 64)).astype(np.uint16)
    mask = np.zeros((64, 64), bool)
    mask[20:40, 24:44] = True
    if parts == 2:
        mask[30:32] = False
    return Picture(ArrayImage(pixels), ArrayMask(mask))


def cohort(n=5, **others):
    cases = [Case(f"c{i}", f"p{i}", pictures={LE: picture(2 * i), RC: picture(2 * i + 1, 1 + i % 2)}) for i in range(n)]
    return Cohort("small", tuple(others.get(case.case_id, case) for case in cases))


def settings(**families):
    return FeatureSettings(families={name: {**SMALL[name], **more} for name, more in (families or SMALL).items()})


def run(folder, who=None, asked=None, **means):
    """The table, and units that were computed and taken."""
    effort = Effort()
    table = extract(who or cohort(), asked or settings(), Means(store=Store(folder), effort=effort, **means))
    return table, (effort.units_computed, effort.units_stored)


def saved(table, folder):
    table.save(folder)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_a_second_run_computes_nothing_and_writes_the_same_bytes(tmp_path):
    first, cost = run(tmp_path / "store")
    second, again = run(tmp_path / "store")
    plain = extract(cohort(), settings())
    assert (cost, again) == ((25, 0), (0, 25))  # LE, RC for radiomics; LE, RC, LERC for deep
    assert saved(first, tmp_path / "a") == saved(second, tmp_path / "b") == saved(plain, tmp_path / "c")
    assert (second.failures.code == "mask.components").sum() == 2


def test_force_computes_everything(tmp_path):
    run(tmp_path)
    assert run(tmp_path, force=True)[1] == (25, 0)
    assert run(tmp_path)[1] == (0, 25)


def test_order_ids_and_the_rest_of_a_manifest_do_not_matter(tmp_path):
    first, _ = run(tmp_path)
    cases = [
        replace(case, case_id=f"new{case.case_id}", patient_id="x", labels={"er": "positive"}, info={"site": "A"})
        for case in cohort().cases[::-1]
    ]
    second, cost = run(tmp_path, Cohort("renamed", tuple(cases)))
    assert cost == (0, 25)
    np.testing.assert_array_equal(second.values.to_numpy(), first.values.to_numpy()[::-1])
    assert second.failures.case_id.tolist() == ["newc3", "newc1"]


def test_a_changed_picture_computes_just_what_it_touches(tmp_path):
    run(tmp_path / "store")
    log = InputLog(tmp_path / "inputs.csv")
    changed = replace(cohort().cases[1], pictures={LE: picture(2), RC: picture(99)})
    effort = Effort()
    means = Means(store=Store(tmp_path / "store"), inputs=log, effort=effort)
    extract(cohort(), settings(), means)
    table = extract(cohort(c1=changed), settings(), means)
    assert effort.units_computed == 3  # radiomics RC, deep RC and LERC
    assert effort.inputs_changed == ["c1 RC_CC"]
    pd.testing.assert_frame_equal(table.values, extract(cohort(c1=changed), settings()).values)


@pytest.mark.parametrize(
    ("asked", "computed"),
    [
        ({"radiomics": {"min_kept": 0.4}, "deep": {}}, 10),
        ({"radiomics": {}, "deep": {"margin": 0.25}}, 15),
        ({"radiomics": {}, "deep": {"seed": 1}}, 15),
        ({"radiomics": {}, "deep": {"network": "resnet34"}}, 15),
        ({"radiomics": {"engine": "pyradiomics"}, "deep": {}}, 10),
        ({"radiomics": {}}, 0),
        ({"deep": {"download": True}}, 0),
    ],
)
def test_changed_settings_compute_just_their_family(tmp_path, asked, computed):
    run(tmp_path)
    assert run(tmp_path, asked=settings(**asked))[1][0] == computed


def test_changed_rules_and_versions_compute_everything(tmp_path, monkeypatch):
    run(tmp_path)
    rules = settings().model_copy(update={"mask_rules": stage.MaskRules(min_area_px=65)})
    assert run(tmp_path, asked=rules)[1] == (25, 0)
    radiomics = SHELF.take("radiomics")
    plain = radiomics.Family.identity
    monkeypatch.setattr(radiomics.Family, "identity", lambda self: plain(self) | {"versions": {"numpy": "9.9"}})
    assert run(tmp_path)[1] == (10, 15)


def test_failures_are_tried_again(tmp_path):
    empty = Picture(picture(3).image, ArrayMask(np.zeros((64, 64), bool)))
    broken = replace(cohort().cases[1], pictures={LE: picture(2), RC: empty})
    first, cost = run(tmp_path, cohort(c1=broken))
    second, again = run(tmp_path, cohort(c1=broken))
    assert again == (3, 22)  # radiomics RC, deep RC and LERC failed, and are not taken as done
    pd.testing.assert_frame_equal(first.failures, second.failures)
    pd.testing.assert_frame_equal(first.values, second.values)
    assert (first.failures.state == "failed").sum() == 2


def test_a_family_that_left_something_out_is_asked_again(tmp_path):
    """LoG of 80 px needs a larger picture: one feature is missing, the rest is there."""
    parameters = {"imageType": {"Original": {}, "LoG": {"sigma": [80.0]}}, "featureClass": {"firstorder": ["Mean"]}}
    asked = FeatureSettings(families={"radiomics": {"parameters": parameters}})
    first, _ = run(tmp_path, asked=asked)
    second, again = run(tmp_path, asked=asked)
    assert again == (10, 0)
    pd.testing.assert_frame_equal(first.failures, second.failures)


def test_the_name_of_a_file_does_not_matter_and_its_content_does(tmp_path):
    import PIL.Image

    pixels = picture(1).image.pixels.astype(np.uint8)
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    PIL.Image.fromarray(pixels).save(first)
    shutil.copy(first, second)
    assert ImageFile(first).content() == ImageFile(second).content()
    PIL.Image.fromarray(pixels + 1).save(second)
    assert ImageFile(first).content() != ImageFile(second).content()


@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b[:-1] + b"\0", lambda b: b"", lambda b: b"{}\n" + b])
def test_a_damaged_entry_counts_as_absent(tmp_path, damage):
    """As after a power cut: written in part, or not at all."""
    store = Store(tmp_path)
    warning = Failure("", "mask", "mask.components", "two", "RC_CC", "warned")
    store.put("ab12", Entry(np.arange(4.0) + 0.25, (warning,)))
    assert store.get("ab12").warnings == (warning,)
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    path.write_bytes(damage(path.read_bytes()))
    assert store.get("ab12") is None


def test_an_entry_under_another_key_is_not_taken(tmp_path):
    store = Store(tmp_path)
    store.put("ab12", Entry(np.arange(3.0)))
    (tmp_path / "ab" / "12").rename(tmp_path / "ab" / "34")
    assert store.get("ab34") is None


def test_the_log_of_inputs_survives_a_line_that_was_cut_off(tmp_path):
    path = tmp_path / "inputs.csv"
    InputLog(path).note("A", {"RC_CC": ("image", "mask"), "LE_CC": None})
    with path.open("a", encoding="utf-8") as file:
        file.write("B,RC_CC,0123")
    log = InputLog(path)
    assert log.note("A", {"RC_CC": ("image", "mask")}) == []
    assert log.note("B", {"RC_CC": ("image", "mask")}) == []
    assert InputLog(path).note("B", {"RC_CC": ("image", "mask")}) == []


def test_provenance_holds_no_times(tmp_path):
    """Or the table of a resumed run would not be the same bytes."""
    table, _ = run(tmp_path)
    assert "times_s" not in json.dumps(table.provenance)
