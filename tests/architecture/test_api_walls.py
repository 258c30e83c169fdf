"""Only the app imports the receiver's routes; walls.toml says for all other parts which may import which."""

from __future__ import annotations

from pathlib import Path

from import_graph import all_imports, read_modules

ROUTES = "api.routes"


def test_only_the_app_imports_the_routes() -> None:
    imports = [one for one in all_imports(read_modules(Path(__file__).parents[2])) if one.when != "typing"]
    assert {
        one.importer
        for one in imports
        if one.importer.split(".")[0] == "api"
        and one.imported.startswith(ROUTES)
        and not one.importer.startswith(ROUTES)
    } == {"api.app"}
