"""Many machines: a real scheduler and real workers on loopback, which die, come late, or are not what they should be.

Every wait has a limit, and every process that a test starts is gone when it ends.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

distributed = pytest.importorskip("distributed", reason="needs Dask: pip install 'cemrad[cluster]'")
pytest.importorskip("dask_jobqueue", reason="needs dask-jobqueue: pip install 'cemrad[cluster]'")
psutil = pytest.importorskip("psutil")

import cloudpickle  # noqa: E402
import dask  # noqa: E402
from cemrad.features.case import Case, Picture, PictureKey  # noqa: E402
from cemrad.features.errors import StudyError  # noqa: E402
from cemrad.features.mask import ArrayMask  # noqa: E402
from cemrad.pipeline import cli, cluster  # noqa: E402
from cemrad.pipeline.cluster import open_cluster, require_safe  # noqa: E402
from cemrad.pipeline.cohort import Cohort  # noqa: E402
from cemrad.pipeline.extract import FeatureSettings, extract  # noqa: E402
from cemrad.pipeline.means import Means  # noqa: E402
from cemrad.pipeline.workers import Limits  # noqa: E402

from . import cluster_pictures  # noqa: E402
from .cluster_pictures import Deadly, Slow  # noqa: E402

cloudpickle.register_pickle_by_value(cluster_pictures)  # workers of this machine cannot import a test

pytestmark = [
    # what Dask leaves for the garbage collector when its other end was killed
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

RADIOMICS = {"parameters": {"featureClass": {"firstorder": ["Mean", "Range"], "glcm": ["Contrast"]}}}
SETTINGS = FeatureSettings(families={"radiomics": RADIOMICS})
WAIT_S = 60.0
ROOT = Path(__file__).resolve().parents[1]


# --- processes ------------------------------------------------------------------------------------


class Machines:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self, folder, options=(), **env):
        self.folder = folder
        self.options = options
        self.env = env
        self.started = []
        self.address = ""

    def __enter__(self):
        about = self.folder / f"scheduler-{time.monotonic_ns()}.json"
        self.scheduler = self.start("scheduler", "--port", "0", "--scheduler-file", str(about))
        until(lambda: about.is_file() and about.stat().st_size > 0)
        self.address = json.loads(about.read_text(encoding="utf-8"))["address"]
        return self

    def __exit__(self, *_):
        for process in self.started:
            end(process)

    def worker(self, *options, nanny="--no-nanny", **env):
        return self.start("worker", self.address, "--nthreads", "1", nanny, *options, **env)

    def start(self, role, *arguments, **env):
        near = ("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0", "--no-dashboard")
        log = (self.folder / f"{role}-{len(self.started)}.log").open("w", encoding="utf-8")
        known = {"PYTHONPATH": str(ROOT)}  # for the pictures of this test
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", role, *arguments, *near, *self.options],
                stdout=log, stderr=subprocess.STDOUT, cwd=self.folder, env=os.environ | known | self.env | env,
            )  # fmt: skip
        self.started.append(process)
        return process


def until(is_true, seconds=WAIT_S):
    end_s = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end_s, "waited too long"
        time.sleep(0.05)


def end(process):
    """Kill a process that this test started, and what it started."""
    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


def family_of(pid):
    """A process and all that it started."""
    try:
        return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def listening(pids):
    """Addresses on which processes and what they started listen."""
    found = set()
    for process in (member for pid in pids for member in family_of(pid)):
        try:
            found |= {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
        except psutil.Error:
            continue
    return found


# --- cohorts --------------------------------------------------------------------------------------


def cohort(n, poison=None, seconds=0.05):
    drawn = np.zeros((64, 64), bool)
    drawn[20:40, 24:44] = True
    images = [Slow(i, seconds) for i in range(n)]
    if poison is not None:
        images[n // 3] = poison
    key = PictureKey("LE", "CC")
    return Cohort(
        "small", [Case(f"c{i}", f"p{i}", pictures={key: Picture(im, ArrayMask(drawn))}) for i, im in enumerate(images)]
    )


def saved(table, folder):
    table.save(folder)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def on_cluster(machines, of, folder, progress=None, limits=None, **more):
    with open_cluster(machines.address, limits or Limits()) as engine:
        seen = None if progress is None else lambda n, *_: progress(engine.client, n)
        return saved(extract(of, SETTINGS, Means(engine=engine, progress=seen, **more)), folder)


def manifest(folder, n):
    """A cohort on disk of which every case takes some milliseconds, and a study of it."""
    from PIL import Image as Pictures

    drawn = np.zeros((64, 64), np.uint8)
    drawn[20:40, 24:44] = 255
    Pictures.fromarray(drawn).save(folder / "mask.png")
    rows = ["case_id,patient_id,image_path,mask_path"]
    for i in range(n):
        pixels = np.random.default_rng(i).integers(0, 256, (64, 64)).astype(np.uint8)
        Pictures.fromarray(pixels).save(folder / f"{i}.png")
        rows.append(f"c{i},p{i},{i}.png,mask.png")
    path = folder / "cases.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


FAMILIES = f"features.families={json.dumps({'radiomics': RADIOMICS})}"


def here(monkeypatch, *arguments):
    """Exit code of the command line, run in this process."""
    monkeypatch.setattr(sys, "argv", ["cemrad", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


def final(folder):
    """The files of a run that must not depend on where it was computed."""
    names = ("features.parquet", "features.csv", "failures.csv", "cases.csv", "labels.csv", "table.json")
    return {name: (folder / name).read_bytes() for name in names}


# --- the same bytes -------------------------------------------------------------------------------


def test_two_workers_one_of_them_killed_and_one_that_comes_late_give_the_same_bytes(tmp_path):
    """A case whose process dies is in it."""
    of = cohort(18, Deadly(os.getpid()))
    local = saved(extract(of, SETTINGS, Means(jobs=2)), tmp_path / "local")
    assert b"worker.lost" in local["failures.csv"]
    with Machines(tmp_path) as machines:
        two = [machines.worker(), machines.worker()]
        late = []

        def meddle(client, n_done):
            if n_done == 1:
                client.wait_for_workers(2, timeout=WAIT_S)
            elif n_done == 8:
                assert family_of(two[1].pid)[1:], "this one has not worked yet"
                two[1].kill()
                late.append(machines.worker())
                until(lambda: len(client.nthreads()) == 1)
                client.wait_for_workers(2, timeout=WAIT_S)

        assert on_cluster(machines, of, tmp_path / "two", meddle) == local
        assert family_of(late[0].pid)[1:], "the late worker did not work"
        pids = [machines.scheduler.pid, two[0].pid, late[0].pid, os.getpid()]
        assert listening(pids) == {"127.0.0.1"}


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [1, 2, 4])
def test_any_number_of_workers_gives_the_same_bytes_with_one_killed(tmp_path, n_workers):
    """Every worker has a nanny here, which starts it again."""
    of = cohort(24, Deadly(os.getpid()))
    local = saved(extract(of, SETTINGS, Means(jobs=2)), tmp_path / "local")
    with Machines(tmp_path) as machines:
        workers = [machines.worker(nanny="--nanny") for _ in range(n_workers)]

        def kill(client, n_done):
            if n_done == 1:
                client.wait_for_workers(n_workers, timeout=WAIT_S)
            if n_done == 10:
                one = [p for p in family_of(workers[0].pid)[1:] if "spawn_main" in " ".join(p.cmdline())]
                one[0].kill()

        assert on_cluster(machines, of, tmp_path / "cluster", kill) == local


@pytest.mark.slow
def test_a_case_that_kills_whole_workers_costs_only_itself(tmp_path):
    """Also those that were on their way to the same worker each time it died."""
    of = cohort(9, Deadly(os.getpid(), parent=True))
    with Machines(tmp_path, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="1") as machines:
        machines.worker(nanny="--nanny")
        with open_cluster(machines.address, Limits()) as engine:
            table = extract(of, SETTINGS, Means(engine=engine))
    lost = table.failures[table.failures.state == "failed"]
    assert lost[["case_id", "code"]].to_numpy().tolist() == [["c3", "worker.lost"]]
    clean = extract(cohort(9), SETTINGS)
    assert table.values.drop("c3").equals(clean.values.drop("c3"))


@pytest.mark.slow
def test_a_case_that_hangs_on_a_cluster_is_told_as_here(tmp_path):
    of, limits = cohort(4, Slow(1, 600)), Limits(wall_s=10)
    local = saved(extract(of, SETTINGS, Means(jobs=1, limits=limits)), tmp_path / "local")
    assert b"case.timeout" in local["failures.csv"]
    with Machines(tmp_path) as machines:
        machines.worker()
        assert on_cluster(machines, of, tmp_path / "cluster", limits=limits) == local


# --- a scheduler that dies ------------------------------------------------------------------------


@pytest.mark.slow  # by the clock: it wants a machine that is not loaded
def test_when_the_scheduler_dies_the_run_says_so_and_can_be_resumed(tmp_path, monkeypatch, capsys):
    source, out = manifest(tmp_path, 60), tmp_path / "run"

    def run(*more):
        return here(monkeypatch, "extract", source, "-o", out, "-s", FAMILIES, *more)

    def n_stored():
        return sum(path.is_file() for path in (out / "store").rglob("*"))

    with Machines(tmp_path) as machines:
        worker = machines.worker()
        killer = threading.Thread(target=lambda: (until(lambda: n_stored() >= 3), machines.scheduler.kill()))
        killer.start()
        started = time.monotonic()
        assert run("--cluster", machines.address) == 1
        assert time.monotonic() - started < WAIT_S
        killer.join()
        end(worker)
    assert "the scheduler of the cluster is gone" in capsys.readouterr().err
    n_kept = n_stored()
    assert 3 <= n_kept < 60
    assert not (out / "features.parquet").exists()
    assert run("-j", "1") == 0
    effort = json.loads((out / "run.json").read_text(encoding="utf-8"))["effort"]
    assert effort["units_stored"] == n_kept
    assert effort["units_computed"] == 60 - n_kept


# --- versions -------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path):
    """Environment of a machine on which Pillow has another version."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import importlib.metadata\n"
        "real = importlib.metadata.version\n"
        "importlib.metadata.version = lambda name: '1.2.3' if name.lower() == 'pillow' else real(name)\n",
        encoding="utf-8",
    )
    return {"PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{ROOT}"}


