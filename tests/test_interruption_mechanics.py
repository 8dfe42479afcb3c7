"""Real runs that are killed, interrupted or out of disk: what is left is whole, and a resumed run is the same bytes."""

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from cemrad.features.whole import write_whole

from .small_batch import (
    COMMAND,
    extracted,
    interrupt,
    n_stored,
    session,
    start,
    table_bytes,
    wait_until,
    words,
    write_cohort,
)

LOG = logging.getLogger(__name__)  # --log-level INFO -rP shows what was measured
N = 200


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A cohort, and the bytes of its table from a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("cohort")
    manifest = write_cohort(folder, N)
    (folder / "0004_mask.png").write_bytes(b"not a picture")
    return manifest, extracted(manifest, folder / "one")[1]


def require_nothing_half_written(folder):
    """Every file under its final name can be read; a table is there as a whole or not at all."""
    if (folder / "run.json").exists():
        json.loads((folder / "run.json").read_text())
    if (folder / "features.parquet").exists():
        table_bytes(folder)


def resume(manifest, folder):
    """Exit code of a run that is left alone, and its record."""
    process = start(*words(manifest, folder))
    _, told = process.communicate(timeout=120)
    assert process.returncode == 3, told.decode()
    return json.loads((folder / "run.json").read_text())


def test_e4_e15_a_run_that_is_interrupted_and_killed_goes_on_to_the_same_bytes(whole, tmp_path):
    manifest, expected = whole
    process = start(*words(manifest, tmp_path))
    wait_until(lambda: len(session(process.pid)) >= 3)  # workers load
    code, told, seconds = interrupt(process, signal.SIGINT)
    LOG.info("Ctrl-C while workers start: %s", seconds)
    assert (code, seconds < 10, "Traceback" in told) == (130, True, False), told

    process = start(*words(manifest, tmp_path))
    wait_until(lambda: n_stored(tmp_path) >= 20)
    code, told, seconds = interrupt(process, signal.SIGINT)
    LOG.info("Ctrl-C at work: %s", seconds)
    assert (code, seconds < 10, "Traceback" in told) == (130, True, False), told
    assert not (tmp_path / ".lock").exists()

    process = start(*words(manifest, tmp_path))
    wait_until(lambda: n_stored(tmp_path) >= 60)
    code, told, seconds = interrupt(process, signal.SIGKILL)
    assert (code, seconds < 10) == (-signal.SIGKILL, True)
    assert (tmp_path / ".lock").exists()
    require_nothing_half_written(tmp_path)

    killed_at = n_stored(tmp_path)
    process = start(*words(manifest, tmp_path))
    wait_until(lambda: n_stored(tmp_path) >= killed_at + 20)  # of its own: before that it may not listen yet
    code, told, seconds = interrupt(process, signal.SIGTERM)
    LOG.info("SIGTERM: %s", seconds)
    assert (code, seconds < 10, "Traceback" in told) == (128 + signal.SIGTERM, True, False), told
    assert "is gone; taken over" in told

    before = n_stored(tmp_path)
    assert killed_at + 20 <= before < N - 1
    effort = resume(manifest, tmp_path)["effort"]
    assert (effort["units_stored"], effort["units_computed"]) == (before, N - before)
    assert table_bytes(tmp_path) == expected


@pytest.mark.slow
def test_rb2_e4_twenty_kills_at_random_moments_and_the_same_bytes(whole, tmp_path):
    manifest, expected = whole
    moments = random.Random(2026)
    started = time.monotonic()
    resume(manifest, tmp_path / "timed")
    length = time.monotonic() - started
    n_finished, n_mid_work, folder = 0, 0, tmp_path / "run"
    for i in range(20):
        process = start(*words(manifest, folder))
        if i % 2:  # anywhere, loading and writing the table included
            time.sleep(moments.uniform(0, length))
        else:  # at work
            already = n_stored(folder)
            goal = already + moments.randint(1, 25)
            wait_until(lambda goal=goal, process=process: n_stored(folder) >= goal or process.poll() is not None)
        n_finished += interrupt(process, signal.SIGKILL)[0] == 3
        n_mid_work += 0 < n_stored(folder) < N - 1
        require_nothing_half_written(folder)
        if n_stored(folder) >= N - 1:
            resume(manifest, folder)
            assert table_bytes(folder) == expected
            shutil.rmtree(folder)
    before = n_stored(folder)
    effort = resume(manifest, folder)["effort"]
    LOG.info("kills in the middle of the work, after the end: %s", (n_mid_work, n_finished))
    assert (effort["units_stored"], effort["units_computed"]) == (before, N - before)
    assert n_mid_work >= 5
    assert table_bytes(folder) == expected
    assert [path.name for path in folder.rglob(".part*")] == []


