"""Which module may import which, what an import loads, where broad catches stand."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from import_graph import all_imports, circles, read_modules
from report import broad_catches, classes_named_twice
from walls import read_walls

ROOT = Path(__file__).parents[2]
MODULES = read_modules(ROOT)
IMPORTS = all_imports(MODULES)
WALLS = read_walls()
BETWEEN_PACKAGES = {
    "transfer": set(),
    "preprocess": set(),
    "api": {"transfer"},
    "agents": {"transfer", "preprocess"},
    "benchmarks": {"transfer", "preprocess", "api", "agents"},
}
BROAD_CATCHES = {"cryoferry": 1, "api.http.problems": 1, "agents.boundary": 1}


def package_of(module: str) -> str:
    return module.partition(".")[0]


@pytest.mark.parametrize("package", BETWEEN_PACKAGES)
def test_packages_import_one_way(package: str) -> None:
    """Whatever walls.toml says: its lines change with the code, these do not."""
    imported = {package_of(one.imported) for one in IMPORTS if package_of(one.importer) == package}
    assert imported & set(BETWEEN_PACKAGES) <= BETWEEN_PACKAGES[package] | {package}
    permitted = {
        package_of(other)
        for part in WALLS.may_import
        if package_of(part) == package
        for other in WALLS.may_import[part]
    }
    assert permitted & set(BETWEEN_PACKAGES) <= BETWEEN_PACKAGES[package] | {package}


def test_every_import_is_permitted() -> None:
    assert WALLS.violations(MODULES, IMPORTS) == []


def test_parts_import_only_parts_above_them() -> None:
    assert WALLS.disorder() == []


def test_every_permission_is_used() -> None:
    """A permission that no import uses would let the next one through unseen."""
    assert WALLS.unused(MODULES, IMPORTS) == []


def test_no_modules_import_each_other() -> None:
    """Inside a part either; imports for types alone count."""
    assert circles(IMPORTS) == []


def test_cupy_is_imported_in_one_module() -> None:
    importers = {one.importer for one in IMPORTS if package_of(one.imported) == "cupy"}
    assert importers == {"preprocess.backends.cuda.device"}


def test_imports_are_absolute() -> None:
    """A relative import does not say where a name comes from."""
    assert not [one for one in IMPORTS if one.relative]


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("transfer", {"numpy", "fastapi", "httpx"}),
        ("transfer.upload.sender", {"numpy", "fastapi"}),
        ("transfer.commands.send", {"numpy", "fastapi", "httpx"}),
        ("preprocess.commands.align", {"numpy", "numba", "matplotlib"}),
        ("api.commands.serve", {"fastapi", "sqlalchemy", "uvicorn"}),
        ("api.commands.token", {"fastapi", "sqlalchemy", "uvicorn"}),
        ("agents.daemon", {"typer"}),
        ("agents.workers.child", {"typer", "httpx", "fastapi"}),
        ("agents.workers.local_process", {"typer", "httpx", "fastapi"}),
        ("agents.commands.watch", {"numpy", "httpx", "watchdog"}),
        ("cryoferry", {"numpy", "fastapi", "httpx", "agents", "api", "preprocess", "transfer"}),
    ],
)
def test_a_light_import_stays_light(module: str, heavy: set[str]) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not heavy & set(loaded.stdout.split())


def test_broad_catches_stand_at_three_places() -> None:
    found = {name: len(lines) for name, module in MODULES.items() if (lines := broad_catches(module))}
    assert {name: count for name, count in found.items() if count > BROAD_CATCHES.get(name, 0)} == {}


def test_two_classes_never_share_a_name() -> None:
    """Except private ones: their name is known in their own module alone."""
    assert {name: places for name, places in classes_named_twice(MODULES).items() if not name.startswith("_")} == {}


def test_every_package_says_what_it_is_for() -> None:
    """Except Alembic's folders of migrations, which are no packages."""
    folders = {module.path.parent for module in MODULES.values()} - {ROOT}
    say = {
        module.path.parent
        for module in MODULES.values()
        if module.path.name == "__init__.py" and ast.get_docstring(module.tree)
    }
    assert {path.relative_to(ROOT) for path in folders - say} == {
        Path("api/migrations"),
        Path("api/migrations/versions"),
    }


def test_module_names_say_what_they_hold() -> None:
    empty = {"utils", "helpers", "common", "base", "misc", "util"}
    assert not [name for name in MODULES if name.rpartition(".")[2] in empty]