def test_a_worker_with_another_version_is_refused_whenever_it_comes(tmp_path, elsewhere, monkeypatch):
    of = cohort(12)
    with Machines(tmp_path) as machines:
        machines.worker()

        def join(client, n_done):
            if n_done == 4:
                machines.worker(**elsewhere)
                client.wait_for_workers(2, timeout=WAIT_S)

        with pytest.raises(StudyError, match=r"other versions than this machine: pillow 1\.2\.3 for \d"):
            on_cluster(machines, of, tmp_path / "late", join)
        with (
            pytest.raises(StudyError, match=r"other versions than this machine: pillow 1\.2\.3 for \d"),
            open_cluster(machines.address, Limits()),
        ):
            pass
        end(machines.started.pop())
        real = cluster.identities
        monkeypatch.setattr(cluster, "identities", lambda recipes: real(recipes) | {"radiomics": {"engine": "other"}})
        with pytest.raises(StudyError, match="would compute other numbers: radiomics is .* should be .*other"):
            on_cluster(machines, of, tmp_path / "identity")


# --- who may connect ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tcp://10.0.0.7:8786", "no encryption and no authentication beyond this machine"),
        ("tcp://0.0.0.0:8786", "no encryption and no authentication"),
        ("tcp://[2001:db8::1]:8786", "no encryption and no authentication"),
        ("tcp://127.0.0.1.example.org:8786", "no encryption and no authentication"),
        ("tcp://localhost.example.org:8786", "no encryption and no authentication"),
        ("http://127.0.0.1:8786", "expected tcp://host:port, tls://host:port or slurm:config.yaml"),
        ("127.0.0.1:8786", "expected tcp://"),
        ("tcp://127.0.0.1", "expected tcp://"),
        ("tcp://127.0.0.1:port", "expected tcp://"),
        ("inproc://x", "expected tcp://"),
        ("slurm:absent.yaml", "no such file"),
    ],
)
def test_an_address_that_is_none_or_not_safe_is_refused(address, message):
    with pytest.raises(StudyError, match=message), open_cluster(address, Limits()):
        pass


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tcp://localhost:1", "tcp://[::1]:1", "tls://node7:8786"])
def test_loopback_and_tls_are_safe(address):
    require_safe(address)


