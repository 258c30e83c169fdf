"""When an agent may work, and when it waits for another one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from agents.journal.journal import Journal
from agents.sending.lease import LEASE_TROUBLE, SessionLease
from transfer.wire.agent_status import LEASE_S, Lease, LeaseWish

GRANTED = Lease(granted=True)
REFUSED = Lease(granted=False, agent=UUID(int=7), host="k3-pc", since=datetime(2026, 11, 28, tzinfo=UTC))


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path)
    yield journal
    journal.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lease(journal: Journal, clock: Clock) -> SessionLease:
    return SessionLease(journal, clock=clock)


def test_nothing_is_done_before_the_first_report_ended(lease: SessionLease) -> None:
    assert (lease.may_work, lease.is_waiting) == (False, False)
    lease.answered(GRANTED)
    assert (lease.may_work, lease.is_waiting) == (True, False)


def test_with_the_link_down_nobody_waits(lease: SessionLease) -> None:
    lease.unanswered()
    assert lease.may_work


def test_a_receiver_that_knows_no_leases_lets_everybody_work(lease: SessionLease) -> None:
    lease.answered(None)
    assert lease.may_work


def test_a_refused_agent_says_for_whom_it_waits(lease: SessionLease, journal: Journal) -> None:
    lease.answered(REFUSED)
    assert (lease.may_work, lease.is_waiting) == (False, True)
    said = journal.about(LEASE_TROUBLE) or ""
    assert str(UUID(int=7)) in said
    assert "host k3-pc since 2026-11-28 00:00:00 UTC" in said
    lease.answered(GRANTED)
    assert lease.may_work
    assert journal.about(LEASE_TROUBLE) is None


def test_a_refused_agent_waits_on_while_the_receiver_is_silent_for_a_short_time(
    lease: SessionLease, journal: Journal, clock: Clock
) -> None:
    lease.answered(REFUSED)
    clock.now_s = LEASE_S - 1
    lease.unanswered()
    assert lease.is_waiting
    clock.now_s = LEASE_S
    lease.unanswered()
    assert lease.may_work
    assert journal.about(LEASE_TROUBLE) is None


def test_an_agent_that_loses_the_lease_waits(lease: SessionLease) -> None:
    lease.answered(GRANTED)
    lease.answered(REFUSED)
    assert lease.is_waiting


def test_the_session_is_taken_over_only_once(journal: Journal) -> None:
    lease = SessionLease(journal, LeaseWish.TAKE_OVER)
    assert lease.wish() is LeaseWish.TAKE_OVER
    lease.unanswered()
    assert lease.wish() is LeaseWish.TAKE_OVER
    lease.answered(GRANTED)
    assert lease.wish() is LeaseWish.SINGLE


def test_an_agent_beside_others_stays_beside_them(journal: Journal) -> None:
    lease = SessionLease(journal, LeaseWish.BESIDE)
    lease.answered(GRANTED)
    assert lease.wish() is LeaseWish.BESIDE


def test_what_an_agent_noted_that_was_killed_while_it_waited_is_forgotten(journal: Journal) -> None:
    SessionLease(journal).answered(REFUSED)
    SessionLease(journal)
    assert journal.about(LEASE_TROUBLE) is None
