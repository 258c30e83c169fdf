"""An agent that stops to report without its farewell is noticed once, by one process, and so is its return."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from api.store.silent_agents import SilentAgents
from tests.contract.wire.claiming import Clock, HandAgent
from transfer.disk.locks import FileLock
from transfer.wire.agent_status import LEASE_S

STEP = timedelta(seconds=LEASE_S / 4)


@pytest.fixture
def clock(receiver) -> Clock:
    receiver.app.state.receiver.clock = Clock()
    clock: Clock = receiver.app.state.receiver.clock
    return clock


@pytest.fixture
def agent(wire) -> HandAgent:
    return HandAgent(wire.http)


@pytest.fixture
def make_silent_agents(receiver) -> Iterator[Any]:
    made: list[SilentAgents] = []

    def make() -> SilentAgents:
        made.append(SilentAgents(receiver.app.state.receiver.database, FileLock(receiver.data / "test.lock")))
        return made[-1]

    yield make
    for one in made:
        one.close()


def watched(found: SilentAgents, clock: Clock, steps: int, *reporting: HandAgent) -> list[tuple[Any, bool]]:
    """Look every 15 s, and return which agents are silent (False) or back (True)."""
    news = []
    for _ in range(steps):
        for agent in reporting:
            agent.report("single")
        news += found.look(clock.moment)
        clock.pass_by(STEP)
    return [(one.agent, one.is_back) for one in news]


def test_silence_and_return_are_told_once_each(clock, agent, make_silent_agents) -> None:
    found = make_silent_agents()
    assert watched(found, clock, 8, agent) == []
    last = clock.moment - STEP
    assert watched(found, clock, 20) == [(agent.agent, False)]
    agent.report("single", host="scope-9")
    (back,) = found.look(clock.moment)
    assert (back.session, back.host, back.is_back, back.since) == ("s1", "scope-9", True, last)
    assert watched(found, clock, 8, agent) == []


def test_an_agent_that_ended_is_not_silent(clock, agent, make_silent_agents) -> None:
    found = make_silent_agents()
    watched(found, clock, 8, agent)
    agent.report("release")
    assert watched(found, clock, 20) == []


def test_nobody_is_silent_because_the_receiver_was_away(clock, agent, make_silent_agents) -> None:
    found = make_silent_agents()
    watched(found, clock, 2, agent)
    clock.pass_by(STEP * 40)  # it was suspended
    assert watched(found, clock, 4) == []
    assert watched(found, clock, 20, agent) == []
    clock.pass_by(-STEP * 40)  # somebody sets its clock
    assert watched(found, clock, 8, agent) == []


def test_one_process_tells_it_and_another_goes_on_when_it_ends(clock, agent, make_silent_agents) -> None:
    found, other = make_silent_agents(), make_silent_agents()
    assert watched(found, clock, 8, agent) == []
    assert watched(other, clock, 8) == []
    assert watched(found, clock, 1) == []  # it was away itself
    found.close()
    assert watched(other, clock, 20) == [(agent.agent, False)]


def test_one_that_was_given_up_long_ago_is_not_told_at_each_start(clock, agent, make_silent_agents) -> None:
    watched(make_silent_agents(), clock, 1, agent)
    clock.pass_by(timedelta(days=2))
    agent.agent = uuid4()
    assert watched(make_silent_agents(), clock, 20) == []
