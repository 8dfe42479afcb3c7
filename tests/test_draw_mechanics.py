"""Drawing a cohort: what is drawn once, taken again, failed, and laid on the cohort."""

import json

import numpy as np
import pytest
from cemrad.features.case import Picture, PictureKey
from cemrad.features.errors import StudyError
from cemrad.features.image import ArrayImage
from cemrad.features.imagefile import ImageFile
from cemrad.features.mask import ArrayMask, MaskRules
from cemrad.features.training_ids import TrainingIds
from cemrad.pipeline.draw import apply, draw_cohort
from cemrad.pipeline.draw_view import Hint
from cemrad.pipeline.duplicates import mask_training
from cemrad.pipeline.extract import FeatureSettings, extract
from cemrad.pipeline.mask_folder import MaskFolder
from cemrad.pipeline.masks.drawn import DrawnMask

from .fake_drawer import BIG, OTHER, SMALL, FakeDrawer, case, cohort, picture

BY_HAND = ArrayMask(np.pad(np.ones((6, 6), bool), ((2, 32), (2, 22))))
RC = PictureKey("RC", "CC")


def _codes(found):
    return [(f.case_id, f.picture, f.code, f.state) for f in found.failures]


def _mask(found, i=0, name="RC_CC"):
    one = found.cases[i].pictures[PictureKey.parse(name)]
    return one.mask.read(one.image.read())


def test_both_pictures_of_a_view_are_drawn_at_once_and_laid_on_the_cohort(tmp_path):
    exam = cohort(case("A", LE_CC=picture(BIG), RC_CC=picture(BIG, SMALL), RC_MLO=picture(OTHER)))
    drawer = FakeDrawer()
    folder = draw_cohort(exam, drawer, tmp_path / "masks")
    assert drawer.seen == ["A CC LE+RC", "A MLO RC"]
    found = apply(exam, folder)
    expected = np.zeros((40, 30), bool)
    expected[5:15, 5:15] = True
    np.testing.assert_array_equal(_mask(found), expected)
    assert _codes(found) == []
    (note,) = found.notes
    assert (note.code, note.count) == ("mask.automatic", 3)
    assert note.text == "masks that fake drew, and no reader looked at"


def test_the_folder_reads_back_as_it_was_written(tmp_path):
    exam = cohort(case("A", RC_CC=picture(BIG, SMALL), RC_MLO=picture(OTHER)), case("B", RC_CC=picture()))
    ids = TrainingIds.of(["P9"])
    made = draw_cohort(exam, FakeDrawer(ids=ids), tmp_path)
    back = MaskFolder.open(tmp_path)
    assert (back.rows, back.regions, back.models, back.drawer) == (made.rows, made.regions, made.models, made.drawer)
    row = back.rows["A", "RC_MLO"]
    assert (row.drawn_on, row.rows_px, row.columns_px, row.shift_method, row.shift_quality) == (
        "RC", 1.5, -2.0, "contours", 0.9,
    )  # fmt: skip
    assert (row.area_px, row.n_regions, row.n_accepted, row.score, row.notes) == (100, 1, 1, 1.0, "a note.")
    big, small = back.regions["A", "RC_CC"]
    assert (big.top, big.bottom, big.left, big.right, big.accepted) == (*BIG, True)
    assert (small.area_px, small.accepted, small.reason) == (4, False, "small")
    assert json.loads((tmp_path / "masks.json").read_text())["schema"] == 1
    assert sorted(p.name for p in (tmp_path / "masks").iterdir()) == ["A__RC_CC.png", "A__RC_MLO.png"]
    assert not [p for p in tmp_path.rglob("*") if ".part" in p.name or p.name == ".lock"]


