"""The command in this process, against a receiver that runs."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest

from tests.running import cryoferry_here
from transfer.wire.chunks import CHUNK_BYTES

LARGE = 2 * CHUNK_BYTES + 1


@pytest.fixture
def token(receiver):
    return receiver.token("agent", "grid1")


@pytest.fixture
def cryoferry(tmp_path, token, monkeypatch, capsys):
    """Run a command in this process; return its exit code, text on stdout and stderr, and JSON objects."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, token=token):
        monkeypatch.setenv("CRYOFERRY_TOKEN", token or "")
        done = cryoferry_here(monkeypatch, capsys, *arguments)
        assert not token or token not in done.stdout + done.stderr
        objects = [json.loads(line) for line in done.stdout.splitlines()] if "--json" in arguments else None
        return SimpleNamespace(returncode=done.returncode, stdout=done.stdout, stderr=done.stderr, objects=objects)

    return run


@pytest.fixture
def folder(tmp_path):
    """A folder with small and large files below it, and what must not travel."""
    top = tmp_path / "run1"
    for name, size_bytes in {"a.mrc": LARGE, "b.json": 100, "deep/er/a.mrc": 0, ".hidden": 5, ".cache/x": 5}.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(os.urandom(size_bytes))
    return top
