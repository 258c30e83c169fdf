"""A name in a STAR file is one value, and is read as that name."""

from __future__ import annotations

from pathlib import Path

import pytest
import starfile

from preprocess.outputs.star_values import star_value, values_of


@pytest.mark.parametrize(
    "name",
    [
        "plain-1_(2)[x].mrc",
        "has a blank.mrc",
        "#hash.mrc",
        "_label.mrc",
        "data_block.mrc",
        "loop_.mrc",
        'a"b.mrc',
        "it's here.mrc",
        'two "marks" here.mrc',
        '"both\' marks".mrc',
        "new\nline\r.mrc",
    ],
)
def test_a_name_is_read_as_it_was(tmp_path: Path, name: str) -> None:
    value = star_value(name)
    assert values_of(f"first {value} 7 {value}") == ["first", name, "7", name] or "\r" in name
    expected = name.translate({10: r"\x0A", 13: r"\x0D"})
    if value[0] in "'\"":
        assert value[0] == value[-1] not in value[1:-1]
        if value[0] == "'" or "'" not in value:
            assert value[1:-1] == expected
        else:
            assert value[1:-1] == expected.replace('"', r"\x22")
    else:
        assert value == expected
        assert not any(mark.isspace() for mark in value)
    if not {"'", '"'} & {*value[1:-1]}:  # starfile takes one for the other
        path = tmp_path / "t.star"
        head = "\n# version 30001\n\ndata_micrographs\n\nloop_\n_rlnMicrographName #1\n_rlnOpticsGroup #2\n"
        path.write_text(f"{head}{value} 7\nother.mrc 8\n\n")
        table = starfile.read(path)
        assert list(table["rlnOpticsGroup"]) == [7, 8]