def test_a_scheduler_beyond_this_machine_is_taken_if_asked_for():
    require_safe("tcp://node7:8786", accept_no_auth=True)


def write_security(folder):
    """A certificate authority of its own with one certificate for all roles, as options and as configuration."""
    made = distributed.Security.temporary()
    folder.mkdir()
    paths = {name: str(folder / f"{name}.pem") for name in ("ca", "cert", "key")}
    for name, text in zip(paths, (made.tls_ca_file, made.tls_client_cert, made.tls_client_key), strict=True):
        Path(paths[name]).write_text(text, encoding="ascii")
    options = ("--protocol", "tls", *(part for k, v in zip(("--tls-ca-file", "--tls-cert", "--tls-key"), paths.values(), strict=True) for part in (k, v)))  # fmt: skip  # noqa: E501
    config = {
        "distributed.comm.tls.ca-file": paths["ca"],
        "distributed.comm.tls.client.cert": paths["cert"],
        "distributed.comm.tls.client.key": paths["key"],
    }
    return options, config


def test_tls_works_with_a_certificate_and_is_refused_without(tmp_path):
    options, own = write_security(tmp_path / "own")
    _, foreign = write_security(tmp_path / "foreign")
    of = cohort(3)
    with Machines(tmp_path, options) as machines:
        assert machines.address.startswith("tls://127.0.0.1:")
        machines.worker()
        with dask.config.set(own):
            found = on_cluster(machines, of, tmp_path / "tls")
        assert found == saved(extract(of, SETTINGS), tmp_path / "local")
        for config in ({}, foreign, {"distributed.comm.tls.ca-file": own["distributed.comm.tls.ca-file"]}):
            with (
                dask.config.set(config | {"distributed.comm.timeouts.connect": "2s"}),
                pytest.raises(StudyError, match="no scheduler answers there"),
                open_cluster(machines.address, Limits()),
            ):
                pass


