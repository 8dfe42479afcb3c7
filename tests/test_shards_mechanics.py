"""Shards: however a cohort is dealt out, and whatever else happens meanwhile, the merged table is the same bytes."""

import json
import os
from dataclasses import dataclass

import numpy as np
import pytest
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.errors import StudyError, TableError
from cemrad.features.image import ArrayImage
from cemrad.features.mask import ArrayMask
from cemrad.features.training_ids import KEY, TrainingIds
from cemrad.pipeline.cohort import Cohort
from cemrad.pipeline.extract import FeatureSettings, extract
from cemrad.pipeline.run import Run
from cemrad.pipeline.shards import Shard, merge, merged, shard_study

from .small_batch import RADIOMICS, Here, extracted, start, study, table_bytes, words, write_cohort


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A cohort one of whose pictures and one of whose rows are bad, and the bytes of its table from one run."""
    folder = tmp_path_factory.mktemp("cohort")
    manifest = write_cohort(folder, 9)
    (folder / "0004_mask.png").write_bytes(b"not a picture")
    with manifest.open("a", encoding="utf-8") as file:
        file.write("absent,p9,absent.png,0001_mask.png,\n")
    _, expected = extracted(manifest, folder / "one")
    return manifest, expected


def extract_shard(manifest, output, text, **more):
    asked = study(manifest, output, **more)
    shard = Shard.parse(text)
    run = Run.start(shard_study(asked, shard))
    run.extract(Here(), store=output / "store", rows=shard.rows)
    return run


@pytest.mark.parametrize("n", [1, 2, 4, 9])
def test_merged_shards_are_byte_for_byte_one_run(whole, tmp_path, n):
    manifest, expected = whole
    for i in range(n, 0, -1):
        extract_shard(manifest, tmp_path, f"{i}/{n}")
    run = merge(tmp_path)
    assert table_bytes(tmp_path) == expected
    assert run.exit_code == 3
    merge(tmp_path)  # once more is the same
    assert table_bytes(tmp_path) == expected


def test_more_shards_than_cases_are_well_too(whole, tmp_path):
    manifest, expected = whole
    for i in range(1, 12):
        extract_shard(manifest, tmp_path, f"{i}/11")
    merge(tmp_path)
    assert table_bytes(tmp_path) == expected


def test_e20_e22_shards_side_by_side_on_full_and_closed_consoles_are_byte_for_byte_one_run(whole, tmp_path):
    manifest, expected = whole
    with open("/dev/full", "w") as full:  # noqa: PTH123
        first = start(*words(manifest, tmp_path, "--shard", "1/2"), stderr=full)
        second = start(*words(manifest, tmp_path, "--shard", "2/2"), preexec_fn=lambda: [os.close(n) for n in range(3)])
        told, _ = first.communicate(timeout=120)
        second.communicate(timeout=120)
    assert (first.returncode, second.returncode) == (3, 0)
    assert b"the log could not be written" in told
    merge(tmp_path)
    assert table_bytes(tmp_path) == expected


def test_shards_share_one_store_with_a_whole_run(whole, tmp_path):
    manifest, expected = whole
    extract_shard(manifest, tmp_path, "1/3")
    run, found = extracted(manifest, tmp_path)
    assert found == expected
    assert (run.effort.units_stored, run.effort.units_computed) == (3, 6)


def test_a_missing_shard_is_named(whole, tmp_path):
    extract_shard(whole[0], tmp_path, "1/3")
    with pytest.raises(StudyError, match="not finished yet: 2-of-3, 3-of-3"):
        merge(tmp_path)
    assert not (tmp_path / "run.json").exists()


def test_an_unfinished_shard_is_named(whole, tmp_path):
    for text in ("1/2", "2/2"):
        extract_shard(whole[0], tmp_path, text)
    asked = shard_study(study(whole[0], tmp_path), Shard.parse("2/2"))
    Run.start(asked)  # a second time, and no table yet
    with pytest.raises(StudyError, match="not finished yet: 2-of-2"):
        merge(tmp_path)


def test_a_shard_killed_before_its_record_is_named_and_can_be_made_again(whole, tmp_path):
    extract_shard(whole[0], tmp_path, "1/2")
    folder = tmp_path / "shards" / "2-of-2"
    folder.mkdir()
    (folder / ".part.run.json").write_text("{", encoding="utf-8")
    (folder / ".lock").write_text("{", encoding="utf-8")
    os.utime(folder / ".lock", (0, 0))
    with pytest.raises(StudyError, match="not finished yet: 2-of-2"):
        merge(tmp_path)


def test_shards_of_two_splits_are_not_mixed(whole, tmp_path):
    for text in ("1/2", "2/2", "1/3"):
        extract_shard(whole[0], tmp_path, text)
    with pytest.raises(StudyError, match="shards of 2 and of 3"):
        merge(tmp_path)


@pytest.mark.parametrize(
    "other", [{"radiomics": {"parameters": {"featureClass": {"firstorder": ["Mean"]}}}}, {"seed": 1}]
)
def test_shards_of_two_studies_are_not_mixed(whole, tmp_path, other):
    extract_shard(whole[0], tmp_path, "1/2")
    if "seed" in other:
        manifest = write_cohort(tmp_path / "elsewhere", 9)
        extract_shard(manifest, tmp_path, "2/2")
    else:
        extract_shard(whole[0], tmp_path, "2/2", **other)
    with pytest.raises(StudyError, match="made from another cohort or set of features"):
        merge(tmp_path)


def test_e10_shards_of_two_versions_are_not_mixed(whole, tmp_path):
    for text in ("1/2", "2/2"):
        extract_shard(whole[0], tmp_path, text)
    path = tmp_path / "shards" / "2-of-2" / "table.json"
    record = json.loads(path.read_text())
    record["families"]["radiomics"]["versions"] = {"numpy": "0.1"}
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(StudyError, match="shard 2-of-2: made with other settings, versions or columns"):
        merge(tmp_path)


def test_a_cohort_that_changed_since_is_refused(tmp_path):
    manifest = write_cohort(tmp_path / "cohort", 6)
    for text in ("1/2", "2/2"):
        extract_shard(manifest, tmp_path / "out", text)
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join([lines[0], *lines[2:]]) + "\n")
    with pytest.raises(StudyError, match="shard 1-of-2: its cases are not those that the cohort has now"):
        merge(tmp_path / "out")


def test_e5_a_damaged_table_of_a_shard_is_named(whole, tmp_path):
    for text in ("1/2", "2/2"):
        extract_shard(whole[0], tmp_path, text)
    path = tmp_path / "shards" / "2-of-2" / "features.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(TableError, match="2-of-2: its feature table is damaged .* extract it again"):
        merge(tmp_path)


def test_e8_a_shard_that_another_process_extracts_is_refused(whole, tmp_path):
    asked = shard_study(study(whole[0], tmp_path), Shard.parse("1/2"))
    asked.output.mkdir(parents=True)
    owner = {"host": "elsewhere", "pid": 7, "token": "t"}
    (asked.output / ".lock").write_text(json.dumps(owner), encoding="utf-8")
    with pytest.raises(StudyError, match="process 7 on elsewhere is writing here"):
        Run.start(asked)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1/0", "a/b", "1", "1/2/3", "-1/2"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(StudyError, match="expected i/N with i from 1 to N"):
        Shard.parse(text)


@dataclass(frozen=True, eq=False)
class Drawn(ArrayMask):
    """A mask of a segmenter that learned."""

    trained_on: TrainingIds | None = None


def test_whether_masks_are_out_of_fold_is_told_of_all_cases():
    """The model drew in the first shard, and knows that person by her other id in the second."""
    ids, cases = TrainingIds.of(["P2"]), []
    mask = np.zeros((40, 40), dtype=bool)
    mask[10:30, 10:30] = True
    for patient, made in (("P1", Drawn(mask, ids)), ("P2", ArrayMask(mask))):
        pixels = np.random.default_rng(1).integers(20, 200, (40, 40))  # one picture under two ids
        cases.append(Case(f"c{patient}", patient, pictures={PictureKey("RC", "CC"): Picture(ArrayImage(pixels), made)}))
    cohort, settings = Cohort("c", tuple(cases)), FeatureSettings(families={"radiomics": RADIOMICS})
    parts = {shard: extract(cohort, settings, rows=shard.rows) for shard in (Shard(1, 2), Shard(2, 2))}
    whole = extract(cohort, settings)
    assert merged(cohort, parts).provenance == whole.provenance
    assert whole.provenance["masks"][0][KEY]["out_of_fold"] is False
