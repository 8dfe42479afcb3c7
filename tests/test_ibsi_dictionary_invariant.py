"""The data dictionary says of every column what it is, and says of IBSI what is so."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cemrad.features.errors import StudyError
from cemrad.features.native import dictionary, firstorder, texture
from cemrad.features.native.dictionary import entries, find

ROOT = Path(__file__).resolve().parents[1]
TEXTURE = ("glcm", "glrlm", "glszm", "gldm", "ngtdm")


def test_the_page_has_the_tables_of_the_data():
    page = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    tables = page.partition("<!-- tables: begin -->\n\n")[2].partition("\n<!-- tables: end -->")[0]
    assert tables == dictionary.markdown(), "put the output of python -m cemrad.features.native.dictionary there"


def test_every_entry_is_complete():
    names = [(entry.kind, entry.feature) for entry in entries()]
    assert len(set(names)) == len(names) == 114
    for entry in entries():
        assert len(entry.meaning) > 3
        assert entry.unit
        state = entry.compliance.split(":")[0]
        assert state in {"conform", "ibsi", "deviates", "not in IBSI"}
        no_code = state == "not in IBSI" or (entry.kind, entry.feature) == ("filter", "original")
        assert bool(entry.ibsi_code) != no_code


def test_codes_are_those_of_the_ibsi_tables():
    table = pd.read_csv(Path(__file__).with_name("ibsi_phantom.csv"), comment="#")
    codes = {(entry.kind, entry.feature): entry.ibsi_code for entry in entries()}
    for row in table.itertuples():
        assert codes[row[3], row.feature] == row.ibsi_code
    with_code = {e for e in entries() if e.ibsi_code and e.kind not in ("shape2D", "filter")}
    stated = set(zip(table["class"], table["feature"], strict=True))
    assert {(e.kind, e.feature) for e in with_code} == stated | {("firstorder", "Kurtosis")}


def test_codes_are_those_beside_the_formulas():
    codes = {(entry.kind, entry.feature): entry.ibsi_code for entry in entries()}
    for kind, stated in {"firstorder": firstorder, **texture.CLASSES}.items():
        assert {name: codes[kind, name] for name in stated.FEATURES} == dict(stated.FEATURES)


def test_features_that_depend_on_where_levels_begin_are_those_22():
    rng = np.random.default_rng(5)
    levels = rng.integers(1, 9, (40, 50)).astype(np.int16)
    levels[rng.random(levels.shape) < 0.2] = 0
    levels = np.pad(levels, 1)
    classes = {kind: tuple(texture.CLASSES[kind].FEATURES) for kind in TEXTURE}
    before = texture.measure(levels, 8, classes, texture.TextureSettings())
    after = texture.measure(
        np.where(levels > 0, levels + 3, 0).astype(np.int16), 11, classes, texture.TextureSettings()
    )
    moved = {name for name in before if after[name] != pytest.approx(before[name], rel=1e-9)}
    of_the_number_of_levels = {("glcm", "Idn"), ("glcm", "Idmn")}
    marked = {(e.kind, e.feature) for e in entries() if e.depends_on_origin}
    assert len(marked) == 22
    assert moved - of_the_number_of_levels == marked


def test_a_column_is_found_by_its_name():
    image, feature = find("radiomics:LE_MLO:wavelet-LH_gldm_DependenceEntropy")
    assert (image.feature, feature.feature) == ("wavelet", "DependenceEntropy")
    assert find("squareroot_firstorder_Mean")[0].feature == "squareroot"
    assert find("square_firstorder_Mean")[0].feature == "square"
    assert find("log-sigma-1-0-mm-3D_glszm_ZoneEntropy")[0].ibsi_code == "L6PA"
    for wrong in ("original_glcm_Nothing", "nothing_glcm_Contrast", "original", "deep:LE_CC:resnet18_0001"):
        with pytest.raises(StudyError, match="data dictionary"):
            find(wrong)
