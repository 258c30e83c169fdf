"""How much of each body is kept in memory."""

from __future__ import annotations

from contextlib import ExitStack

from api.intake.batches import ALL_BYTES, LEAST_BYTES, MOST_BYTES, Batches


def test_all_bodies_share_the_memory_for_batches() -> None:
    batches = Batches()
    assert batches.batch_bytes == MOST_BYTES
    with ExitStack() as bodies:
        for count in range(1, 201):
            bodies.enter_context(batches.body())
            assert count * batches.batch_bytes <= ALL_BYTES
        for _ in range(1000):
            bodies.enter_context(batches.body())
        assert batches.batch_bytes == LEAST_BYTES
    assert batches.batch_bytes == MOST_BYTES
