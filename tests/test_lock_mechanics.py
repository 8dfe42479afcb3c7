"""One writer per folder: who holds the lock is named, who is gone is replaced, and only one can replace them."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from cemrad.features.errors import StudyError
from cemrad.pipeline import lock

HOLDER = """
import sys
from pathlib import Path
from cemrad.features.errors import StudyError
from cemrad.pipeline.lock import hold
won = []
for folder in sys.argv[1:]:
    try:
        hold(Path(folder))
        won.append(folder)
    except StudyError:
        pass
print(*won, flush=True)
sys.stdin.read()
"""


def holder(*folders):
    command = [sys.executable, "-c", HOLDER, *map(str, folders)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, stderr=subprocess.PIPE)


def end(process):
    process.communicate(timeout=20)


@pytest.fixture(autouse=True)
def nothing_held():
    yield
    lock.release()


def owned_elsewhere(folder, age_s):
    """A lock of a process on another machine, last touched so long ago."""
    path = folder / lock.NAME
    path.write_text(json.dumps({"host": "elsewhere", "pid": 7, "token": "t"}), encoding="utf-8")
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


def test_e8_a_second_run_in_a_folder_is_refused_and_told_whose_it_is(tmp_path):
    other = holder(tmp_path)
    other.stdout.readline()
    with pytest.raises(StudyError, match=rf"process {other.pid} on .* is writing here"):
        lock.hold(tmp_path)
    end(other)
    lock.hold(tmp_path)  # it ended in order, and nothing is left of it
    lock.hold(tmp_path)
    lock.release(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_e9_the_lock_of_a_killed_process_is_taken_over_with_a_line(tmp_path, caplog):
    other = holder(tmp_path)
    other.stdout.readline()
    other.send_signal(signal.SIGKILL)
    other.communicate()
    with caplog.at_level(logging.WARNING, logger="cemrad"):
        lock.hold(tmp_path)
    assert f"its owner (process {other.pid} on" in caplog.text
    assert "taken over" in caplog.text
    assert json.loads((tmp_path / lock.NAME).read_text())["pid"] == os.getpid()


def test_e9_a_number_that_another_process_has_now_is_not_taken_for_the_owner(tmp_path):
    lock.hold(tmp_path)
    path = tmp_path / lock.NAME
    owner = json.loads(path.read_text()) | {"began": "1", "token": "old"}
    lock.release()
    path.write_text(json.dumps(owner), encoding="utf-8")
    lock.hold(tmp_path)


def test_e9_of_many_that_find_a_stale_lock_one_takes_it(tmp_path):
    folders = [tmp_path / f"{i:02d}" for i in range(40)]
    for folder in folders:
        folder.mkdir()
        (folder / lock.NAME).write_text(
            json.dumps({"host": os.uname().nodename, "pid": os.getpid(), "began": "1", "path": str(folder / lock.NAME)})
        )
    processes = [holder(*folders) for _ in range(4)]
    won = [name for process in processes for name in process.stdout.readline().split()]
    for process in processes:
        end(process)
    assert sorted(won) == sorted(map(str, folders))


def test_e13_a_silent_owner_elsewhere_is_watched_before_it_is_taken_for_gone(tmp_path, monkeypatch):
    """A clock that jumped makes a lock look old; one that is still touched is not."""
    monkeypatch.setattr(lock, "_WATCH_S", 0.3)
    path = owned_elsewhere(tmp_path, 1000)
    beat = threading.Timer(0.1, os.utime, [path])
    beat.start()
    with pytest.raises(StudyError, match="process 7 on elsewhere"):
        lock.hold(tmp_path)
    owned_elsewhere(tmp_path, 1000)
    lock.hold(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == [lock.NAME]


def test_e8_an_owner_elsewhere_that_was_heard_of_lately_is_left_alone(tmp_path):
    owned_elsewhere(tmp_path, 60)
    with pytest.raises(StudyError, match="process 7 on elsewhere"):
        lock.hold(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == [lock.NAME]


def test_e8_who_lost_the_lock_while_asleep_does_not_write_and_does_not_keep_it_alive(tmp_path):
    lock.hold(tmp_path)
    lock.require_held(tmp_path)
    path = tmp_path / lock.NAME
    os.utime(path, (0, 0))
    lock._touch_held()
    assert path.stat().st_mtime > 0
    owned_elsewhere(tmp_path, 1000)
    before = path.stat().st_mtime_ns
    lock._touch_held()
    assert path.stat().st_mtime_ns == before
    with pytest.raises(StudyError, match="process 7 on elsewhere"):
        lock.require_held(tmp_path)
    lock.release()
    assert path.is_file()


def test_e1_a_lock_that_could_not_be_written_is_not_left_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lock.json, "dump", full)
    with pytest.raises(OSError, match="No space left"):
        lock.hold(tmp_path)
    assert list(tmp_path.iterdir()) == []
