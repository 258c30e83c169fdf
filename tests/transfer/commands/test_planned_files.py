"""Which files are sent under which names, and in which order."""

from __future__ import annotations

import os

import pytest

from transfer.commands.planned_files import plan
from transfer.wire.errors import BadName, SourceUnreadable


def test_a_plan_names_every_file_once(tmp_path, folder):
    for written_s, name in enumerate(["deep/er/a.mrc", "b.json", "a.mrc"]):
        os.utime(folder / name, (written_s, written_s))
    planned = plan([folder], "grid1", "/prefix/", 3)
    assert [(file.path, file.revision) for file in planned] == [
        ("prefix/run1/a.mrc", 3),
        ("prefix/run1/b.json", 3),
        ("prefix/run1/deep/er/a.mrc", 3),
    ]
    assert [file.path for file in plan([folder], "grid1", "", 1, background=("a.*",))] == [
        "run1/b.json",
        "run1/a.mrc",
        "run1/deep/er/a.mrc",
    ]
    with pytest.raises(BadName, match="both be named"):
        plan([folder, folder], "grid1", "", 1)
    with pytest.raises(SourceUnreadable):
        plan([tmp_path / "nothing"], "grid1", "", 1)
    with pytest.raises(BadName):
        plan([folder], "grid1", "../up", 1)
    (folder / "-odd\nname").write_bytes(b"")
    assert "run1/=2Dodd=0Aname" in [file.path for file in plan([folder], "grid1", "", 1)]
