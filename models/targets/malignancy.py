"""Malignant against benign or normal, by lesion."""

from ..stated import NEGATIVE_WORDS, POSITIVE_WORDS
from ..target import Target

TARGET = Target(
    title="Malignancy",
    positive="malignant",
    level="lesion",
    sources=(
        "malignancy", "malignant", "pathology", "pathology_classification", "classification", "diagnosis",
        "pathology_classification_follow_up", "pathology_result",
    ),
    words=dict.fromkeys(POSITIVE_WORDS | {"malignant", "cancer"}, 1)
    | dict.fromkeys(NEGATIVE_WORDS | {"benign", "normal"}, 0),
)  # fmt: skip
