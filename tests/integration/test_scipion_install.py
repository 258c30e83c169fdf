"""What the plugin's installer does where nothing has to be fetched."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PLUGIN = Path(__file__).parents[2] / "deploy" / "scipion-plugin"


def install(*arguments: str, script: Path = PLUGIN / "install.py") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def installer(tmp_path: Path) -> Any:
    """The installer as a module, from a copy of the plugin that a test may change."""
    copy = tmp_path / "scipion-plugin"
    shutil.copytree(PLUGIN, copy, ignore=shutil.ignore_patterns("__pycache__"))
    spec = importlib.util.spec_from_file_location("installer_under_test", copy / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_unsuitable_python_is_exit_3_and_a_sentence(tmp_path: Path) -> None:
    done = install("--to", str(tmp_path / "scipion"), "--python", shutil.which("false") or "/bin/false")
    assert done.returncode == 3
    assert "is not a working Python 3.8 to 3.12, which Scipion needs" in done.stderr
    assert not (tmp_path / "scipion").exists()


@pytest.mark.scipion
def test_a_second_run_does_nothing(scipion: Path) -> None:
    before = (scipion / "cryoferry-scipion.json").stat().st_mtime_ns
    done = install("--to", str(scipion))
    assert (done.returncode, done.stderr) == (0, "")
    assert (scipion / "cryoferry-scipion.json").stat().st_mtime_ns == before


def test_a_changed_plugin_or_lock_is_noticed(installer: Any) -> None:
    seen = {installer.fingerprint()}
    for name in ("cryoferry_scipion/sets.py", "requirements.lock", "pyproject.toml"):
        path = installer.HERE / name
        path.write_bytes(path.read_bytes() + b"\n")
        seen.add(installer.fingerprint())
    assert len(seen) == 4


def test_a_half_made_environment_does_not_count(installer: Any, tmp_path: Path) -> None:
    folder = tmp_path / "scipion"
    folder.mkdir()
    assert installer.description_of(folder) is None
    description = folder / "cryoferry-scipion.json"
    description.write_text('{"python"')
    assert installer.description_of(folder) is None
    description.write_text(json.dumps({"python": str(folder / "venv" / "bin" / "python")}))
    assert installer.description_of(folder) is None
    description.write_text(json.dumps({"python": sys.executable}))
    assert installer.description_of(folder) is not None


def test_an_interpreter_is_tried_by_running_it(installer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shim that is there and fails, as pyenv's are, does not count; the next candidate does."""
    shims = tmp_path / "shims"
    shims.mkdir()
    for name in ("python3.11", "python3.10"):
        shim = shims / name
        shim.write_text("#!/bin/sh\nexit 127\n" if name == "python3.11" else "#!/bin/sh\necho 3 10 tkinter\n")
        shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(shims))
    monkeypatch.setattr(installer, "VERSIONS", ((3, 11), (3, 10)))
    monkeypatch.setattr(
        installer, "candidates", lambda: [(str(shims / "python3.11"), (3, 11)), (str(shims / "python3.10"), (3, 10))]
    )
    assert installer.find_python(None) == (str(shims / "python3.10"), [])
    (shims / "python3.10").write_text("#!/bin/sh\necho 3 10 bare\n")  # as Debian's, without python3-tk
    assert installer.find_python(None) == (None, [str(shims / "python3.10")])
    assert "python3-tk" in installer.why_none(None, [str(shims / "python3.10")])


def test_the_lock_is_hashed_and_names_no_place() -> None:
    lines = (PLUGIN / "requirements.lock").read_text("utf-8").splitlines()
    pinned = [line for line in lines if line and not line.startswith(" ")]
    assert all(re.match(r"[a-z0-9.-]+==\S+", line) for line in pinned)
    assert all(line.startswith("    --hash=sha256:") for line in lines if line.startswith(" "))
    assert not [line for line in lines if "://" in line or "index" in line]
    assert {"scipion-pyworkflow", "scipion-em", "scipion-app"} <= {line.split("=")[0] for line in pinned}


def test_the_plugin_stays_within_python_3_8() -> None:
    for path in PLUGIN.rglob("*.py"):
        ast.parse(path.read_text("utf-8"), feature_version=(3, 8))


def test_what_scipion_offers_to_no_plugin_is_used_in_one_file() -> None:
    """Its storage is to change: mappers, tables and what a project does with its database stand together."""
    private = re.compile(r"\b(mapper|_getMapper|_updateProtocol|_setProtocolMapper|checkIsAlive|_size|db)\b\s*[.(=]")
    users = {path.name for path in PLUGIN.rglob("cryoferry_scipion/**/*.py") if private.search(path.read_text("utf-8"))}
    assert users == {"storage.py"}


def test_the_plugin_carries_its_own_licence() -> None:
    assert "GNU GENERAL PUBLIC LICENSE" in (PLUGIN / "LICENSE").read_text("utf-8")
    assert "GPL-3.0-or-later" in (PLUGIN / "pyproject.toml").read_text("utf-8")


@pytest.mark.scipion
def test_the_interpreter_finds_its_scipion_without_being_told(scipion: Path) -> None:
    description = json.loads((scipion / "cryoferry-scipion.json").read_text("utf-8"))
    program = "import pyworkflow; print(pyworkflow.Config.SCIPION_HOME, pyworkflow.Config.SCIPION_NOTIFY)"
    seen = subprocess.run(
        [description["python"], "-c", program], env={}, cwd="/", capture_output=True, text=True, check=True
    )
    assert seen.stdout.split() == [description["environment"]["SCIPION_HOME"], "False"]
