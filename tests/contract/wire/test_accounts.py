"""Where every exposure of a session is, as a real receiver adds it up, and what it says when something was lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, delete, select, update

from api.database.tables import (
    agents,
    claimed_exposures,
    exposure_figures,
    exposure_records,
    exposures,
    registrations,
    sessions,
)
from api.registrars import RegistrationOutcome
from api.registrars.outbox import Outbox
from api.registrars.settings import RegistrarSettings
from api.store.deletion import delete_exposure
from tests.contract.wire.claiming import Clock, HandAgent
from transfer.wire.accounting import SessionAccount
from transfer.wire.protocol import RegistrationState


class Scene:
    """A session with two agents and two registrars that register nothing by themselves."""

    def __init__(self, receiver: Any, wire: Any) -> None:
        self.receiver, self.http = receiver.app.state.receiver, wire.http
        # The outbox is for both; no thread of theirs runs.
        self.receiver.registrars.stop()
        self.clock = self.receiver.clock = Clock()
        self.first, self.second = HandAgent(wire.http), HandAgent(wire.http)
        self.outboxes = {
            name: Outbox(self.receiver.database, receiver.data, name) for name in self.receiver.registrar_names
        }

    def publish(self, *contents: str, agent: HandAgent | None = None) -> None:
        by = agent or self.first
        for content in contents:
            answer = by.claim(f"{content}.tiff", content, whole=True)
            sent = by.publish(answer, f"{content}.tiff", content, figures={"motion_total_angstrom": 5.0})
            assert sent.status_code == 201, sent.text

    def register(self, name: str, state: RegistrationState = RegistrationState.REGISTERED, most: int = 100) -> None:
        for batch in self.outboxes[name].batches(most, ()):
            self.outboxes[name].settle(
                batch, {exposure.number: RegistrationOutcome(state) for exposure in batch.exposures}
            )

    def report(self, agent: HandAgent, lease: str = "none", **account: Any) -> dict[str, Any]:
        return agent.report(lease, account=account)

    def account(self) -> SessionAccount:
        answer = self.http.get("/v1/sessions/s1")
        return SessionAccount.model_validate(answer.json()["account"])

    def change(self, *statements: Any) -> None:
        with self.receiver.database.write() as connection:
            for statement in statements:
                connection.execute(statement)


@pytest.fixture
def scene(make_receiver: Callable[..., Any], wire_to: Callable[..., Any]) -> Scene:
    receiver = make_receiver(registrars=RegistrarSettings(relion=True, scipion=None))
    wire = wire_to(receiver, "admin", None)
    wire.http.put("/v1/sessions/s1").raise_for_status()
    return Scene(receiver, wire)


def hands(waiting: int = 0, held: int = 0, failed: int = 0) -> dict[str, int]:
    return {"waiting": waiting, "held": held, "failed": failed}


def test_each_exposure_is_counted_in_one_place(scene: Scene) -> None:
    scene.publish("A", "B", "C", "D", "E")
    for content in ("F", "G", "H"):
        scene.first.claim(f"{content}.tiff", content, whole=True)
    scene.second.claim("copy-of-A.tiff", "A", whole=True)  # the receiver has it
    scene.second.claim("H2.tiff", "H", whole=True)  # the first agent works on it
    scene.register("relion", most=3)
    scene.register("relion", RegistrationState.FAILED, most=1)
    threshold = scene.http.put("/v1/sessions/s1/thresholds/motion_total_angstrom/above", json={"value": 1.0})
    threshold.raise_for_status()
    scene.http.post(
        "/v1/sessions/s1/verdicts", json={"verdicts": [{"micrograph_name": "A.mrc", "accepted": True}]}
    ).raise_for_status()
    with scene.receiver.database.read() as connection:
        deleted = connection.scalar(select(exposures.c.exposure_id).where(exposures.c.micrograph_name == "E.mrc"))
    delete_exposure(scene.receiver.database, scene.receiver.storage, "s1", deleted, "a test")
    scene.report(scene.first, sent=5, claimed=hands(1, 1, 1), unclaimed=hands(2, 1))
    scene.report(scene.second, sent=1, claimed=hands(1), unclaimed=hands(2, 1), copies=1)
    account = scene.account()
    assert account.line() == (
        "11 seen = 3 registered (1 accepted, 2 rejected) + 2 held + 2 failed + 3 waiting (3 for agents) + 1 deleted"
    )
    assert (account.adds_up, account.alarms) == (True, ())


def test_what_is_done_again_stays_where_its_published_revision_is(scene: Scene) -> None:
    scene.publish("A")
    scene.register("relion")
    assert scene.account().line().startswith("1 seen = 1 registered (1 accepted, 0 rejected)")
    again = scene.first.claim("A.tiff", "A", whole=True, reason="retry")
    assert again.revision == 2
    assert scene.account().registered == 1
    scene.first.publish(again, "A.tiff", "A").raise_for_status()
    account = scene.account()
    assert (account.seen, account.waiting_for["relion"], account.alarms) == (1, 1, ())
    scene.register("relion")
    assert scene.account().registered == 1


def test_a_claim_between_two_reports_is_not_counted_twice(scene: Scene) -> None:
    scene.report(scene.first, unclaimed=hands(3))
    assert scene.account().seen == 3
    scene.first.claim("A.tiff", "A", whole=True)
    assert (scene.account().seen, scene.account().waiting) == (3, 3)


def lose_exposure(connection: Connection) -> None:
    """Delete the rows of an exposure, as a damaged or restored database would lack them."""
    key = connection.scalar(select(exposures.c.id).limit(1))
    for table in (registrations, exposure_figures, exposure_records):
        connection.execute(delete(table).where(table.c.exposure == key))
    connection.execute(delete(exposures).where(exposures.c.id == key))


def lose_claim(connection: Connection) -> None:
    key = connection.scalar(select(claimed_exposures.c.id).limit(1))
    connection.execute(delete(claimed_exposures).where(claimed_exposures.c.id == key))


def lose_outbox_row(connection: Connection) -> None:
    key = connection.scalar(select(registrations.c.id).where(registrations.c.state == "pending").limit(1))
    connection.execute(delete(registrations).where(registrations.c.id == key))


def miscount(connection: Connection) -> None:
    connection.execute(update(sessions).values(exposure_count=sessions.c.exposure_count - 1))


@pytest.mark.parametrize(
    ("damage", "alarm"),
    [
        (lose_exposure, "2 exposures are there, and 3 were published"),
        (lose_claim, "1 exposure is in more than one of these places"),
        (lose_outbox_row, "1 exposure is not in the outbox of registrar relion"),
        (miscount, "3 exposures are there, and 2 were published"),
    ],
)
def test_what_the_database_has_lost_is_an_alarm(
    scene: Scene, damage: Callable[[Connection], None], alarm: str, caplog: pytest.LogCaptureFixture
) -> None:
    scene.publish("A", "B", "C")
    scene.register("relion", most=2)
    assert scene.account().alarms == ()
    with scene.receiver.database.write() as connection:
        damage(connection)
    with caplog.at_level(logging.ERROR, "api.store.account_alarms"):
        found = scene.account().alarms
        scene.account()
    assert any(each.startswith(alarm) for each in found), found
    assert sum(alarm in record.getMessage() for record in caplog.records) == 1  # not again at each request
    ready = scene.http.get("/readyz").json()
    assert ready["checks"]["exposures"].startswith("those of 1 session do not add up")
    assert ready["exposures_in_doubt"] == {"s1": list(found)}


def test_an_agent_that_had_sent_more_than_the_receiver_has(scene: Scene) -> None:
    scene.publish("A", "B")
    scene.report(scene.first, sent=2)
    assert not any("has sent" in alarm for alarm in scene.account().alarms)
    scene.report(scene.first, sent=3)
    (alarm,) = [alarm for alarm in scene.account().alarms if "has sent" in alarm]
    assert alarm.startswith("the agent on scope-3 has sent 3 exposures, and the receiver has only 2 of them")


def test_a_claim_that_its_agents_journal_does_not_know(scene: Scene) -> None:
    scene.first.claim("A.tiff", "A", whole=True)
    scene.report(scene.first)  # the answer may be on its way
    assert scene.account().alarms == ()
    scene.clock.pass_by(timedelta(seconds=61))
    scene.report(scene.first)
    (alarm,) = scene.account().alarms
    assert alarm.startswith("1 exposure is claimed by the agent on scope-3, whose journal does not have it")
    scene.report(scene.first, claimed=hands(1))
    assert scene.account().alarms == ()


@pytest.mark.parametrize("end", ["killed", "ended"])
def test_exposures_of_an_agent_that_works_no_more(scene: Scene, end: str) -> None:
    scene.first.claim("A.tiff", "A", whole=True)
    scene.report(scene.first, "single", claimed=hands(1), unclaimed=hands(2, 1))
    assert scene.account().alarms == ()
    if end == "ended":
        answer = scene.report(scene.first, "release", claimed=hands(1), unclaimed=hands(2, 1))
        assert answer["account"]["waiting"] == 3  # the agent's last line
    else:
        scene.clock.pass_by(timedelta(seconds=61))
    (alarm,) = scene.account().alarms
    told = "has ended" if end == "ended" else "has not reported since 2026-05-04 03:02 UTC"
    assert alarm == f"3 exposures wait for the agent on scope-3, which {told}: start `cryoferry watch` there again"
    scene.report(scene.second, unclaimed=hands(3, 1))  # an agent of the same source goes on, with a journal of its own
    account = scene.account()
    assert (account.alarms, account.seen, account.held) == ((), 5, 1)
    scene.change(delete(agents))
    (alarm,) = scene.account().alarms
    assert alarm.startswith("1 exposure is claimed by agents that do not report")
