"""Going on: damage counts as absent, what changed is computed and told, and neither clock nor language matters."""

import itertools
import json
import logging
import os
import shutil
import subprocess
import time

import pytest
from cemrad.features.errors import StudyError, TableError
from cemrad.features.families import SHELF
from cemrad.features.table import FeatureTable
from cemrad.pipeline.run import Run

from .small_batch import RADIOMICS, Here, extracted, start, study, table_bytes, words, write_cohort, write_picture

N = 8


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A cohort, a finished run, and the bytes of its table."""
    folder = tmp_path_factory.mktemp("made")
    manifest = write_cohort(folder / "cohort", N)
    run, expected = extracted(manifest, folder / "run")
    assert run.exit_code == 0
    return folder, expected


@pytest.fixture
def copied(made, tmp_path):
    """A copy of the cohort and the run, to be damaged; paths of manifest and run, and the bytes of the table."""
    shutil.copytree(made[0], tmp_path, dirs_exist_ok=True)
    run = tmp_path / "run"
    record = (run / "run.json").read_text().replace(str(made[0]), str(tmp_path))
    (run / "run.json").write_text(record, encoding="utf-8")
    return tmp_path / "cohort" / "manifest.csv", run, made[1]


def zeroed(data):
    return bytes(len(data))


def test_e5_entries_that_a_power_cut_damaged_are_computed_again(copied):
    manifest, folder, expected = copied
    entries = sorted(path for path in (folder / "store").rglob("*") if path.is_file())
    damages = [lambda data: data[:-9], zeroed, lambda data: b"", lambda data: data[:40] + zeroed(data[40:])]
    for path, damage in zip(entries, damages, strict=False):
        path.write_bytes(damage(path.read_bytes()))
    run, found = extracted(manifest, folder)
    assert (run.effort.units_computed, run.effort.units_stored) == (4, N - 4)
    assert found == expected


@pytest.mark.parametrize(
    "damage", [zeroed, lambda data: data[:-30], lambda data: b"", lambda data: data + bytes(300_000)]
)
def test_e5_a_damaged_log_of_inputs_stops_no_run_and_grows_whole_again(copied, damage):
    manifest, folder, expected = copied
    path = folder / "inputs.csv"
    path.write_bytes(damage(path.read_bytes()))
    assert extracted(manifest, folder)[1] == expected
    write_picture(manifest.parent, "0007", 99)
    assert extracted(manifest, folder)[0].effort.inputs_changed == ["c0007 IMG"]


def test_e11_a_file_that_changes_while_it_is_read_fails_and_is_computed_by_the_next_run(copied):
    manifest, folder, _ = copied
    write_picture(manifest.parent, "0003", 54)

    class Meddled(Here):
        def run(self, tasks):
            for task in tasks:  # the driver has looked at the file, the worker has not
                write_picture(manifest.parent, "0003", 55)
                yield from super().run(iter([task]))

    Run.start(study(manifest, folder)).extract(Meddled())
    table = FeatureTable.load(folder)
    assert [tuple(row) for row in table.failures[["case_id", "code", "picture"]].to_numpy()] == [
        ("c0003", "file.changed", "IMG")
    ]
    assert table.values.loc["c0003"].isna().all()
    again, found = extracted(manifest, folder)
    assert (again.effort.units_computed, again.effort.units_stored) == (1, N - 1)
    assert found == extracted(manifest, folder.parent / "clean")[1]


def test_e11_a_change_is_noted_even_if_the_run_that_found_it_was_killed(copied):
    manifest, folder, _ = copied
    write_picture(manifest.parent, "0003", 77)
    write_picture(manifest.parent, "0005", 78)

    class DiesAfterOne(Here):
        def run(self, tasks):
            todo = list(tasks)  # all inputs have been looked at
            yield next(super().run(iter(todo)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Run.start(study(manifest, folder)).extract(DiesAfterOne())
    assert extracted(manifest, folder)[0].effort.inputs_changed == ["c0005 IMG"]


@pytest.mark.parametrize("name", ["features.parquet", "table.json", "cases.csv"])
@pytest.mark.parametrize("damage", [zeroed, lambda data: data[: len(data) // 2], lambda data: b""])
def test_e5_a_damaged_table_is_not_read_as_rows(copied, name, damage):
    manifest, folder, expected = copied
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    with pytest.raises(TableError, match="damaged|holds no|same case ids|lack the columns"):
        FeatureTable.load(folder)
    assert extracted(manifest, folder)[1] == expected


def test_e5_a_damaged_record_is_named(copied):
    manifest, folder, _ = copied
    (folder / "run.json").write_bytes(bytes(500))
    with pytest.raises(StudyError, match=r"run\.json: damaged"):
        Run.start(study(manifest, folder))


def test_e4_what_a_killed_run_had_not_finished_is_no_obstacle_and_does_not_stay(copied):
    manifest, folder, expected = copied
    for name in (".part.run.json", ".part.features.csv", ".lock-0123", ".part.labels.csv"):
        (folder / name).write_text("half", encoding="utf-8")
    (folder / "run.json").unlink()
    for path in folder.glob("[cfltir]*.*"):
        if path.name != "inputs.csv":
            path.unlink()
    assert extracted(manifest, folder)[1] == expected
    assert [path.name for path in folder.glob(".part*")] == []
    assert not {name for name in json.loads((folder / "run.json").read_text())["sha256"] if name.startswith(".")}


def test_e10_other_settings_compute_again_and_say_so_and_the_old_ones_are_still_there(copied, caplog):
    manifest, folder, expected = copied
    other = {"parameters": RADIOMICS["parameters"] | {"setting": {"binCount": 8}}}
    with caplog.at_level(logging.INFO, logger="cemrad"):
        run, found = extracted(manifest, folder, radiomics=other)
    assert "the set of features changed" in caplog.text
    assert run.effort.units_computed == N
    assert found["features.csv"] != expected["features.csv"]
    run, found = extracted(manifest, folder)
    assert (run.effort.units_computed, found) == (0, expected)


def test_e10_other_code_or_libraries_compute_again(copied, monkeypatch):
    manifest, folder, _ = copied
    family = SHELF.take("radiomics").Family
    plain = family.identity
    monkeypatch.setattr(family, "identity", lambda self: plain(self) | {"versions": {"numpy": "9.9"}})
    assert extracted(manifest, folder)[0].effort.units_computed == N


def test_e11_a_changed_input_is_computed_again_and_noted(copied, caplog):
    manifest, folder, expected = copied
    write_picture(manifest.parent, "0003", 77)
    with caplog.at_level(logging.INFO, logger="cemrad"):
        run, found = extracted(manifest, folder)
    assert (run.effort.units_computed, run.effort.units_stored) == (1, N - 1)
    assert "1 pictures changed since the last run: c0003 IMG" in caplog.text
    assert json.loads((folder / "run.json").read_text())["effort"]["inputs_changed"] == ["c0003 IMG"]
    assert found["features.csv"] != expected["features.csv"]
    fresh = extracted(manifest, folder.with_name("fresh"))[1]
    assert found == fresh


def test_e13_a_clock_that_jumps_and_another_time_zone_change_nothing(made, tmp_path, monkeypatch):
    folder, expected = made
    ticks = itertools.count()
    monkeypatch.setattr(time, "time", lambda: 4e9 * (next(ticks) % 2))
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        assert extracted(folder / "cohort" / "manifest.csv", tmp_path / "run")[1] == expected
        store = [path for path in (tmp_path / "run" / "store").rglob("*") if path.is_file()]
        for path in store[:4]:
            os.utime(path, (0, 0))
        for path in store[4:]:
            os.utime(path, (4e9, 4e9))
        run, found = extracted(folder / "cohort" / "manifest.csv", tmp_path / "run")
        assert (run.effort.units_stored, found) == (N, expected)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_e20_a_decimal_comma_and_a_console_without_umlauts_change_nothing(tmp_path):
    """German numbers, an ASCII console and an id that it cannot show."""
    manifest = write_cohort(tmp_path / "cohort", 3, ids=["Müller-1", "b", "c"])
    (tmp_path / "cohort" / "0000_mask.png").write_bytes(b"not a picture")
    _, expected = extracted(manifest, tmp_path / "one")
    language = ["localedef", "-f", "ISO-8859-1", "-i", "de_DE", str(tmp_path / "de_DE")]
    if shutil.which("localedef") is None or subprocess.run(language, capture_output=True).returncode > 1:
        pytest.skip("needs localedef, to make a German locale")
    env = os.environ | {
        "LOCPATH": str(tmp_path), "LC_ALL": "de_DE", "PYTHONIOENCODING": "ascii", "TZ": "Pacific/Kiritimati",
    }  # fmt: skip
    env.pop("PYTHONUTF8", None)
    output = tmp_path / "Größe"
    german = (
        "import locale; locale.setlocale(locale.LC_ALL, ''); assert locale.str(1.5) == '1,5'; "
        "from cemrad.pipeline.cli import main; main()"
    )
    process = start(*words(manifest, output), env=env, command=german)
    shown, told = process.communicate(timeout=120)
    assert process.returncode == 3, told
    assert b"Traceback" not in told
    assert rb"\xc3\xb6" in shown
    assert table_bytes(output) == expected


def test_a_run_says_what_it_does_in_few_lines(made, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="cemrad"):
        run = Run.start(study(made[0] / "cohort" / "manifest.csv", tmp_path))
        run.extract(Here())
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "extract: started"
    assert lines[-2] == f"extract: {N} units computed, 0 taken from the store"
    assert lines[-1].startswith("extract: done in ")
    assert len(lines) <= 4
    assert all(len(line) < 120 for line in lines)
