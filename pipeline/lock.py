"""A lock on a run's folder: one writer of its final files at a time, and no lock that outlives its owner for long.

The lock is a file that names its owner. The owner touches it every few seconds. Another process that finds it refuses
to go on, unless the owner is certainly gone: its process ended on this machine, or it was not touched for two
minutes by the clock of the file system, nor while it was watched for a while: clocks may jump. Then the lock is taken
over, and a line says so.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import logging
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..features.errors import StudyError

LOG = logging.getLogger("cemrad")
NAME = ".lock"
_BEAT_S = 10.0
_SILENCE_S = 120.0
_WATCH_S = 2.5 * _BEAT_S

_held: dict[Path, str] = {}
_beating = threading.Event()


def hold(folder: Path) -> None:
    """Hold the lock of a folder until this process ends or calls :func:`release`; holding it twice is the same.

    Raises
    ------
    StudyError
        If another process holds it.
    OSError
        If the folder may not be written.
    """
    path = folder.resolve() / NAME
    if path in _held:
        return
    folder.mkdir(parents=True, exist_ok=True)
    token = _token()
    owner = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "began": _began(os.getpid()),
        "path": str(path),
        "token": token,
    }
    if not _create(path, owner) and not _take_over(path, owner):
        raise _refusal(path, _read(path))
    _held[path] = token
    if not _beating.is_set():
        _beating.set()
        threading.Thread(target=_beat, daemon=True).start()


def release(folder: Path | None = None) -> None:
    """Give back the lock of a folder, or all that this process holds."""
    for path in [folder.resolve() / NAME] if folder is not None else list(_held):
        if (token := _held.pop(path, None)) is not None and _read(path).get("token") == token:
            path.unlink(missing_ok=True)


def require_held(folder: Path) -> None:
    """Refuse to write where another process took the lock over, as after this machine slept.

    Raises
    ------
    StudyError
        If the lock of the folder is another's.
    """
    path = folder.resolve() / NAME
    owner = _read(path)
    if owner and owner.get("token") != _held.get(path):
        raise _refusal(path, owner)


atexit.register(release)


def _create(path: Path, owner: dict[str, Any]) -> bool:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(owner, file)
    except OSError:  # no space left: a lock without an owner would keep everybody out
        path.unlink(missing_ok=True)
        raise
    return True


def _take_over(path: Path, new_owner: dict[str, Any]) -> bool:
    """Replace the lock of an owner who is gone; False where somebody else was faster."""
    try:
        stale = path.open("rb")
    except FileNotFoundError:
        return _create(path, new_owner)
    with stale:
        try:  # of several that find it stale, one may replace it: else the second would remove the first one's lock
            fcntl.flock(stale, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without such locks
            LOG.debug("%s: no advisory locks here", path)
        owner = _read(path)
        if not _is_gone(path, owner):
            raise _refusal(path, owner)
        try:
            if not os.path.samestat(os.fstat(stale.fileno()), path.stat()):
                return False
        except FileNotFoundError:
            return _create(path, new_owner)
        LOG.warning("%s: its owner (process %s on %s) is gone; taken over", path, owner.get("pid"), owner.get("host"))
        path.unlink(missing_ok=True)
        return _create(path, new_owner)


def _is_gone(path: Path, owner: dict[str, Any]) -> bool:
    if owner.get("host") == socket.gethostname() and isinstance(owner.get("pid"), int):
        began = _began(owner["pid"])
        is_copy = owner.get("path") != str(path)  # the whole folder was copied, its lock with it
        return is_copy or began is None or began != owner.get("began")
    probe = path.with_name(f"{NAME}-{_token()}")
    try:
        probe.touch()
        last_beat = path.stat().st_mtime_ns
        if probe.stat().st_mtime_ns - last_beat <= _SILENCE_S * 1e9:
            return False
        LOG.info("%s: seems to be left behind; watched for %.0f s", path, _WATCH_S)
        time.sleep(_WATCH_S)
        return path.stat().st_mtime_ns == last_beat
    except FileNotFoundError:
        return True
    finally:
        probe.unlink(missing_ok=True)


def _began(pid: int) -> str | None:
    """When a process of this machine began, in ticks since boot, so that a reused number is not taken for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return None if Path("/proc/self/stat").exists() else "running"


def _read(path: Path) -> dict[str, Any]:
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _refusal(path: Path, owner: dict[str, Any]) -> StudyError:
    who = f"process {owner.get('pid', '?')} on {owner.get('host', '?')}"
    return StudyError(
        f"{path.parent}: {who} is writing here; wait for it, choose another output folder, "
        f"or delete {NAME} in it if you are sure that nothing runs"
    )


def _token() -> str:
    return secrets.token_hex(8)


def _beat() -> None:
    pause = threading.Event()
    while True:
        pause.wait(_BEAT_S)
        _touch_held()


def _touch_held() -> None:
    for path, token in list(_held.items()):
        with suppress(OSError):  # the folder is gone, or the file system stalls: the next beat will tell
            if _read(path).get("token") == token:
                os.utime(path)
