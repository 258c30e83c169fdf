from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.registrars.conftest import load


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Any]:
    """A receiver's data folder with one session, registered for RELION."""
    path = Path(__file__).parents[1] / "registrars" / "publisher.py"
    made = load("registrars_publisher", path).Publisher(tmp_path / "data", registrars=("relion",))
    yield made
    made.database.close()