def test_what_a_reader_stated_stays_unless_all_is_asked_for(tmp_path):
    exam = cohort(case("A", LE_CC=Picture(picture(BIG), BY_HAND), RC_CC=picture(OTHER)))
    drawer = FakeDrawer()
    folder = draw_cohort(exam, drawer, tmp_path)
    assert (folder.rows["A", "LE_CC"].state, folder.rows["A", "LE_CC"].code) == ("skipped", "mask.stated")
    found = apply(exam, folder)
    assert found.cases[0].pictures[PictureKey("LE", "CC")].mask is BY_HAND
    assert found.notes[-1].items == ("A RC_CC",)
    assert _codes(apply(exam, folder, "all")) == [("A", "LE_CC", "mask.not_drawn", "failed")]
    found = apply(exam, draw_cohort(exam, drawer, tmp_path, pictures="all"), "all")
    assert _mask(found, name="LE_CC").sum() == 100
    draw_cohort(exam, drawer, tmp_path)
    assert MaskFolder.open(tmp_path).rows["A", "LE_CC"].state == "ok", "what was drawn is not lost"


def test_nothing_is_drawn_where_every_mask_is_stated(tmp_path):
    drawer = FakeDrawer()
    draw_cohort(cohort(case("A", RC_CC=Picture(picture(BIG), BY_HAND))), drawer, tmp_path)
    assert drawer.seen == []


def test_a_second_run_takes_what_is_there_and_draws_what_is_new(tmp_path):
    exam = cohort(case("A", RC_CC=picture(BIG)), case("B", RC_CC=picture(OTHER)))
    draw_cohort(exam, FakeDrawer(), tmp_path)
    again = FakeDrawer()
    draw_cohort(exam, again, tmp_path)
    assert again.seen == []
    larger = cohort(*exam.cases, case("C", RC_CC=picture(BIG)))
    folder = draw_cohort(larger, again, tmp_path)
    assert again.seen == ["C CC RC"]
    assert len(folder.rows) == 3
    forced = FakeDrawer()
    draw_cohort(exam, forced, tmp_path, force=True)
    assert len(forced.seen) == 2
    assert len(MaskFolder.open(tmp_path).rows) == 3


def test_a_damaged_mask_is_drawn_again(tmp_path):
    exam = cohort(case("A", RC_CC=picture(BIG)), case("B", RC_CC=picture(OTHER)))
    folder = draw_cohort(exam, FakeDrawer(), tmp_path)
    (tmp_path / "masks" / "B__RC_CC.png").write_bytes(b"altered")
    found = apply(exam, folder)
    with pytest.raises(ValueError, match="name a corrected mask in review.csv"):
        _mask(found, 1)
    again = FakeDrawer()
    draw_cohort(exam, again, tmp_path)
    assert again.seen == ["B CC RC"]
    assert _mask(apply(exam, folder), 1).sum() == 100


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interruption_loses_nothing(tmp_path, jobs):
    exam = cohort(*(case(f"C{i}", RC_CC=picture((2, 12, 3, 9 + i))) for i in range(6)))
    if jobs == 1:
        with pytest.raises(KeyboardInterrupt):
            draw_cohort(exam, FakeDrawer(stop_after=4), tmp_path)
    else:

        def stop(done, total, what):
            if done == 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            draw_cohort(exam, FakeDrawer(), tmp_path, jobs=2, progress=stop)
    assert len(MaskFolder.open(tmp_path).rows) == 4
    again = FakeDrawer()
    folder = draw_cohort(exam, again, tmp_path)
    assert len(again.seen) == 2
    assert [row.state for row in folder.rows.values()] == ["ok"] * 6
    assert not (tmp_path / ".lock").exists()


