"""How masks were drawn: closed forms, scikit-image, and the real contours of CDD-CESM."""

import math

import numpy as np
import pandas as pd
import pytest
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.image import ArrayImage
from cemrad.features.mask import ArrayMask, MaskRules
from cemrad.features.table import FeatureTable
from cemrad.models.audit_study import audit_result, lay_out_again
from cemrad.models.confounders import confounder_columns
from cemrad.models.evaluate import EvaluationSettings, evaluate
from cemrad.pipeline.cohort import Cohort
from cemrad.pipeline.cohorts import cdd_cesm
from cemrad.pipeline.contour import Region, rasterise
from cemrad.pipeline.drawing import drawing_columns, mask_facts, region_facts
from cemrad.pipeline.masks.via import ViaMask
from scipy import integrate
from sklearn.metrics import roc_auc_score

TURNED = Region("ellipse", (200.0,), (150.0,), 80.0, 30.0, 0.6)


def test_an_ellipse_in_closed_form():
    facts = region_facts([TURNED])
    perimeter, _ = integrate.quad(lambda t: math.hypot(80 * math.sin(t), 30 * math.cos(t)), 0, 2 * math.pi)
    assert facts["perimeter_px"] == pytest.approx(perimeter, rel=1e-6)
    assert facts["area_px"] == pytest.approx(math.pi * 80 * 30)
    assert (facts["n_ellipses"], facts["n_vertices"], facts["n_regions"]) == (1, 0, 1)
    t = np.linspace(0, 2 * np.pi, 100_001)
    x = 200 + 80 * np.cos(t) * math.cos(0.6) - 30 * np.sin(t) * math.sin(0.6)
    y = 150 + 80 * np.cos(t) * math.sin(0.6) + 30 * np.sin(t) * math.cos(0.6)
    assert facts["box_columns_px"] == pytest.approx(np.ptp(x), rel=1e-6)
    assert facts["box_rows_px"] == pytest.approx(np.ptp(y), rel=1e-6)
    circle = region_facts([Region("circle", (9.0,), (9.0,), 5.0, 5.0)])
    assert circle["compactness"] == pytest.approx(1.0)
    assert circle["perimeter_px"] == pytest.approx(10 * math.pi)


def test_two_regions_add_up_and_share_a_box():
    square = Region("polygon", (0, 10, 10, 0), (0, 0, 10, 10))
    line = Region("polyline", (20, 23, 23), (30, 30, 34))
    facts = region_facts([square, line])
    assert facts["n_vertices"] == 7
    assert facts["vertices_per_region"] == 3.5
    assert facts["area_px"] == pytest.approx(100 + 6)
    assert facts["perimeter_px"] == pytest.approx(40 + 12)
    assert (facts["box_rows_px"], facts["box_columns_px"]) == (34, 23)
    assert (facts["centre_row_px"], facts["centre_column_px"]) == (17, 11.5)
    assert region_facts([]) == {}


def test_a_drawn_and_a_rasterised_mask_agree_on_geometry():
    drawn, raster = region_facts([TURNED]), mask_facts(rasterise(TURNED, (300, 400)))
    for name in ("area_px", "perimeter_px", "compactness", "box_rows_px", "box_columns_px", "centre_row_px"):
        assert raster[name] == pytest.approx(drawn[name], rel=0.03), name
    assert "n_vertices" not in raster


class Unread:
    """A picture that must not be opened."""

    def read(self):
        raise AssertionError("this picture was read")


def test_contours_open_no_picture_and_images_only_where_asked():
    mask = np.zeros((40, 40), bool)
    mask[5:20, 10:30] = True
    contour, image = PictureKey("LE", "CC"), PictureKey("RC", "CC")
    pictures = {
        contour: Picture(Unread(), ViaMask((TURNED,))),
        image: Picture(ArrayImage(np.ones((40, 40))), ArrayMask(mask)),
    }
    empty = Case("c2", "P2", pictures={image: Picture(ArrayImage(np.ones((40, 40))), ArrayMask(mask & False))})
    cohort = Cohort("some", (Case("c1", "P1", pictures=pictures), empty))
    found = drawing_columns(cohort, MaskRules())
    assert not [name for name in found if ":RC_CC:" in name]
    found = drawing_columns(cohort, MaskRules(), read=True)
    assert found.loc["c1", "confounder:RC_CC:area_px"] == 300
    assert found.loc["c1", "confounder:LE_CC:n_ellipses"] == 1
    assert found.loc["c2"].isna().all()


@pytest.fixture(scope="module")
def contours(realdata, tmp_path_factory):
    """CDD-CESM's tables beside files that have the images' names and nothing in them."""
    folder = tmp_path_factory.mktemp("cdd")
    for path in (realdata / "cdd-cesm" / "tables").iterdir():
        (folder / path.name).symlink_to(path)
    for annotation in cdd_cesm.read_tables(folder).annotations:
        (folder / f"{annotation.name}.jpg").touch()
    return folder


def test_vertices_alone_tell_malignant_from_benign_in_cdd_cesm(contours):
    """By image, as the data's README states it: about 0.97."""
    cohort = cdd_cesm.read(cdd_cesm.Settings(path=contours, one_row_per="image", accept_resaved=True))
    facts = drawing_columns(cohort, MaskRules())["confounder:IMG:n_vertices"].dropna()
    truth = cohort.labels()["malignancy"].loc[facts.index]
    keep = truth.isin(["benign", "malignant"])
    assert roc_auc_score(truth[keep] == "malignant", facts[keep]) == pytest.approx(0.97, abs=0.01)


def test_the_audit_finds_the_drawing_style_of_cdd_cesm(contours):
    """By breast, cross-validated by patient, beside features of noise: the audit fails and says why."""
    cohort = cdd_cesm.read(cdd_cesm.Settings(path=contours, accept_resaved=True))
    drawn = drawing_columns(cohort, MaskRules())
    labels = cohort.labels()
    use = [name for name in drawn.index[drawn.notna().any(axis=1)] if labels.loc[name, "malignancy"] != "normal"]
    rng = np.random.default_rng(0)
    values = pd.DataFrame({f"deep:LE_CC:f{i}": rng.normal(size=len(use)) for i in range(5)}, index=use)
    table = FeatureTable(values, cohort.case_frame().loc[use])
    settings = EvaluationSettings(n_candidates=1, arms=("deep",), scoring={"n_bootstrap": 100})
    result = evaluate(table, labels, ["malignancy"], settings)
    plans = lay_out_again(table, labels, ["malignancy"], settings, result)
    found = audit_result(table, plans, settings, confounder_columns(table, drawn), result)
    row = found["confounders"].set_index("panel").loc["drawing"]
    assert row["auc"] > 0.95
    assert row["low"] > 0.9
    assert "the result may be explained by it" in row["text"]
    check = found["audit"].set_index("check").loc["confounder: mask-drawing style"]
    assert check["state"] == "failed"
