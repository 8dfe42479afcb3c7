"""Many machines: the same tasks on the workers of a Dask cluster.

Every Dask worker hands its tasks to a process of its own (:mod:`~cemrad.pipeline.workers`), so that the limits of a
case, and what a case may break, are the same as on one machine. Results come back to this process, which alone writes
them: workers need to read the images, and nothing else in common.

Dask has no authentication. Whoever reaches a ``tcp://`` scheduler can run code on it, so one beyond this machine must
be allowed in so many words; ``tls://`` with certificates of your own is the way between machines.
"""

from __future__ import annotations

import gc
import ipaddress
import logging
import multiprocessing
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..features.errors import CemradError, ClusterError, StudyError
from ..features.plain_yaml import parse_yaml
from .doctor import versions
from .work import Done, Task, identities, lost
from .workers import LOST, Limits, Workers

LOG = logging.getLogger("cemrad")
_WAIT_S = 60.0
_AHEAD = 2
"""Tasks on their way per thread of a worker: one to work on, one to follow."""


class DaskEngine:
    """Runs tasks on the workers of a Dask cluster, those that join later included.

    Parameters
    ----------
    client : distributed.Client
    limits : Limits
        Of a case, on every worker.
    renew : callable, optional
        Asks for the workers again that have ended; with it, an empty cluster is waited for as long as it takes.
    """

    def __init__(self, client: Any, limits: Limits, renew: Callable[[], object] | None = None) -> None:
        self.client = client
        self.limits = limits
        self.renew = renew
        self._renewed = time.monotonic()

    def run(self, tasks: Iterator[Task]) -> Iterator[tuple[Task, Done]]:
        """Tasks with their results as they finish.

        A task whose worker died is tried on others; if Dask gives it up, its cases are tried once more at the end,
        each with the cluster to itself, so that none is failed for what another did beside it.

        Raises
        ------
        StudyError
            If a worker has other versions than this machine, or cannot work at all.
        ClusterError
            If no worker comes, or the scheduler is gone.
        """
        ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        running: dict[Any, tuple[Task, bool]] = {}
        suspects: deque[Task] = deque()
        own = versions()
        expected: Mapping[str, Any] | None = None
        room = 0
        looked = -1.0
        try:
            while True:
                if time.monotonic() - looked > 1.0:  # workers come and go
                    room, looked = self._room(), time.monotonic()
                while len(running) < room:
                    task = next(tasks, None)
                    is_last_try = task is None
                    if task is None:
                        if running or not suspects:
                            break
                        task = suspects.popleft()
                    expected = expected or identities(task.recipes)
                    future = self._submit(task, own, expected)
                    running[future] = task, is_last_try
                    future.add_done_callback(ended.put)
                if not running:
                    return
                for future in _arrived(ended):
                    task, is_last_try = running.pop(future)
                    done = _result(future)
                    if done is None and not is_last_try:
                        suspects += task.split()
                    else:
                        yield task, done or lost(task, "worker.lost", LOST)
        finally:
            if running and self.client.status == "running":
                self.client.cancel(list(running), force=True)

    def _submit(self, task: Task, own: Mapping[str, str], expected: Mapping[str, Any]) -> Any:
        try:
            return self.client.submit(on_worker, task, self.limits, own, expected, pure=False)
        except Exception as error:
            raise _gone(error) if self.client.status != "running" else error from None

    def _room(self) -> int:
        """How many tasks may be on their way; waits for a first worker."""
        waited = False
        while not (n_threads := self._n_threads()):
            if waited and self.renew is None:
                raise ClusterError(f"the cluster has no worker after {_WAIT_S:g} s; start dask workers for it")
            LOG.info("cluster: waiting for a worker")
            with suppress(TimeoutError):
                self.client.wait_for_workers(1, timeout=_WAIT_S)
            waited = True
        return _AHEAD * n_threads

    def _n_threads(self) -> int:
        if self.renew is not None and time.monotonic() - self._renewed > _WAIT_S:
            self.renew()
            self._renewed = time.monotonic()
        try:
            return int(sum(self.client.nthreads().values()))
        except Exception as error:  # whatever a lost connection looks like
            raise _gone(error) from None


