"""Thresholds and verdicts: request by request, against a real receiver."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID, uuid5

import pytest

from tests.records import record_of_files
from tests.waiting import wait_until
from transfer.client import ReceiverClient
from transfer.wire.problems import PROBLEM_TYPE
from transfer.wire.protocol import Exposure
from transfer.wire.verdict import SessionThresholds, Side, Verdict

RESOLUTION, FIT, MOTION = "ctf_resolution_angstrom", "ctf_fit_quality", "motion_total_angstrom"
PLACE = "/v1/sessions/s1/thresholds"


def id_of(label: str) -> UUID:
    return uuid5(UUID(int=1), label)


class Session:
    """A session of a receiver, by hand."""

    def __init__(self, wire: Any) -> None:
        self.wire, self.http = wire, wire.http
        self.file = wire.put_file("x.mrc", b"x").json()

    def publish(self, label: str, revision: int = 1, **figures: float) -> None:
        record = record_of_files(id_of(label), [self.file], label=label, revision=revision, figures=figures)
        answer = self.http.put(f"/v1/sessions/s1/exposures/{id_of(label)}", json=record)
        assert answer.is_success, answer.text

    def verdict(self, label: str) -> Verdict:
        told = Exposure.model_validate(self.http.get(f"/v1/sessions/s1/exposures/{id_of(label)}").json())
        assert told.verdict is not None
        return told.verdict

    def rejected(self) -> set[str]:
        """Return the labels of the rejected exposures; the counter agrees."""
        listed = self.http.get("/v1/sessions/s1/exposures").json()["exposures"]
        found = {one["record"]["label"] for one in listed if not one["verdict"]["accepted"]}
        assert self.http.get("/v1/sessions/s1").json()["rejected_count"] == len(found)
        return found

    def set(self, figure: str, side: str, value: float) -> SessionThresholds:
        answer = self.http.put(f"{PLACE}/{figure}/{side}", json={"value": value})
        assert answer.status_code == 200, answer.text
        return SessionThresholds.model_validate(answer.json())

    def remove(self, figure: str, side: str) -> SessionThresholds:
        return SessionThresholds.model_validate(self.http.delete(f"{PLACE}/{figure}/{side}").json())

    def say(self, label: str, *, accepted: bool, comment: str = "") -> Any:
        body = {"accepted": accepted, "comment": comment}
        return self.http.put(f"/v1/sessions/s1/exposures/{id_of(label)}/verdict", json=body)

    def withdraw(self, label: str) -> Any:
        return self.http.delete(f"/v1/sessions/s1/exposures/{id_of(label)}/verdict")

    def events(self, *kinds: str) -> list[tuple[str, str, str]]:
        told = self.http.get("/v1/sessions/s1/events").json()["events"]
        return [(one["kind"], one["subject"], one["detail"]) for one in told if one["kind"] in kinds]


@pytest.fixture
def session(wire) -> Session:
    return Session(wire)


def problem(answer: Any) -> str:
    return answer.json()["type"].removeprefix(PROBLEM_TYPE)


def test_a_changed_threshold_judges_all_exposures_anew(session) -> None:
    for label, resolution in (("a", 4.0), ("b", 8.0), ("c", 8.5)):
        session.publish(label, **{RESOLUTION: resolution})
    session.publish("without it")
    assert (session.rejected(), session.verdict("c").at) == (set(), None)
    told = session.set(RESOLUTION, "above", 8.0)
    assert [(one.figure, one.side, one.value) for one in told.thresholds] == [(RESOLUTION, "above", 8.0)]
    assert (told.exposure_count, told.rejected_count, told.judged) == (4, 1, True)
    verdict = session.verdict("c")
    assert (session.rejected(), verdict.by, verdict.at is not None) == ({"c"}, "threshold", True)
    assert [(one.figure, one.value, one.threshold) for one in verdict.exceeded] == [(RESOLUTION, 8.5, 8.0)]
    session.set(RESOLUTION, "above", 3.0)
    assert session.rejected() == {"a", "b", "c"}
    session.set(RESOLUTION, "below", 5.0)
    session.set(RESOLUTION, "above", 100.0)
    assert session.rejected() == {"a"}
    assert session.remove(RESOLUTION, "below").rejected_count == 0
    assert session.remove(RESOLUTION, "below").thresholds[0].side is Side.ABOVE  # once more is without effect
    assert session.rejected() == set()
    kinds = [kind for kind, _, _ in session.events("exposure-accepted", "exposure-rejected")]
    assert (kinds.count("exposure-rejected"), kinds.count("exposure-accepted")) == (3, 3)


def test_every_change_is_an_event_with_who_and_what(session) -> None:
    session.publish("a", **{RESOLUTION: 9.25})
    token = session.set(RESOLUTION, "above", 8.0).thresholds[0].token_id
    for _ in range(2):  # the same again changes nothing
        session.set(RESOLUTION, "above", 9.0)
        assert session.say("a", accepted=True, comment="good ice").status_code == 200
    session.withdraw("a")
    session.withdraw("a")
    session.remove(RESOLUTION, "above")
    assert session.events("threshold-set", "threshold-removed") == [
        ("threshold-set", RESOLUTION, f"above 8, by token {token}"),
        ("threshold-set", RESOLUTION, f"above 9 instead of 8, by token {token}"),
        ("threshold-removed", RESOLUTION, f"above 9, by token {token}"),
    ]
    own, beyond = str(id_of("a")), f"by thresholds: {RESOLUTION} 9.25 is above"
    assert session.events("exposure-accepted", "exposure-rejected") == [
        ("exposure-rejected", own, f"{beyond} 8"),
        ("exposure-accepted", own, f"by a person, token {token}: good ice"),
        ("exposure-rejected", own, f"{beyond} 9; token {token} withdrew what a person had said"),
        ("exposure-accepted", own, "by thresholds: no figure is beyond one"),
    ]


def test_a_record_is_judged_when_it_is_published(session) -> None:
    session.set(RESOLUTION, "above", 8.0)
    session.publish("a", **{RESOLUTION: 9.0})
    session.publish("b", **{RESOLUTION: 7.0})
    assert session.rejected() == {"a"}
    session.publish("a", 2, **{RESOLUTION: 6.0})
    session.publish("b", 2, **{RESOLUTION: 9.5})
    assert session.rejected() == {"b"}
    session.publish("b", 3)  # without the figure
    assert session.rejected() == set()


def test_the_word_of_a_person_wins_until_it_is_withdrawn(session) -> None:
    session.publish("bad", **{RESOLUTION: 9.0})
    session.publish("good", **{RESOLUTION: 4.0})
    session.set(RESOLUTION, "above", 8.0)
    accepted = Verdict.model_validate(session.say("bad", accepted=True).json())
    assert (accepted.accepted, accepted.by, [one.figure for one in accepted.exceeded]) == (True, "person", [RESOLUTION])
    rejected = session.say("good", accepted=False, comment="carbon").json()
    assert (rejected["accepted"], rejected["by"], rejected["comment"]) == (False, "person", "carbon")
    assert rejected["token_id"]
    session.set(RESOLUTION, "above", 3.0)
    session.set(RESOLUTION, "above", 50.0)
    session.publish("bad", 2, **{RESOLUTION: 99.0})
    assert session.rejected() == {"good"}
    withdrawn = Verdict.model_validate(session.withdraw("bad").json())
    assert (withdrawn.accepted, withdrawn.by, withdrawn.token_id, withdrawn.comment) == (False, "threshold", None, "")
    session.withdraw("good")
    assert session.rejected() == {"bad"}


def test_a_batch_is_taken_over_whole_or_not_at_all(session) -> None:
    for label in "abc":
        session.publish(label)

    def say(*said: dict[str, Any]) -> Any:
        return session.http.post("/v1/sessions/s1/verdicts", json={"verdicts": said})

    by_name = {"micrograph_name": "b.mrc", "accepted": False, "comment": "empty"}
    answer = say({"exposure_id": str(id_of("c")), "accepted": False}, by_name).json()["verdicts"]
    assert [(one["micrograph_name"], one["accepted"], one["comment"]) for one in answer] == [
        ("c.mrc", False, ""),
        ("b.mrc", False, "empty"),
    ]
    assert session.rejected() == {"b", "c"}
    refused = say({"exposure_id": str(id_of("a")), "accepted": False}, {"micrograph_name": "x.mrc", "accepted": None})
    assert (refused.status_code, refused.json()["missing"]) == (404, ["x.mrc"])
    assert session.rejected() == {"b", "c"}
    again = {"exposure_id": str(id_of("b")), "accepted": None}
    assert say({"micrograph_name": "c.mrc", "accepted": None}, {**again, "accepted": True}, again).is_success
    assert (session.rejected(), session.verdict("b").by) == (set(), "threshold")
    for wrong in ({"accepted": True}, {"exposure_id": str(id_of("a")), **by_name}, {"micrograph_name": "a.mrc"}):
        assert problem(say(wrong)) == "bad-request"
    assert problem(say()) == "bad-request"
    assert problem(say(*[again] * 501)) == "bad-request"


def test_what_no_threshold_can_be(session, monkeypatch) -> None:
    session.publish("a", figure_of_a_newer_agent=3.0)
    refused = session.http.put(f"{PLACE}/ctf_resolution/above", json={"value": 8})
    assert (refused.status_code, problem(refused), refused.json()["nearest"]) == (422, "unknown-figure", RESOLUTION)
    assert RESOLUTION in refused.json()["hint"]
    for text in ('{"value": NaN}', '{"value": 1e999}', '{"value": "x"}', "{}"):
        wrong = session.http.put(
            f"{PLACE}/{RESOLUTION}/above", content=text, headers={"Content-Type": "application/json"}
        )
        assert problem(wrong) in ("bad-value", "bad-request"), text
    assert problem(session.http.put(f"{PLACE}/{RESOLUTION}/beyond", json={"value": 8})) == "bad-request"
    session.set("figure_of_a_newer_agent", "above", 2.0)
    assert session.rejected() == {"a"}
    monkeypatch.setattr("api.store.thresholds.MOST_THRESHOLDS", 1)
    assert problem(session.http.put(f"{PLACE}/{RESOLUTION}/above", json={"value": 8})) == "limit-reached"
    assert session.set("figure_of_a_newer_agent", "above", 2.5).rejected_count == 1


def test_a_session_begins_with_the_thresholds_of_the_settings(make_receiver, wire_to) -> None:
    from transfer.wire.verdict import StartingThreshold

    receiver = make_receiver(thresholds=(StartingThreshold(RESOLUTION, Side.ABOVE, 8.0),))
    session = Session(wire_to(receiver))
    (first,) = session.http.get(PLACE).json()["thresholds"]
    assert (first["value"], first["token_id"]) == (8.0, None)
    session.publish("a", **{RESOLUTION: 9.0})
    assert session.rejected() == {"a"}
    session.remove(RESOLUTION, "above")
    session.http.put("/v1/sessions/s1")  # what exists already keeps its own
    assert session.rejected() == set()


def test_exposures_are_published_while_others_are_judged(session, receiver, wire_to, monkeypatch) -> None:
    """The verdicts are those of the last threshold, whatever is published and changed at the same time."""
    monkeypatch.setattr("api.store.judging.JUDGED_AT_ONCE", 3)
    for number in range(8):
        session.publish(f"{number}", **{RESOLUTION: number})
    other = Session(wire_to(receiver))

    def publish() -> None:
        for number in range(8, 16):
            other.publish(f"{number}", **{RESOLUTION: number})

    thread = threading.Thread(target=publish)
    thread.start()
    for value in (5.0, 30.0, 6.0):
        session.set(RESOLUTION, "above", value)
    thread.join()
    assert session.rejected() == {str(number) for number in range(7, 16)}


def test_what_is_left_to_be_judged_is_judged_in_the_background(session, monkeypatch) -> None:
    monkeypatch.setattr("api.store.judging.JUDGED_AT_ONCE", 2)
    monkeypatch.setattr("api.routes.thresholds.JUDGE_FOR_S", 0.0)
    for number in range(5):
        session.publish(f"{number}", **{MOTION: number})
    told = session.set(MOTION, "below", 3.0)
    assert (told.judged, told.rejected_count) == (False, 2)
    wait_until(lambda: session.http.get(PLACE).json()["judged"], "the rest is judged")
    assert session.rejected() == {"0", "1", "2"}


def test_what_is_left_to_be_judged_is_judged_after_a_restart(
    session, receiver, make_receiver, wire_to, monkeypatch
) -> None:
    monkeypatch.setattr("api.store.judging.JUDGED_AT_ONCE", 2)
    monkeypatch.setattr("api.routes.thresholds.JUDGE_FOR_S", 0.0)
    monkeypatch.setattr("api.app.LOOK_FOR_DUE_JUDGEMENTS_EVERY_S", 60.0)
    for number in range(5):
        session.publish(f"{number}", **{MOTION: number})
    assert not session.set(MOTION, "below", 3.0).judged
    receiver.stop()
    monkeypatch.setattr("api.app.LOOK_FOR_DUE_JUDGEMENTS_EVERY_S", 0.1)
    again = Session(wire_to(make_receiver(data=receiver.data)))
    wait_until(lambda: again.http.get(PLACE).json()["judged"], "the rest is judged", timeout_s=30)
    assert again.rejected() == {"0", "1", "2"}


def test_a_client_judges(session, receiver) -> None:
    session.publish("a", **{FIT: 0.05})
    with ReceiverClient(receiver.url, receiver.token("agent", "s1")) as client:
        assert client.thresholds("s1").thresholds == ()
        assert client.set_threshold("s1", FIT, Side.BELOW, 0.1).rejected_count == 1
        (told,) = client.say_verdicts("s1", ["a.mrc"], accepted=True, comment="fine")
        assert (told.exposure_id, told.accepted, told.comment) == (id_of("a"), True, "fine")
        (told,) = client.say_verdicts("s1", [str(id_of("a"))], accepted=None)
        assert (told.accepted, told.by) == (False, "threshold")
        assert client.remove_threshold("s1", FIT, Side.BELOW).rejected_count == 0
