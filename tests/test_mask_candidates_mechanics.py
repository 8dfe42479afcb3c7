"""A folder of drawn masks as an arm: masks, candidates and who drew, end to end on a small phantom cohort."""

import numpy as np
import pytest
from cemrad.features.errors import CaseError
from cemrad.pipeline.cohorts import phantom
from cemrad.pipeline.draw import draw_cohort
from cemrad.pipeline.drawer import Drawing, Region
from cemrad.pipeline.mask_candidates import FolderCandidates, folder_arm
from cemrad.pipeline.mask_folder import MaskFolder
from cemrad.pipeline.mask_overlap import found_lesions, mask_facts, overlap_table


class Peeking:
    """Draws the true lesion moved by two pixels, and in the corner something that it does not accept."""

    def __init__(self, cohort):
        self.cases = {case.case_id: case for case in cohort.cases}

    def draw(self, view):
        made = {}
        for key, one in self.cases[view.case_id].pictures.items():
            if key.view == view.name:
                mask = np.roll(one.mask.read(view.images[key.image_type]), 2, axis=0)
                labels = mask.astype(np.int32)
                labels[:6, :6] = 2
                regions = Region(1, int(mask.sum()), 0.8, True), Region(2, 36, 0.3, False, "too small")
                made[key.image_type] = Drawing(labels, regions)
        return made

    def provenance(self):
        return {"name": "peeking"}


@pytest.fixture(scope="module")
def cohort():
    return phantom.read(phantom.Settings(n_patients=2, rows=128, columns=96, second_lesion_rate=0.0))


@pytest.fixture
def folder(cohort, tmp_path):
    draw_cohort(cohort, Peeking(cohort), tmp_path / "drawn", pictures="all")
    return MaskFolder.open(tmp_path / "drawn")


def test_masks_candidates_and_facts_are_those_of_the_folder(cohort, folder):
    arm = folder_arm(cohort, folder)
    overlap = overlap_table(cohort, {"drawn": arm.cohort})
    assert (overlap["state"] == "ok").all()
    assert overlap["hd95_px"].between(1, 2).all()
    found = found_lesions(cohort, arm.candidates)
    assert len(found) == len(overlap)
    for part in found:
        assert part.candidates.found_at.tolist() == part.accepted.found_at.tolist() == [0.8]
        assert part.candidates.false_positives.tolist() == [0.3]
        assert not len(part.accepted.false_positives)
    facts = mask_facts(arm.cohort, arm.drawer)
    assert facts["sources"] == {"automatic": len(overlap)}
    assert facts["drawer"]["name"] == "peeking"


def test_what_was_not_drawn_has_no_candidates_and_what_was_altered_is_refused(folder):
    candidates = FolderCandidates(folder)
    assert candidates("nobody", "RC_CC") is None
    row = next(iter(folder.rows.values()))
    folder.file(row.regions_file).write_bytes(b"altered")
    with pytest.raises(CaseError, match="the file was altered"):
        candidates(row.case_id, row.picture)
