"""What uvicorn is told."""

from __future__ import annotations

import uvicorn

from api.server import Address, _options


def test_a_worker_that_starts_slowly_is_not_taken_for_one_that_hangs() -> None:
    """uvicorn kills a worker that does not answer for 5 s; on a busy machine some need longer to start."""
    config = uvicorn.Config("x", **_options(Address(), "auto"))  # type: ignore[arg-type]  # options by name
    assert config.timeout_worker_healthcheck >= 30
