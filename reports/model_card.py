"""The model card: a short Markdown page on what was made, how well it does, and where it must not be used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ..features.whole import write_whole
from ..models.result import Result
from .endpoints import EndpointFacts
from .facts import Facts, gather_facts
from .numbers import compact, counted, fixed, interval
from .template import visible
from .words import arm_title, metric_title

INTENDED_USE = (
    "Research on contrast-enhanced mammography: estimating an outcome of a lesion that has already been found and "
    "outlined, from radiomics and deep features of its low-energy and recombined images. Not for diagnosis, "
    "screening, triage or treatment decisions, nor for lesions outlined in another way than those of the cohort."
)


def write_model_card(result: Result, path: Path) -> Path:
    """Write the model card of an evaluation.

    Parameters
    ----------
    result : Result
    path : Path
        The file; its folder is made where it is missing.

    Returns
    -------
    Path
        The file.
    """
    text = model_card(result)
    write_whole(path.parent, {path.name: lambda part: part.write_text(text, encoding="utf-8", newline="\n")})
    return path


def model_card(result: Result) -> str:
    """The model card as Markdown.

    Parameters
    ----------
    result : Result
    """
    facts = gather_facts(result)
    parts = [
        *_head(facts),
        *_data(facts),
        *(line for endpoint in facts.endpoints for line in _performance(endpoint)),
        *_limits(facts),
        *_provenance(facts, result),
    ]
    return "\n".join(parts) + "\n"


def escape(text: object) -> str:
    r"""Text that means nothing to Markdown or HTML, on one line.

    Examples
    --------
    >>> escape("a|b <i>*c*\nd")
    'a\\|b \\<i\\>\\*c\\* d'
    """
    line = visible(" ".join(str(text).split()))
    return re.sub(r"([\\`*_{}\[\]<>#|!~&])", r"\\\1", line)


def _head(facts: Facts) -> Iterator[str]:
    yield f"# Model card: {escape(facts.name)}"
    yield ""
    if facts.phantom:
        yield "**PHANTOM DATA. Every image, mask and label was simulated; nothing here is evidence about patients.**"
        yield ""
    yield "**Research use only, not a medical device.**"
    yield ""
    yield "## Intended use"
    yield ""
    yield INTENDED_USE
    yield ""


def _data(facts: Facts) -> Iterator[str]:
    yield "## Data"
    yield ""
    yield f"Cohort {escape(facts.cohort['name'])}, {counted(facts.n_cases, 'case')} in the feature table."
    yield ""
    yield "| endpoint | positive class | level | n | positive | cases | patients | excluded |"
    yield "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |"
    for item in facts.endpoints:
        excluded = sum(n for _, n in item.exclusions)
        counts = (item.main.n, item.main.n_positive) if item.main and item.main.n else ("not evaluated", "")
        cells = (item.title, item.positive, item.level, *counts, item.n_cases, item.n_patients, excluded)
        yield f"| {' | '.join(escape(cell) for cell in cells)} |"
    yield ""
    for note in facts.cohort["notes"]:
        yield f"- {escape(note['text'])} ({escape(note['count'])})"
    if facts.cohort["notes"]:
        yield ""


def _performance(endpoint: EndpointFacts) -> Iterator[str]:
    yield f"## Performance: {escape(endpoint.title)}"
    yield ""
    for sentence in endpoint.summary:
        yield escape(sentence)
    yield ""
    level = endpoint.main
    if level is None:
        return
    baseline = f" AUPRC baseline {fixed(level.prevalence)}." if level.prevalence is not None else ""
    yield f"Held-out predictions, by {escape(level.level)}, with intervals.{baseline}"
    yield ""
    yield f"| arm | {' | '.join(escape(metric_title(metric)) for metric in level.metrics)} |"
    yield f"| --- |{' ---: |' * len(level.metrics)}"
    for arm, estimates in level.arms.items():
        cells = []
        for metric in level.metrics:
            item = estimates.get(metric)
            if item is None:
                cells.append("not computed")
            elif item.estimable:
                cells.append(f"{fixed(item.estimate)} {interval(item.low, item.high)}")
            else:
                cells.append(item.method)
        yield f"| {' | '.join(escape(cell) for cell in (arm_title(arm), *cells))} |"
    yield ""
    for method, metrics in level.methods:
        yield f"- {escape(', '.join(metric_title(metric) for metric in metrics))}: {escape(method)}"
    if level.shows_chance:
        known = ", ".join(f"{arm_title(arm)} {fixed(value)}" for arm, value in level.chance.items())
        yield f"- AUC of permuted predictions (chance): {escape(known)}"
    yield ""


def _limits(facts: Facts) -> Iterator[str]:
    yield "## Limits"
    yield ""
    for caveat in facts.caveats:
        yield f"- **{escape(caveat)}**"
    if facts.random_weights:
        yield "- **Random weights: deep features carry no learned knowledge.**"
    if facts.phantom:
        yield "- Simulated data: the figures say whether the software works, not how it does on patients."
    for endpoint in facts.endpoints:
        if not endpoint.discriminates:
            yield f"- {escape(endpoint.title)}: no evidence of discrimination in this cohort."
    for how in dict.fromkeys(endpoint.folds.get("by", "folds") for endpoint in facts.endpoints):
        yield f"- {_HELD_OUT.get(how, _HELD_OUT['folds'])}"
    yield "- Probabilities depend on this cohort's prevalence and on how its lesions were found and outlined."
    failed = sum(kind.n_rows for kind in facts.failures if kind.state == "failed")
    yield f"- {counted(failed, 'row')} failed in the extraction; the report lists each with its reason."
    yield ""


_HELD_OUT = {
    "folds": "Internal cross-validation of one cohort. No external validation is part of this evaluation.",
    "person": "Internal cross-validation of one cohort, one patient held out at a time. No external validation.",
    "site": "Each site was held out of the models that are judged on it; the sites are those of one study.",
    "date": "Judged on patients seen later than those whom the models learned from, of the same cohort.",
    "column": "Judged on a stated part of the cohort that the models did not learn from.",
    "share": "Judged on one random part of one cohort. No external validation is part of this evaluation.",
    "external": "An external evaluation: a bundle trained elsewhere, as it is, on a cohort that it has not seen.",
}
"""How far the figures reach, by the kind of split."""


def _provenance(facts: Facts, result: Result) -> Iterator[str]:
    yield "## Provenance"
    yield ""
    for endpoint in facts.endpoints:
        folds = ", ".join(f"{key} {value}" for key, value in endpoint.folds.items())
        yield f"- Split of {escape(endpoint.title)}: {escape(folds or 'not stated')}"
    for name, version in result.provenance.get("versions", {}).items():
        yield f"- {escape(name)} {escape(compact(version))}"
    if "seed" in result.provenance:
        yield f"- Seed {escape(result.provenance['seed'])}"
