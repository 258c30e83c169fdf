"""Names of outputs: every file system takes them, for every name of a movie."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from preprocess.outputs.output_names import LONGEST_STEM_BYTES, output_paths, output_stem
from preprocess.outputs.whole_files import PARTIAL, write_text
from preprocess.platform import process_space

_LONGEST_NAME_BYTES = 255
_MOST_DIGITS_OF_A_PROCESS = 7
part = st.one_of(
    st.binary(min_size=1, max_size=251).filter(lambda name: not {0, ord("/")} & {*name}),
    st.text(st.sampled_from("aé\U0001f52c\n\u202e"), min_size=1, max_size=62).map(str.encode),
).map(lambda name: os.fsdecode(name + b".mrc"))


@given(part)
def test_every_name_can_be_written_also_while_it_is_temporary(name: str) -> None:
    for path in output_paths(Path(name), Path("out")).values():
        of_process = len(process_space()) + _MOST_DIGITS_OF_A_PROCESS + 1
        assert len(path.name.encode()) + len(PARTIAL) + of_process + 2 <= _LONGEST_NAME_BYTES
        assert path.name.isprintable() or not {"\n", "\u202e", "\x1b"} & {*path.name}
        assert "/" not in path.name
    assert len(output_stem(Path(name)).encode()) <= LONGEST_STEM_BYTES


@given(st.text(st.sampled_from("ab"), min_size=LONGEST_STEM_BYTES + 1, max_size=251), st.sampled_from("cd"))
def test_long_names_that_differ_at_their_ends_stay_different(long: str, last: str) -> None:
    one, other = output_stem(Path(f"{long[:-1]}{last}.mrc")), output_stem(Path(f"{long[:-1]}e.mrc"))
    assert one != other
    assert one == output_stem(Path(f"{long[:-1]}{last}.tiff"))


def test_a_longest_name_is_written(tmp_path: Path) -> None:
    for path in output_paths(Path("é" * 125 + ".mrcs"), tmp_path).values():
        write_text(path, "x")
        assert path.read_text() == "x"
