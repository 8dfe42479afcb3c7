"""High axillary burden: from 3 positive nodes on, or pN2 and pN3, unless the study states another number."""

import math
import re
from collections.abc import Set
from dataclasses import replace

import pandas as pd

from ...features.errors import StudyError
from ..stated import Scale, Span, read_span
from ..target import Target

_CATEGORY = re.compile(r"p?n([0-3x])(mi|[abc])?(\((sn|f|i[+-]|mol[+-])\))*")


def _spelling(text: str) -> str:
    """``pN2a(sn)`` as ``n2``; ``pN1b``, nodes elsewhere alone, keeps its letter."""
    found = _CATEGORY.fullmatch(text.replace(" ", ""))
    if not found:
        return text
    return f"n{found[1]}b" if found[1] in "12" and found[2] == "b" else f"n{found[1]}"


def _refuse(stated: Set[str]) -> str:
    """A column of 0 and 1 is a code, of which 1 is not one node."""
    numbers = [span.high for text in stated if (span := read_span(text)) is not None]
    if not numbers or max(numbers) > 1:
        return ""
    return "holds no count above 1: a code, not a number of nodes; name the column and its positive class"


def _for_labels(labels: pd.DataFrame, cutoff: float | None) -> Target:
    """Counts are held against 3 and categories against 4, where pN2 begins, unless a cut-off is stated."""
    stated = {_spelling(text) for text in _TARGET.stated(labels)}
    counts, categories = any(read_span(text) for text in stated), any(text in _SPANS for text in stated)
    if cutoff is None and counts and categories:
        raise StudyError(
            "endpoint 'axillary_burden': its column holds counts and categories, for which high differs; state the "
            "number of nodes, as axillary_burden>=4"
        )
    if cutoff is None and not counts and not categories:
        return _TARGET
    return _TARGET.at(cutoff if cutoff is not None else 3.0 if counts else 4.0)


# Three or more: beyond what ACOSOG Z0011 left unoperated (one or two), doi 10.1001/jama.2011.90. Categories of the
# AJCC 8th edition as numbers of nodes: pN1 1 to 3, pN2 4 to 9, pN3 10 and more; pN1b and pN2b are internal mammary
# nodes without axillary ones.
_SPANS = {"n0": Span(0, 0), "n1": Span(1, 3), "n2": Span(4, 9), "n3": Span(10, math.inf)}
_ELSEWHERE = "label.not_axillary: pN1b and pN2b are nodes of the internal mammary chain"
_TARGET = Target(
    title="Axillary burden",
    positive="high axillary burden, as the table states it",
    level="patient",
    sources=(
        "axillary_burden", "nodal_burden", "n_positive_nodes", "positive_nodes", "positive_lymph_nodes",
        "number_of_positive_nodes", "number_of_positive_lymph_nodes", "n_metastatic_nodes", "nodes_positive",
        "metastatic_lymph_nodes", "no_of_positive_nodes",
    ),
    words=dict.fromkeys(("high",), 1)
    | dict.fromkeys(("low",), 0)
    | dict.fromkeys(("n1b", "n2b"), _ELSEWHERE)
    | {"nx": "label.missing: the nodes were not assessed"},
    spelling=_spelling,
    refuse=_refuse,
    malignant_only=True,
    scale=Scale("positive nodes", low=0, high=100, spans=_SPANS),
)  # fmt: skip
TARGET = replace(_TARGET, for_labels=_for_labels)
