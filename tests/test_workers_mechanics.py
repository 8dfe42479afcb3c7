"""Workers that die, hang or run out of memory: the case that did it fails, and no other."""

import errno
import json
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cloudpickle
import numpy as np
import pandas as pd
import pytest
import SimpleITK
import torch
from cemrad.features import reread
from cemrad.features.case import Case, Picture, PictureKey
from cemrad.features.errors import MaskError, StudyError
from cemrad.features.families import SHELF
from cemrad.features.image import ArrayImage, Image
from cemrad.features.imagefile import ImageFile
from cemrad.features.mask import ArrayMask, MaskRules
from cemrad.pipeline.cohort import Cohort
from cemrad.pipeline.extract import FeatureSettings, extract
from cemrad.pipeline.means import Effort, Means
from cemrad.pipeline.work import Recipe, Task, made
from cemrad.pipeline.workers import Limits, Workers

from .small_batch import RADIOMICS

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test

LOG = logging.getLogger(__name__)  # --log-level INFO -rP shows what was measured
RC = PictureKey("RC", "CC")
LIMITS = Limits(wall_s=120, memory_gib=0.5)


def pixels(seed):
    return np.random.default_rng(seed).integers(0, 4096, (48, 48)).astype(np.uint16)


def drawn():
    mask = np.zeros((48, 48), bool)
    mask[14:34, 14:32] = True
    return ArrayMask(mask)


def case(name, image):
    return Case(name, f"patient of {name}", pictures={RC: Picture(image, drawn())})


def settings():
    return FeatureSettings(families={"radiomics": RADIOMICS})


@dataclass(frozen=True)
class Image1:
    """A picture that counts in a file how often it is read, and may do what no picture should."""

    counts: Path
    seed: int

    def read(self) -> Image:
        with self.counts.open("a") as file:
            file.write("x")
        self.misbehave()
        return Image(pixels(self.seed))

    def misbehave(self) -> None:
        """Nothing, for an innocent picture."""


