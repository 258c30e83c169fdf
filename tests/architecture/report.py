"""Prints how a checkout is arranged: `python tests/architecture/report.py [FOLDER]`, or `make structure`.

Needs Python alone, and reads any checkout, so that two states of a tree can be compared.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from import_graph import Module, all_imports, circles, read_modules

Function = ast.FunctionDef | ast.AsyncFunctionDef
BROAD = {"Exception", "BaseException"}


def body_lines(node: Function) -> int:
    """Return the lines from a function's first statement to its last, without its docstring."""
    statements = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    return (statements[-1].end_lineno or 0) - statements[0].lineno + 1 if statements else 0


def functions(module: Module) -> Iterator[Function]:
    """Return a module's functions, methods and inner functions."""
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def public_names(module: Module) -> Iterator[tuple[str, bool]]:
    """Return each public class, function and method, and whether it has a docstring; the module's own among them."""
    yield module.name, ast.get_docstring(module.tree) is not None

    def of(tree: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, bool]]:
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
                name = f"{prefix}.{node.name}"
                yield name, ast.get_docstring(node) is not None
                if isinstance(node, ast.ClassDef):
                    yield from of(node, name)

    yield from of(module.tree, module.name)


def broad_catches(module: Module) -> list[int]:
    """Return the lines of a module that catch every exception."""
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(kind is None or getattr(kind, "id", "") in BROAD for kind in caught):
                found.append(node.lineno)
    return found


def classes_named_twice(modules: dict[str, Module]) -> dict[str, list[str]]:
    """Return the names that several classes of the tree have, and the modules of these."""
    found: dict[str, list[str]] = defaultdict(list)
    for module in modules.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(module.name)
    return {name: places for name, places in sorted(found.items()) if len(places) > 1}


def report(root: Path, say: Callable[[str], object] = print) -> None:
    """Print a checkout's measures."""
    modules = read_modules(root)
    say(f"{root.resolve()}: {len(modules)} modules")
    _folders(modules, say)
    _lengths(modules, say)
    _documented(modules, say)
    _tangles(modules, say)


def _folders(modules: dict[str, Module], say: Callable[[str], object]) -> None:
    counts = Counter(module.folder.replace(".", "/") or "(beside the packages)" for module in modules.values())
    say("\nmodules in each folder (those of folders inside it not counted)")
    for folder, count in sorted(counts.items()):
        say(f"  {count:4}  {folder}")


def _lengths(modules: dict[str, Module], say: Callable[[str], object]) -> None:
    say("")
    _lines("lines of a module", [(module.lines, module.name) for module in modules.values()], say)
    found = [
        (body_lines(node), f"{module.name}.{node.name}") for module in modules.values() for node in functions(module)
    ]
    _lines("lines of a function's body, without its docstring", found, say)


def _lines(title: str, found: list[tuple[int, str]], say: Callable[[str], object]) -> None:
    found = sorted(found, reverse=True)
    counts = [count for count, _ in found]
    p95 = counts[len(counts) // 20]
    say(f"{title}: {len(counts)}, median {statistics.median(counts):.0f}, 95th percentile {p95}; the longest")
    for count, name in found[:5]:
        say(f"  {count:4}  {name}")


def _documented(modules: dict[str, Module], say: Callable[[str], object]) -> None:
    public = [documented for module in modules.values() for _, documented in public_names(module)]
    say(f"\npublic names with a docstring: {sum(public)} of {len(public)}, {100 * sum(public) / len(public):.1f} %")


def _tangles(modules: dict[str, Module], say: Callable[[str], object]) -> None:
    imports = all_imports(modules)
    own = [found for found in imports if found.imported in modules]
    say(f"\nimports between modules: {len({(found.importer, found.imported) for found in own})}")
    for title, groups in (
        ("circles, with imports for types alone", circles(own)),
        ("circles at run time, with imports inside functions", circles(own, ("load", "call"))),
        ("circles while modules load", circles(own, ("load",))),
    ):
        say(f"{title}: {len(groups)}")
        for group in groups:
            say(f"  {' <-> '.join(group)}")
    catches = {module.name: lines for module in modules.values() if (lines := broad_catches(module))}
    say(f"\nbroad catches: {sum(map(len, catches.values()))}")
    for name, lines in catches.items():
        say(f"  {name}, line {', '.join(map(str, lines))}")
    twice = classes_named_twice(modules)
    say(f"class names that occur more than once: {len(twice)}")
    for name, places in twice.items():
        say(f"  {name}: {', '.join(places)}")


if __name__ == "__main__":
    said: list[str] = []
    report(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2], said.append)
    sys.stdout.write("\n".join([*said, ""]))
