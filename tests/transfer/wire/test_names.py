"""Names: what may travel, what may not, and that a name that may travel is safe on every system."""

import posixpath
import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer.wire.errors import BadName
from transfer.wire.names import check_committed_path, check_path, check_session_name

GOOD_PATHS = [
    "micrograph.mrc",
    "GridSquare_1/Data/FoilHole 12_Data-3.mrc",
    "a+b=c@d#e(f),g.tiff",
    "Zürich/试样/κρύο.mrc",
    "console.mrc",
    "a" * 255,
]
BAD_PATHS = [
    "",
    "/etc/passwd",
    "../secret",
    "a/../b",
    "a/./b",
    "a//b",
    "a/",
    ".hidden",
    "a/.hidden/b",
    "ends with dot.",
    "ends with space ",
    " begins with space",
    "a\\b",
    "C:/x",
    "a\nb",
    "a\x00b",
    "a\x7fb",
    "a\x1b[31mb",
    "a?b",
    "a*b",
    "a%2e%2e/b",
    "a<b",
    "a|b",
    'a"b',
    "~root",
    "con",
    "COM1.mrc",
    "x/NUL.txt",
    "con .mrc",
    "lpt¹.mrc",
    "a" * 256,
    "/".join(["d" * 200] * 6),
    unicodedata.normalize("NFD", "Zürich.mrc"),
    "a\u202eb",
    "a\udcffb",
]
GOOD_SESSIONS = ["24nov22_krios1", "A", "0", "a.b-c_d", "x" * 100]
BAD_SESSIONS = ["", ".", "..", ".hidden", "-x", "_x", "a/b", "a b", "ends.", "x" * 101, "nul", "Con.1", "ü", "a\n"]


@pytest.mark.parametrize("path", GOOD_PATHS)
def test_a_good_path_is_returned_as_it_is(path):
    assert check_path(path) == path


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_bad_path_is_refused(path):
    with pytest.raises(BadName):
        check_path(path)


@pytest.mark.parametrize("path", ["-", "-rf", "a/--option=x/b"])
def test_a_leading_hyphen_is_refused_only_in_new_names(path):
    with pytest.raises(BadName, match="begins with -"):
        check_path(path)
    assert check_committed_path(path) == path


@pytest.mark.parametrize("path", BAD_PATHS)
def test_what_no_receiver_has_ever_accepted_is_no_committed_path(path):
    with pytest.raises(BadName):
        check_committed_path(path)


@pytest.mark.parametrize("name", GOOD_SESSIONS)
def test_a_good_session_name_is_returned_as_it_is(name):
    assert check_session_name(name) == name


@pytest.mark.parametrize("name", BAD_SESSIONS)
def test_a_bad_session_name_is_refused(name):
    with pytest.raises(BadName):
        check_session_name(name)


LIKELY = st.from_regex(r"[\w+=@#(),-][\w .+=@#(),-]{0,6}", fullmatch=True)
UNLIKELY = st.one_of(st.text(max_size=6), st.sampled_from(["", ".", "..", "con", "a\\b", "C:"]))


@settings(deadline=None)
@given(st.lists(st.one_of(LIKELY, LIKELY, LIKELY, UNLIKELY), min_size=1, max_size=3))
def test_whatever_is_accepted_stays_inside_its_folder_on_every_system(parts):
    path = "/".join(parts)
    try:
        check_committed_path(path)
    except BadName:
        return
    for flavour in (PurePosixPath, PureWindowsPath):
        pure = flavour(path)
        assert not pure.is_absolute()
        assert not pure.drive
        assert ".." not in pure.parts
        assert "/".join(pure.parts) == path  # nothing is dropped or joined: two names never mean one file
    assert posixpath.normpath(f"/root/{path}") == f"/root/{path}"
    assert path.isprintable()
    assert path.encode().decode() == path
    assert unicodedata.normalize("NFC", path) == path