class Killer(Image1):
    def misbehave(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class KillerOnce(Image1):
    def misbehave(self) -> None:
        if self.counts.stat().st_size == 1:
            os.kill(os.getpid(), signal.SIGKILL)


class Hanger(Image1):
    def misbehave(self) -> None:
        time.sleep(600)


class Glutton(Image1):
    def misbehave(self) -> None:
        np.ones(2**27)  # a GiB


class GluttonOfOldMemory(Image1):
    """Like the first case after many that leaked: there is enough memory in a new process."""

    def misbehave(self) -> None:
        if self.counts.stat().st_size == 1:
            np.ones(2**27)


class Witness(Image1):
    """Writes down what its process is like."""

    def misbehave(self) -> None:
        import numba

        seen = {
            "env": {name: value for name, value in os.environ.items() if name.endswith("THREADS")},
            "itk": SimpleITK.ProcessObject.GetGlobalDefaultNumberOfThreads(),
            "numba": numba.get_num_threads(),
            "ctrl_c": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
        }
        self.counts.with_suffix(".json").write_text(json.dumps(seen))


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    """A table of innocents and one of each kind, how often each was read, what the witness saw, and the clean table."""
    folder = tmp_path_factory.mktemp("counts")
    kinds = {
        "dies": Killer, "dies_once": KillerOnce, "eats": Glutton, "eats_once": GluttonOfOldMemory,
        "sees": Witness,
    }  # fmt: skip
    names = ["a", "dies", "b", "sees", "dies_once", "c", "d", "eats", "e", "eats_once", "f", "g"]
    cases = [case(name, kinds.get(name, Image1)(folder / name, seed)) for seed, name in enumerate(names)]
    clean = [case(name, ArrayImage(pixels(seed))) for seed, name in enumerate(names)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MKL_NUM_THREADS", "2")
        table = extract(Cohort("troubled", tuple(cases)), settings(), Means(jobs=2, limits=LIMITS))
    n_read = {name: (folder / name).stat().st_size for name in names}
    return table, n_read, json.loads((folder / "sees.json").read_text()), extract(Cohort("c", tuple(clean)), settings())


def codes(table):
    return dict(zip(table.failures.case_id, table.failures.code, strict=True))


def test_e3_a_case_whose_worker_died_once_is_tried_again_and_is_well(troubled):
    table, n_read, _, _ = troubled
    assert n_read["dies_once"] == 2
    assert "dies_once" not in codes(table)


def test_e3_a_case_that_hangs_fails_after_two_tries(tmp_path):
    hanging = case("hangs", Hanger(tmp_path / "n", 1))
    table = extract(Cohort("hangs", (hanging,)), settings(), Means(jobs=1, limits=Limits(wall_s=3)))
    assert codes(table) == {"hangs": "case.timeout"}
    assert table.failures.reason.item().startswith("no result after 3 s, twice")
    assert (tmp_path / "n").stat().st_size == 2


def test_e3_e6_e7_what_misbehaves_twice_fails_with_its_code_after_two_tries(troubled):
    table, n_read, _, _ = troubled
    assert codes(table) == {"dies": "worker.lost", "eats": "memory.exceeded"}
    assert [n_read[name] for name in ("dies", "eats")] == [2, 2]
    assert table.values.loc[["dies", "eats"]].isna().all(axis=None)
    assert table.failures.state.eq("failed").all()
    assert table.failures.reason.str.contains("raise limits|died, twice").all()


def test_e6_memory_that_others_took_is_not_held_against_a_case(troubled):
    table, n_read, _, _ = troubled
    assert n_read["eats_once"] == 2
    assert "eats_once" not in codes(table)


def test_e7_innocents_are_read_once_and_have_the_numbers_of_a_clean_run(troubled):
    table, n_read, _, clean = troubled
    innocent = [name for name in table.values.index if name not in codes(table)]
    assert {n_read[name] for name in "abcdefg"} == {1}
    pd.testing.assert_frame_equal(table.values.loc[innocent], clean.values.loc[innocent], check_exact=True)


def test_e16_a_worker_has_one_thread_unless_the_environment_says_otherwise(troubled):
    seen = troubled[2]
    assert seen["env"]["MKL_NUM_THREADS"] == "2"
    assert {seen["env"][f"{name}_NUM_THREADS"] for name in ("OMP", "OPENBLAS", "NUMBA")} == {"1"}
    assert (seen["itk"], seen["numba"]) == (1, 1)


def test_e15_a_worker_leaves_ctrl_c_to_its_parent(troubled):
    assert troubled[2]["ctrl_c"]


def test_e7_of_a_task_of_several_cases_only_the_poisoned_one_is_lost(tmp_path):
    recipe = Recipe("radiomics", json.dumps(settings().families["radiomics"]), MaskRules())
    kinds = {"a": Image1, "poison": Killer, "b": Image1}
    cases = tuple(case(name, kind(tmp_path / name, 1)) for name, kind in kinds.items())
    wanted = {"radiomics": tuple(made(recipe).units([RC]))}
    with Workers(1, (recipe,), LIMITS) as workers:
        done = [one for _, done in workers.run(iter([Task((recipe,), cases, (wanted,) * 3)])) for one in done.found]
    assert {one.case_id: [failure.code for failure in one.failures] for one in done} == {
        "a": [], "poison": ["worker.lost"], "b": [],
    }  # fmt: skip
    assert all(np.isfinite(one.values["radiomics", RC.name]).all() for one in done if not one.failures)


def test_e17_a_worker_that_would_compute_other_numbers_is_refused():
    recipe = Recipe("radiomics", json.dumps(settings().families["radiomics"]), MaskRules())
    task = Task((recipe,), (case("a", ArrayImage(pixels(1))),), ({"radiomics": tuple(made(recipe).units([RC]))},))
    with (
        Workers(1, (recipe,), LIMITS, expected={"radiomics": {"versions": "others"}}) as workers,
        pytest.raises(StudyError, match="would compute other numbers: radiomics is"),
    ):
        list(workers.run(iter([task])))


@dataclass
class Stalling:
    """A picture on network storage that stalls so often."""

    error: Exception
    n_times: int
    n_read: int = 0

    def read(self) -> Image:
        self.n_read += 1
        if self.n_read <= self.n_times:
            raise self.error
        return Image(pixels(3))


def read_in_time(source, monkeypatch):
    waited = []
    monkeypatch.setattr(reread.time, "sleep", waited.append)
    return extract(Cohort("stalls", (case("a", source),)), settings()), waited


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.ETIMEDOUT])
def test_e14_storage_that_stalls_for_a_moment_is_waited_for(monkeypatch, number):
    source = Stalling(OSError(number, os.strerror(number)), 2)
    table, waited = read_in_time(source, monkeypatch)
    assert len(table.failures) == 0
    assert waited == [0.1, 0.5]


