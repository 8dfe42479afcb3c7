"""Sentinel node metastasis of a patient, stated at her malignant lesions."""

from dataclasses import replace

from .nodal import TARGET as NODAL

# AJCC 8th edition, as for nodal: micrometastases (over 0.2 mm) count, isolated tumour cells do not.
TARGET = replace(
    NODAL,
    title="Sentinel node metastasis",
    positive="sentinel node positive",
    sources=(
        "sentinel", "sentinel_status", "sentinel_node", "sentinel_lymph_node", "sentinel_lymph_node_metastasis",
        "sentinel_node_metastasis", "sentinel_node_status", "sln", "slnb", "sln_status", "sln_metastasis", "slnm",
    ),
    words={
        **NODAL.words,
        **dict.fromkeys(("macrometastasis", "micrometastasis"), 1),
        **dict.fromkeys(("itc", "isolated tumor cells", "isolated tumour cells"), 0),
    },
)  # fmt: skip
