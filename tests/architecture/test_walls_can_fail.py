"""That the checks of the walls find a fault: a made-up tree, with one fault in each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from import_graph import Import, Module, all_imports, circles, read_modules
from walls import Walls

WALLS = Walls(
    may_import={"low.errors": [], "low.wire": ["low.errors"], "high.shop": ["low.wire"]},
    only_in={"cupy": ["low.wire.device"], "typer": []},
)
GOOD = {
    "low/__init__.py": "",
    "low/errors.py": "",
    "low/wire/__init__.py": "from low.wire import chunks",
    "low/wire/chunks.py": "from low.errors import Broken",
    "low/wire/device.py": "import cupy",
    "high/__init__.py": "",
    "high/shop/__init__.py": "",
    "high/shop/sale.py": "import os\nfrom low.wire.chunks import split",
}


def tree(folder: Path, **changed: str) -> tuple[dict[str, Module], list[Import]]:
    """Write the good tree with some files changed; `low_errors` is low/errors.py."""
    for name, text in {**GOOD, **{f"{name.replace('_', '/')}.py": text for name, text in changed.items()}}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    modules = read_modules(folder)
    return modules, all_imports(modules)


def test_a_good_tree_is_permitted(tmp_path: Path) -> None:
    modules, imports = tree(tmp_path)
    assert WALLS.violations(modules, imports) == []
    assert WALLS.disorder() == []
    assert WALLS.unused(modules, imports) == []
    assert circles(imports) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"low_errors": "import high.shop.sale"}, "does not let low.errors import high.shop"),
        ({"low_errors": "def f():\n    from low.wire import chunks"}, "does not let low.errors import low.wire"),
        ({"high_shop_sale": "from low import errors"}, "does not let high.shop import low.errors"),
        ({"high_other": "import low.errors"}, "does not name high.other"),
        ({"high_shop_inner_more": "import low.wire"}, "does not name high.shop.inner"),
        ({"high_shop_sale": "import cupy.cuda"}, "permits that in low.wire.device alone"),
        ({"high_shop_sale": "from typer import Option"}, "permits that in no module alone"),
    ],
)
def test_a_violation_is_found(tmp_path: Path, changed: dict[str, str], said: str) -> None:
    found = WALLS.violations(*tree(tmp_path, **changed))
    assert len(found) == 1
    assert said in found[0]


def test_a_circle_is_found_inside_a_part(tmp_path: Path) -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from low.wire.chunks import split"
    modules, imports = tree(tmp_path, low_wire_device=text, low_wire_chunks="import low.wire.device")
    assert WALLS.violations(modules, imports) == []
    assert circles(imports) == [["low.wire.chunks", "low.wire.device"]]


def test_a_permission_to_import_what_stands_below_is_found() -> None:
    upwards = Walls({"a": ["b"], "b": ["a", "missing"]}, {})
    assert [line.split(", which")[0] for line in upwards.disorder()] == ["a may import b", "b may import missing"]


def test_a_permission_without_an_import_is_found(tmp_path: Path) -> None:
    found = WALLS.unused(*tree(tmp_path, high_shop_sale=""))
    assert found == ["walls.toml lets high.shop import low.wire, which it does not"]
    more = Walls({**WALLS.may_import, "high.cellar": []}, {})
    assert "walls.toml names high.cellar, which is not there" in more.unused(*tree(tmp_path))
