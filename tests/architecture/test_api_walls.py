"""Which part of the receiver may import which: from the routes down to the database, never back up."""

from __future__ import annotations

from pathlib import Path

import pytest
from import_graph import all_imports, read_modules

ROOT = Path(__file__).parents[2]
MODULES = read_modules(ROOT)
IMPORTS = [one for one in all_imports(MODULES) if one.importer.split(".")[0] == "api" and one.when != "typing"]

MAY_IMPORT = {
    "defaults": set(),
    "errors": set(),
    "once_a_run": set(),
    "http": {"once_a_run"},
    "database": {"errors"},
    "migrations": {"database"},
    "registrars": {"database", "defaults"},
    "store": {"database", "errors"},
    "intake": {"store", "http", "defaults"},
    "checking": {"intake", "store", "database"},
    "settings": {"registrars", "defaults"},
    "start_lines": {"settings", "database", "http"},
    "receiver": {"checking", "settings", "registrars", "intake", "store", "database"},
    "access": {"receiver", "database", "http"},
    "routes": {"checking", "receiver", "access", "intake", "store", "database", "http"},
    "app": {
        *("routes", "receiver", "start_lines", "settings", "access", "store", "database", "http", "once_a_run"),
        "errors",
    },
    "server": {"app", "store", "database", "start_lines", "settings", "intake", "http", "errors", "defaults"},
    "commands": {"checking", "server", "settings", "registrars", "access", "store", "database", "errors", "defaults"},
}
"""For each part of `api`, the lower parts that it may import. The order is from the bottom to the top."""


def part_of(module: str) -> str:
    """Return the folder or file of `api` that a module belongs to; empty for `api` itself."""
    return module.split(".")[1] if "." in module else ""


def imported_parts(part: str) -> set[str]:
    own = {one.imported for one in IMPORTS if part_of(one.importer) == part}
    return {part_of(name) for name in own if name.split(".")[0] == "api"} - {part, ""}


def test_every_part_has_its_place() -> None:
    assert {part_of(name) for name in MODULES if name.split(".")[0] == "api"} - {""} == set(MAY_IMPORT)


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_a_part_imports_lower_parts_alone(part: str) -> None:
    assert imported_parts(part) <= MAY_IMPORT[part]


def test_the_order_has_no_circle() -> None:
    """A part may import only parts that stand before it in the table."""
    order = list(MAY_IMPORT)
    assert not [
        (part, lower)
        for part, allowed in MAY_IMPORT.items()
        for lower in allowed
        if order.index(lower) > order.index(part)
    ]


def test_only_the_app_imports_the_routes() -> None:
    assert {
        one.importer for one in IMPORTS if one.imported.startswith("api.routes") and part_of(one.importer) != "routes"
    } == {"api.app"}
