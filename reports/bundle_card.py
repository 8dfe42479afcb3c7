"""The model card of a bundle: what it is, what it was trained on, what was promised, and what it is not for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..models.bundle import Bundle, extraction_sha256
from ..models.bundled_model import BundledModel
from .facts import find_random_weights
from .model_card import INTENDED_USE, escape
from .numbers import compact, fixed, interval
from .words import arm_title, metric_title


def bundle_card(bundle: Bundle, name: str) -> str:
    """The model card as Markdown, made from the bundle alone.

    Parameters
    ----------
    bundle : Bundle
    name : str
        The study's name.
    """
    parts = [*_head(bundle, name), *_models(bundle), *_promise(bundle), *_limits(bundle), *_provenance(bundle)]
    return "\n".join(parts) + "\n"


def _head(bundle: Bundle, name: str) -> Iterator[str]:
    yield from (f"# Model bundle: {escape(name)}", "")
    if bundle.phantom:
        yield from ("**PHANTOM DATA. Trained on simulated cases; nothing here is evidence about patients.**", "")
    yield from ("**Research use only, not a medical device.**", "", "## Intended use", "", INTENDED_USE, "")


def _models(bundle: Bundle) -> Iterator[str]:
    yield from ("## Models", "", f"Arm {escape(arm_title(bundle.arm))}, one model per endpoint.", "")
    yield "| endpoint | positive class | level | cases | positive | patients | features | threshold | learner |"
    yield "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | --- |"
    for model in bundle.models:
        counts = [model.training.get(key, "not stated") for key in ("n", "n_positive", "n_patients")]
        cells = (model.title, model.positive, model.level, *counts, len(model.features), compact(model.threshold))
        yield f"| {' | '.join(escape(cell) for cell in (*cells, model.learner))} |"
    yield ""
    for model in bundle.models:
        yield f"- {escape(model.title)}: {calibration_words(model)}. {novelty_words(model)}."
    yield ""


def calibration_words(model: BundledModel) -> str:
    """What is known of a model's calibration, in one sentence without its full stop."""
    line = "" if model.line == (0.0, 1.0) else f"; recalibrated: {model.line[0]:.3f} + {model.line[1]:.3f} x log odds"
    stated = model.calibration
    if stated is None:
        return f"Calibration not stated{line}"
    known = ", ".join(
        f"{words} {_estimate(stated.get(key) or {})}"
        for key, words in (
            ("calibration_slope", "slope"), ("calibration_in_the_large", "in the large"),
            ("oe", "observed to expected"), ("brier", "Brier"),
        )
    )  # fmt: skip
    when = ", before recalibration" if line else ""
    return f"Calibration of {stated['n']} {stated['source']}{when}: {known}{line}"


def _estimate(item: Mapping[str, Any]) -> str:
    if item.get("estimate") is None:
        return "not estimable"
    low, high = (float("nan") if item[side] is None else float(item[side]) for side in ("low", "high"))
    return f"{fixed(item['estimate'])} {interval(low, high)}"


def novelty_words(model: BundledModel) -> str:
    """From which distance a case is called unlike the training cases, in one sentence without its full stop."""
    if model.novelty is None:
        return "Distances from the training cases are not stated"
    usual, far = (
        "not told, too few training cases" if limit is None else f"beyond {limit:.2f}" for limit in model.novelty.limits
    )
    return f"Distance from the training cases: unusual {usual}; far {far}"


def _promise(bundle: Bundle) -> Iterator[str]:
    yield from ("## Performance", "")
    rows = list(bundle.record.get("performance", ()))
    levels = {model.endpoint: model.level for model in bundle.models}
    shown = [row for row in rows if levels.get(row["endpoint"]) == row["level"] and row["metric"] != "auc_chance"]
    if shown:
        yield from ("As cross-validation in the training cohort promised; not an external validation.", "")
        yield from ("| endpoint | metric | estimate | method |", "| --- | --- | ---: | --- |")
    for row in shown:
        known = row["estimate"] is not None
        low, high = (float("nan") if row[side] is None else float(row[side]) for side in ("low", "high"))
        told = f"{fixed(row['estimate'])} {interval(low, high)}" if known else "not estimable"
        cells = (row["endpoint"], metric_title(row["metric"]), told, row["method"])
        yield f"| {' | '.join(escape(cell) for cell in cells)} |"
    if not shown:
        yield "No evaluation stands behind these models."
    for endpoint, why in bundle.record.get("not_evaluated", {}).items():
        yield f"- **{escape(endpoint)} was not evaluated**: {escape(why)}"
    yield ""


def _limits(bundle: Bundle) -> Iterator[str]:
    yield from ("## Limits", "")
    if list(find_random_weights(bundle.record)):
        yield "- **Random weights: deep features carry no learned knowledge.**"
    for endpoint, why in bundle.record.get("endpoints_left_out", {}).items():
        yield f"- {escape(endpoint)} has no model: {escape(why)}"
    yield "- Probabilities depend on the training cohort's prevalence and on how its lesions were found and outlined."
    yield "- A case that is called unusual or far is unlike those that the model learned from: do not rely on it."
    yield ""


def _provenance(bundle: Bundle) -> Iterator[str]:
    yield from ("## Provenance", "")
    yield f"- Extraction {extraction_sha256(bundle.record.get('table', {})) or 'not stated: trained on a table'}"
    for name, version in bundle.record.get("versions", {}).items():
        yield f"- {escape(name)} {escape(compact(version))}"
