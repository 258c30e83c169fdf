from preprocess.alignment.frame_judgement import EMPTY, FOREIGN, SATURATED, LeftOutFrame
from preprocess.pipeline.left_out_warnings import left_out_warnings, listed


def test_numbers_are_listed_as_people_write_them():
    assert listed([3]) == "3"
    assert listed([1, 2]) == "1 and 2"
    assert listed([*range(1, 21), 31, 40]) == "1 to 20, 31 and 40"


def test_each_reason_is_one_warning_with_numbers_in_the_whole_movie():
    left_out = [LeftOutFrame(0, EMPTY), LeftOutFrame(3, FOREIGN), LeftOutFrame(5, EMPTY), LeftOutFrame(7, SATURATED)]
    empty, saturated, foreign = left_out_warnings(left_out, range(10, 20), 10)
    assert empty.text.startswith("frames 11 and 16 have no counts, or hardly any. They are left out")
    assert empty.text.endswith("no dose is counted for those at the start and at the end")
    assert (empty.frame, saturated.frame, foreign.frame) == (None, 18, 14)
    assert foreign.text.startswith("frame 14 does not match the others")
    assert "dose" not in foreign.text
