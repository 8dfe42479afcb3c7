"""A bundle: the final models in one file, with everything that a prediction needs and nothing that can run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..features.errors import BundleError
from ..features.fingerprint import PIXELS, pixels_of
from ..features.table import FeatureTable
from ..features.training_ids import person_hash
from .bundle_file import CARD, MANIFEST, read_bundle, sha256, write_bundle
from .bundled_model import BundledModel
from .learner import probability
from .metrics import THRESHOLDS
from .units import Aggregate

SCHEMA_VERSION = 2
READABLE = (1, SCHEMA_VERSION)
"""Versions of the schema that are read; what an older one lacks is absent in the bundle."""
MACHINE_SETTINGS = ("device", "batch", "download")
"""Settings of a feature family that say where and how it runs, not what it gives."""
BEYOND = 0.25
"""A value is out of range when it lies further beyond the training range than this share of it."""


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
    contents : frozenset of str
        :func:`person_hash` of what the training cases hold: their pictures, their rows of features. It finds a
        person who comes again under another id.
    model_card : str
        The model card as Markdown; empty where none was made.
    schema_version : int
        That of the file it was read from; it is stored in the newest.
    """

    arm: str
    models: tuple[BundledModel, ...]
    extraction: Mapping[str, Any]
    phantom: bool
    persons: frozenset[str]
    salt: str
    record: Mapping[str, Any] = field(default_factory=dict)
    contents: frozenset[str] = frozenset()
    model_card: str = ""
    schema_version: int = SCHEMA_VERSION

    @property
    def aggregate(self) -> Aggregate:
        """How the lesions of a breast or patient come to one number, as in the evaluation."""
        stated: Aggregate = self.record.get("settings", {}).get("scoring", {}).get("aggregate", "max")
        return stated

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
            ``ood_distance`` and ``ood`` (``""``, ``unusual``, ``far``, as :class:`~cemrad.models.novelty.Novelty`
            tells them), ``seen_in_training`` (the patient, or one of her pictures under whatever id), and ``note``:
            why there is no probability (NaN), or that most features are missing.

        Raises
        ------
        BundleError
            If columns are missing, or the table was extracted with other settings.
        """
        self.require_extraction(table)
        return pd.concat([self._predict(model, table) for model in self.models], ignore_index=True)

    def explain(self, table: FeatureTable) -> pd.DataFrame:
        """SHAP values on the margin scale, long form; cases without a prediction have no rows.

        Returns
        -------
        DataFrame
            ``endpoint``, ``arm``, ``case_id``, ``feature``, ``value``, ``shap``, ``base``, ``margin``.
        """
        self.require_extraction(table)
        parts = []
        for model in self.models:
            x, usable = model.inputs(table)
            shap, base = model.explain(x[usable])
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
                        "margin": model.margin(x[usable]).repeat(n),
                    }
                )
            )
        return pd.concat(parts, ignore_index=True)

    def save(self, path: Path) -> None:
        """Write the bundle; the same bundle gives the same bytes."""
        parts = {f"models/{at}.{m.suffix}": m.fitted.state() for at, m in enumerate(self.models)}
        manifest: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "arm": self.arm,
            "phantom": self.phantom,
            "endpoints": [m.stated(name, parts[name]) for m, name in zip(self.models, parts, strict=True)],
            "extraction": dict(self.extraction),
            "persons": {"salt": self.salt, "sha256": sorted(self.persons), "contents": sorted(self.contents)},
            "record": dict(self.record),
            "model_card": None,
        }
        if self.model_card:
            parts[CARD] = self.model_card.encode()
            manifest["model_card"] = {"file": CARD, "sha256": sha256(parts[CARD])}
        write_bundle(path, manifest, parts)

    @classmethod
    def load(cls, path: Path) -> Bundle:
        """Read a bundle; nothing in it is executed or unpacked to disk.

        Raises
        ------
        BundleError
            If it is not a bundle, is damaged, or was altered.
        """
        manifest, members = read_bundle(path)
        try:
            version = manifest["schema_version"]
            if version not in READABLE:
                known = " and ".join(map(str, READABLE))
                raise BundleError(f"{path.name}: bundle schema {version}; this cemrad reads {known}")
            return cls(
                arm=str(manifest["arm"]),
                models=tuple(BundledModel.restore(item, members, path.name) for item in manifest["endpoints"]),
                extraction=dict(manifest["extraction"]),
                phantom=bool(manifest["phantom"]),
                persons=frozenset(manifest["persons"]["sha256"]),
                salt=str(manifest["persons"]["salt"]),
                record=dict(manifest["record"]),
                contents=frozenset(manifest["persons"].get("contents", ())),
                model_card=_card(manifest.get("model_card"), members, path.name),
                schema_version=int(version),
            )
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            if isinstance(error, BundleError):
                raise
            raise BundleError(f"{path.name}: {MANIFEST} is not that of a bundle: {error!r}") from None

    def require_extraction(self, table: FeatureTable) -> None:
        """Raise BundleError where the table states that it was extracted with other settings or weights."""
        trained, found = extraction_sha256(self.record.get("table", {})), extraction_sha256(table.provenance)
        if trained and found and trained != found:
            raise BundleError(
                "the table was extracted with other settings or weights than the bundle's models were trained on; "
                "extract it with the bundle's own settings, as `cemrad predict` does"
            )

    def _predict(self, model: BundledModel, table: FeatureTable) -> pd.DataFrame:
        x, usable = model.inputs(table)
        margin, distance = np.full((2, len(x)), np.nan)
        margin[usable] = model.margin(x[usable])
        if model.novelty is not None:
            distance[usable] = model.novelty.distance(x[usable])
        span = BEYOND * (model.high - model.low)
        with np.errstate(invalid="ignore"):
            far = (x < model.low - span) | (x > model.high + span)
        known = self._known(table.cases)
        chance = np.where(usable, probability(margin), np.nan)
        n_missing = np.isnan(x).sum(axis=1)
        doubt = np.where(n_missing > x.shape[1] / 2, "features.missing: over half of the features have no value", "")
        doubt = np.where(model.unharmonised(table), "harmonise.unseen: as it is, its site was not trained on", doubt)
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
                "ood_distance": distance,
                "ood": "" if model.novelty is None else model.novelty.call(distance),
                "seen_in_training": known,
                "note": np.where(usable, doubt, "features.missing: no value that the model takes from an image block"),
            }
        )

    def _known(self, cases: pd.DataFrame) -> list[bool]:
        """Which cases are of a patient, or show a picture, that was in training."""
        cells = cases[PIXELS] if PIXELS in cases else [""] * len(cases)
        return [
            person_hash(who, self.salt) in self.persons or not self.contents.isdisjoint(picture_marks(cell, self.salt))
            for who, cell in zip(cases["patient_id"], cells, strict=True)
        ]


def picture_marks(cell: str, salt: str) -> frozenset[str]:
    """How a bundle remembers the pictures of a case, from its cell of ``pixels_sha256``."""
    return frozenset(person_hash(f"pixels {value}", salt) for value in pixels_of(cell))


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
    return sha256(text.encode())


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


def _card(stated: Mapping[str, str] | None, members: Mapping[str, bytes], where: str) -> str:
    if stated is None:
        return ""
    text = members.get(str(stated["file"]), b"")
    if sha256(text) != stated["sha256"]:
        raise BundleError(f"{where}: the model card was altered or is missing; get the bundle again")
    return text.decode("utf-8")