# --- SLURM ----------------------------------------------------------------------------------------

SBATCH = """#!/bin/bash
# a job is a process of this machine, its number is the process'
cp "${@: -1}" "$FAKE_SLURM/job-$$.sh"
setsid bash "$FAKE_SLURM/job-$$.sh" > "$FAKE_SLURM/job-$$.log" 2>&1 < /dev/null &
echo $! >> "$FAKE_SLURM/jobs"
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/bash
echo "$@" >> "$FAKE_SLURM/cancelled"
for job in "$@"; do kill -TERM -- "-$job" 2> /dev/null; done
exit 0
"""


@pytest.fixture
def slurm(tmp_path):
    """A folder with sbatch and scancel that start and end local processes, and the environment to find them."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (folder / name).write_text(text, encoding="ascii")
        (folder / name).chmod(0o755)
    yield folder, os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "FAKE_SLURM": str(folder)}
    for job in jobs(folder):
        for process in family_of(job):
            process.kill()


def jobs(folder):
    path = folder / "jobs"
    return [int(line) for line in path.read_text(encoding="ascii").split()] if path.is_file() else []


def test_a_run_through_slurm_gives_the_same_bytes_listens_on_loopback_only_and_leaves_nothing(
    tmp_path, slurm, monkeypatch
):
    folder, env = slurm
    source = manifest(tmp_path, 30)
    config = tmp_path / "slurm.yaml"
    config.write_text(
        "n_jobs: 1\ncores: 1\nprocesses: 1\nmemory: 2GB\nsecurity: true\nscheduler_options: {host: 127.0.0.1}\n",
        encoding="utf-8",
    )
    command = [str(Path(sys.executable).with_name("cemrad")), "extract", str(source), "-s", FAMILIES]
    addresses, seen = set(), set()
    with (tmp_path / "cemrad.log").open("w", encoding="utf-8") as log:
        run = subprocess.Popen(
            [*command, "-o", str(tmp_path / "far"), "--cluster", f"slurm:{config}"],
            env=env, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        limit = time.monotonic() + WAIT_S
        while run.poll() is None and time.monotonic() < limit:
            pids = [run.pid, *jobs(folder)]
            addresses |= listening(pids)
            seen |= {process.pid for pid in pids for process in family_of(pid)}
            time.sleep(0.1)
        if run.poll() is None:
            end(run)
    told = (tmp_path / "cemrad.log").read_text(encoding="utf-8")
    assert run.returncode == 0, told
    assert addresses == {"127.0.0.1"}, told
    assert "Traceback" not in told
    assert "arning" not in told
    until(lambda: not any(map(psutil.pid_exists, seen)), 20)
    assert [path.name for path in tmp_path.glob(".dask-jobqueue*")] == []
    assert here(monkeypatch, "extract", source, "-s", FAMILIES, "-o", tmp_path / "near", "-j", "1") == 0
    assert final(tmp_path / "far") == final(tmp_path / "near")


@pytest.mark.slow
def test_a_slurm_job_that_ends_before_its_time_is_asked_for_again(tmp_path, slurm, monkeypatch):
    folder, env = slurm
    for name in ("PATH", "FAKE_SLURM"):
        monkeypatch.setenv(name, env[name])
    monkeypatch.setattr(cluster, "_WAIT_S", 3.0)
    config = tmp_path / "slurm.yaml"
    config.write_text(
        "n_jobs: 1\ncores: 1\nprocesses: 1\nmemory: 2GB\nscheduler_options: {host: 127.0.0.1}\n", encoding="utf-8"
    )
    of = cohort(12)

    def preempt(n, *_):
        if n == 4:
            for process in family_of(jobs(folder)[0]):
                process.kill()

    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1s"}),
        open_cluster(f"slurm:{config}", Limits()) as engine,
    ):
        table = extract(of, SETTINGS, Means(engine=engine, progress=preempt))
    assert len(jobs(folder)) == 2
    assert saved(table, tmp_path / "far") == saved(extract(of, SETTINGS), tmp_path / "near")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cores: 1\nmemory: 1GB\n", "n_jobs: a number"),
        ("n_jobs: 0\ncores: 1\n", "n_jobs: a number"),
        ("[1, 2]\n", "n_jobs: a number"),
        ("n_jobs: 2\ncores: 1\nmemory: 1GB\n", "add security: true"),
        ("n_jobs: 2\ncores: 1\nmemory: 1GB\nsecurity: false\n", "add security: true"),
        ("n_jobs: 2\ncores: 1\nmemory: 1GB\nscheduler_options: {host: node7}\n", "add security: true"),
        ("n_jobs: 2\ncores: 1\nsecurity: true\nscheduler_options: {host: 127.0.0.1}\n", "SLURMCluster refuses it"),
        ("n_jobs: 2\ncores: 1\nmemory: 1GB\nsecurity: true\nqeue: a\n", "SLURMCluster refuses it.*qeue"),
    ],
)
def test_a_slurm_file_with_a_mistake_or_without_encryption_is_refused(tmp_path, text, message):
    config = tmp_path / "slurm.yaml"
    config.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=message), open_cluster(f"slurm:{config}", Limits()):
        pass


def test_pages_of_status_stay_on_this_machine_whatever_slurm_runs_on(tmp_path):
    config = tmp_path / "slurm.yaml"
    config.write_text("n_jobs: 2\ncores: 1\nsecurity: true\nworker_extra_args: [--lifetime, 55m]\n", encoding="utf-8")
    options = cluster._slurm_options(config, False)
    assert options["scheduler_options"] == {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    assert options["worker_extra_args"] == [
        "--no-dashboard", "--dashboard-address", "127.0.0.1:0", "--lifetime", "55m",
    ]  # fmt: skip
    assert options["shared_temp_directory"] == str(tmp_path)


# --- what the documentation says ------------------------------------------------------------------


def examples(language):
    """Code blocks of the page, by their order."""
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_the_documented_slurm_file_is_one(tmp_path):
    from dask_jobqueue import SLURMCluster

    (config,) = examples("yaml")
    path = tmp_path / "slurm.yaml"
    path.write_text(config, encoding="utf-8")
    options = cluster._slurm_options(path, False)
    assert options.pop("n_jobs") == 20
    options["scheduler_options"]["host"] = "127.0.0.1"
    with SLURMCluster(**options) as asked:
        script = asked.job_script()
    for part in ("#SBATCH -p normal", "--cpus-per-task=8", "#SBATCH -t 04:00:00", "--nworkers 8", "--protocol tls://"):
        assert part in script


@pytest.mark.slow
def test_the_documented_scripts_run(tmp_path):
    """Array jobs one after the other, in a shell that has SLURM's variables."""
    manifest(tmp_path, 6)
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    for i in (1, 2):
        (manifests / f"{i}.csv").symlink_to(tmp_path / "cases.csv")
    cohort_of = "cohort: {reader: manifest, path: cases.csv, root: .}"
    study = f"schema_version: 1\nname: small\n{cohort_of}\nfeatures:\n  families:\n"
    (tmp_path / "study.yaml").write_text(f"{study}    radiomics: {json.dumps(RADIOMICS)}\n", encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def shell(script, **env):
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=os.environ | {"PATH": path} | env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def array(script, n):
        for i in range(1, n + 1):
            shell(script, SLURM_ARRAY_TASK_ID=str(i), SLURM_CPUS_PER_TASK="1")

    loop, shards, _, own, parts = examples("bash")
    shell("cemrad extract study.yaml -o runs/one")
    shell(loop.replace("1 2 3 4", "1 2").replace("/4", "/2").replace("runs/mine", "runs/loop"))
    array(shards.replace("N=50", "N=2").replace("runs/mine", "runs/array"), 2)
    shell("cemrad merge runs/array")
    array(parts, 2)
    with Machines(tmp_path) as machines:
        machines.worker()
        shell(own.splitlines()[-1].replace("tcp://127.0.0.1:8786", machines.address).replace("runs/mine", "runs/dask"))
    expected = final(tmp_path / "runs" / "one")
    for name in ("loop", "array", "dask"):
        assert final(tmp_path / "runs" / name) == expected, name
    named = {"table.json": b""}  # where the cohort is called by its manifest
    assert final(tmp_path / "runs" / "part-2") | named == expected | named
