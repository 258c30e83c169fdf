"""No two classes share a name, so that a name in a message, a log or a search means one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from import_graph import Module, read_modules

ROOT = Path(__file__).parents[2]


def shared_class_names(modules: Iterable[Module]) -> dict[str, list[str]]:
    """Return the names that several classes have, nested ones included, each with the modules of these classes."""
    places: dict[str, list[str]] = defaultdict(list)
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                places[node.name.lstrip("_")].append(module.name)
    return {name: found for name, found in sorted(places.items()) if len(found) > 1}


def module(name: str, source: str) -> Module:
    return Module(name, Path(f"{name}.py"), ast.parse(source), 1)


def test_no_two_classes_share_a_name() -> None:
    assert shared_class_names(read_modules(ROOT).values()) == {}


def test_a_shared_name_is_found_wherever_its_classes_stand() -> None:
    modules = [
        module("one", "class Twice: ...\nclass Once: ..."),
        module("two", "def make():\n    class Twice: ..."),
        module("three", "class _Twice:\n    class Inner: ..."),
    ]
    assert shared_class_names(modules) == {"Twice": ["one", "two", "three"]}