def test_e14_storage_that_stalls_for_good_is_a_failure_with_its_code(monkeypatch):
    source = Stalling(OSError(errno.ESTALE, os.strerror(errno.ESTALE)), 99)
    table, waited = read_in_time(source, monkeypatch)
    assert table.failures[["case_id", "stage", "code"]].to_numpy().tolist() == [["a", "image", "file.unreadable"]]
    assert table.failures.reason.item().startswith("Stale file handle, in 4 tries")
    assert waited == [0.1, 0.5, 2.0]


def test_e14_what_is_wrong_with_a_file_is_not_tried_again(monkeypatch):
    source = Stalling(MaskError("mask.odd", "odd"), 99)
    table, waited = read_in_time(source, monkeypatch)
    assert (codes(table), waited) == ({"a": "mask.odd"}, [])


def test_e14_a_file_whose_storage_stalls_is_read_when_it_is_back(tmp_path, monkeypatch):
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(pixels(3)), tmp_path / "a.nrrd")
    plain, asked = Path.open, []

    def stalling(self, *args, **more):
        if self.name == "a.nrrd":
            asked.append(self)
            if len(asked) < 3:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return plain(self, *args, **more)

    monkeypatch.setattr(Path, "open", stalling)
    table, waited = read_in_time(ImageFile(tmp_path / "a.nrrd"), monkeypatch)
    assert len(table.failures) == 0
    assert waited == [0.1, 0.5]


def test_e6_a_decoder_that_had_no_memory_does_not_call_the_file_damaged(tmp_path, monkeypatch):
    import PIL.Image

    PIL.Image.fromarray(pixels(3)).save(tmp_path / "a.png")

    def hungry(self):
        raise MemoryError

    monkeypatch.setattr(PIL.Image.Image, "load", hungry)
    monkeypatch.setattr(PIL.Image.Image, "verify", lambda self: None)
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", hungry, raising=False)
    table = extract(Cohort("hungry", (case("a", ImageFile(tmp_path / "a.png")),)), settings())
    assert codes(table) == {"a": "memory.exceeded"}


def test_e18_the_libraries_that_ship_together_import_together():
    """pyradiomics that was built for NumPy 1 does not import with NumPy 2."""
    from cemrad.features.reference import __name__ as module
    from cemrad.pipeline.doctor import problems

    assert int(np.__version__.split(".")[0]) >= 2
    assert "radiomics" in sys.modules
    assert module
    assert problems() == []


