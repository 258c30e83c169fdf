"""What the import graph and the report find in made-up trees."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from import_graph import Import, all_imports, circles, read_modules
from report import broad_catches, report


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_finds_imports_wherever_they_stand(tmp_path: Path) -> None:
    files = {
        "a/__init__.py": "",
        "a/b.py": "import os.path\nfrom a import c\nfrom a.c import value\n",
        "a/c.py": "def f():\n    from a.d import g\n    class Inner:\n        import json\nvalue = 1\n",
        "a/d.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a.b\nelse:\n    import sys\ng = 1\n",
        "tests/a.py": "import a.b",
    }
    write(tmp_path, files)
    found = {(one.importer, one.imported, one.when) for one in all_imports(read_modules(tmp_path))}
    assert found == {
        ("a.b", "os.path", "load"),
        ("a.b", "a.c", "load"),
        ("a.c", "a.d", "call"),
        ("a.c", "json", "call"),
        ("a.d", "typing", "load"),
        ("a.d", "a.b", "typing"),
        ("a.d", "sys", "load"),
    }


def test_finds_relative_imports(tmp_path: Path) -> None:
    files = {
        "a/__init__.py": "",
        "a/x.py": "",
        "a/inner/__init__.py": "from . import y",
        "a/inner/y.py": "from ..x import z",
    }
    write(tmp_path, files)
    found = {(one.importer, one.imported, one.relative) for one in all_imports(read_modules(tmp_path))}
    assert found == {("a.inner", "a.inner.y", True), ("a.inner.y", "a.x", True)}


def imports(*pairs: str) -> list[Import]:
    """Return imports from `"a b"`, a imports b, and `"a b typing"`."""
    found = []
    for pair in pairs:
        importer, imported, *when = pair.split()
        found.append(Import(importer, imported, when[0] if when else "load", 1, relative=False))
    return found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        (["a b", "b c", "a c"], []),
        (["a b", "b a"], [["a", "b"]]),
        (["a b", "b c", "c d", "d b", "d e"], [["b", "c", "d"]]),
        (["z y", "y z", "a b", "b c", "c a"], [["a", "b", "c"], ["y", "z"]]),
        (["a b", "b a call"], [["a", "b"]]),
        (["a b", "b a typing"], [["a", "b"]]),
    ],
)
def test_finds_circles(given: list[str], expected: list[list[str]]) -> None:
    assert circles(imports(*given)) == expected


def test_leaves_out_imports_for_types_on_request() -> None:
    found = imports("a b", "b a typing", "c d", "d c call")
    assert circles(found, ("load", "call")) == [["c", "d"]]
    assert circles(found, ("load",)) == []


def test_finds_a_long_chain_without_recursion() -> None:
    names = [f"m{number}" for number in range(5000)]
    chain = [f"{one} {other}" for one, other in pairwise(names)]
    assert circles(imports(*chain)) == []
    assert circles(imports(*chain, "m4999 m0")) == [sorted(names)]


def test_finds_broad_catches(tmp_path: Path) -> None:
    text = "try:\n    pass\nexcept {}:\n    pass\n"
    write(tmp_path, {f"{name}.py": text.format(kind) for name, kind in [("a", "Exception"), ("b", "OSError")]})
    write(tmp_path, {f"{name}.py": text.format(kind) for name, kind in [("c", ""), ("d", "(OSError, BaseException)")]})
    found = {name: broad_catches(module) for name, module in read_modules(tmp_path).items()}
    assert found == {"a": [3], "b": [], "c": [3], "d": [3]}


def test_the_report_names_what_it_counts(tmp_path: Path) -> None:
    method = '    def f(self):\n        """Eff."""\n        return (\n            1\n        )\n'
    files = {
        "a/__init__.py": '"""A."""\n',
        "a/b.py": f'from a.c import C\nclass B:\n    """Bee."""\n{method}',
        "a/c.py": '"""C."""\nfrom a import b\nclass C:\n    pass\nclass _B:\n    class B:\n        pass\n',
    }
    write(tmp_path, files)
    said: list[str] = []
    report(tmp_path, said.append)
    text = "\n".join(said)
    assert "     3  a\n" in text
    assert "without its docstring: 1, median 3, 95th percentile 3; the longest\n     3  a.b.f\n" in text
    assert "public names with a docstring: 4 of 6, 66.7 %" in text
    assert "with imports for types alone: 1\n  a.b <-> a.c\n" in text
    assert "  B: a.b, a.c" in text
