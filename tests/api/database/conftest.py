from __future__ import annotations

import pytest

from api.database.engine import Database
from api.database.migrate import upgrade


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'x.sqlite'}")
    upgrade(database, tmp_path)
    yield database
    database.close()
