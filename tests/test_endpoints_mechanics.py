"""Endpoints of breast cancer: cut-offs, grades, subtypes, nodes and response, as the guidelines have them."""

import pandas as pd
import pytest
from cemrad.features.errors import StudyError
from cemrad.models.endpoint import resolve_endpoint
from cemrad.models.stated import read_span
from cemrad.models.target import take


def readings(wanted, **columns):
    """What an endpoint reads in each row of these columns."""
    labels = pd.DataFrame(columns, dtype=object)
    target = resolve_endpoint(wanted, labels).target
    return [target.read(row) for row in labels.to_dict("records")]


def truths(wanted, **columns):
    return [reading.truth for reading in readings(wanted, **columns)]


@pytest.mark.parametrize("text", ["1,234", "20-15", "high", "+", "4+", "", "2 0 0 x", "--5", "20..30", "1e3"])
def test_what_is_no_number_is_not_guessed_at(text):
    assert read_span(text) is None


@pytest.mark.parametrize("cutoff", [14, 20, 30])
@pytest.mark.parametrize("form", ["{}", "{} %", "{}%", "{}.0", "{},0"])
def test_ki67_by_a_stated_cut_off(cutoff, form):
    below, at, above = (form.format(n) for n in (cutoff - 1, cutoff, cutoff + 1))
    assert truths(f"ki67>={cutoff}", ki67=[below, at, above, None]) == [0, 1, 1, None]
    assert truths({"target": "ki67", "cutoff": cutoff}, **{"Ki-67 index": [below, at, above]}) == [0, 1, 1]


def test_a_range_of_ki67_is_read_where_it_lies_on_one_side():
    found = readings("ki67>=20", ki67=["<5", "15-20", "15 to 19", "20-30", ">20", "<20", ">=20", "<=20", "\u226514"])
    assert [reading.truth for reading in found] == [0, None, 0, 1, 1, 0, 1, None, None]
    assert found[1].reason == "label.straddles: ki67 is '15-20', on both sides of the cut-off 20"


@pytest.mark.parametrize("value", [-5, 101, "1,234", "some", "5/30"])
def test_an_impossible_ki67_is_unreadable(value):
    (_, found) = readings("ki67>=20", ki67=[40, value])
    assert found.truth is None
    assert found.reason.startswith("label.unreadable: ki67 is ")
    assert "0 to 100" in found.reason


def test_ki67_without_a_cut_off_is_refused_with_those_in_use():
    with pytest.raises(
        StudyError, match=r"state the cut-off .* ki67>=20 .* 14 \(St Gallen 2011\) and 20 \(St Gallen 2013"
    ):
        readings("ki67", ki67=[10, 30])
    assert truths("ki67", ki67=["high", "Low", None]) == [1, 0, None]
    assert [r.reason[:15] for r in readings("ki67>=20", ki67=["high", 30, 10])] == ["label.no_number", "", ""]


def test_shares_and_codes_are_no_percentages():
    for stated in ([0.1, 0.35, 1.0], [0, 1, 1]):
        with pytest.raises(StudyError, match="no number above 1"):
            readings("ki67>=20", ki67=stated)


def test_a_cut_off_for_a_label_of_words_is_refused():
    with pytest.raises(StudyError, match="'er' is not stated in numbers: leave the cut-off 1 out"):
        readings("er>=1", er=["positive", "negative"])


@pytest.mark.parametrize(
    ("stated", "truth"),
    [
        (3, 1), ("G3", 1), ("III", 1), ("Grade 3", 1), ("grade iii", 1),
        ("poorly differentiated", 1), ("Nottingham grade 3", 1),
        (1, 0), (2.0, 0), ("G1", 0), ("II", 0), ("g 2", 0), ("well differentiated", 0),
        ("Gx", None), (4, None), ("1-2", None),
    ],
)  # fmt: skip
def test_histological_grade(stated, truth):
    assert take("grade").read({"grade": stated}).truth == truth


@pytest.mark.parametrize("stated", ["low", "Intermediate", "high", "High grade"])
def test_a_nuclear_grade_of_dcis_is_left_out_as_such(stated):
    assert take("grade").read({"grade": stated}).reason.startswith("label.nuclear_grade")


