"""Axillary nodal metastasis of a patient, stated at her malignant lesions."""

import re
from collections.abc import Set

from ..stated import NEGATIVE_WORDS, POSITIVE_WORDS
from ..target import Target

# AJCC 8th edition: pN1mi is a metastasis; isolated tumour cells, pN0(i+), and pN0(mol+) are not. Clinical (cN)
# and post-treatment (ypN) categories mean something else and are not read.
_CATEGORY = re.compile(r"p?n([0-3x+])(mi|[abc])?(\((sn|f|i[+-]|mol[+-])\))*")


def _spelling(text: str) -> str:
    """``pN1a(sn)`` as ``n1``."""
    found = _CATEGORY.fullmatch(text.replace(" ", ""))
    return f"n{found[1]}" if found else text


def _refuse(stated: Set[str]) -> str:
    """A bare 1 is positive in a column of 0 and 1; beside 2 and more it is a count, a category or a code."""
    counts = sorted((text for text in stated if text.isdecimal() and int(text) > 1), key=int)
    if not counts:
        return ""
    return (
        f"holds the bare number {counts[0]}: a count, a category and a code differ; write positive and negative, "
        "or N0 to N3, or name the column and its positive class"
    )


TARGET = Target(
    title="Nodal metastasis",
    positive="node positive",
    level="patient",
    sources=(
        "nodal", "nodal_status", "nodal_metastasis", "node_status", "lymph_node", "lymph_node_status",
        "lymph_node_metastasis", "axillary_status", "ln", "ln_status", "alnm", "pn",
    ),
    words=dict.fromkeys(POSITIVE_WORDS | {"n1", "n2", "n3", "n+"}, 1)
    | dict.fromkeys(NEGATIVE_WORDS | {"n0"}, 0)
    | {"nx": "label.missing: the nodes were not assessed"},
    spelling=_spelling,
    refuse=_refuse,
    malignant_only=True,
)  # fmt: skip
