"""How much the receiver keeps of agents: so many of a session, so many requests to each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, update

from api.database.tables import agent_requests, agents
from api.routes.agents import MAX_AGENTS, MAX_CONFIRMED_REQUESTS, SILENT
from transfer.client import ReceiverClient
from transfer.wire.agent_status import MAX_OPEN_REQUESTS, AgentStatus, Confirmation, RequestOutcome
from transfer.wire.errors import LimitReached

STATUS = AgentStatus(host="scope-3", version="0.1", started_at=datetime(2026, 5, 4, tzinfo=UTC))


@pytest.fixture
def client(receiver):
    """Return a client with an agent's token for session s1, which is started."""
    with ReceiverClient(receiver.url, receiver.token("agent", "s1")) as client:
        client.open_session("s1")
        yield client


def count(receiver, table: Any) -> int:
    with receiver.app.state.receiver.database.read() as connection:
        found: int = connection.scalar(select(func.count()).select_from(table))
        return found


def silence(receiver, agent: UUID, since: timedelta) -> None:
    """Make the receiver believe that an agent reported that long ago."""
    with receiver.app.state.receiver.database.write() as connection:
        long_ago = datetime.now(UTC) - since
        connection.execute(update(agents).where(agents.c.agent == agent).values(reported_at=long_ago))


def test_so_many_agents_and_a_silent_one_makes_room(receiver, client, wire_to) -> None:
    known = [uuid4() for _ in range(MAX_AGENTS)]
    for agent in known:
        client.report_status("s1", agent, STATUS)
    with pytest.raises(LimitReached, match=str(MAX_AGENTS)):
        client.report_status("s1", uuid4(), STATUS)
    client.report_status("s1", known[3], STATUS)  # those that are known go on
    admin = wire_to(receiver, "admin", None).http
    assert admin.post(f"/v1/sessions/s1/agents/{known[5]}/requests", json={"kind": "pause"}).status_code == 201
    silence(receiver, known[4], SILENT / 2)
    silence(receiver, known[5], SILENT * 1.5)
    silence(receiver, known[6], SILENT * 1.2)
    newcomer = uuid4()
    client.report_status("s1", newcomer, STATUS)
    listed = {UUID(one["agent"]) for one in admin.get("/v1/sessions/s1/agents").json()["agents"]}
    assert listed == {*known, newcomer} - {known[5]}
    assert count(receiver, agent_requests) == 0  # its requests went with it


def test_other_sessions_have_agents_of_their_own(receiver, client, wire_to) -> None:
    for _ in range(MAX_AGENTS):
        client.report_status("s1", uuid4(), STATUS)
    admin = wire_to(receiver, "admin", None).http
    admin.put("/v1/sessions/s2")
    answer = admin.put(f"/v1/sessions/s2/agents/{uuid4()}", json=STATUS.model_dump(mode="json"))
    assert answer.status_code == 200


def test_so_many_open_requests(receiver, client, wire_to) -> None:
    agent, admin = uuid4(), wire_to(receiver, "admin", None).http
    client.report_status("s1", agent, STATUS)

    def ask() -> Any:
        return admin.post(
            f"/v1/sessions/s1/agents/{agent}/requests", json={"kind": "retry", "exposure_id": str(uuid4())}
        )

    assert [ask().status_code for _ in range(MAX_OPEN_REQUESTS)] == [201] * MAX_OPEN_REQUESTS
    refused = ask()
    assert refused.status_code == 409
    assert refused.json()["type"].endswith("limit-reached")
    asked = client.report_status("s1", agent, STATUS).requests
    assert len(asked) == MAX_OPEN_REQUESTS
    done = [Confirmation(id=one.id, outcome=RequestOutcome.DONE) for one in asked]
    client.report_status("s1", agent, STATUS.model_copy(update={"confirmed": tuple(done)}))
    assert ask().status_code == 201
    assert count(receiver, agent_requests) == MAX_CONFIRMED_REQUESTS + 1  # the oldest are forgotten
