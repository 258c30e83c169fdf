"""What our distribution holds, and that no dependency holds a package of the same name."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PACKAGES = ("transfer", "preprocess", "api", "agents", "benchmarks")
OUR_NAMES = {*PACKAGES, "command_errors", "configuration", "cryoferry", "tests"}


def owners(names: set[str], installed: Iterable[Distribution]) -> dict[str, str]:
    """Return which of some top-level names installed distributions hold, and the distribution."""
    found = {}
    for distribution in installed:
        for path in distribution.files or []:
            top = path.parts[0].removesuffix(".py") if len(path.parts) == 1 else path.parts[0]
            if top in names:
                found[top] = canonicalize_name(distribution.metadata["Name"])
    return found


def locked() -> set[str]:
    """Return the distributions that the lock file asks for on this machine."""
    lines = (ROOT / "requirements-dev.lock").read_text("utf-8").replace("\\\n", " ").splitlines()
    wanted = [Requirement(line.partition("--hash")[0]) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(one.name) for one in wanted if one.marker is None or one.marker.evaluate()}


def test_no_dependency_has_our_top_level_names() -> None:
    installed = {canonicalize_name(one.metadata["Name"]): one for one in distributions()}
    names = locked()
    assert len(names) > 50
    assert names <= set(installed), "make install was not run since the lock file changed"
    assert owners(OUR_NAMES, [installed[name] for name in names]) == {}


@pytest.mark.parametrize("file", ["agents/__init__.py", "tests/test_x.py", "configuration.py"])
def test_a_dependency_with_one_of_our_names_is_found(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "their_agents-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: Their_Agents\nVersion: 1.0\n")
    (folder / "RECORD").write_text(f"their_agents/agents.py,,\n{file},,\n")
    name = file.partition("/")[0].removesuffix(".py")
    assert owners(OUR_NAMES, distributions(path=[str(tmp_path)])) == {name: "their-agents"}


def test_the_wheel_holds_our_packages_and_no_gpl_code(tmp_path: Path) -> None:
    tree = tmp_path / "tree"  # building leaves traces in a tree
    for package in (*PACKAGES, "deploy"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (
        "command_errors.py",
        "configuration.py",
        "cryoferry.py",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "setup.py",
    ):
        shutil.copy(ROOT / name, tree)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path, tree],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {*PACKAGES, "command_errors.py", "configuration.py", "cryoferry.py"} <= {
        name.split("/")[0] for name in names
    }
    assert not [name for name in names if "scipion_plugin" in name or "cryoferry_scipion" in name or "tests/" in name]
    assert any(name.startswith("api/migrations/versions/") for name in names)
    assert "benchmarks/transfer/paths/link_emulator.c" in names
    kernels = {str(path.relative_to(ROOT)) for path in (ROOT / "preprocess/backends/cuda/kernels").iterdir()}
    assert len(kernels) > 1
    assert kernels <= set(names)
