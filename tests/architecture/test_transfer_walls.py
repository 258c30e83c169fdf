"""Which part of `transfer` may import which: each part only what stands before it in the table."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from import_graph import all_imports, read_modules

ROOT = Path(__file__).parents[2]
FILES = {"defaults", "disk", "platform", "file_digest", "source", "credentials", "client"}
MAY_IMPORT = {
    "defaults": set(),
    "disk": set(),
    "platform": set(),
    "wire": set(),
    "file_digest": {"wire", "disk"},
    "source": {"wire", "disk", "file_digest"},
    "credentials": {"wire"},
    "connections": {"wire", "disk", "platform", "source"},
    "pace": {"wire", "defaults", "connections"},
    "client": {"wire", "connections", "credentials"},
    "upload": {"wire", "defaults", "source", "connections", "pace", "client"},
    "download": {"wire", "defaults", "disk", "file_digest", "source", "pace", "client"},
}
MAY_IMPORT["commands"] = set(MAY_IMPORT) - {"platform"}
AT_START = {"wire", "defaults", "commands"}
"""What a module loads whose command shows its help; the modules `…_run` and `planned_files` are loaded by a call."""

IMPORTS = [one for one in all_imports(read_modules(ROOT)) if one.importer.startswith("transfer.")]


def part_of(module: str) -> str:
    return module.split(".")[1]


def imported_by(part: str) -> set[str]:
    """Return the parts that a part imports, wherever in a file, for type checks too."""
    named = {one.imported for one in IMPORTS if part_of(one.importer) == part and one.imported.startswith("transfer.")}
    return {part_of(name) for name in named} - {part}


def test_every_part_is_in_the_table() -> None:
    parts = {path.name for path in (ROOT / "transfer").iterdir() if path.is_dir() and path.name != "__pycache__"}
    files = {path.stem for path in (ROOT / "transfer").glob("*.py")} - {"__init__"}
    assert parts | files == set(MAY_IMPORT)
    assert files == FILES


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_a_part_imports_only_what_it_may(part: str) -> None:
    assert imported_by(part) <= MAY_IMPORT[part]


def test_the_table_has_no_circle() -> None:
    before: set[str] = set()
    for part, imported in MAY_IMPORT.items():
        assert imported <= before
        before.add(part)


def test_help_loads_no_part_that_sends() -> None:
    loaded = {
        (one.importer, part_of(one.imported))
        for one in IMPORTS
        if part_of(one.importer) == "commands" and one.when == "load" and one.imported.startswith("transfer.")
        if not one.importer.endswith(("_run", ".planned_files"))
    }
    assert {(importer, part) for importer, part in loaded if part not in AT_START} == set()


def test_the_contract_needs_only_pydantic_and_blake3() -> None:
    allowed = {"transfer", "pydantic", "blake3"}
    outside = {one.imported.partition(".")[0] for one in IMPORTS if part_of(one.importer) == "wire"}
    assert outside - set(sys.stdlib_module_names) <= allowed
