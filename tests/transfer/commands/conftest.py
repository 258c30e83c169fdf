"""The command in this process, against a receiver that runs."""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace

import pytest

import cryoferry as front_door
from transfer.wire.chunks import CHUNK_BYTES

LARGE = 2 * CHUNK_BYTES + 1


@pytest.fixture
def token(receiver):
    return receiver.token("agent", "grid1")


@pytest.fixture
def cryoferry(tmp_path, token, monkeypatch, capsys):
    """Run the front door in this process; return exit code, text on stdout and stderr, and JSON objects."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, token=token):
        monkeypatch.setattr(sys, "argv", ["cryoferry", *map(str, arguments)])
        monkeypatch.setenv("CRYOFERRY_TOKEN", token or "")
        with pytest.raises(SystemExit) as ended:
            front_door.main()
        told = capsys.readouterr()
        assert not token or token not in told.out + told.err
        objects = [json.loads(line) for line in told.out.splitlines()] if "--json" in arguments else None
        return SimpleNamespace(returncode=ended.value.code or 0, stdout=told.out, stderr=told.err, objects=objects)

    return run


@pytest.fixture
def folder(tmp_path):
    """A folder with small and large files below it, and what must not travel."""
    top = tmp_path / "run1"
    for name, size_bytes in {"a.mrc": LARGE, "b.json": 100, "deep/er/a.mrc": 0, ".hidden": 5, ".cache/x": 5}.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(os.urandom(size_bytes))
    return top
