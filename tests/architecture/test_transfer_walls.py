"""What the commands of `transfer` load for their help, and which libraries the wire's contract needs."""

from __future__ import annotations

import sys
from pathlib import Path

from import_graph import all_imports, read_modules

IMPORTS = [one for one in all_imports(read_modules(Path(__file__).parents[2])) if one.importer.startswith("transfer.")]
AT_START = {"wire", "defaults", "commands", "terminal"}
"""What a module loads whose command shows its help; a call loads those in BY_A_CALL."""
BY_A_CALL = ("_run", ".planned_files", ".folder_walk")


def part_of(module: str) -> str:
    return module.split(".")[1]


def test_help_loads_no_part_that_sends() -> None:
    loaded = {
        (one.importer, part_of(one.imported))
        for one in IMPORTS
        if part_of(one.importer) == "commands" and one.when == "load" and one.imported.startswith("transfer.")
        if not one.importer.endswith(BY_A_CALL)
    }
    assert {(importer, part) for importer, part in loaded if part not in AT_START} == set()


def test_the_contract_needs_only_pydantic_and_blake3() -> None:
    outside = {one.imported.partition(".")[0] for one in IMPORTS if part_of(one.importer) == "wire"}
    assert outside - set(sys.stdlib_module_names) <= {"transfer", "pydantic", "pydantic_core", "blake3"}
