"""A bundle: the final models in one file, with everything that a prediction needs and nothing that can run."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..features.archive import require_safe_members
from ..features.errors import ArchiveError, BundleError
from ..features.table import ColumnName, FeatureTable
from ..features.whole import write_whole
from .blend import restorer
from .design import IMAGE_FAMILIES
from .explain import explain
from .learner import Array, Fitted, probability
from .metrics import THRESHOLDS

SCHEMA_VERSION = 1
MANIFEST, SEAL = "manifest.json", "manifest.sha256"
MAX_MEMBERS, MAX_MEMBER_BYTES, MAX_TOTAL_BYTES = 100, 256 * 2**20, 1024 * 2**20
MACHINE_SETTINGS = ("device", "batch", "download")
"""Settings of a feature family that say where and how it runs, not what it gives."""
BEYOND = 0.25
"""A value is out of range when it lies further beyond the training range than this share of it."""


@dataclass(frozen=True, eq=False)
class BundledModel:
    """The model of one endpoint.

    Parameters
    ----------
    endpoint, title, positive, level : str
        As in a Result's endpoints.
    features : tuple of str
        Columns it takes, in its order.
    low, high : ndarray, shape (n_features,)
        Range of each in training; NaN where it had no value.
    threshold : float
        Probability from which a case is called positive.
    thresholds : mapping of str to float
        Those that held a stated sensitivity in training; empty in a bundle that was stored before there were any.
    learner : str
        Part that fitted it and can restore it; ``blend`` for several models in one.
    fitted : Fitted
    training : mapping
        Counts, chosen parameters and inner log loss.
    """

    endpoint: str
    title: str
    positive: str
    level: str
    features: tuple[str, ...]
    low: Array
    high: Array
    threshold: float
    thresholds: Mapping[str, float]
    learner: str
    fitted: Fitted
    training: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Bundle:
    """The final models of one arm, one per endpoint.

    Parameters
    ----------
    arm : str
    models : tuple of BundledModel
    extraction : mapping
        Settings with which new cases have to be extracted.
    phantom : bool
        True where it was trained on simulated cases.
    persons : frozenset of str
        :func:`person_hash` of each patient id in training.
    salt : str
        What the hashes were made with. It keeps ids out of sight, not secret: who can guess an id can test it.
    record : mapping
        How it came about: versions, settings, extraction provenance with the hashes of network
        weights, the performance that an evaluation promised.
    """

    arm: str
    models: tuple[BundledModel, ...]
    extraction: Mapping[str, Any]
    phantom: bool
    persons: frozenset[str]
    salt: str
    record: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, table: FeatureTable) -> pd.DataFrame:
        """Apply the models to new cases.

        Parameters
        ----------
        table : FeatureTable
            Columns are found by name; others are ignored. A picture that no case has may be
            absent: its features are missing values.

        Returns
        -------
        DataFrame
            One row per endpoint and case: ``case_id``, ``patient_id``, ``breast_id``, ``endpoint``,
            ``arm``, ``probability``, ``margin`` (log odds), ``threshold``, ``positive``,
            ``threshold_sens95`` and ``threshold_sens100`` (NaN where an older bundle has none), ``n_missing``
            (features without a value), ``n_out_of_range`` (values far outside the training range),
            ``seen_in_training``, and ``note``: why there is no probability (NaN), or that most
            features are missing.

        Raises
        ------
        BundleError
            If columns are missing, or the table was extracted with other settings.
        """
        self._check_extraction(table)
        return pd.concat([self._predict(model, table) for model in self.models], ignore_index=True)

    def explain(self, table: FeatureTable) -> pd.DataFrame:
        """SHAP values on the margin scale, long form; cases without a prediction have no rows.

        Returns
        -------
        DataFrame
            ``endpoint``, ``arm``, ``case_id``, ``feature``, ``value``, ``shap``, ``base``, ``margin``.
        """
        self._check_extraction(table)
        parts = []
        for model in self.models:
            x, usable = self._inputs(model, table)
            shap, base = explain(model.fitted, x[usable])
            n = len(model.features)
            parts.append(
                pd.DataFrame(
                    {
                        "endpoint": model.endpoint,
                        "arm": self.arm,
                        "case_id": table.values.index.to_numpy(dtype=object)[usable].repeat(n),
                        "feature": list(model.features) * int(usable.sum()),
                        "value": x[usable].ravel(),
                        "shap": shap.ravel(),
                        "base": base.repeat(n),
                        "margin": model.fitted.margin(x[usable]).repeat(n),
                    }
                )
            )
        return pd.concat(parts, ignore_index=True)

    def save(self, path: Path) -> None:
        """Write the bundle; the same bundle gives the same bytes."""
        parts = {f"models/{at}.{_suffix(m.learner)}": m.fitted.state() for at, m in enumerate(self.models)}
        endpoints = [
            {
                "endpoint": m.endpoint, "title": m.title, "positive": m.positive, "level": m.level,
                "threshold": m.threshold, "thresholds": dict(m.thresholds),
                "learner": m.learner, "file": name, "sha256": _sha256(state),
                "features": list(m.features), "low": _plain(m.low), "high": _plain(m.high),
                "training": dict(m.training),
            }
            for m, (name, state) in zip(self.models, parts.items(), strict=True)
        ]  # fmt: skip
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "arm": self.arm,
            "phantom": self.phantom,
            "endpoints": endpoints,
            "extraction": dict(self.extraction),
            "persons": {"salt": self.salt, "sha256": sorted(self.persons)},
            "record": dict(self.record),
        }
        text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False).encode()
        members = {MANIFEST: text, SEAL: _sha256(text).encode(), **parts}
        write_whole(path.parent, {path.name: lambda unfinished: _write_members(unfinished, members)})

    @classmethod
    def load(cls, path: Path) -> Bundle:
        """Read a bundle; nothing in it is executed or unpacked to disk.

        Raises
        ------
        BundleError
            If it is not a bundle, is damaged, or was altered.
        """
        members = _read_members(path)
        text = members.get(MANIFEST, b"")
        if _sha256(text).encode() != members.get(SEAL):
            raise BundleError(f"{path.name}: {MANIFEST} was altered or is missing; get the bundle again")
        try:
            manifest = json.loads(text)
            version = manifest["schema_version"]
            if version != SCHEMA_VERSION:
                raise BundleError(f"{path.name}: bundle schema {version}; this cemrad reads {SCHEMA_VERSION}")
            return cls(
                arm=str(manifest["arm"]),
                models=tuple(_restored(item, members, path.name) for item in manifest["endpoints"]),
                extraction=dict(manifest["extraction"]),
                phantom=bool(manifest["phantom"]),
                persons=frozenset(manifest["persons"]["sha256"]),
                salt=str(manifest["persons"]["salt"]),
                record=dict(manifest["record"]),
            )
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            if isinstance(error, BundleError):
                raise
            raise BundleError(f"{path.name}: {MANIFEST} is not that of a bundle: {error!r}") from None

    def _predict(self, model: BundledModel, table: FeatureTable) -> pd.DataFrame:
        x, usable = self._inputs(model, table)
        margin = np.full(len(x), np.nan)
        margin[usable] = model.fitted.margin(x[usable])
        span = BEYOND * (model.high - model.low)
        with np.errstate(invalid="ignore"):
            far = (x < model.low - span) | (x > model.high + span)
        known = [person_hash(patient, self.salt) in self.persons for patient in table.cases["patient_id"]]
        chance = np.where(usable, probability(margin), np.nan)
        n_missing = np.isnan(x).sum(axis=1)
        doubt = np.where(n_missing > x.shape[1] / 2, "features.missing: over half of the features have no value", "")
        return pd.DataFrame(
            {
                "case_id": table.values.index.to_numpy(dtype=object),
                "patient_id": table.cases["patient_id"].to_numpy(dtype=object),
                "breast_id": table.cases["breast_id"].to_numpy(dtype=object),
                "endpoint": model.endpoint,
                "arm": self.arm,
                "probability": chance,
                "margin": margin,
                "threshold": model.threshold,
                "positive": pd.Series(chance >= model.threshold, dtype="boolean").where(usable),
                **{f"threshold_{name}": model.thresholds.get(name, np.nan) for name in THRESHOLDS},
                "n_missing": n_missing,
                "n_out_of_range": far.sum(axis=1),
                "seen_in_training": known,
                "note": np.where(usable, doubt, "features.missing: no value that the model takes from an image block"),
            }
        )

    def _inputs(self, model: BundledModel, table: FeatureTable) -> tuple[Array, np.ndarray[Any, np.dtype[np.bool_]]]:
        """The model's features, and which cases have any value among those of every image block."""
        _require_columns(model.features, table.values.columns.tolist())
        x = table.values.reindex(columns=list(model.features)).to_numpy(dtype=np.float64)
        families = {ColumnName.parse(name).family for name in model.features}.intersection(IMAGE_FAMILIES)
        known = ~np.isnan(x)
        usable = known.any(axis=1)
        for family in sorted(families):
            mine = [name.startswith(f"{family}:") for name in model.features]
            usable &= known[:, mine].any(axis=1)
        return x, usable

    def _check_extraction(self, table: FeatureTable) -> None:
        trained, found = extraction_sha256(self.record.get("table", {})), extraction_sha256(table.provenance)
        if trained and found and trained != found:
            raise BundleError(
                "the table was extracted with other settings or weights than the bundle's models were trained on; "
                "extract it with the bundle's own settings, as `cemrad predict` does"
            )


