"""The report's section on masks: nothing where all are manual, who drew and how good, and an experiment's tables."""

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from cemrad.features.overlap import Detections
from cemrad.models.mask_comparison import (
    AGREEMENT_COLUMNS,
    ENDPOINT_COLUMNS,
    OVERLAP_COLUMNS,
    FoundLesions,
    summarise_overlap,
    tell_lesions,
)
from cemrad.reports.facts import gather_facts
from cemrad.reports.mask_plots import Found, Strip, colour, free_response, spread
from cemrad.reports.page import render_page
from cemrad.reports.sections import masks

from .report_fixture import make_result

VALIDATION = {"dice_mean": 0.784, "n_patients": 89, "n_pictures": 317, "how": "5-fold, by patient"}
DRAWER = {"name": "unet", "weights": "cem-2026", "weights_sha256": "ab" * 32, "validation": VALIDATION}
USED = {"n_pictures": 12, "sources": {"automatic": 9, "accepted": 1, "manual": 1, "none": 1}, "n_seen": 0}
MANUAL = {"n_pictures": 12, "sources": {"manual": 12}, "n_seen": 0, "drawer": {}}


BASE = cache(make_result)
FACTS = cache(lambda: gather_facts(BASE()))


def words(*, phantom=False, **changes):
    text = masks.render(replace(FACTS(), phantom=phantom), replace(BASE(), **changes))
    return re.sub(r"\s+([.,;)])", r"\1", " ".join(re.sub(r"<[^>]+>", " ", text).split())).replace("( ", "(")


def overlaps(names=("auto", "carried"), n=12):
    rng = np.random.default_rng(1)
    rows = []
    for name in names:
        for i in range(n):
            state = "ok" if i % 6 else "none"
            row = dict.fromkeys(OVERLAP_COLUMNS, "") | {"masks": name, "case_id": f"c{i}", "patient_id": f"p{i}"}
            dice = rng.uniform(0.5, 0.9) if state == "ok" else 0.0
            apart = rng.uniform(1, 5) if state == "ok" else np.nan
            row |= {"image_type": "RC", "view": "CC", "picture": "RC_CC", "state": state, "dice": dice, "n_cases": 1}
            rows.append(row | {"iou": dice / (2 - dice), "hd95_px": 2 * apart, "assd_px": apart, "seen": False})
    return pd.DataFrame(rows, columns=OVERLAP_COLUMNS)


def tables(names=("auto", "carried")):
    overlap = overlaps(names)
    hit = Detections(np.array([0.3]), np.array([0.8]))
    found = [FoundLesions(f"p{i}", "RC", hit, Detections(np.array([0.3]), np.zeros(0))) for i in range(5)]
    nothing = {"low": np.nan, "high": np.nan, "p": np.nan, "p_holm": np.nan, "difference": np.nan}
    nothing |= {"difference_low": np.nan, "difference_high": np.nan}
    key = {"endpoint": "malignancy", "level": "lesion", "arm": "radiomics"}
    endpoints = [
        key | nothing | {"masks": "manual", "auc": 0.8, "low": 0.7, "high": 0.9, "n": 40, "difference_method": "x"},
        key | {"masks": names[0], "auc": 0.75, "low": 0.6, "high": 0.9, "n": 40, "difference": -0.05, "p": 0.04}
        | {"difference_low": -0.09, "difference_high": -0.01, "p_holm": 0.08},
        key | nothing | {"masks": names[1], "auc": np.nan, "n": 0, "method": "not estimable: trained on 3 persons"},
    ]  # fmt: skip
    features = [
        {"masks": name, "column": f"radiomics:RC_CC:original_glcm_{i}", "family": "radiomics", "feature_class": "glcm"}
        | {"icc": 0.9, "low": 0.6 + 0.1 * i, "high": 0.95, "n_cases": 30, "n_replicates": 2}
        for name in names
        for i in range(4)
    ]
    return {
        "mask_overlap": overlap,
        "mask_summary": summarise_overlap(overlap, 0),
        "mask_froc": tell_lesions(names[0], found, 0),
        "mask_endpoints": pd.DataFrame(endpoints, columns=ENDPOINT_COLUMNS),
        "mask_agreement": pd.DataFrame(features, columns=AGREEMENT_COLUMNS),
        "mask_lost": pd.DataFrame({"case_id": ["a", "b"], "masks": names[0], "reason": "features.missing"}),
    }


