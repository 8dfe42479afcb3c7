"""Progesterone receptor status of a malignant lesion."""

from ..target import Target

TARGET = Target(
    title="PR status",
    positive="PR positive",
    level="lesion",
    sources=("pr", "pgr", "pr_status", "pgr_status", "progesterone_receptor"),
    malignant_only=True,
)
