"""What is in a bundle, line by line, for who has the file and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..models.bundle import Bundle, extraction_sha256
from ..models.bundled_model import BundledModel
from ..reports.bundle_card import calibration_words, novelty_words
from ..reports.facts import find_random_weights


def described(bundle: Bundle, sha256: str) -> Iterator[tuple[str, str]]:
    """Name and value of everything that a bundle states; a name is empty where a line continues the one before.

    Parameters
    ----------
    bundle : Bundle
    sha256 : str
        Hash of its file.
    """
    record = bundle.record
    yield "sha256", sha256
    yield "schema", str(bundle.schema_version)
    yield "trained on", "phantoms" if bundle.phantom else "cases that are not phantoms"
    yield "arm", bundle.arm
    for model in bundle.models:
        yield from _model(model)
    for name, why in record.get("endpoints_left_out", {}).items():
        yield "no model of", f"{name}: {why}"
    yield "persons", f"{len(bundle.persons)} patients of training and recalibration, as salted hashes"
    yield "contents", f"{len(bundle.contents)} salted hashes of pictures and rows of features"
    for entry in record.get("recalibrations", ()):
        origin = entry["from_bundle_sha256"][:16]
        for line in entry["models"]:
            moved = f"{line['intercept']:.3f} + {line['slope']:.3f} x log odds"
            yield "recalibrated", f"{line['endpoint']} ({line['kind']}): {moved}, from bundle {origin}"
            yield "", f"fitted on {line['n']} cases, {line['n_positive']} positive, of {line['n_patients']} patients"
    yield "extraction", extraction_sha256(record.get("table", {})) or "not stated: trained on a table of features"
    for family, settings in bundle.extraction.get("families", {}).items():
        yield "", f"{family}: {json.dumps(settings, sort_keys=True)}"
    for place in find_random_weights(record):
        yield "random weights", place
    yield "versions", ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items())
    yield "model card", f"{len(bundle.model_card)} characters; --card prints it" if bundle.model_card else "none"


def _model(model: BundledModel) -> Iterator[tuple[str, str]]:
    n, n_positive, n_patients = (model.training.get(key) for key in ("n", "n_positive", "n_patients"))
    yield "endpoint", f"{model.endpoint}: {model.title}, positive is {model.positive}, by {model.level}"
    yield "", f"{n} cases, {n_positive} positive, of {n_patients} patients"
    loss = float(model.training.get("inner_log_loss", "nan"))
    yield "", f"{len(model.features)} features; {model.learner}; log loss {loss:.3f} in the inner folds"
    yield "", f"positive from probability {model.threshold:.4f}"
    yield "", calibration_words(model)
    yield "", novelty_words(model)
