"""Malignant against benign or normal, by lesion."""

from ..target import NEGATIVE_WORDS, POSITIVE_WORDS, Target

TARGET = Target(
    title="Malignancy",
    positive="malignant",
    level="lesion",
    sources=("malignancy", "malignant", "pathology", "pathology_classification", "classification", "diagnosis"),
    words=dict.fromkeys(POSITIVE_WORDS | {"malignant", "cancer"}, 1)
    | dict.fromkeys(NEGATIVE_WORDS | {"benign", "normal"}, 0),
)