def test_processes_find_what_one_finds(tmp_path):
    exam = cohort(*(case(f"C{i}", RC_CC=picture(BIG, SMALL), LE_CC=picture(OTHER)) for i in range(4)))
    told = []
    alone = draw_cohort(exam, FakeDrawer(), tmp_path / "1")
    many = draw_cohort(exam, FakeDrawer(), tmp_path / "2", jobs=2, progress=lambda *of: told.append(of))
    assert (alone.rows, alone.regions) == (many.rows, many.regions)
    for name in ("masks.csv", "regions.csv", "masks.json", "masks/C3__RC_CC.png"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert told[-1] == (4, 4, "draw")


@pytest.mark.slow
def test_a_view_that_kills_its_process_is_a_row_and_the_others_go_on(tmp_path):
    exam = cohort(*(case(f"C{i}", "killer" if i == 1 else f"P{i}", RC_CC=picture(BIG)) for i in range(5)))
    folder = draw_cohort(exam, FakeDrawer(), tmp_path, jobs=2)
    assert folder.rows["C1", "RC_CC"].code == "worker.lost"
    assert sum(row.state == "ok" for row in folder.rows.values()) == 4


def test_every_failure_is_a_row_with_its_reason(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    exam = cohort(
        case("black", RC_CC=ArrayImage(np.zeros((9, 9), np.uint8))),
        case("none", RC_CC=picture(SMALL)),
        case("clumsy", LE_CC=picture(BIG), RC_CC=picture(BIG)),
        case("liar", RC_CC=picture(BIG)),
        case("broken", LE_CC=Picture(ImageFile(tmp_path / "broken.png")), RC_CC=picture(BIG)),
        case("absent", RC_CC=Picture(ImageFile(tmp_path / "absent.png"))),
    )
    drawer = FakeDrawer()
    found = apply(exam, draw_cohort(exam, drawer, tmp_path / "masks"))
    assert _codes(found) == [
        ("black", "RC_CC", "breast.not_found", "failed"),
        ("none", "RC_CC", "mask.none_found", "failed"),
        ("clumsy", "LE_CC", "drawer.error", "failed"),
        ("clumsy", "RC_CC", "drawer.error", "failed"),
        ("liar", "RC_CC", "drawer.inconsistent", "failed"),
        ("broken", "LE_CC", "file.corrupt", "failed"),
        ("absent", "RC_CC", "file.missing", "failed"),
    ]
    assert "broken CC RC" in drawer.seen, "the picture that can be read is drawn"
    assert "highest score 0.04" in found.failures[1].reason
    assert found.failures[2].reason.endswith("RuntimeError: unforeseen")
    assert len(found.cases) == len(exam.cases)
    again = FakeDrawer()
    draw_cohort(exam, again, tmp_path / "masks")
    assert [seen.split()[0] for seen in again.seen] == ["black", "clumsy", "liar", "broken"], "failures are tried again"


def test_two_lesions_of_one_picture_are_drawn_once_and_warned_of(tmp_path):
    shared = picture(BIG, OTHER)
    exam = cohort(case("P1_L_1", "P1", "1", RC_CC=shared), case("P1_L_2", "P1", "2", RC_CC=shared))
    drawer = FakeDrawer()
    folder = draw_cohort(exam, drawer, tmp_path)
    assert drawer.seen == ["P1_L_1 CC RC"]
    found = apply(exam, folder)
    assert _codes(found) == [(c, "RC_CC", "mask.shared", "warned") for c in ("P1_L_1", "P1_L_2")]
    (tmp_path / "review.csv").write_text(
        "case_id,picture,region,verdict\nP1_L_1,RC_CC,1,reject\nP1_L_2,RC_CC,2,reject\n"
    )
    found = apply(exam, folder)
    assert _codes(found) == []
    assert not (_mask(found, 0) & _mask(found, 1)).any()


def test_a_hint_tells_two_lesions_apart(tmp_path):
    shared = picture(BIG, OTHER)
    exam = cohort(case("P1_L_1", "P1", "1", RC_CC=shared), case("P1_L_2", "P1", "2", RC_CC=shared))
    hints = {("P1_L_1", "RC_CC"): Hint(point=(8.0, 8.0)), ("P1_L_2", "RC_CC"): Hint(box=(18, 32, 8, 22))}
    folder = draw_cohort(exam, FakeDrawer(), tmp_path, hints=hints)
    found = apply(exam, folder)
    assert _codes(found) == []
    assert _mask(found, 0)[8, 8]
    assert _mask(found, 1)[25, 15]
    assert (_mask(found, 0).sum(), _mask(found, 1).sum()) == (100, 100)
    again = FakeDrawer()
    draw_cohort(exam, again, tmp_path, hints=hints)
    assert again.seen == []
    draw_cohort(exam, again, tmp_path, hints=hints | {("P1_L_2", "RC_CC"): Hint(point=(25.0, 15.0))})
    assert again.seen == ["P1_L_2 CC RC"]


def test_a_picture_or_patient_that_changed_is_not_given_an_old_mask(tmp_path):
    exam = cohort(case("A", "P1", RC_CC=picture(BIG)))
    folder = draw_cohort(exam, FakeDrawer(), tmp_path)
    for other in (case("A", "P1", RC_CC=picture(OTHER)), case("A", "P2", RC_CC=picture(BIG))):
        assert _codes(apply(cohort(other), folder)) == [("A", "RC_CC", "mask.outdated", "failed")]
    assert _codes(apply(cohort(case("B", RC_CC=picture(BIG))), folder)) == [("B", "RC_CC", "mask.not_drawn", "failed")]


def test_a_folder_is_that_of_one_drawer(tmp_path):
    exam = cohort(case("A", RC_CC=picture(BIG)))
    draw_cohort(exam, FakeDrawer(), tmp_path)
    with pytest.raises(StudyError, match="another drawer \\(other least_px\\)"):
        draw_cohort(exam, FakeDrawer(least_px=500), tmp_path)
    assert MaskFolder.open(tmp_path).rows["A", "RC_CC"].state == "ok"
    draw_cohort(exam, FakeDrawer(least_px=500), tmp_path, force=True)
    assert MaskFolder.open(tmp_path).rows["A", "RC_CC"].state == "none"
    assert list((tmp_path / "masks").iterdir()) == [], "no mask is left of what counts as none"


class Folds(FakeDrawer):
    """Two models, each of which has seen the other one's patient."""

    def seen_by(self, view):
        return TrainingIds.of({"P1", "P2"} - {view.patient_id})


def test_masks_carry_whom_their_own_model_has_seen(tmp_path):
    exam = cohort(case("A", "P1", RC_CC=picture(BIG)), case("B", "P2", RC_CC=picture(BIG)))
    found = apply(exam, draw_cohort(exam, Folds(), tmp_path))
    ids = [one.pictures[RC].mask.trained_on for one in found.cases]
    assert [(i.knows("P1"), i.knows("P2")) for i in ids] == [(False, True), (True, False)]
    assert isinstance(found.cases[0].pictures[RC].mask, DrawnMask)
    told = mask_training(found.cases, found.case_frame())
    assert [(t["n_masks"], t["trained_on"]["out_of_fold"]) for t in told] == [(1, True), (1, True)]


def test_a_model_that_has_seen_the_patient_is_told(tmp_path):
    exam = cohort(case("A", "P1", RC_CC=picture(BIG)))
    ids = TrainingIds.of(["P1"])
    found = apply(exam, draw_cohort(exam, FakeDrawer(ids=ids), tmp_path / "1"))
    (told,) = mask_training(found.cases, found.case_frame())
    assert not told["trained_on"]["out_of_fold"]
    with pytest.raises(StudyError, match="they must say trained_on"):
        draw_cohort(exam, FakeDrawer(record={"network": {"trained_on": ids.as_record()}}), tmp_path / "2")


def test_an_extraction_says_once_why_there_is_no_mask(tmp_path):
    exam = cohort(case("A", LE_CC=picture(BIG), RC_CC=picture(SMALL)))
    found = apply(exam, draw_cohort(exam, FakeDrawer(), tmp_path))
    assert found.failures[0].code == "mask.none_found"
    table = extract(found, FeatureSettings(families={"radiomics": {}}, mask_rules=MaskRules(min_area_px=20)))
    codes = table.failures.loc[table.failures["picture"] == "RC_CC", "code"]
    assert codes.tolist() == ["mask.none_found"]
