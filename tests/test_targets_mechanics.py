"""Targets: what labels mean, and why a case has none."""

import re

import pandas as pd
import pytest
from cemrad.features.errors import StudyError, UnknownPartError
from cemrad.models.design import resolve_endpoints
from cemrad.models.endpoint import resolve_endpoint
from cemrad.models.stated import plain
from cemrad.models.target import Target, take
from cemrad.models.targets import SHELF
from cemrad.pipeline.labels import canonical_label

OF_THEIR_OWN = {"axillary_burden", "grade", "ki67", "molecular_subtype"}
"""Targets that are numbers, grades or classes: positive and negative say nothing about them."""
STATED_WITH = {"non_sentinel": {"sentinel": "positive"}}


@pytest.mark.parametrize("name", SHELF.names())
def test_every_target_is_complete(name):
    target = take(name)
    assert isinstance(target, Target)
    assert target.title
    assert target.positive
    assert target.level in ("lesion", "breast", "patient")
    assert target.sources[0] == name
    assert {0, 1} <= set(target.words.values())
    assert all(plain(source) == source for source in target.sources)
    assert all(part.sources[0] == own for own, part in target.parts.items())
    assert {word for word in target.words if target.spelling(word) != word} == set()
    reasons = [meaning for meaning in target.words.values() if isinstance(meaning, str)]
    assert all(re.match(r"label\.[a-z_]+: ", reason) for reason in reasons)


def test_a_column_belongs_to_one_target_and_is_known_to_the_readers():
    sources = [source for name in SHELF.names() for source in take(name).sources]
    assert len(sources) == len(set(sources))
    assert {canonical_label(source) for name in SHELF.names() for source in take(name).sources} == set(SHELF.names())
    assert (canonical_label("ypT"), canonical_label("ypN stage")) == ("ypt", "ypn")


@pytest.mark.parametrize("name", sorted(set(SHELF.names()) - OF_THEIR_OWN))
@pytest.mark.parametrize(
    ("value", "truth"),
    [(1, 1), (0, 0), (1.0, 1), ("0.0", 0), (True, 1), (" Positive ", 1), ("neg", 0), ("+", 1), ("-", 0), ("Yes", 1)],
)
def test_every_target_reads_numbers_and_words(name, value, truth):
    assert take(name).read({name: value} | STATED_WITH.get(name, {})).truth == truth


@pytest.mark.parametrize("value", [None, float("nan"), "", "unknown", "N/A", "?", pd.NA])
def test_nothing_stated_is_missing(value):
    reading = take("er").read({"malignancy": "malignant", "er": value})
    assert reading.truth is None
    assert reading.reason == "label.missing: not stated"


@pytest.mark.parametrize("value", [2, "maybe", "90%", 0.5, -1])
def test_what_cannot_be_read_is_named(value):
    reading = take("er").read({"er": value})
    assert reading.truth is None
    assert reading.reason.startswith("label.unreadable: er is ")
    assert str(value).lower() in reading.reason


@pytest.mark.parametrize(("value", "truth"), [("malignant", 1), ("Benign", 0), ("normal", 0), ("Cancer", 1)])
def test_normal_counts_as_not_malignant(value, truth):
    assert take("malignancy").read({"Pathology Classification": value}).truth == truth


@pytest.mark.parametrize(("value", "truth"), [("0", 0), ("1+", 0), ("3+", 1), ("2+", None), (3, None), ("2", None)])
def test_her2_scores(value, truth):
    reading = take("her2").read({"her2": value})
    assert reading.truth == truth
    if value == "2+":
        assert reading.reason.startswith("label.equivocal")