def person_hash(patient_id: str, salt: str) -> str:
    """How a bundle remembers a patient id."""
    return hashlib.sha256(f"{salt}|{patient_id}".encode()).hexdigest()


def extraction_sha256(provenance: Mapping[str, Any]) -> str:
    """Fingerprint of what a table's numbers depend on, empty where the table does not state it.

    Settings, parameters, the tensors of weights and mask rules count; versions, times, where the
    weights came from and the settings of the machine do not.
    """
    families = provenance.get("families")
    if not families:
        return ""
    kept = {name: _what_counts(record) for name, record in families.items()}
    text = json.dumps([kept, provenance.get("mask_rules")], sort_keys=True, default=str)
    return _sha256(text.encode())


def _what_counts(record: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in record.items() if key not in ("versions", "device", "notes")}
    ignored = {*MACHINE_SETTINGS}
    if "weights" in kept:  # their tensors stand for the path, the pin and the seed that they came from
        ignored |= {"weights", "sha256", "seed"}
        origin = ("name", "source", "licence")
        kept["weights"] = {key: value for key, value in kept["weights"].items() if key not in origin}
    if "settings" in kept:
        kept["settings"] = {key: value for key, value in kept["settings"].items() if key not in ignored}
    return kept


def _require_columns(features: Sequence[str], columns: Sequence[str]) -> None:
    """Every feature is a column, or its family is there and its whole picture is not."""
    names = [ColumnName.parse(name) for name in columns]
    families, pictures = {name.family for name in names}, {name[:2] for name in names}
    there = set(columns)
    absent = [
        name
        for name in features
        if name not in there and ((key := ColumnName.parse(name)).family not in families or key[:2] in pictures)
    ]
    if absent:
        shown = ", ".join(absent[:10]) + (f" and {len(absent) - 10} more" if len(absent) > 10 else "")
        raise BundleError(
            f"the table lacks {len(absent)} columns of the model: {shown}; extract with the bundle's settings"
        )