def test_a_code_is_no_grade():
    with pytest.raises(StudyError, match="'grade' holds 0, which is no grade"):
        readings("grade", grade=[0, 1, 1])


SURROGATES = [  # er, pr, her2, Ki-67, with Ki-67, without: Goldhirsch 2013, table 2
    ("pos", "pos", "neg", 5, "luminal_a", "luminal"),
    ("pos", "pos", "neg", 40, "luminal_b", "luminal"),
    ("pos", "neg", "neg", 5, "luminal_b", "luminal"),
    ("pos", "neg", "neg", None, "luminal_b", "luminal"),
    ("pos", "neg", "pos", 5, "luminal_b", "luminal"),
    ("pos", "pos", "3+", None, "luminal_b", "luminal"),
    ("neg", "neg", "3+", 5, "her2_enriched", "her2_enriched"),
    ("neg", "neg", "1+", None, "triple_negative", "triple_negative"),
    ("pos", "pos", "neg", None, "label.missing", "luminal"),
    ("pos", None, "neg", 5, "label.missing", "luminal"),
    ("pos", "pos", "2+", 5, "label.equivocal", "luminal"),
    ("neg", "pos", "neg", 5, "label.no_class", "label.no_class"),
    ("neg", None, "neg", 5, "label.missing", "label.missing"),
    ("neg", "neg", "2+", 5, "label.equivocal", "label.equivocal"),
    (None, "pos", "neg", 5, "label.missing", "label.missing"),
]


@pytest.mark.parametrize(
    ("wanted", "at"), [({"target": "molecular_subtype", "cutoff": 20}, 4), ("molecular_subtype", 5)]
)
def test_surrogate_subtypes_of_st_gallen_2013(wanted, at):
    rows = pd.DataFrame(SURROGATES).astype(object)
    labels = (
        rows[[0, 1, 2, 3]]
        .set_axis(["er", "pr", "her2", "ki67"], axis=1)
        .where(rows[[0, 1, 2, 3]].notna().to_numpy(), None)
    )
    made = resolve_endpoint(wanted, labels)
    found = [made.target.read(row) for row in labels.to_dict("records")]
    told = [r.reason.split(":")[0] if r.truth is None else made.target.classes[r.truth].key for r in found]
    assert told == rows[at].tolist()
    assert made.name == "molecular_subtype"
    assert [part.name for part in made.expand()][-1] == "molecular_subtype=triple_negative"
    assert ("ki67" in made.columns) == (at == 4)


def test_a_stated_subtype():
    stated = [
        "Luminal A", "LumB", "luminal B (HER2-negative)", "Luminal B-like HER2 positive", "HER2-enriched", "HER2+",
        "TNBC", "basal-like", "Triple negative", "luminal", "normal-like", "HER2 positive (non-luminal)", "none of it",
    ]  # fmt: skip
    made = resolve_endpoint("molecular_subtype", pd.DataFrame({"Subtype": stated}, dtype=object))
    found = [made.target.read({"Subtype": value}) for value in stated]
    assert [r.truth for r in found] == [0, 1, 1, 1, 2, 2, 3, 3, 3, None, None, 2, None]
    assert [r.reason.split(":")[0] for r in found if r.reason] == [
        "label.unspecific",
        "label.other_class",
        "label.unreadable",
    ]
    three = resolve_endpoint("molecular_subtype", pd.DataFrame({"Subtype": ["luminal", "HER2+", "TNBC"]}))
    assert [item.key for item in three.target.classes] == ["luminal", "her2_enriched", "triple_negative"]


def test_a_subtype_that_cannot_be_told_is_refused():
    with pytest.raises(StudyError, match="states none of luminal A"):
        readings("molecular_subtype", subtype=[0, 1, 2, 3])
    with pytest.raises(StudyError, match="leave the cut-off out"):
        readings({"target": "molecular_subtype", "cutoff": 20}, subtype=["luminal a"])
    with pytest.raises(StudyError, match="its classes are luminal, her2_enriched, triple_negative"):
        readings("molecular_subtype=luminal_a", er=["pos"], pr=["pos"], her2=["neg"])