def _arrived(ended: queue.SimpleQueue[Any]) -> Iterator[Any]:
    """Futures that have ended since; waits a second for the first."""
    with suppress(queue.Empty):
        yield ended.get(timeout=1.0)
        while True:
            yield ended.get_nowait()


def _result(future: Any) -> Done | None:
    """What came of a task; None if several workers died on it."""
    import distributed
    from distributed.comm import CommClosedError

    try:
        return future.result()  # type: ignore[no-any-return]
    except distributed.KilledWorker:
        return None
    except CemradError:
        raise
    except (distributed.CancelledError, CommClosedError) as error:
        raise _gone(error) from None
    except Exception as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise StudyError(f"cluster: a worker cannot run cemrad's tasks ({text}); is the same cemrad there?") from None
    finally:
        future.release()


def _gone(error: BaseException) -> ClusterError:
    LOG.debug("cluster: %r", error)
    return ClusterError(
        "the scheduler of the cluster is gone; start it and give the same command again: what was done is kept"
    )


@contextmanager
def open_cluster(address: str, limits: Limits, *, accept_no_auth: bool = False) -> Iterator[DaskEngine]:
    """Connect to a cluster, or start one through SLURM, and compare versions.

    Parameters
    ----------
    address : str
        ``tcp://host:port`` or ``tls://host:port`` of a scheduler that runs (certificates as Dask's configuration
        names them), or ``slurm:config.yaml``: the arguments of ``dask_jobqueue.SLURMCluster`` and ``n_jobs``.
    limits : Limits
    accept_no_auth : bool
        Allow a scheduler beyond this machine without encryption.

    Raises
    ------
    StudyError
        If the address is not one, is not safe, does not answer, or has workers with other versions.
    """
    try:
        import distributed
    except ImportError:
        raise StudyError("--cluster needs Dask: pip install 'cemrad[cluster]'") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if address.startswith("slurm:"):
        with (
            _slurm(Path(address.removeprefix("slurm:")), accept_no_auth) as (cluster, renew),
            distributed.Client(cluster, set_as_default=False) as client,
        ):
            yield _greeted(client, limits, renew)
        return
    require_safe(address, accept_no_auth=accept_no_auth)
    security = distributed.Security(require_encryption=True) if address.startswith("tls:") else None
    gc.collect()  # a client that failed before must not end while this one starts: distributed would wait for itself
    try:
        client = distributed.Client(address, security=security, set_as_default=False, timeout=20)
    except (OSError, TimeoutError, ValueError, TypeError, RuntimeError) as error:
        text = " ".join(str(error).split())[:200]
        raise StudyError(f"--cluster {address}: no scheduler answers there ({text})") from None
    with client:
        yield _greeted(client, limits)


def require_safe(address: str, *, accept_no_auth: bool = False) -> None:
    """Refuse an address that is none, or that would run this machine's work for anyone on the network.

    Raises
    ------
    StudyError

    Examples
    --------
    >>> require_safe("tcp://127.0.0.1:8786")
    >>> require_safe("tcp://node7:8786")
    Traceback (most recent call last):
        ...
    cemrad.features.errors.StudyError: --cluster tcp://node7:8786: no encryption and no authentication beyond this \
machine; use tls:// with certificates, or --accept-no-auth on a network that you trust
    """
    parts = urlsplit(address)
    if parts.scheme not in ("tcp", "tls") or not parts.hostname or _port(parts) is None:
        raise StudyError(f"--cluster {address}: expected tcp://host:port, tls://host:port or slurm:config.yaml")
    if parts.scheme == "tcp" and not accept_no_auth and not _is_loopback(parts.hostname):
        raise StudyError(
            f"--cluster {address}: no encryption and no authentication beyond this machine; use tls:// with "
            "certificates, or --accept-no-auth on a network that you trust"
        )


def _port(parts: Any) -> int | None:
    try:
        return parts.port  # type: ignore[no-any-return]
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _greeted(client: Any, limits: Limits, renew: Callable[[], object] | None = None) -> DaskEngine:
    """The engine, once every worker that is there has been found to have this machine's versions."""
    own = versions()
    for worker, theirs in client.run(versions, on_error="return").items():
        if isinstance(theirs, OSError):  # it has left, or has not quite come
            continue
        if not isinstance(theirs, Mapping):
            raise StudyError(f"cluster: {worker} has no cemrad that works: {theirs!r}")
        _require_versions(str(worker), theirs, own)
    return DaskEngine(client, limits, renew)


