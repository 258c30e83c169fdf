from __future__ import annotations

import asyncio
import contextlib
import logging

from api.http.refusals import RefusalCounts


def test_any_number_of_refusals_is_one_line_with_the_counts_by_kind_and_the_busiest_addresses(caplog) -> None:
    counts = RefusalCounts()
    for number in range(1000):
        counts.note("no valid token", f"192.0.2.{number % 5}" if number % 2 else "192.0.2.9")
    counts.note("head too long")
    with caplog.at_level(logging.WARNING):
        counts.log_and_reset()
        counts.log_and_reset()
    assert [record.getMessage() for record in caplog.records] == [
        "refused in the last minute: 1000 × no valid token, 1 × head too long; "
        "most from 192.0.2.9 (500), 192.0.2.1 (100), 192.0.2.3 (100)"
    ]
    assert counts.in_all() == {"no valid token": 1000, "head too long": 1}


def test_kinds_and_addresses_are_bounded(caplog) -> None:
    counts = RefusalCounts()
    for number in range(30_000):
        counts.note(f"kind {number}", f"address {number}")
    with caplog.at_level(logging.WARNING):
        counts.log_and_reset()
    assert len(caplog.text) < 2000
    assert sum(counts.in_all().values()) == 30_000


def test_what_was_counted_is_logged_when_the_receiver_ends(caplog) -> None:
    async def run() -> None:
        counts = RefusalCounts()
        logging = asyncio.create_task(counts.log_for_ever())
        await asyncio.sleep(0)
        counts.note("no valid token")
        logging.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await logging

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert "1 × no valid token" in caplog.text
