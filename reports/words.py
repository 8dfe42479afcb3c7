"""Feature and picture names in plain words, for readers who do not know the column names."""

from __future__ import annotations

import re

from ..features.case import PictureKey
from ..features.errors import TableError
from ..features.table import ColumnName

IMAGE_TYPES = {
    "LE": "low-energy",
    "RC": "recombined",
    "LERC": "low-energy and recombined",
    "IMG": "image",
}
ARM_TITLES = {
    "clinical": "Clinical",
    "radiomics": "Radiomics",
    "deep": "Deep",
    "fused": "Fused",
    "fused+clinical": "Fused + clinical",
}
METRIC_TITLES = {
    "auc": "AUC",
    "auprc": "AUPRC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "brier": "Brier",
    "ppv": "PPV",
    "npv": "NPV",
    "f1": "F1",
    "balanced_accuracy": "Balanced accuracy",
    **{
        f"{metric}_at_{name}": f"{title} ({share})"
        for name, share in (("sens95", "95 %"), ("sens100", "100 %"))
        for metric, title in (
            ("sensitivity", "Sensitivity"),
            ("specificity", "Specificity"),
            ("biopsies_avoided", "Spared per 100"),
            ("cancers_missed", "Missed per 100"),
        )
    },
}
AGGREGATE_WORDS = {
    "max": "the highest probability of its lesions",
    "mean": "the mean of its lesions' probabilities",
    "vote": "the share of its lesions that is called positive, and is itself called so from one half on",
}
MISSING_WORDS = {
    "xgboost": "the trees send a missing value the way that served their training side best",
    "random_forest": "the trees send a missing value the way that served their training side best",
    "logistic": "the median of the training side stands in for a missing value",
    "mlp": "the median of the training side stands in for a missing value",
}
"""What each learner does with a missing feature."""

_CLASSES = {
    "firstorder": "first-order",
    "shape2D": "2-D shape",
    "shape": "shape",
    "glcm": "GLCM",
    "glrlm": "GLRLM",
    "glszm": "GLSZM",
    "gldm": "GLDM",
    "ngtdm": "NGTDM",
}
_ACRONYMS = {
    "Imc1": "informational measure of correlation 1",
    "Imc2": "informational measure of correlation 2",
    "Id": "inverse difference",
    "Idn": "inverse difference, normalised",
    "Idm": "inverse difference moment",
    "Idmn": "inverse difference moment, normalised",
    "MCC": "maximal correlation coefficient",
    "10Percentile": "10th percentile",
    "90Percentile": "90th percentile",
}
_FILTERS = {
    "square": "squared",
    "squareroot": "square root",
    "logarithm": "logarithm",
    "exponential": "exponential",
    "gradient": "gradient",
    "lbp-2D": "local binary pattern",
}
_KINDS = {
    "feature_class": _CLASSES | {"pooled activation": "pooled activation (deep)"},
    "filter": {"original": "unfiltered (original)", "none": "no filter (deep, clinical)"},
    "image_type": IMAGE_TYPES | {"none": "no image (clinical)"},
    "view": {"none": "no view (clinical)"},
}


def feature_words(column: str) -> str:
    """What a column is, in plain words; the name itself where its form is not known.

    Parameters
    ----------
    column : str
        ``family:picture:feature``.

    Examples
    --------
    >>> feature_words("radiomics:RC_CC:log-sigma-3-0-mm-3D_glcm_Contrast")
    'GLCM contrast, LoG 3 px, recombined CC'
    >>> feature_words("deep:LE_MLO:resnet50_0007")
    'ResNet-50 channel 7, low-energy MLO'
    >>> feature_words("clinical:case:age")
    'Age'
    """
    try:
        family, picture, feature = ColumnName.parse(column)
    except TableError:
        return column
    name = {"radiomics": _radiomics, "deep": _deep}.get(family, _plain)(feature)
    where = "" if family == "clinical" else picture_words(picture)
    return f"{name}, {where}" if where else name


