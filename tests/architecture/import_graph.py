"""Reads which module imports which, from the source text alone: nothing is imported or run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

NOT_SOURCES = {"tests", "docs", "build", "dist", "deploy", "node_modules"}

When = Literal["load", "call", "typing"]


@dataclass(frozen=True)
class Import:
    """One name that one module imports."""

    importer: str
    """The importing module's dotted name."""
    imported: str
    """What it imports: a module of the tree where there is one, otherwise the dotted name as written."""
    when: When
    """`load`: with the module; `call`: inside a function; `typing`: under `if TYPE_CHECKING`, never at run time."""
    line: int
    relative: bool
    """Whether it is written with leading dots."""


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    """Its dotted name, such as `transfer.wire.chunks`; a package's is its folder's."""
    path: Path
    tree: ast.Module
    lines: int
    """The number of its lines, blank ones included."""

    @property
    def folder(self) -> str:
        """The dotted name of the folder it stands in; empty for a file beside the packages."""
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]


def read_modules(root: Path) -> dict[str, Module]:
    """Read every source file of a checkout, by dotted name.

    Parameters
    ----------
    root
        A checkout: its packages are the folders with an `__init__.py`, here or in `src/`; tests are left out.
    """
    base = root / "src" if (root / "src").is_dir() else root
    packages = [path.parent for path in base.glob("*/__init__.py") if path.parent.name not in NOT_SOURCES]
    beside = [path for path in base.glob("*.py") if path.name not in {"setup.py", "conftest.py"}]
    files = [*beside, *(path for package in packages for path in package.rglob("*.py"))]
    found = {}
    for path in sorted(files):
        inside = path.relative_to(base)
        if NOT_SOURCES & set(inside.parts):
            continue
        parts = inside.parent.parts if path.name == "__init__.py" else inside.with_suffix("").parts
        text = path.read_text("utf-8")
        found[".".join(parts)] = Module(".".join(parts), path, ast.parse(text), len(text.splitlines()))
    return found


def imports_of(module: Module, known: Iterable[str]) -> list[Import]:
    """Return what a module imports, wherever in the file it does so.

    Parameters
    ----------
    module
        The importing module.
    known
        The tree's modules: `from a.b import c` imports the module `a.b.c` if there is one, otherwise `a.b`.
    """
    modules = set(known)
    return [
        Import(module.name, name, when, node.lineno, relative=bool(getattr(node, "level", 0)))
        for node, when in _statements(module.tree, "load")
        for name in dict.fromkeys(_imported(node, module, modules))
        if name != module.name
    ]


def all_imports(modules: dict[str, Module]) -> list[Import]:
    """Return every import of a tree."""
    return [found for module in modules.values() for found in imports_of(module, modules)]


def circles(imports: Iterable[Import], kinds: Iterable[When] = ("load", "call", "typing")) -> list[list[str]]:
    """Return the groups of modules that import each other, directly or through others.

    Parameters
    ----------
    imports
        What imports what.
    kinds
        Which imports count.

    Returns
    -------
    list of list of str
        The strongly connected components of two modules or more, each sorted, largest first.
    """
    wanted = set(kinds)
    graph: dict[str, set[str]] = {}
    for found in imports:
        if found.when in wanted:
            graph.setdefault(found.importer, set()).add(found.imported)
            graph.setdefault(found.imported, set())
    groups = [sorted(group) for group in _components(graph) if len(group) > 1]
    return sorted(groups, key=lambda group: (-len(group), group))


def _statements(tree: ast.AST, when: When) -> Iterator[tuple[ast.Import | ast.ImportFrom, When]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, when
        elif isinstance(node, ast.If) and _is_type_checking(node.test):
            for inner in node.body:
                yield from _statements(ast.Module([inner], []), "typing")
            for inner in node.orelse:
                yield from _statements(ast.Module([inner], []), when)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and when == "load":
            yield from _statements(node, "call")
        else:
            yield from _statements(node, when)


def _is_type_checking(test: ast.expr) -> bool:
    return getattr(test, "id", "") == "TYPE_CHECKING" or getattr(test, "attr", "") == "TYPE_CHECKING"


def _imported(node: ast.Import | ast.ImportFrom, module: Module, modules: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    start = node.module or ""
    if node.level:  # relative: dots count folders upwards from the file's own
        above = module.folder.split(".")[: len(module.folder.split(".")) - node.level + 1]
        start = ".".join([*above, *([node.module] if node.module else [])])
    for alias in node.names:
        inner = f"{start}.{alias.name}"
        yield inner if inner in modules else start


def _components(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components, by Kosaraju's two passes, without recursion."""
    order: list[str] = []
    seen: set[str] = set()
    for start, targets in graph.items():
        path = [(start, iter(targets))] if start not in seen else []
        seen.add(start)
        while path:
            node, following = path[-1]
            fresh = next((name for name in following if name not in seen), None)
            if fresh is None:
                order.append(node)
                path.pop()
            else:
                seen.add(fresh)
                path.append((fresh, iter(graph[fresh])))
    backwards: dict[str, set[str]] = {node: set() for node in graph}
    for node, following in graph.items():
        for name in following:
            backwards[name].add(node)
    left, groups = set(graph), []
    for node in reversed(order):
        group, todo = [], [node]
        while todo:
            name = todo.pop()
            if name in left:
                left.discard(name)
                group.append(name)
                todo += backwards[name]
        if group:
            groups.append(group)
    return groups
