"""Leases and the receiver's state, report by report, against a real receiver."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, select, update

from api.database.tables import data_folder, leases
from tests.contract.wire.claiming import HandAgent
from transfer.wire.agent_status import LEASE_S

SILENCE = timedelta(seconds=LEASE_S + 1)
AGAIN = {"started_at": "2026-05-04T01:00:00Z"}
"""Of an agent that was started again."""


def may_work(agent: HandAgent, wish: str = "single", **more: Any) -> bool:
    granted: bool = agent.report(wish, **more)["lease"]["granted"]
    return granted


def test_an_agent_that_asks_for_none_gets_none(agent) -> None:
    assert agent.report()["lease"] is None


def test_a_second_agent_learns_who_works_and_waits_for_the_end(agent, other, clock) -> None:
    since = clock.moment
    assert may_work(agent)
    for _ in range(5):
        clock.pass_by(SILENCE / 2)
        assert may_work(agent)
        told = other.report("single", host="scope-4")["lease"]
        assert (told["granted"], told["agent"], told["host"]) == (False, str(agent.agent), "scope-3")
        assert datetime.fromisoformat(told["since"]) == since
    assert not may_work(agent, "release")
    assert may_work(other)
    assert not may_work(agent)


def test_a_silent_agent_loses_the_lease_to_the_next_one(agent, other, clock) -> None:
    assert may_work(agent)
    clock.pass_by(SILENCE)
    assert may_work(other)
    assert not may_work(agent)
    clock.pass_by(SILENCE)
    assert may_work(agent)  # now the other one is silent


def test_a_silent_agent_keeps_the_lease_if_nobody_took_it(agent, other, clock) -> None:
    assert may_work(agent)
    clock.pass_by(SILENCE)
    assert may_work(other, "beside")
    assert may_work(agent)
    clock.pass_by(-SILENCE * 100)  # somebody sets the receiver's clock
    assert may_work(agent)


def test_several_work_beside_each_other(agent, other, wire) -> None:
    assert may_work(agent)
    assert may_work(other, "beside")
    assert may_work(agent)
    assert may_work(other, "beside")
    assert not may_work(HandAgent(wire.http), "single")


def test_the_loser_learns_who_took_over(agent, other, clock) -> None:
    assert may_work(agent)
    assert may_work(other, "take-over", host="scope-4")
    for wish in ("single", "beside", "take-over"):  # they would take it in turns
        told = agent.report(wish)["lease"]
        assert (told["granted"], told["agent"], told["host"]) == (False, str(other.agent), "scope-4")
        assert may_work(other, "take-over", host="scope-4")
    events = agent.http.get("/v1/sessions/s1/events").json()["events"]
    (taken,) = [event for event in events if event["kind"] == "lease-taken-over"]
    assert taken["subject"] == str(other.agent)
    assert str(agent.agent) in taken["detail"]
    assert may_work(agent, "take-over", **AGAIN)  # a person started it again and wants it
    assert not may_work(other)
    agent.report("release")
    assert may_work(other)


def test_take_over_ends_agents_beside_too(agent, other, wire) -> None:
    third = HandAgent(wire.http)
    assert may_work(agent, "beside")
    assert may_work(other, "beside")
    assert may_work(third, "take-over")
    assert not may_work(agent, "beside")
    assert not may_work(other, "beside")
    assert may_work(agent, "beside", **AGAIN)


def test_leases_of_other_sessions_are_others(agent, wire_to, receiver) -> None:
    assert may_work(agent)
    admin = wire_to(receiver, "admin", None).http
    admin.put("/v1/sessions/s2")
    status = {"host": "x", "version": "1", "started_at": "2026-05-04T00:00:00Z", "lease": "single"}
    assert admin.put(f"/v1/sessions/s2/agents/{uuid4()}", json=status).json()["lease"]["granted"]


def test_leases_of_agents_that_never_come_back_are_removed(agent, clock, receiver, wire) -> None:
    for _ in range(5):
        assert may_work(HandAgent(wire.http), "beside")
    clock.pass_by(timedelta(days=1, seconds=1))
    assert may_work(agent, "beside")
    with receiver.app.state.receiver.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(leases)) == 1


def test_the_receivers_state(agent, receiver) -> None:
    folder_id = uuid4()
    with receiver.app.state.receiver.database.write() as connection:
        connection.execute(update(data_folder).values(folder_id=None))
    assert agent.report()["receiver"] is None
    with receiver.app.state.receiver.database.write() as connection:
        connection.execute(update(data_folder).values(folder_id=folder_id, sequence=17, losses=3))
    session = agent.http.get("/v1/sessions/s1").json()
    told = agent.report()["receiver"]
    assert UUID(told.pop("folder_id")) == folder_id
    assert told == {"sequence": 17, "losses": 3, "session_uuid": session["uuid"]}