def _require_versions(worker: str, theirs: Mapping[str, str], own: Mapping[str, str]) -> None:
    if differing := [f"{n} {theirs.get(n)} for {v}" for n, v in own.items() if theirs.get(n) != v]:
        raise StudyError(f"cluster: {worker} has other versions than this machine: {', '.join(differing)}")


@contextmanager
def _slurm(config: Path, accept_no_auth: bool) -> Iterator[tuple[Any, Callable[[], object]]]:
    """A cluster whose workers are SLURM jobs, and a function that asks again for those that have ended."""
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise StudyError("--cluster slurm: needs dask-jobqueue: pip install 'cemrad[cluster]'") from None
    options = _slurm_options(config, accept_no_auth)
    n_jobs = options.pop("n_jobs")
    try:
        cluster = SLURMCluster(**options)
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        raise StudyError(f"{config}: SLURMCluster refuses it: {' '.join(str(error).split())}") from None
    with cluster:
        cluster.scale(jobs=n_jobs)
        LOG.info("cluster: %d SLURM jobs asked for", n_jobs)
        yield cluster, lambda: cluster.scale(jobs=n_jobs)


def _slurm_options(config: Path, accept_no_auth: bool) -> dict[str, Any]:
    """Arguments of SLURMCluster, with pages of status on this machine only and nothing unencrypted beyond it."""
    if not config.is_file():
        raise StudyError(f"--cluster slurm:{config}: no such file")
    options = parse_yaml(config.read_text(encoding="utf-8"), where=config.name)
    if not isinstance(options, dict) or not isinstance(options.get("n_jobs"), int) or options["n_jobs"] < 1:
        raise StudyError(f"{config}: expected SLURMCluster's arguments and n_jobs: a number")
    scheduler = {"dashboard": False, "dashboard_address": "127.0.0.1:0", **(options.get("scheduler_options") or {})}
    is_near = _is_loopback(urlsplit(f"//{scheduler.get('host', '')}").hostname or "")
    is_tls = options.get("security") is True or options.get("protocol") == "tls://"
    if not is_tls and not is_near and not accept_no_auth:
        raise StudyError(f"{config}: add security: true (certificates are made for this run), or --accept-no-auth")
    own_args = ["--no-dashboard", "--dashboard-address", "127.0.0.1:0", *(["--host", "127.0.0.1"] if is_near else [])]
    return {
        "shared_temp_directory": str(config.resolve().parent),
        **options,
        "scheduler_options": scheduler,
        "worker_extra_args": own_args + list(options.get("worker_extra_args") or []),
    }


# --- on a worker of the cluster -------------------------------------------------------------------

_here = threading.local()


def on_worker(task: Task, limits: Limits, own: Mapping[str, str], expected: Mapping[str, Any]) -> Done:
    """One task in this worker's own process, which stays for the next one.

    Parameters
    ----------
    task : Task
    limits : Limits
    own, expected : mapping
        Versions of the machine that asks, and what its families' numbers depend on.

    Raises
    ------
    StudyError
        If this machine would compute other numbers than the one that asked: other versions, engine or weights.
    """
    # Dask's workers are daemons, which may have no children; this one ends its child itself, and the child watches.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    key = (task.recipes, limits, own, expected)
    if getattr(_here, "key", None) != key:
        _require_versions(socket.gethostname(), versions(), own)
        if getattr(_here, "workers", None) is not None:
            _here.workers.close()
        _here.key, _here.workers = key, Workers(1, task.recipes, limits, expected=expected)
    return _joined([done for _, done in _here.workers.run(iter([task]))])


def _joined(parts: Sequence[Done]) -> Done:
    """One result, also where the task was split into its cases."""
    stages = {stage for done in parts for stage in done.seconds}
    return Done(
        [found for done in parts for found in done.found],
        {stage: sum(done.seconds.get(stage, 0.0) for done in parts) for stage in stages},
        max(done.memory_mib for done in parts),
    )
