from preprocess.alignment.fixed_structure import FixedStructure
from preprocess.pipeline.fixed_structure_warnings import fixed_structure_warnings


def test_what_is_fixed_is_said_with_what_to_do():
    assert fixed_structure_warnings(None) == []
    (found,) = fixed_structure_warnings(FixedStructure(reliable=True, pull_px=0.3))
    assert found.code == "fixed-structure"
    assert "give a gain reference" in found.text


def test_motion_that_is_hidden_by_it_is_doubted():
    found = fixed_structure_warnings(FixedStructure(reliable=False, pull_px=0.3))
    assert [warning.code for warning in found] == ["fixed-structure", "motion-unsure"]
    assert "not reliable" in found[1].text
