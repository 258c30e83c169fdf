"""Holds the house to its plan: who may import whom, what a light import loads, where broad catches stand."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("transfer", "preprocess", "api", "agents", "benchmarks")
MAY_IMPORT = {
    "transfer": set(),
    "preprocess": set(),
    "api": {"transfer"},
    "agents": {"transfer", "preprocess"},
    "benchmarks": {"transfer", "preprocess", "api", "agents"},
}
NETWORK = {"httpx", "socket", "http", "urllib", "fastapi", "uvicorn", "requests", "aiohttp"}
BROAD_CATCHES = {"cryoferry.py": 1, "api/http/problems.py": 1, "agents/daemon.py": 1}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported_roots(path: Path) -> set[str]:
    """Every top-level name that a file imports, wherever in the file it does so."""
    roots = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a name comes from"
            roots.add((node.module or "").split(".")[0])
    return roots


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package: str) -> None:
    forbidden = set(PACKAGES) - MAY_IMPORT[package] - {package}
    wrong = {str(path.relative_to(ROOT)): sorted(imported_roots(path) & forbidden) for path in sources(package)}
    assert not {path: names for path, names in wrong.items() if names}


def test_transfer_knows_bytes_never_pixels() -> None:
    assert not [path for path in sources("transfer") if "numpy" in imported_roots(path)]


def test_preprocess_never_touches_the_network() -> None:
    assert not [path for path in sources("preprocess") if imported_roots(path) & NETWORK]


def test_cupy_is_imported_in_one_module() -> None:
    importers = [path for package in PACKAGES for path in sources(package) if "cupy" in imported_roots(path)]
    assert [str(path.relative_to(ROOT)) for path in importers] == ["preprocess/backends/cuda/device.py"]


def test_scipion_is_imported_by_its_own_distribution_alone() -> None:
    gpl = {"pyworkflow", "pwem", "cryoferry_scipion"}
    assert not [path for package in PACKAGES for path in sources(package) if imported_roots(path) & gpl]


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("transfer", {"numpy", "fastapi", "httpx"}),
        ("transfer.upload.sender", {"numpy", "fastapi"}),
        ("transfer.commands.send", {"numpy", "fastapi", "httpx"}),
        ("preprocess.commands.align", {"numpy", "numba", "matplotlib"}),
        ("api.commands", {"fastapi", "sqlalchemy", "uvicorn"}),
        ("agents.commands.watch", {"numpy", "httpx", "watchdog"}),
        ("cryoferry", {"numpy", "fastapi", "httpx", "agents", "api", "preprocess", "transfer"}),
    ],
)
def test_a_light_import_stays_light(module: str, heavy: set[str]) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not heavy & set(loaded.stdout.split())


def test_broad_catches_stand_at_three_places() -> None:
    found: dict[str, int] = {}
    for path in [ROOT / "cryoferry.py", *(path for package in PACKAGES for path in sources(package))]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
                if any(kind is None or getattr(kind, "id", "") in {"Exception", "BaseException"} for kind in caught):
                    name = str(path.relative_to(ROOT))
                    found[name] = found.get(name, 0) + 1
    assert {name: count for name, count in found.items() if count > BROAD_CATCHES.get(name, 0)} == {}


def test_no_module_is_named_for_nothing() -> None:
    nothing = {"utils", "helpers", "common", "base", "misc", "util"}
    assert not [path for package in PACKAGES for path in sources(package) if path.stem in nothing]


def test_the_wheel_holds_our_packages_and_no_gpl_code(tmp_path: Path) -> None:
    tree = tmp_path / "tree"  # building leaves traces in a tree
    for package in (*PACKAGES, "deploy"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("cryoferry.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path, tree],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"transfer", "preprocess", "api", "agents", "benchmarks", "cryoferry.py"} <= {n.split("/")[0] for n in names}
    assert not [name for name in names if "scipion_plugin" in name or "cryoferry_scipion" in name or "tests/" in name]
    assert any(name.startswith("api/migrations/versions/") for name in names)
    assert "benchmarks/transfer/paths/link_emulator.c" in names
    kernels = {str(path.relative_to(ROOT)) for path in (ROOT / "preprocess/backends/cuda/kernels").iterdir()}
    assert len(kernels) > 1
    assert kernels <= set(names)
