"""Axillary nodal metastasis of a patient, stated at her malignant lesions."""

from ..target import NEGATIVE_WORDS, POSITIVE_WORDS, Target

TARGET = Target(
    title="Nodal metastasis",
    positive="node positive",
    level="patient",
    sources=(
        "nodal", "nodal_status", "nodal_metastasis", "node_status", "lymph_node", "lymph_node_status",
        "lymph_node_metastasis", "axillary_status", "ln", "ln_status", "alnm", "pn",
    ),
    words=dict.fromkeys(POSITIVE_WORDS | {"n1", "n2", "n3", "n+", "pn1", "pn2", "pn3", "pn+"}, 1)
    | dict.fromkeys(NEGATIVE_WORDS | {"n0", "pn0"}, 0),
    malignant_only=True,
)  # fmt: skip