def test_one_class_alone_is_a_binary_endpoint():
    labels = pd.DataFrame({"er": ["pos", "neg"], "pr": ["pos", "neg"], "her2": ["neg", "neg"]}, dtype=object)
    made = resolve_endpoint("molecular_subtype=triple_negative", labels)
    assert (made.title, made.positive) == ("Molecular subtype: triple negative", "triple negative")
    assert [made.truth(made.target.read(row)) for row in labels.to_dict("records")] == [0, 1]
    assert made.expand() == [made]


@pytest.mark.parametrize(
    ("stated", "truth"),
    [
        ("pN1mi(sn)", 1),
        ("macrometastasis", 1),
        ("micrometastasis", 1),
        ("ITC", 0),
        ("pN0(i+)(sn)", 0),
        ("pN0", 0),
        ("NX", None),
    ],
)
def test_sentinel_node(stated, truth):
    assert take("sentinel").read({"SLNB": stated}).truth == truth


def test_other_nodes_are_asked_about_after_a_positive_sentinel_node_only():
    found = readings("non_sentinel", nsln=["pos", "neg", "pos", "neg", None], sln=["pos", "N1", "neg", None, "pos"])
    assert [reading.truth for reading in found] == [1, 0, None, None, None]
    assert found[2].reason.endswith("the case is not sentinel node positive")
    assert found[3].reason.startswith("label.not_applicable")
    assert found[4].reason.startswith("label.missing")


def test_axillary_burden_by_counts_and_by_categories():
    counts = [0, 1, 2, 3, 12, None, "1-3", "pNx"]
    assert truths("axillary_burden", n_positive_nodes=counts) == [0, 0, 0, 1, 1, None, None, None]
    assert truths("axillary_burden>=4", n_positive_nodes=counts) == [0, 0, 0, 0, 1, None, 0, None]
    categories = ["pN0", "pN1a", "N1mi", "pN2a(sn)", "pN3", "pN2b", "pNX"]
    assert truths("axillary_burden", axillary_burden=categories) == [0, 0, 0, 1, 1, None, None]
    found = readings("axillary_burden>=3", axillary_burden=categories)
    assert [reading.truth for reading in found] == [0, None, None, 1, 1, None, None]
    assert found[1].reason.startswith("label.straddles")
    with pytest.raises(StudyError, match="counts and categories, for which high differs"):
        readings("axillary_burden", axillary_burden=[0, "pN1", 5])
    with pytest.raises(StudyError, match="a code, not a number of nodes"):
        readings("axillary_burden", axillary_burden=[0, 1, 1])
    assert (
        resolve_endpoint("axillary_burden", pd.DataFrame({"positive nodes": [0, 5]})).positive == "positive nodes >= 3"
    )


@pytest.mark.parametrize(
    ("stated", "truth"),
    [
        ("pCR", 1), ("RCB-0", 1), ("RCB 0", 1), ("ypT0/is ypN0", 1), ("RCB-I", 0), ("rcb II", 0), ("RCB3", 0),
        ("non-pCR", 0), ("no pCR", 0), ("npcr", 0), ("residual disease", 0), ("partial", None),
    ],
)  # fmt: skip
def test_response(stated, truth):
    assert take("response").read({"response": stated}).truth == truth


def test_response_from_breast_and_nodes():
    ypt = ["ypT0", "ypTis", "T0/is", "ypT1mi", "ypT0", "ypT0", None, "ypT2", "ypTX"]
    ypn = ["ypN0", "N0(i-)", "ypN0(sn)", "ypN0", "ypN1a", "ypN0(i+)", "ypN0", None, "ypN0"]
    found = readings("response", ypT=ypt, ypN=ypn)
    assert [reading.truth for reading in found] == [1, 1, 1, 0, 0, 0, None, 0, None]


@pytest.mark.parametrize("stated", [[0, 1, 2, 3], ["0", "I", "II"]])
def test_a_class_of_residual_burden_without_its_name_is_refused(stated):
    """0 would be read as no complete response, although RCB 0 is one."""
    with pytest.raises(StudyError, match="residual cancer burden without its name"):
        readings("response", response=stated)