def test_e15_ctrl_c_ends_a_worker_that_hangs(tmp_path):
    script = tmp_path / "hang.py"
    script.write_text(
        "import sys, time, cloudpickle, numpy as np\n"
        "from cemrad.features.case import Case, Picture, PictureKey\n"
        "from cemrad.features.mask import ArrayMask\n"
        "from cemrad.pipeline import cli\n"
        "from cemrad.pipeline.cohort import Cohort\n"
        "from cemrad.pipeline.extract import FeatureSettings, extract\n"
        "from cemrad.pipeline.means import Means\n"
        "cloudpickle.register_pickle_by_value(sys.modules['__main__'])\n"
        "class Hangs:\n"
        "    def read(self):\n"
        f"        open({str(tmp_path / 'hangs')!r}, 'w').close()\n"
        "        time.sleep(600)\n"
        "case = Case('a', 'p', pictures={PictureKey('IMG'): Picture(Hangs(), ArrayMask(np.ones((9, 9), bool)))})\n"
        "def app():\n"
        "    extract(Cohort('hangs', (case,)), FeatureSettings(families={'radiomics': {}}), Means(jobs=1))\n"
        "cli.app = app\n"
        "cli.main()\n"
    )
    process = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE, start_new_session=True)
    wait_until((tmp_path / "hangs").exists)
    code, told, seconds = interrupt(process, signal.SIGINT)
    LOG.info("Ctrl-C on a worker that hangs: %s", seconds)
    assert (code, seconds < 10, told) == (130, True, "")


def in_own_namespace(script, *arguments):
    """A shell script as root of its own mounts, which go with it."""
    command = ["unshare", "-rm", "sh", "-euc", script, "sh", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def mounts():
    """Skipped where no file system can be mounted."""
    if shutil.which("unshare") is None or in_own_namespace("mount -t tmpfs -o size=1m tmpfs /tmp").returncode:
        pytest.skip("needs user namespaces, to mount a small disk")


def test_e1_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(mounts, whole, tmp_path):
    manifest, expected = whole
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    script = """
        disk=$1; kept=$2; shift 2
        mount -t tmpfs -o size=300k tmpfs "$disk"
        code=0; "$@" || code=$?
        echo "code $code, left: $(ls -A "$disk" | tr '\\n' ' ')" >&2
        find "$disk/store" -type f | wc -l >&2
        mount -o remount,size=50m "$disk"
        code=0; "$@" || code=$?
        echo "code $code" >&2
        cp -r "$disk" "$kept"
    """
    done = in_own_namespace(script, disk, kept, *COMMAND, *words(manifest, disk))
    lines = done.stderr.splitlines()
    full = next(i for i, line in enumerate(lines) if line.startswith("code "))
    assert lines[full].startswith("code 1, left: "), done.stderr
    assert set(lines[full].split("left: ")[1].split()) <= {"inputs.csv", "run.json", "store"}
    assert any(f"cemrad: No space left on device: {disk}" in line for line in lines[:full]), lines[:full]
    assert not any("Traceback" in line for line in lines)
    n_kept = int(lines[full + 1])
    assert 10 < n_kept < N
    assert lines[-1] == "code 3"
    assert table_bytes(kept) == expected
    effort = json.loads((kept / "run.json").read_text())["effort"]
    assert effort["units_stored"] == n_kept


def test_e2_a_folder_that_may_not_be_written_is_refused_before_anything_is_computed(mounts, whole, tmp_path):
    script = """
        mount -t tmpfs -o size=1m,ro tmpfs "$1"; shift
        exec "$@"
    """
    done = in_own_namespace(script, tmp_path, *COMMAND, *words(whole[0], tmp_path / "run"))
    assert done.returncode == 1
    assert "cemrad: Read-only file system: " in done.stderr
    assert "started" not in done.stderr
    assert "Traceback" not in done.stderr


def test_e2_a_store_that_may_not_be_written_is_found_before_anything_is_computed(whole, tmp_path):
    (tmp_path / "store").write_text("in the way", encoding="utf-8")
    (tmp_path / "run.json").unlink(missing_ok=True)
    with pytest.raises(OSError, match="File exists|Not a directory"):
        extracted(whole[0], tmp_path)
    assert not (tmp_path / "inputs.csv").exists()


def test_e1_files_change_together_or_not_at_all(tmp_path):
    """The second of two files finds no space: the first is not replaced either, and nothing is left beside it."""
    (tmp_path / "a").write_text("old", encoding="utf-8")

    def full(path):
        path.write_text("ne", encoding="utf-8")
        raise OSError(28, os.strerror(28))

    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path, {"a": lambda path: path.write_text("new"), "b": full})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"
