from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def load(name: str, path: Path) -> Any:
    """Import a file of the tests by its path."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Any]:
    """A receiver's data folder with one session."""
    made = load("registrars_publisher", Path(__file__).with_name("publisher.py")).Publisher(tmp_path / "data")
    yield made
    made.database.close()
