"""Oestrogen receptor status of a malignant lesion."""

from ..target import Target

TARGET = Target(
    title="ER status",
    positive="ER positive",
    level="lesion",
    sources=("er", "er_status", "estrogen_receptor", "oestrogen_receptor"),
    malignant_only=True,
)
