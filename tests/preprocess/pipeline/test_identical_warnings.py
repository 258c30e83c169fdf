from preprocess.pipeline.identical_warnings import identical_warnings


def test_frames_are_named_by_their_numbers_in_the_whole_movie():
    assert identical_warnings((), range(8)) == []
    one, other = identical_warnings(((0, 3), (4, 5, 6)), range(10, 20))
    assert one.code == "identical-frames"
    assert one.text.startswith("frames 11 and 14 are identical")
    assert other.text.startswith("frames 15 to 17 are identical")


def test_a_movie_of_one_image_is_named():
    (found,) = identical_warnings(((0, 1, 2),), range(3))
    assert found.text.startswith("all 3 frames are identical")
