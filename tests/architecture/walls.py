"""Compares what modules import with what walls.toml permits."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from import_graph import Import, Module

TABLE = Path(__file__).with_name("walls.toml")


@dataclass(frozen=True)
class Walls:
    """What may import what, by parts of the tree: folders and single modules."""

    may_import: dict[str, list[str]]
    """For each part the parts that it may import; itself always."""
    only_in: dict[str, list[str]]
    """For a library the modules and folders, with all inside them, that may import it."""

    def part_of(self, module: Module) -> str:
        """Return the part that a module belongs to: itself if the table names it, otherwise its folder."""
        loose = "." not in module.folder and module.path.name != "__init__.py"
        return module.name if module.name in self.may_import or loose else module.folder

    def violations(self, modules: dict[str, Module], imports: Iterable[Import]) -> list[str]:
        """Return a sentence for each import that the table does not permit."""
        found = []
        for one in imports:
            importer = modules[one.importer]
            here = f"{importer.path.name}, line {one.line}: {one.importer} imports {one.imported}"
            if one.imported in modules:
                start, end = self.part_of(importer), self.part_of(modules[one.imported])
                if start not in self.may_import:
                    found.append(f"{here}; walls.toml does not name {start}: add it, with what it may import")
                elif end != start and end not in self.may_import[start]:
                    found.append(f"{here}; walls.toml does not let {start} import {end}")
            else:
                places = self.only_in.get(one.imported.split(".")[0])
                if places is not None and not any(_is_inside(one.importer, place) for place in places):
                    found.append(f"{here}; walls.toml permits that in {', '.join(places) or 'no module'} alone")
        return found

    def disorder(self) -> list[str]:
        """Return a sentence for each permission that names a part further down in the table.

        Where there is none, parts form no circle: each imports only what stands above it.
        """
        order = {part: place for place, part in enumerate(self.may_import)}
        return [
            f"{part} may import {other}, which stands below it in walls.toml or not at all"
            for part, others in self.may_import.items()
            for other in others
            if order.get(other, len(order)) >= order[part]
        ]

    def unused(self, modules: dict[str, Module], imports: Iterable[Import]) -> list[str]:
        """Return a sentence for each permission that no module uses, and each part that is not there."""
        parts = {self.part_of(module) for module in modules.values()}
        used = {
            (self.part_of(modules[one.importer]), self.part_of(modules[one.imported]))
            for one in imports
            if one.imported in modules
        }
        missing = [f"walls.toml names {part}, which is not there" for part in self.may_import if part not in parts]
        return missing + [
            f"walls.toml lets {part} import {other}, which it does not"
            for part, others in self.may_import.items()
            for other in others
            if part in parts and (part, other) not in used
        ]


def read_walls(path: Path = TABLE) -> Walls:
    """Read the table."""
    table = tomllib.loads(path.read_text("utf-8"))
    return Walls(table["may_import"], table["only_in"])


def _is_inside(module: str, place: str) -> bool:
    return module == place or module.startswith(f"{place}.")