def deep(**more):
    return FeatureSettings(families={"deep": {"weights": "random", "size": 32, **more}})


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_e19_a_gpu_that_is_asked_for_and_not_there_is_refused_before_any_case():
    with pytest.raises(StudyError, match="device: cuda was asked for and there is none; use device: auto or cpu"):
        extract(Cohort("one", (case("a", ArrayImage(pixels(1))),)), deep(device="cuda"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_e19_without_a_gpu_the_cpu_is_taken_and_named():
    table = extract(Cohort("one", (case("a", ArrayImage(pixels(1))),)), deep(device="auto"))
    assert table.provenance["families"]["deep"]["device"] == "cpu"


def test_e19_a_gpu_without_memory_gives_way_to_the_cpu_and_every_picture_says_so(monkeypatch):
    cohort = Cohort("two", tuple(case(name, ArrayImage(pixels(seed))) for seed, name in enumerate("ab")))
    clean = extract(cohort, deep(device="cpu"))
    family = SHELF.take("deep").Family
    plain = family._run

    def full(self, batch, precision, device=None, **how):
        if device is None:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return plain(self, batch, precision, device, **how)

    monkeypatch.setattr(family, "_run", full)
    table = extract(cohort, deep(device="cpu"))
    told = table.failures[["case_id", "code", "picture", "state"]].to_numpy().tolist()
    assert told == [["a", "device.memory", "RC_CC", "warned"], ["b", "device.memory", "RC_CC", "warned"]]
    pd.testing.assert_frame_equal(table.values, clean.values)


class Twice:
    """An engine that does every task twice, and hands results back in another order, as a cluster may."""

    def run(self, tasks):
        from cemrad.pipeline.work import work

        todo = [task for task in tasks for _ in range(2)]
        for task in reversed(todo):
            yield task, work(task)


def test_e12_a_task_that_was_done_twice_is_one_row(tmp_path):
    warned = np.ones((48, 48), bool)
    cases = [case(name, ArrayImage(pixels(seed))) for seed, name in enumerate("abcd")]
    cases.append(Case("whole", "p", pictures={RC: Picture(ArrayImage(pixels(9)), ArrayMask(warned))}))
    cohort = Cohort("twice", tuple(cases))
    once, twice = (extract(cohort, settings(), Means(engine=engine)) for engine in (None, Twice()))
    assert once.failures.code.tolist() == ["mask.full_image"]
    once.save(tmp_path / "once")
    twice.save(tmp_path / "twice")
    for path in (tmp_path / "once").iterdir():
        assert path.read_bytes() == (tmp_path / "twice" / path.name).read_bytes()


@pytest.mark.slow
def test_rb3_one_poisoned_case_of_a_thousand_leaves_the_others_bit_for_bit(tmp_path):
    cases = [case(f"{i:04d}", ArrayImage(pixels(i))) for i in range(1000)]
    clean = extract(Cohort("clean", tuple(cases)), settings())
    poisoned = [*cases[:500], case("0500", Killer(tmp_path / "n", 1)), *cases[501:]]
    table = extract(Cohort("poisoned", tuple(poisoned)), settings(), Means(jobs=2))
    assert codes(table) == {"0500": "worker.lost"}
    others = [name for name in table.values.index if name != "0500"]
    assert len(others) == 999
    assert table.values.loc[others].to_numpy().tobytes() == clean.values.loc[others].to_numpy().tobytes()


@pytest.mark.slow
def test_e21_memory_is_flat(tmp_path):
    """Of the driver and of its worker, from case 1,000 to case 10,000: growth below 10 %."""
    import psutil

    own, seen = psutil.Process(), {}

    def note(done, *_):
        if done in (1000, 10000):
            (worker,) = [one for one in own.children() if "resource_tracker" not in " ".join(one.cmdline())]
            seen[done] = own.memory_info().rss, worker.memory_info().rss

    cases = tuple(case(f"{i:05d}", Image1(tmp_path / "n", i)) for i in range(10000))
    effort = Effort()
    extract(Cohort("long", cases), settings(), Means(jobs=1, progress=note, effort=effort))
    growth = [after / before - 1 for before, after in zip(seen[1000], seen[10000], strict=True)]
    LOG.info("growth of driver and worker: %s; driver at most %s MiB", growth, effort.memory_mib)
    assert max(growth) < 0.1