def _read_members(path: Path) -> dict[str, bytes]:
    """Contents of the archive's members, each and all together no larger than allowed."""
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise BundleError(f"{path.name}: not a regular file")
    try:
        with zipfile.ZipFile(path) as archive:
            require_safe_members(archive, max_bytes=MAX_TOTAL_BYTES, max_members=MAX_MEMBERS)
            return dict(_bounded(archive, archive.infolist(), path.name))
    except ArchiveError as error:
        raise BundleError(f"{path.name}: not what a bundle is: {error}") from None
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise BundleError(f"{path.name}: not a bundle, or a damaged one: {error}") from None
    except OSError as error:
        raise BundleError(f"{path.name}: cannot be read: {error.strerror}") from None


def _bounded(archive: zipfile.ZipFile, infos: Sequence[zipfile.ZipInfo], where: str) -> Iterator[tuple[str, bytes]]:
    for info in infos:
        with archive.open(info) as member:
            content = member.read(MAX_MEMBER_BYTES + 1)  # the stated size may lie
        if len(content) > MAX_MEMBER_BYTES:
            raise BundleError(f"{where}: larger than a bundle can be")
        yield info.filename, content


def _restored(item: Mapping[str, Any], members: Mapping[str, bytes], where: str) -> BundledModel:
    state = members.get(str(item["file"]), b"")
    if _sha256(state) != item["sha256"]:
        raise BundleError(f"{where}: the model of {item['endpoint']} was altered or is missing; get the bundle again")
    features = tuple(map(str, item["features"]))
    fitted: Fitted = restorer(str(item["learner"])).restore(state)
    if len(fitted.gains()) != len(features):
        raise BundleError(f"{where}: the model of {item['endpoint']} does not take the {len(features)} features listed")
    low, high = (np.array(item[name], dtype=np.float64) for name in ("low", "high"))
    if not low.shape == high.shape == (len(features),):
        raise BundleError(f"{where}: the ranges of {item['endpoint']} do not fit its {len(features)} features")
    threshold = float(item["threshold"])
    thresholds = {str(name): float(value) for name, value in item.get("thresholds", {}).items()}
    for value in (threshold, *thresholds.values()):
        if not 0 <= value <= 1:
            raise BundleError(f"{where}: a threshold of {item['endpoint']} is {value}, not a probability")
    return BundledModel(
        endpoint=str(item["endpoint"]),
        title=str(item["title"]),
        positive=str(item["positive"]),
        level=str(item["level"]),
        features=features,
        low=low,
        high=high,
        threshold=threshold,
        thresholds=thresholds,
        learner=str(item["learner"]),
        fitted=fitted,
        training=dict(item["training"]),
    )


def _suffix(learner: str) -> str:
    return str(restorer(learner).SUFFIX)


def _plain(values: Array) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def _write_members(path: Path, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, content)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