def experiment(names=("auto", "carried")):
    arms = {names[0]: USED | {"drawer": DRAWER}, names[1]: MANUAL}
    return {"tables": tables(names), "provenance": {"masks": {"used": MANUAL, "arms": arms}}}


@pytest.mark.parametrize("provenance", [{}, {"masks": {}}, {"masks": {"used": MANUAL}}])
def test_nothing_where_all_masks_are_manual(provenance):
    assert masks.render(FACTS(), replace(BASE(), provenance=provenance)) == ""


def test_an_ordinary_run_says_who_drew_and_how_good():
    text = words(provenance={"masks": {"used": USED | {"drawer": DRAWER}}})
    assert "10 of 11 masks were drawn automatically by unet (weights cem-2026, SHA-256 abababababab)" in text
    assert "of 1 of them a reader chose the regions" in text
    assert (
        "On the 89 patients it was validated on (5-fold, by patient) its mean Dice was 0.78 over 317 pictures." in text
    )
    assert "1 picture has no mask" in text
    assert "learned" not in text
    assert "phantom" not in text.lower()


def test_it_says_what_is_not_known_and_warns_of_patients_who_were_seen():
    for validation in ({}, {"dice_mean": None}, {"dice_mean": float("nan")}):
        text = words(provenance={"masks": {"used": USED | {"n_seen": 4, "drawer": {"validation": validation}}}})
        assert "How good its masks are is not known" in text
        assert "4 masks are of patients from whom the drawer had learned" in text
        assert "nan" not in text


def test_a_phantom_is_called_so():
    text = words(phantom=True, provenance={"masks": {"used": USED | {"drawer": DRAWER}}})
    assert "The pictures are phantoms" in text
    assert "Phantom pictures" in words(phantom=True, **experiment())


def test_an_experiment_prints_what_its_tables_hold():
    made = experiment()
    text = words(**made)
    summary = made["tables"]["mask_summary"].query("view == '' and metric == 'dice'").set_index(["masks", "counted"])
    for name in ("auto", "carried"):
        row = summary.loc[(name, "all")]
        shown = f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}] {row['median']:.2f}"
        assert f"{name} recombined 12 2 {shown} {summary.loc[(name, 'drawn'), 'mean']:.2f}" in text
    assert "2 cases have no features from at least one arm (auto 2)" in text
    assert "auto 5 5 0.00 0.00 0.00 1.00 1.00 1.00 1.00 1.00 [1.00, 1.00] at 0.00" in text
    assert "Radiomics manual 40 0.80 [0.70, 0.90] reference" in text
    assert "auto 40 0.75 [0.60, 0.90] \u22120.050 [\u22120.090, \u22120.010] 0.040 0.080" in text
    assert "carried not estimable: trained on 3 persons" in text
    assert "radiomics 4 2 50 % 0.90" in text
    assert "12 masks, none of them stated to be automatic" in text


def test_names_are_escaped_and_the_page_is_whole():
    made = experiment(("<script>alert(1)</script>", "carried"))
    page = render_page(FACTS(), replace(BASE(), **made))
    assert "<script>alert" not in page
    assert 'id="masks"' in page


def test_plots_place_their_values():
    text = spread([Strip(colour(0), [0.0, 0.5, 1.0]), Strip(colour(1), [])], "three")
    assert re.findall(r'circle class="dot-of arm-fused" cx="([0-9.]+)"', text) == ["12.0", "162.0", "312.0"]
    assert colour(6) == colour(0)
    text = free_response([Found(colour(0), [0.0, 1.0], [0.4, 0.9], (1.0, 0.5))], "curve")
    assert 'cx="196.0" cy="110.0"' in text
    assert "M46.0 130.0L196.0 130.0L196.0 30.0L346.0 30.0" in text