@pytest.mark.parametrize(
    "scores", [[0, 1, 2, 3], ["0", "1", "3"], [1.0, 2.0, None], ["0", "1+", "2"], ["0", "1", "2+"], ["1", "3+"]]
)
def test_a_her2_score_without_its_plus_sign_is_refused(scores):
    """1 would be read as positive although IHC 1+ is negative."""
    labels = pd.DataFrame({"HER2": scores, "er": "neg", "pr": "neg"}, dtype=object)
    for endpoint in ("her2", "triple_negative"):
        with pytest.raises(StudyError, match="'HER2' holds .* without its plus sign; write 0, 1"):
            resolve_endpoint(endpoint, labels)
    named = resolve_endpoint({"column": "HER2", "positive": str(scores[-1] or 2)}, labels)
    assert named.target.read({"HER2": scores[0]}).truth == 0


def test_her2_of_0_and_1_or_with_plus_signs_is_read():
    for stated, truth in (([0, 1, None], [0, 1, None]), (["0", "1+", "2+", "3+"], [0, 0, None, 1])):
        target = resolve_endpoint("her2", pd.DataFrame({"her2": stated}, dtype=object)).target
        assert [target.read({"her2": value}).truth for value in stated] == truth


@pytest.mark.parametrize(
    ("value", "truth"),
    [
        ("pN1a", 1), ("N1mi", 1), ("pN1mi(sn)", 1), ("N2", 1), ("pN3c", 1), ("pN+", 1), ("N+", 1),
        ("pN0", 0), ("pN0(sn)", 0), ("N0(i-)", 0), ("pN0 (i+)(sn)", 0), ("n0(mol-)", 0),
        ("pNX", None), ("cN1", None), ("ypN0", None), ("N4", None),
    ],
)  # fmt: skip
def test_nodal_categories(value, truth):
    assert take("nodal").read({"nodal": value}).truth == truth


def test_a_number_of_nodes_is_refused():
    with pytest.raises(StudyError, match="'nodal' holds the bare number 2: .* write positive and negative"):
        resolve_endpoint("nodal", pd.DataFrame({"nodal": [0, 1, 2, 11, None]}, dtype=object))
    assert resolve_endpoint("nodal", pd.DataFrame({"nodal": [0, 1, None]}, dtype=object)).columns == ("nodal",)


@pytest.mark.parametrize("name", sorted(set(SHELF.names()) - {"malignancy"}))
@pytest.mark.parametrize("finding", ["benign", "normal", 0])
def test_a_label_of_cancer_on_a_benign_lesion_is_refused(name, finding):
    stated = {"axillary_burden": "high", "grade": "3", "ki67": "high", "molecular_subtype": "triple negative"}
    value = stated.get(name, "positive")
    given = {name: value} | STATED_WITH.get(name, {})
    assert take(name).read({"malignancy": finding} | given).reason.startswith("label.on_benign")
    assert take(name).read({"malignancy": finding} | given | {name: None}).reason.startswith("label.missing")
    assert take(name).read({"malignancy": "malignant"} | given).truth == (2 if name == "molecular_subtype" else 1)


@pytest.mark.parametrize(
    ("er", "pr", "her2", "truth", "code"),
    [
        ("neg", "neg", "neg", 1, ""),
        ("neg", "pos", None, 0, ""),
        ("neg", "neg", None, None, "label.missing"),
        ("neg", "neg", "2+", None, "label.equivocal"),
        ("neg", "neg", "3+", 0, ""),
    ],
)
def test_triple_negative_is_derived(er, pr, her2, truth, code):
    reading = take("triple_negative").read({"er": er, "pr": pr, "her2": her2})
    assert reading.truth == truth
    assert reading.reason.startswith(code)


def test_a_stated_triple_negative_wins_over_the_three():
    assert take("triple_negative").read({"TNBC": "yes", "er": "pos", "pr": "neg", "her2": "neg"}).truth == 1


LABELS = pd.DataFrame(
    {
        "Target": [0, 1, 1], "relapse": ["no", "yes", None], "size_class": [1, 2, 3], "site": ["a", "b", "a"],
        "one": [1, 1, 1], "size": ["12,5", ">20", "n/a"],
    }
)  # fmt: skip


