"""What features measure: every column that there can be has a sentence, and links find it."""

import pytest
from cemrad.features.native.dictionary import FILTER, entries
from cemrad.reports.feature_meaning import glossary, meanings
from cemrad.reports.words import feature_words

OTHERS = ("deep:LERC_CC:resnet18_0001", "deep:RC_MLO2:resnet50_2047", "clinical:case:age", "clinical:case:density=C")


def columns(preset):
    """Every column of a preset, as the family itself names them."""
    from cemrad.features.families import SHELF
    from cemrad.features.mask import MaskRules

    part = SHELF.take("radiomics")
    family = part.Family(part.Settings(preset=preset), MaskRules())
    return [f"radiomics:RC_CC:{name}" for name in family.features]


@pytest.mark.parametrize("preset", ["cem-2d", "ibsi"])
def test_every_column_of_a_preset_has_a_meaning(preset):
    names = columns(preset)
    assert len(names) > 800
    for name in names:
        found = meanings(name)
        assert found, name
        assert [one.kind for one in found][0] == "Features"
        assert found[-1].kind == "Pictures"
        assert len(found) == (2 if ":original_" in name else 3), name
        assert feature_words(name).startswith(found[0].name)


def test_the_glossary_holds_every_entry_once_and_no_two_share_an_anchor():
    names = [*columns("cem-2d"), *OTHERS]
    found = [one for kind in glossary(names).values() for one in kind]
    anchors = [one.anchor for one in found]
    assert len(set(anchors)) == len(anchors)
    assert {one.anchor for name in names for one in meanings(name)} == set(anchors)
    listed = [one.plain for one in found if one.kind == "Features"]
    assert len(set(listed)) == len(listed)


def test_every_entry_of_the_dictionary_has_a_sentence_of_its_own():
    for kind in {entry.kind for entry in entries()} - {FILTER}:
        plain = [entry.plain for entry in entries() if entry.kind == kind]
        assert len(set(plain)) == len(plain), kind
        assert all(len(text) > 15 and not text.endswith(".") for text in plain)


def test_codes_are_those_of_the_dictionary_and_what_is_not_known_has_no_meaning():
    measured, image, picture = meanings("radiomics:RC_CC:wavelet-HL_glszm_ZoneEntropy")
    assert (measured.code, image.code, picture.code) == ("GU8N", "25BO", "")
    assert "3 more than IBSI's" in meanings("radiomics:RC_CC:original_firstorder_Kurtosis")[0].definition
    for name in ("x", "radiomics:RC_CC:foo_bar_Baz", "deep:RC_CC:nothing", "radiomics:RC_CC:original_glcm_Nothing"):
        assert meanings(name) == ()


def test_names_from_a_table_make_no_anchor_that_could_be_another_s():
    strange = ["clinical:case:a b", "clinical:case:a_b", 'clinical:case:"><script>', "clinical:case:a%20b"]
    anchors = [meanings(name)[0].anchor for name in strange]
    assert len(set(anchors)) == 4
    assert all(
        set(anchor) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") for anchor in anchors
    )