def picture_words(picture: str) -> str:
    """A picture's name in words.

    Examples
    --------
    >>> picture_words("LE_MLO2")
    'low-energy MLO (2nd exposure)'
    """
    try:
        image_type, view = PictureKey.parse(picture)
    except ValueError:
        return picture
    again = re.fullmatch(r"([A-Z]+)([0-9]+)", view)
    if again:
        number = int(again[2])
        view = f"{again[1]} ({ {2: '2nd', 3: '3rd'}.get(number, f'{number}th') } exposure)"
    return f"{IMAGE_TYPES[image_type]} {view}".strip()


def kind_words(sort: str, group: str) -> str:
    """A group of features in words; `sort` is a field of :class:`~cemrad.models.kinds.Kind`.

    Examples
    --------
    >>> kind_words("filter", "log-sigma-3-0-mm-3D"), kind_words("image_type", "RC"), kind_words("view", "none")
    ('LoG 3 px', 'recombined', 'no view (clinical)')
    """
    known = _KINDS.get(sort, {}) | {"other": "other"}
    return known.get(group) or (filter_words(group) if sort == "filter" else group)


def arm_title(arm: str) -> str:
    """An arm's name as a heading.

    Examples
    --------
    >>> arm_title("fused+clinical"), arm_title("stacked")
    ('Fused + clinical', 'Stacked')
    """
    return ARM_TITLES.get(arm, arm[:1].upper() + arm[1:])


def metric_title(metric: str) -> str:
    """A metric's name as a heading; an unknown one as it stands."""
    return METRIC_TITLES.get(metric, metric)


def radiomics_words(kind: str, name: str) -> str:
    """A handcrafted feature of a class, in words.

    Examples
    --------
    >>> radiomics_words("glcm", "Imc1")
    'GLCM informational measure of correlation 1'
    """
    words = f"{_CLASSES[kind]} {_ACRONYMS.get(name) or _spaced(name)}"
    return words[:1].upper() + words[1:]


def filter_words(image: str) -> str:
    """A filtered picture's name in words.

    Examples
    --------
    >>> filter_words("log-sigma-3-0-mm-3D"), filter_words("wavelet-HL"), filter_words("squareroot")
    ('LoG 3 px', 'wavelet HL', 'square root')
    """
    # A sigma counts pixels: the images carry no physical size, whatever unit the column's name holds.
    sigma = re.match(r"log-sigma-(\d+)-(\d+)", image)
    if sigma:
        return f"LoG {float(f'{sigma[1]}.{sigma[2]}'):g} px"
    if image.startswith("wavelet-"):
        return f"wavelet {image.removeprefix('wavelet-')}"
    return _FILTERS.get(image, image)


def network_words(feature: str) -> str:
    """The network of a deep feature such as ``resnet50_0007``; empty where it does not name one.

    Examples
    --------
    >>> network_words("resnet50_0007"), network_words("other")
    ('ResNet-50', '')
    """
    network, _, channel = feature.rpartition("_")
    if not network or not re.fullmatch(r"[a-z]*\d+", channel):
        return ""
    size = re.fullmatch(r"resnet(\d+)", network)
    return f"ResNet-{size[1]}" if size else network


def _radiomics(feature: str) -> str:
    image, _, rest = feature.partition("_")
    kind, _, name = rest.partition("_")
    if kind not in _CLASSES or not name:
        return feature
    words = radiomics_words(kind, name)
    return words if image == "original" else f"{words}, {filter_words(image)}"


def _deep(feature: str) -> str:
    network = network_words(feature)
    return (
        f"{network} channel {int(feature.rpartition('_')[2].lstrip('abcdefghijklmnopqrstuvwxyz'))}"
        if network
        else feature
    )


def _plain(feature: str) -> str:
    # A category stands as column ``status=post``.
    words = feature.replace("_", " ").replace("=", ": ").strip() or feature
    return words[:1].upper() + words[1:]


def _spaced(camel: str) -> str:
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+[A-Za-z]?", camel)
    return " ".join(word if word.isupper() and len(word) > 1 else word.lower() for word in words)
