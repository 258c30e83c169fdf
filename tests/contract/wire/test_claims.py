"""Claims, request by request, against a real receiver: one movie is one exposure, whoever sends it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.contract.wire.claiming import HandAgent, claim, digest, record
from transfer.wire.agent_status import LEASE_S
from transfer.wire.exposure_claim import MAX_CLAIMS
from transfer.wire.problems import PROBLEM_TYPE

NEVER = timedelta(seconds=LEASE_S + 1)
"""An agent that is silent for so long has lost what it claimed."""


def slug(answer: Any) -> str:
    return answer.json()["type"].removeprefix(PROBLEM_TYPE)


def exposures(agent: HandAgent) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = agent.http.get("/v1/sessions/s1/exposures").json()["exposures"]
    return listed


def test_a_new_movie_is_claimed_under_the_proposed_names(agent) -> None:
    wanted = claim("d/x.tiff")
    (answer,) = agent.claims(wanted)
    assert (answer.status, str(answer.exposure_id)) == ("claimed", wanted["exposure_id"])
    assert (answer.revision, answer.stem, answer.file_revisions) == (1, "d/x", {})


def test_the_same_claim_again_gets_the_same_answer(agent) -> None:
    wanted = claim("x.tiff")
    first = agent.claims(wanted)
    assert agent.claims(wanted) == first
    assert agent.claims(wanted | {"movie_digest": digest("A")}) == first  # it is known completely now
    assert agent.claims(wanted | {"exposure_id": str(uuid4())}) == first  # a journal that was lost


def test_a_batch_is_answered_in_its_order_and_sees_itself(agent) -> None:
    answers = agent.claims(
        claim("x.tiff", "A", whole=True),
        claim("y.tiff", "B"),
        claim("x.tiff", "A"),
        claim("copy.tiff", "A", whole=True),
    )
    assert [answer.status for answer in answers] == ["claimed", "claimed", "claimed", "elsewhere"]
    assert answers[2].exposure_id == answers[0].exposure_id == answers[3].exposure_id != answers[1].exposure_id
    assert "x.tiff" in answers[3].detail


def test_a_lost_journal_is_told_that_its_movies_are_committed(agent, other) -> None:
    answer = agent.claim("x.tiff")
    assert agent.publish(answer, "x.tiff").status_code == 201
    for settings in (None, digest("s1"), digest("s2")):  # whatever the settings
        again = other.claim("x.tiff", settings_digest=settings)
        assert (again.status, again.exposure_id, again.revision) == ("committed", answer.exposure_id, 1)
        assert again.stem == answer.stem


def test_another_path_is_an_alias_once_the_whole_movie_is_known_to_be_the_same(agent, other) -> None:
    answer = agent.claim("x.tiff")
    agent.publish(answer, "x.tiff")
    assert other.claim("renamed/x.tiff").status == "digest-needed"
    again = other.claim("renamed/x.tiff", whole=True)
    assert (again.status, again.exposure_id) == ("committed", answer.exposure_id)
    assert other.claim("renamed/x.tiff").status == "committed"  # the alias is known now
    assert len(exposures(agent)) == 1


def test_other_content_at_a_path_is_the_next_revision(agent) -> None:
    answer = agent.claim("x.tiff")
    agent.publish(answer, "x.tiff")
    changed = agent.claim("x.tiff", "B", reason="changed")
    assert (changed.status, changed.exposure_id, changed.revision) == ("claimed", answer.exposure_id, 2)
    assert (changed.stem, changed.file_revisions) == ("x", {".mrc": 1})
    assert agent.claim("x.tiff", "B", reason="new") == changed  # not committed, though the exposure is
    assert agent.publish(changed, "x.tiff", "B").status_code == 201
    assert agent.claim("x.tiff", "B").status == "committed"
    assert agent.claim("x.tiff", "A", whole=True).status == "committed"  # as it was: nothing to do
    back = agent.claim("x.tiff", "A", whole=True, reason="changed")
    assert (back.status, back.revision) == ("claimed", 3)


def test_other_content_under_a_path_that_a_movie_was_moved_away_from_is_a_new_exposure(agent) -> None:
    """A microscope that writes each movie as `tmp.tiff` and renames it: no movie replaces the one before."""
    first = agent.claim("tmp.tiff", "A", whole=True)
    agent.publish(first, "tmp.tiff", "A")
    assert agent.claim("x1.tiff", "A", whole=True).status == "committed"
    second = agent.claim("tmp.tiff", "B")
    assert (second.status, second.revision) == ("claimed", 1)
    assert second.exposure_id != first.exposure_id


def test_a_touched_movie_is_committed(agent) -> None:
    agent.publish(agent.claim("x.tiff"), "x.tiff")
    assert agent.claim("x.tiff", reason="changed", settings_digest=None).revision == 2  # nobody knows the settings
    done = agent.claim("y.tiff", "B")
    made_from = {"software": "test", "movie_digest": digest("B"), "settings_digest": digest("s")}
    agent.publish(done, "y.tiff", "B", provenance=made_from)
    assert agent.claim("y.tiff", "B", reason="changed", settings_digest=digest("s")).status == "committed"


@pytest.mark.parametrize("reason", ["retry", "late-input", "changed"])
def test_a_reason_to_do_a_committed_movie_again_gives_the_next_revision(agent, other, reason: str) -> None:
    answer = agent.claim("x.tiff")
    agent.publish(answer, "x.tiff")
    again = other.claim("x.tiff", reason=reason, settings_digest=digest("other"))
    assert (again.status, again.exposure_id, again.revision) == ("claimed", answer.exposure_id, 2)
    assert agent.claim("x.tiff", reason=reason).status == "elsewhere"  # the other agent does it
    assert agent.claim("x.tiff").status == "committed"  # revision 1 is there all the same
    assert other.publish(again, "x.tiff").status_code == 201
    assert other.claim("x.tiff", reason="retry").revision == 3


def test_a_late_input_that_another_agent_has_used_is_committed(agent, other) -> None:
    agent.publish(agent.claim("x.tiff"), "x.tiff")
    with_gain = {"reason": "late-input", "settings_digest": digest("with gain")}
    made_from = {"software": "test", "movie_digest": digest("A"), "settings_digest": digest("with gain")}
    assert agent.publish(agent.claim("x.tiff", **with_gain), "x.tiff", provenance=made_from).status_code == 201
    assert other.claim("x.tiff", **with_gain).status == "committed"
    assert other.claim("x.tiff", **with_gain | {"reason": "retry"}).revision == 3  # a person wants it


def test_of_two_agents_one_works_and_the_other_takes_over_when_it_is_silent(agent, other, clock) -> None:
    agent.report()
    answer = agent.claim("x.tiff")
    waiting = other.claim("x.tiff")
    assert (waiting.status, waiting.exposure_id) == ("elsewhere", answer.exposure_id)
    assert "scope-3" in waiting.detail
    clock.pass_by(NEVER)
    agent.report()  # a report is a sign of life, too
    assert other.claim("x.tiff").status == "elsewhere"
    clock.pass_by(NEVER)
    taken = other.claim("x.tiff")
    assert taken == answer
    assert agent.claim("x.tiff").status == "elsewhere"
    assert other.publish(taken, "x.tiff").status_code == 201
    assert agent.claim("x.tiff").status == "committed"


def test_an_agent_that_reports_and_waits_for_the_lease_holds_no_movies(agent, other, clock) -> None:
    agent.report("single")
    clock.pass_by(timedelta(seconds=1))
    agent.claim("x.tiff")
    other.report("take-over", host="scope-4")
    assert other.claim("x.tiff").status == "elsewhere"  # it does not know yet that it lost the lease
    agent.report("single")
    assert other.claim("x.tiff").status == "claimed"


def test_results_of_two_agents_without_a_link(agent, other) -> None:
    """Both have aligned the same movie, under other paths, and claim it before they send."""
    answer = agent.claim("x.tiff", whole=True)
    assert other.claim("mount/x.tiff", whole=True, source="b").status == "elsewhere"
    agent.publish(answer, "x.tiff")
    assert other.claim("mount/x.tiff", whole=True, source="b").status == "committed"


def test_two_movies_with_equal_samples_are_two_exposures(agent, other) -> None:
    first = agent.claim("x.tiff", "S/1")
    assert agent.claim("y.tiff", "S/2").status == "digest-needed"
    second = agent.claim("y.tiff", "S/2", whole=True)
    assert (second.status, second.exposure_id != first.exposure_id) == ("claimed", True)
    assert other.claim("z.tiff", "S/3").status == "digest-needed"
    assert other.claim("z.tiff", "S/3", whole=True).status == "elsewhere"  # it may be x.tiff, whose digest is not known
    assert agent.publish(first, "x.tiff", "S/1").status_code == 201
    assert agent.publish(second, "y.tiff", "S/2").status_code == 201
    third = other.claim("z.tiff", "S/3", whole=True)
    assert other.publish(third, "z.tiff", "S/3").status_code == 201
    assert len(exposures(agent)) == 3
    for path, content, answer in (("x.tiff", "S/1", first), ("y.tiff", "S/2", second), ("z.tiff", "S/3", third)):
        again = other.claim(path, content)
        assert (again.status, again.exposure_id) == ("committed", answer.exposure_id)


def test_a_copy_with_equal_samples_that_was_claimed_twice_is_published_once(agent) -> None:
    first = agent.claim("x.tiff", "A")
    second = agent.claim("copy.tiff", "A", whole=True)  # x.tiff may be another movie
    assert second.exposure_id != first.exposure_id
    assert agent.publish(second, "copy.tiff", "A").status_code == 201
    refused = agent.publish(first, "x.tiff", "A")
    assert (refused.status_code, slug(refused)) == (409, "exposure-conflict")
    assert refused.json()["exposure_id"] == str(second.exposure_id)
    told = agent.claim("x.tiff", "A", whole=True)
    assert (told.status, told.exposure_id) == ("committed", second.exposure_id)
    assert len(exposures(agent)) == 1


def test_the_first_publication_wins_though_the_movie_is_claimed_as_another_exposure(agent, other) -> None:
    first = agent.claim("x.tiff", "A")
    second = agent.claim("copy.tiff", "A", whole=True)
    assert agent.publish(first, "x.tiff", "A").status_code == 201
    refused = agent.publish(second, "copy.tiff", "A")
    assert (refused.status_code, refused.json()["exposure_id"]) == (409, str(first.exposure_id))
    for path in ("x.tiff", "copy.tiff"):
        told = other.claim(path, "A")
        assert (told.status, told.exposure_id) == ("committed", first.exposure_id)


def test_the_same_path_in_two_sources_is_two_movies(agent) -> None:
    first = agent.claim("x.tiff", "A", source="a")
    second = agent.claim("x.tiff", "B", source="b")
    assert (second.status, second.revision, second.stem) == ("claimed", 1, "x-2")
    assert second.exposure_id != first.exposure_id


def test_stems_are_free_of_all_other_files(agent, wire) -> None:
    assert agent.claim("a/b.tiff", "1").stem == "a/b"
    assert agent.claim("a/b.mrc", "2").stem == "a/b-2"
    assert agent.claim("a/b_noDW.tiff", "3").stem == "a/b_noDW-2"  # a/b has a file a/b_noDW.mrc
    assert agent.claim("c_noDW.tiff", "4").stem == "c_noDW"
    assert agent.claim("c.tiff", "5").stem == "c-2"
    wire.put_file("sent.json", b"by send")
    assert agent.claim("sent.tiff", "6").stem == "sent-2"
    wire.declare(uuid4(), "growing.mrc", 10)
    assert agent.claim("growing.tiff", "7").stem == "growing-2"
    stems = [
        agent.claim(f"{number}/../x.tiff".replace("/../", ""), f"many {number}", stem="same").stem
        for number in range(12)
    ]
    assert len(set(stems)) == 12
    assert stems[:2] == ["same", "same-2"]


def test_an_id_that_another_exposure_has_is_not_given_again(agent) -> None:
    wanted = claim("x.tiff", "A")
    agent.claims(wanted)
    (answer,) = agent.claims(claim("y.tiff", "B", exposure_id=wanted["exposure_id"]))
    assert answer.status == "claimed"
    assert str(answer.exposure_id) != wanted["exposure_id"]


def published_without_a_claim(agent: HandAgent, wire: Any, path: str = "x.tiff", content: str | None = None) -> str:
    """Publish an exposure as an agent does that knows no claims; return its id."""
    receipt = wire.put_file(f"{path}.mrc", b"older").json()
    exposure_id = str(uuid4())
    (answer,) = agent.claims(claim("nobody.tiff", "other"))
    body = record(answer, path, content, receipt) | {"exposure_id": exposure_id, "revision": 1}
    assert agent.put(body).status_code == 201
    return exposure_id


def test_an_exposure_that_was_published_without_a_claim_is_found_by_its_path(agent, wire) -> None:
    exposure_id = published_without_a_claim(agent, wire)
    assert agent.claim("x.tiff", "B", source="b").status == "claimed"  # another source
    told = agent.claim("x.tiff")
    assert (told.status, str(told.exposure_id), told.stem) == ("committed", exposure_id, "x.tiff")
    assert agent.claim("renamed.tiff").status == "digest-needed"  # its samples are known now
    assert agent.claim("x.tiff", whole=True).status == "committed"
    assert str(agent.claim("renamed.tiff", whole=True).exposure_id) == exposure_id
    again = agent.claim("x.tiff", reason="retry")
    assert (again.status, again.revision) == ("claimed", 2)
    assert agent.claim("x.tiff", "C", whole=True).revision == 2  # and other content is its next revision


def test_an_exposure_of_an_older_agent_is_found_when_its_movie_was_renamed(agent, wire) -> None:
    exposure_id = published_without_a_claim(agent, wire)
    assert agent.claim("x.tiff").status == "committed"  # tells its samples
    told = agent.claim("renamed.tiff", whole=True)
    assert (told.status, str(told.exposure_id)) == ("committed", exposure_id)
    assert agent.claim("third.tiff", "A/2", whole=True).status == "claimed"  # its digest is known by then


def test_an_exposure_that_was_published_without_a_claim_is_found_by_its_id(agent, wire) -> None:
    exposure_id = published_without_a_claim(agent, wire)
    told = agent.claim("renamed.tiff", exposure_id=exposure_id)
    assert (told.status, str(told.exposure_id)) == ("committed", exposure_id)


def test_a_digest_that_was_published_without_a_claim_is_known(agent, wire) -> None:
    exposure_id = published_without_a_claim(agent, wire, content="A")
    assert agent.claim("x.tiff").status == "digest-needed"
    assert str(agent.claim("x.tiff", whole=True).exposure_id) == exposure_id
    assert agent.claim("x.tiff").status == "committed"
    assert str(agent.claim("renamed.tiff", whole=True).exposure_id) == exposure_id


def test_an_agent_that_knows_no_claims_publishes_as_before(agent, wire) -> None:
    receipt = wire.put_file("x.mrc", b"older").json()
    (answer,) = agent.claims(claim("nobody.tiff", "other"))
    bodies = [record(answer, "x.tiff", None, receipt) | {"exposure_id": str(uuid4())} for _ in range(2)]
    assert [agent.put(body).status_code for body in bodies] == [201, 201]  # twice, as always without claims
    assert agent.put(bodies[0]).status_code == 200
    assert agent.put(bodies[0] | {"revision": 2, "label": "y"}).status_code == 201
    assert agent.claim("x.tiff").revision == 2


def test_a_published_exposure_whose_files_are_gone_is_done_again(agent, other, receiver) -> None:
    answer = agent.claim("x.tiff")
    agent.publish(answer, "x.tiff")
    (receiver.data / "sessions/s1/files/x.mrc").unlink()
    again = other.claim("x.tiff")
    assert (again.status, again.exposure_id, again.revision) == ("claimed", answer.exposure_id, 2)
    assert again.file_revisions == {}  # the name is free again
    events = agent.http.get("/v1/sessions/s1/events").json()["events"]
    assert [event["subject"] for event in events if event["kind"] == "file-lost"] == ["x.mrc"]
    assert agent.claim("x.tiff").status == "elsewhere"
    assert other.publish(again, "x.tiff").status_code == 201
    assert agent.claim("x.tiff").status == "committed"


def test_a_file_that_was_changed_on_the_receiver_is_set_aside(agent, receiver) -> None:
    agent.publish(agent.claim("x.tiff"), "x.tiff")
    there = receiver.data / "sessions/s1/files/x.mrc"
    there.write_bytes(b"cut")
    assert agent.claim("x.tiff").status == "claimed"
    assert not there.exists()
    assert [path.read_bytes() for path in (receiver.data / "set-aside").rglob("x.mrc")] == [b"cut"]


def bury(receiver, exposure_id: Any, reason: str = "it was a test") -> None:
    """Delete an exposure on purpose."""
    from sqlalchemy import insert, select

    from api.database.tables import sessions, tombstones

    database = receiver.app.state.receiver.database
    with database.write() as connection:
        session_id = connection.scalar(select(sessions.c.id).where(sessions.c.name == "s1"))
        values = {"session_id": session_id, "exposure_id": exposure_id, "reason": reason}
        connection.execute(insert(tombstones).values(**values, deleted_at=datetime.now(UTC)))


def test_what_was_deleted_is_not_sent_again(agent, other, receiver) -> None:
    answer = agent.claim("x.tiff")
    receipt = agent.send(answer)
    body = record(answer, "x.tiff", "A", receipt)
    assert agent.put(body).status_code == 201
    bury(receiver, answer.exposure_id)
    for reason in ("new", "retry", "late-input", "changed"):
        told = other.claim("x.tiff", reason=reason)
        assert (told.status, told.detail) == ("deleted", "it was a test")
    assert other.claim("renamed.tiff", whole=True).status == "deleted"
    refused = agent.put(body)
    assert (refused.status_code, slug(refused)) == (410, "deleted")
    fresh = other.claim("x.tiff", "B")  # what is there now was not deleted
    assert (fresh.status, fresh.exposure_id != answer.exposure_id) == ("claimed", True)
    unknown = uuid4()
    bury(receiver, unknown)
    assert other.claim("y.tiff", "C", exposure_id=str(unknown)).status == "deleted"


def test_what_is_refused(agent, wire_to, receiver) -> None:
    missing = agent.http.post(
        "/v1/sessions/nowhere/exposures/claim", json={"agent": str(uuid4()), "claims": [claim("x.tiff")]}
    )
    assert missing.status_code == 403  # the token is for s1
    admin = wire_to(receiver, "admin", None).http
    missing = admin.post("/v1/sessions/s9/exposures/claim", json={"agent": str(uuid4()), "claims": [claim("x.tiff")]})
    assert (missing.status_code, slug(missing)) == (404, "not-found")
    assert agent.ask().status_code == 400
    assert agent.ask(*[claim("x.tiff")] * (MAX_CLAIMS + 1)).status_code == 400
    assert slug(agent.ask(claim("x.tiff", stem="../x"))) == "bad-name"
    for wrong in ({"sampled_digest": "0"}, {"size_bytes": -1}, {"path": ""}, {"suffixes": ["/x"]}):
        assert agent.ask(claim("x.tiff", stem="x") | wrong).status_code == 400, wrong
    assert slug(agent.ask(claim("a\0b", stem="x"))) == "bad-value"
    large = claim("x" * 4096, stem="x", suffixes=["." + "x" * 99] * 64)
    refused = agent.ask(*[large] * MAX_CLAIMS)
    assert (refused.status_code, slug(refused)) == (413, "too-large")


def test_long_paths_of_any_script(agent) -> None:
    path = "".join(chr(0x4E00 + number) for number in range(4000))
    first = agent.claim(path, "A", stem="x", source="源" * 200)
    assert first.status == "claimed"
    assert agent.claim(path, "A", stem="x", source="源" * 200) == first