def test_any_binary_column_can_be_an_endpoint():
    assert [resolve_endpoint("Target", LABELS).target.read({"Target": v}).truth for v in (0, 1)] == [0, 1]
    assert resolve_endpoint("relapse", LABELS).target.read({"relapse": None}).reason.startswith("label.missing")
    site = resolve_endpoint("site=b", LABELS)
    assert site.name == "site=b"
    assert [site.target.read({"site": v}).truth for v in "ab"] == [0, 1]


def test_one_class_against_the_rest():
    made = resolve_endpoint({"name": "large", "column": "size_class", "positive": "3"}, LABELS)
    assert made.name == "large"
    assert [made.target.read({"size_class": v}).truth for v in (1, 2, 3)] == [0, 0, 1]
    assert made.target.read({"size_class": 4}).reason.startswith("label.unreadable")


def test_a_cut_off_for_any_column_of_numbers():
    made = resolve_endpoint("size>=15", LABELS)
    assert (made.name, made.positive, made.columns) == ("size>=15", "size >= 15", ("size",))
    assert [made.target.read({"size": v}).truth for v in LABELS["size"]] == [0, 1, None]
    named = resolve_endpoint({"name": "large", "column": "size", "cutoff": 15, "level": "breast"}, LABELS)
    assert (named.name, named.target.level, named.positive) == ("large", "breast", "size >= 15")
    assert resolve_endpoint({"column": "size", "cutoff": 15.0}, LABELS).name == "size>=15"


def test_classes_of_any_column_are_each_against_the_others():
    labels = pd.DataFrame({"BI-RADS": [3, 4, 5, 6, None]}, dtype=object)
    parts = resolve_endpoints([{"name": "category", "column": "BI-RADS", "classes": [3, 4, 5]}], labels)
    assert [part.name for part in parts] == ["category=3", "category=4", "category=5"]
    assert [part.title for part in parts] == ["BI-RADS 3", "BI-RADS 4", "BI-RADS 5"]
    readings = [parts[1].target.read({"BI-RADS": value}) for value in labels["BI-RADS"]]
    assert [parts[1].truth(reading) for reading in readings] == [0, 1, 0, None, None]
    assert readings[3].reason.startswith("label.other_class")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("site", "name the positive one, for example site=b"),
        ("size_class", "size_class=3, a cut-off for numbers, as size_class>=10, or the classes"),
        ("one", "one=1"),
        ("site=c", "the column's values are a, b"),
        ("er", "needs the label column er"),
        ("triple_negative", "needs the label column"),
        ("ki67>=20", "needs the label column ki67"),
        ("non_sentinel", "needs the label column non_sentinel, .*, and sentinel"),
        ("response", "needs the label column response, .* or ypt and ypn"),
        ("site>=2", "holds no number; it holds a, b"),
        ("size>=big", "a cut-off is a number"),
        ({"column": "size", "cutoff": float("nan")}, "a cut-off is a number"),
        ({"colunm": "site"}, "keys name, target or column"),
        ({"column": "site", "target": "er"}, "keys name, target or column"),
        ({"column": "site", "positive": "a", "cutoff": 1}, "at most one of positive, cutoff and classes"),
        ({"column": "site", "positive": "a", "level": "country"}, "level is one of lesion, breast, patient"),
        ({"column": "size_class", "classes": [1, 2]}, "classes are three or more values"),
        ({"column": "size_class", "classes": [1, 2, 7]}, "states no 7; its values are 1, 2, 3"),
    ],
)
def test_an_endpoint_without_two_classes_is_refused(wanted, message):
    with pytest.raises(StudyError, match=message):
        resolve_endpoint(wanted, LABELS)


def test_an_unknown_endpoint_lists_what_there_is():
    with pytest.raises(
        UnknownPartError, match=r"did you mean 'malignancy'.*Targets: .*er.*Label columns: Target, relapse"
    ):
        resolve_endpoint("malignncy", LABELS)


def test_endpoints_need_distinct_names():
    with pytest.raises(StudyError, match="named twice: Target"):
        resolve_endpoints(["Target", "Target"], LABELS)
    with pytest.raises(StudyError, match="no endpoint"):
        resolve_endpoints([], LABELS)
