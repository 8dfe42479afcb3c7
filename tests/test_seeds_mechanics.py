"""Seeds: points and boxes come from a table, each to its lesion, and a line that cannot be used is named."""

import numpy as np
import pytest
from cemrad.features.errors import StudyError
from cemrad.pipeline.cohorts.phantom import Settings, read
from cemrad.pipeline.draw_view import Hint
from cemrad.pipeline.mask_study import with_masks
from cemrad.pipeline.seeds import read_seeds
from cemrad.pipeline.study import parse_study

from .fake_drawer import BIG, case, cohort, picture


@pytest.fixture
def exam():
    shared = picture(BIG)
    return cohort(case("P1_L_1", "P1", "1", RC_CC=shared), case("P1_L_2", "P1", "2", RC_CC=shared, LE_CC=shared))


def _written(folder, text):
    path = folder / "seeds.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_points_and_boxes_are_read_together(exam, tmp_path):
    path = _written(
        tmp_path,
        "case_id,picture,row,column,top,bottom,left,right\n"
        "P1_L_1,RC_CC,8.5,9,,,,\nP1_L_2,RC_CC,,,18,32,8,22\nP1_L_2,LE_CC,1,2,,,,\n",
    )
    assert read_seeds(path, exam) == {
        ("P1_L_1", "RC_CC"): Hint(point=(8.5, 9.0)),
        ("P1_L_2", "RC_CC"): Hint(box=(18, 32, 8, 22)),
        ("P1_L_2", "LE_CC"): Hint(point=(1.0, 2.0)),
    }


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("P1_L_3,RC_CC,1,2,,,,", "line 2: the cohort has no case 'P1_L_3'; did you mean"),
        ("P1_L_1,LE_CC,1,2,,,,", "line 2: case P1_L_1 has no picture 'LE_CC'; it has RC_CC"),
        ("P1_L_1,RC_CC,one,2,,,,", "line 2: row is 'one', which is no number"),
        ("P1_L_1,RC_CC,1,,,,,", "line 2: column is '', which is no number"),
        ("P1_L_1,RC_CC,inf,2,,,,", "line 2: row is 'inf', which is no number"),
        ("P1_L_1,RC_CC,,,,,,", "line 2: neither a point nor a box"),
        ("P1_L_1,RC_CC,1,2,3,4,5,6", "line 2: both a point and a box"),
        ("P1_L_1,RC_CC,,,3,4.5,5,6", "line 2: the edges of a box are whole pixels"),
        ("P1_L_1,RC_CC,1,2,,,,\nP1_L_1,RC_CC,1,2,,,,", "line 3: a second line about P1_L_1 RC_CC"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(exam, tmp_path, line, told):
    path = _written(tmp_path, f"case_id,picture,row,column,top,bottom,left,right\n{line}\n")
    with pytest.raises(StudyError) as refused:
        read_seeds(path, exam)
    assert told in str(refused.value)


def test_a_table_without_places_is_refused(exam, tmp_path):
    with pytest.raises(StudyError, match="it needs the columns case_id, picture, and row, column or top"):
        read_seeds(_written(tmp_path, "case_id,picture,row\nP1_L_1,RC_CC,1\n"), exam)
    with pytest.raises(StudyError, match="no such table"):
        read_seeds(tmp_path / "absent.csv", exam)


def test_who_takes_no_seeds_says_so():
    study = {"schema_version": 1, "masks": {"source": "transferred", "seeds": "seeds.csv"}}
    with pytest.raises(StudyError, match="transferred takes no seeds; enhancement does"):
        parse_study(study)


def test_a_study_draws_from_its_seeds(tmp_path):
    phantoms = read(Settings(n_patients=1))
    one = phantoms.cases[0]
    key = next(key for key in one.pictures if key.image_type == "RC")
    truth = one.pictures[key].mask.read(one.pictures[key].image.read())
    row, column = (int(round(float(axis.mean()))) for axis in np.nonzero(truth))
    path = _written(tmp_path, f"case_id,picture,row,column\n{one.case_id},{key.name},{row},{column}\n")
    choice = {"source": "enhancement", "pictures": "all", "seeds": str(path)}
    masks = parse_study({"schema_version": 1, "masks": choice}).masks
    drawn = with_masks(phantoms, masks, tmp_path / "drawn", 1).cohort.cases[0].pictures[key]
    assert drawn.mask.read(drawn.image.read())[row, column]
    folder = next((tmp_path / "drawn").iterdir())
    assert '""point""' in (folder / "masks.csv").read_text()


def test_an_arm_of_masks_may_not_be_named_as_a_path():
    with pytest.raises(StudyError, match="mask_arms"):
        parse_study({"schema_version": 1, "mask_arms": {"../elsewhere": {"source": "enhancement"}}})
