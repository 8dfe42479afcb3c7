"""Training of segmenters on a cohort's own masks: a network per fold, so that everybody's mask can be drawn unseen."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import GroupKFold

from ..features.cells import write_csv
from ..features.device import choose_device
from ..features.errors import LeakageError, StudyError
from ..features.failure import Failure
from ..features.fingerprint import PIXELS, pixels_of
from ..features.training_ids import TrainingIds, salt_of
from ..features.weights import Weights
from ..features.whole import write_whole
from ..models.folds import Split
from ..models.networks.unet import UNet, build
from ..models.persons import persons_of, taught, tell_ties
from ..models.rejection import Rejector, fit_rejector
from ..models.segmenter import Segmenter
from ..models.segmenter_file import load_segmenter, save_segmenter
from ..models.segmenter_training import Samples, TrainingSettings, train_network
from .cohort import Cohort
from .doctor import versions
from .draw import apply, draw_cohort
from .duplicates import fingerprinted
from .lock import hold, release
from .mask_overlap import overlap_table
from .mask_samples import Subject, gather_samples
from .mask_training import MaskTrainingSettings
from .masks.unet import INDEX, Drawer
from .masks.unet import Settings as DrawerSettings
from .progress import LOG, Report
from .segmenter_candidates import candidates_of

SCHEMA = 1
HISTORY, OVERLAPS, DRAWN = "history.csv", "overlaps.csv", "cross_validated"


@dataclass(frozen=True)
class TrainedMasks:
    """What a training left.

    Parameters
    ----------
    folder : Path
    segmenters : tuple of Segmenter
        One per fold.
    failures : tuple of Failure
        Pictures that could not be used.
    validation : dict
        How good the masks are that each fold's network draws of those whom it has not seen.
    """

    folder: Path
    segmenters: tuple[Segmenter, ...]
    failures: tuple[Failure, ...]
    validation: dict[str, Any]


def train_masks(
    cohort: Cohort,
    settings: MaskTrainingSettings,
    folder: Path,
    *,
    jobs: int = 1,
    progress: Report | None = None,
) -> TrainedMasks:
    """Train a network per fold, each with a booster that sorts out its false positives.

    Persons are dealt into folds; patients who share pictures, with masks or without, are one. In each fold the network
    learns from a part of the other persons, is stopped by the rest of them, and its booster is fitted on what it draws
    on that rest. Whoever is held out is in none of it. An interrupted training goes on from its last epoch.

    Parameters
    ----------
    cohort : Cohort
        With masks by readers.
    settings : MaskTrainingSettings
    folder : Path
        Receives ``fold_N.safetensors``, ``segmenter.json``, ``history.csv``, the masks of those held out in
        ``cross_validated/``, and ``overlaps.csv``, how they compare with the reader's.
    jobs : int
        Threads of a CPU.
    progress : callable, optional
        Told of pictures read and epochs done.

    Raises
    ------
    CohortError, StudyError, WeightsError
        If there is nothing to learn from, too few persons for the folds, or no encoder.
    LeakageError
        If the encoder's weights were trained on persons of this cohort.
    """
    hold(folder)
    try:
        return _trained(cohort, settings, folder, jobs, progress)
    finally:
        release(folder)


def _trained(
    cohort: Cohort, settings: MaskTrainingSettings, folder: Path, jobs: int, progress: Report | None
) -> TrainedMasks:
    started = time.perf_counter()
    choose_device(settings.training.device)
    _, encoder = _network(settings)
    samples, subjects, failures = gather_samples(
        cohort, settings.image_types, settings.segmenter, jobs=jobs, progress=progress
    )
    who = fingerprinted(cohort, jobs=jobs, progress=progress)
    _require_unseen(encoder, who)
    samples, split = _dealt(samples, subjects, who, settings)
    identity = _identity(samples, split, settings)
    before = torch.get_num_threads()
    torch.set_num_threads(jobs)
    try:
        folds = [
            _train_fold(fold, cohort, samples, subjects, who, split, settings, folder, identity, progress)
            for fold in range(split.n_folds)
        ]
    finally:
        torch.set_num_threads(before)
    index: dict[str, Any] = {
        "schema": SCHEMA,
        "cohort": cohort.name,
        "phantom": cohort.phantom,
        "settings": settings.model_dump(mode="json"),
        "split_sha256": split.sha256,
        "n_pictures": len(subjects),
        "n_persons": len(set(samples.persons)),
        "failures": len(failures),
        "files": {f"fold_{n + 1}.safetensors": one.sha256 for n, one in enumerate(folds)},
        "seconds": round(time.perf_counter() - started, 1),
        "threads": jobs,
        "device": folds[0].record["device"],
        "versions": versions(),
    }
    known = _read_index(folder)
    if known.get("files") == index["files"] and known.get("validation"):
        return TrainedMasks(folder, tuple(folds), tuple(failures), known["validation"])
    _write_index(folder, index)
    index["validation"] = _validate(cohort, settings, folder, jobs, progress)
    history = pd.concat([pd.DataFrame(one.record["history"]).assign(fold=n + 1) for n, one in enumerate(folds)])
    write_whole(folder, {HISTORY: partial(write_csv, history)})
    _write_index(folder, index)
    return TrainedMasks(folder, tuple(folds), tuple(failures), index["validation"])


def _read_index(folder: Path) -> dict[str, Any]:
    """What an earlier training left; nothing where there is none, or it is damaged: it is written anew."""
    try:
        return dict(json.loads((folder / INDEX).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _write_index(folder: Path, index: dict[str, Any]) -> None:
    text = json.dumps(index, indent=2, sort_keys=True) + "\n"
    write_whole(folder, {INDEX: lambda path: path.write_text(text, encoding="utf-8")})


def _validate(
    cohort: Cohort, settings: MaskTrainingSettings, folder: Path, jobs: int, progress: Report | None
) -> dict[str, Any]:
    """Everybody's pictures drawn by the networks that have not seen her, against the reader's masks."""
    drawer = Drawer(DrawerSettings(path=folder, device=settings.training.device))
    of_types = _of_types(cohort, settings.image_types)
    drawn = draw_cohort(of_types, drawer, folder / DRAWN, pictures="all", jobs=jobs, progress=progress, force=True)
    overlaps = overlap_table(of_types, {"unet": apply(of_types, drawn, "all")}, jobs=jobs, progress=progress)
    judged = overlaps[overlaps["state"] != "no_reference"]
    write_whole(folder, {OVERLAPS: partial(write_csv, judged)})
    return summarise(judged)


def summarise(judged: pd.DataFrame) -> dict[str, Any]:
    """How good masks are, of the rows of an overlap table; JSON values, None where there is no number."""
    return {
        "how": "by the network of the fold that had not seen the patient",
        "dice_mean": _number(judged["dice"], "mean"),
        "n_pictures": len(judged),
        "n_patients": int(judged["patient_id"].nunique()),
        "by_type": {
            str(image_type): {
                "n": len(of), "dice_mean": _number(of["dice"], "mean"), "dice_median": _number(of["dice"], "median"),
                "iou_mean": _number(of["iou"], "mean"), "hd95_px_median": _number(of["hd95_px"], "median"),
            }
            for image_type, of in judged.groupby("image_type", sort=False)
        },
    }  # fmt: skip


def _number(values: pd.Series[float], how: Literal["mean", "median"]) -> float | None:
    there = values.dropna()
    return float(there.agg(how)) if len(there) else None


def _of_types(cohort: Cohort, image_types: Sequence[str]) -> Cohort:
    """The pictures of these types that carry a mask, and their partners without one."""
    cases = []
    for case in cohort.cases:
        pictures = {
            key: picture if key.image_type in image_types else replace(picture, mask=None)
            for key, picture in case.pictures.items()
        }
        if any(picture.mask is not None for picture in pictures.values()):
            cases.append(replace(case, pictures=pictures))
    return replace(cohort, cases=tuple(cases))


def _network(settings: MaskTrainingSettings) -> tuple[UNet, Weights]:
    return build(settings.segmenter.network, settings.segmenter.n_channels, settings.training.seed)


def _require_unseen(encoder: Weights, who: pd.DataFrame) -> None:
    """Refuse an encoder that learned from persons who are to be held out."""
    seen = taught({"encoder": encoder.as_record()}, who)
    if seen.any():
        n = who["patient_id"][seen].nunique()
        raise LeakageError(
            f"the encoder's weights {encoder.name} were trained on {n} patients of this cohort, whose masks would not "
            "be drawn unseen; take other weights"
        )


def _dealt(
    samples: Samples, subjects: Sequence[Subject], who: pd.DataFrame, settings: MaskTrainingSettings
) -> tuple[Samples, Split]:
    """Samples whose persons are known, and who is held out when."""
    tell_ties(who)
    names = [f"{subject.case_id} {subject.key.name}" for subject in subjects]
    persons = tuple(persons_of(who)[[subject.case_id for subject in subjects]])
    n_persons, seed = len(set(persons)), settings.training.seed
    least = max(4, settings.folds + 1)  # of those who are not held out, one teaches and one stops
    if n_persons < least:
        raise StudyError(
            f"{settings.folds} folds need at least {least} patients with masks: there are {n_persons}; use fewer folds"
        )
    assignment = np.empty((1, len(names)), dtype=np.int64)
    folds = GroupKFold(settings.folds, shuffle=True, random_state=seed % 2**31)
    for fold, (_, held) in enumerate(folds.split(names, groups=persons)):
        assignment[0, held] = fold
    return Samples(samples.inputs, samples.targets, persons), Split(tuple(names), persons, assignment)


def _train_fold(
    fold: int,
    cohort: Cohort,
    samples: Samples,
    subjects: Sequence[Subject],
    who: pd.DataFrame,
    split: Split,
    settings: MaskTrainingSettings,
    folder: Path,
    identity: str,
    progress: Report | None,
) -> Segmenter:
    path, checkpoint = folder / f"fold_{fold + 1}.safetensors", folder / f"fold_{fold + 1}.checkpoint"
    identity = f"{identity} fold {fold}"
    if path.is_file():
        done = load_segmenter(path, settings.training.device)
        if done.record.get("identity") == identity:
            LOG.info("%s: trained already", path.name)
            return done
    started = time.perf_counter()
    learn, stop = _sides(split, fold, settings.training)
    network, encoder = _network(settings)
    what = f"epochs of fold {fold + 1}"

    def tell(epoch: int, row: dict[str, float]) -> None:
        if progress is not None:
            progress(epoch, settings.training.epochs, what)
        LOG.info(
            "fold %d, epoch %d: loss %.4f, validation Dice %.4f, %.0f s",
            fold + 1, epoch, row["loss"], row["validation_dice"], row["seconds"],
        )  # fmt: skip

    trained = train_network(
        network, samples, learn, stop, settings.training, checkpoint=checkpoint, identity=identity, each_epoch=tell
    )
    network.load_state_dict(trained.tensors)
    ids = _ids(who, {split.persons[place] for place in [*learn, *stop]})
    record = {
        "identity": identity,
        "encoder": encoder.as_record(),
        "training": settings.training.model_dump(mode="json"),
        "best_epoch": trained.epoch,
        "validation_dice": trained.best,
        "n_learn": len(learn),
        "n_stop": len(stop),
        "history": trained.history,
        "seconds": round(time.perf_counter() - started, 1),
        "device": str(next(network.parameters()).device),
    }
    made = Segmenter(network.eval().requires_grad_(False), settings.segmenter, ids, record, "")
    rejector = _rejector(made, cohort, [subjects[at] for at in stop], [split.persons[at] for at in stop], settings)
    save_segmenter(path, trained.tensors, settings.segmenter, ids, record, rejector)
    checkpoint.unlink(missing_ok=True)
    return load_segmenter(path, settings.training.device)


def _ids(who: pd.DataFrame, persons: set[str]) -> TrainingIds:
    """The record of these persons, by all their ids and pictures."""
    seen = who[persons_of(who).isin(persons)]
    pixels = (one for cell in seen[PIXELS] for one in pixels_of(cell))
    return TrainingIds.of(seen["patient_id"], pixels, salt=salt_of(set(who["patient_id"])))


def _sides(split: Split, fold: int, settings: TrainingSettings) -> tuple[list[int], list[int]]:
    """Who teaches and who decides when to stop, of those who are not held out."""
    rest, _ = split.sides(0, fold)
    persons = sorted({split.persons[place] for place in rest})
    rng = np.random.default_rng([settings.seed, 1 + fold])
    n_stop = min(max(1, round(settings.validation * len(persons))), len(persons) - 1)
    chosen = {persons[place] for place in rng.permutation(len(persons))[:n_stop]}
    stop = [int(place) for place in rest if split.persons[place] in chosen]
    return [int(place) for place in rest if split.persons[place] not in chosen], stop


def _rejector(
    made: Segmenter, cohort: Cohort, stop: Sequence[Subject], persons: Sequence[str], settings: MaskTrainingSettings
) -> Rejector | None:
    """A booster on what the network draws on those who stopped it, whom it did not learn from."""
    rows: list[dict[str, float]] = []
    hits: list[bool] = []
    owners: list[str] = []
    for person, (found, hit) in zip(persons, candidates_of(made, cohort, stop), strict=True):
        rows += found
        hits += hit
        owners += [person] * len(found)
    return fit_rejector(rows, hits, owners, settings.rejection, settings.training.seed)


def _identity(samples: Samples, split: Split, settings: MaskTrainingSettings) -> str:
    """What a training depends on."""
    digest = hashlib.sha256(settings.model_dump_json().encode())
    digest.update(split.sha256.encode())
    digest.update(np.ascontiguousarray(samples.inputs).data)
    digest.update(np.ascontiguousarray(samples.targets).data)
    told: dict[str, Any] = {name: version for name, version in versions().items() if name in ("torch", "timm")}
    return f"{digest.hexdigest()} {json.dumps(told, sort_keys=True)}"
