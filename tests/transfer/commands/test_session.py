"""`cryoferry session` as a user runs it."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import httpx
import pytest

from tests.records import record_of_files
from transfer.client import ReceiverClient
from transfer.commands.session_end_run import notices
from transfer.wire.accounting import AgentAccount, InHands
from transfer.wire.agent_status import AgentStatus, LeaseWish
from transfer.wire.digest import chunk_digest, format_content_digest
from transfer.wire.errors import NotFound


def test_sessions_are_started_ended_and_opened_again(receiver, cryoferry, tmp_path, token):
    (tmp_path / "token").write_text(token + "\n")
    to = ("grid1", "--to", receiver.url, "--token-file", tmp_path / "token", "--json")
    states = {verb: cryoferry("session", verb, *to, token=None).objects[-1] for verb in ("start", "end", "reopen")}
    assert {verb: told["state"] for verb, told in states.items()} == {"start": "open", "end": "ended", "reopen": "open"}
    assert cryoferry("session", "end", "grid2", *to[1:], token=None).returncode == 7


@pytest.mark.parametrize("verb", ["start", "end", "reopen"])
def test_a_session_is_left_alone_by_dry_run_and_by_an_unusable_name(verb, receiver, cryoferry):
    told = cryoferry("session", verb, "grid1", "--to", receiver.url, "--dry-run", "--json")
    assert (told.returncode, told.objects) == (0, [{"would": verb, "session": "grid1", "to": receiver.url}])
    with ReceiverClient(receiver.url, receiver.token("admin")) as client:
        assert client.sessions() == ()
    refused = cryoferry("session", verb, "../grid1", "--to", receiver.url)
    assert refused.returncode == 2
    assert "'../grid1'" in refused.stderr


def test_what_people_read_of_a_session_stands_on_stdout(receiver, cryoferry):
    told = cryoferry("session", "start", "grid1", "--to", receiver.url)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.splitlines()[0] == "session grid1: open, 0 exposures"


def test_a_configured_session_is_used_by_every_verb(receiver, cryoferry, tmp_path):
    (tmp_path / "cryoferry.toml").write_text(f'[watch]\nto = "{receiver.url}"\nsession = "grid1"\n')
    told = [cryoferry("session", verb, "--json").objects[0] for verb in ("start", "end", "reopen")]
    assert [(each["name"], each["state"]) for each in told] == [
        ("grid1", "open"),
        ("grid1", "ended"),
        ("grid1", "open"),
    ]


def test_the_end_of_a_session_names_what_is_unfinished_and_what_is_lost(receiver, cryoferry):
    with ReceiverClient(receiver.url, receiver.token("admin")) as client:
        client.open_session("grid1")
        for host, counts in AGENTS.items():
            client.report_status("grid1", uuid4(), status_of(host, counts))
    to = ("session", "end", "grid1", "--to", receiver.url, "--json")
    told = cryoferry(*to)
    assert told.returncode == 6
    assert [each["state"] for each in told.objects] == ["ended"]
    remarks = " ".join(told.stderr.split())
    assert "the agent on scope1 has unfinished exposures: 2 finished, 1 sending (its last report is of 20" in remarks
    assert "the agent on scope1 has exposures that need a person: 1 held" in remarks
    assert "warning: the agent on scope2 has sent 3 exposures, but the receiver has 0: 3 may be lost" in remarks
    assert "scope3" not in remarks


AGENTS = {
    "scope1": {"finished": 2, "sending": 1, "held": 1, "released": 0},
    "scope2": {"committed": 1, "released": 2},
    "scope3": {"released": 0},
}


def status_of(host, counts, **more):
    return AgentStatus(host=host, version="0.1.0", started_at=datetime.now(UTC), counts=counts, **more)


def test_movies_under_second_names_are_not_lost(receiver, cryoferry):
    with ReceiverClient(receiver.url, receiver.token("admin")) as client:
        client.open_session("grid1")
        client.report_status("grid1", uuid4(), status_of("scope1", {"released": 2}, released_unsent_count=2))
    told = cryoferry("session", "end", "grid1", "--to", receiver.url)
    assert (told.returncode, told.stderr) == (0, "")


def test_unfinished_exposures_alone_are_no_error(receiver, cryoferry):
    with ReceiverClient(receiver.url, receiver.token("admin")) as client:
        client.open_session("grid1")
        client.report_status("grid1", uuid4(), status_of("scope1", AGENTS["scope1"]))
    told = cryoferry("session", "end", "grid1", "--to", receiver.url)
    assert told.returncode == 0
    assert "3 unfinished" not in told.stdout
    assert "unfinished exposures: 2 finished, 1 sending" in " ".join(told.stderr.split())


def test_what_a_lost_agent_left_and_another_one_has_done_since_is_not_unfinished(receiver, cryoferry):
    left = AgentAccount(unclaimed=InHands(waiting=3, held=1))
    lost = status_of("scope1", AGENTS["scope1"], account=left, lease=LeaseWish.RELEASE)
    with ReceiverClient(receiver.url, receiver.token("admin")) as client:
        client.open_session("grid1")
        client.report_status("grid1", uuid4(), lost)
        assert len(list(notices(client, "grid1"))) == 2
        client.report_status("grid1", uuid4(), status_of("scope1", {}, account=AgentAccount()))
    told = cryoferry("session", "end", "grid1", "--to", receiver.url)
    assert (told.returncode, told.stderr) == (0, "")


def test_what_an_agent_has_sent_is_counted_in_exposures(receiver):
    with ReceiverClient(receiver.url, receiver.token("admin")) as client:
        client.open_session("grid1")
        agent, counts = uuid4(), {"released": 3}
        client.report_status("grid1", agent, status_of("scope1", counts, account=AgentAccount(sent=0, copies=3)))
        assert list(notices(client, "grid1")) == []
        client.report_status("grid1", agent, status_of("scope1", counts, account=AgentAccount(sent=1, copies=2)))
        (loss,) = notices(client, "grid1")
        assert loss.is_loss
        assert "has sent 1 exposures, but the receiver has 0" in loss.text
        assert "on purpose" not in loss.text


def test_a_receiver_that_knows_no_agents_ends_the_session(receiver, cryoferry, monkeypatch):
    with ReceiverClient(receiver.url, receiver.token("admin")) as client:
        client.open_session("grid1")

        def refuse(_session):
            raise NotFound("there is no /v1/sessions/grid1/agents")

        monkeypatch.setattr(client, "agents", refuse)
        (notice,) = notices(client, "grid1")
    assert not notice.is_loss
    assert "does not say how far its agents are" in notice.text


def test_what_is_exported_is_named_and_what_is_left_out_is_counted(receiver, cryoferry):
    publish_no_image(receiver)
    told = cryoferry("session", "export", "grid1", "--to", receiver.url, "--json")
    (exports,) = told.objects
    assert (exports["exposure_count"], exports["unregistered_count"], exports["files"]) == (1, 1, [])
    said = cryoferry("session", "export", "grid1", "--to", receiver.url)
    assert said.stdout == "nothing is exported: none of 1 exposures has a registered micrograph\n"
    assert "1 of 1 exposures are left out: their micrographs are not registered." in " ".join(said.stderr.split())
    would = cryoferry("session", "export", "grid1", "--to", receiver.url, "--dry-run", "--json")
    assert would.objects == [{"would": "export", "session": "grid1", "to": receiver.url}]
    assert cryoferry("session", "export", "grid2", "--to", receiver.url).returncode == 7


METADATA = """
title = "Apoferritin, grid 3"
[instrument]
microscope_model = "Glacios"
[[authors]]
family_name = "Chang"
"""


def test_what_people_know_of_a_session_is_kept_by_the_receiver(receiver, cryoferry, tmp_path):
    file = tmp_path / "grid1.toml"
    file.write_text(METADATA, "utf-8-sig")  # as an editor on Windows writes it
    start = ("session", "start", "grid1", "--to", receiver.url, "--metadata")
    assert cryoferry(*start, file, "--dry-run").returncode == 0
    assert cryoferry(*start, file).returncode == 0
    with ReceiverClient(receiver.url, receiver.token("admin")) as client:
        kept = client.metadata("grid1")
        assert (kept.title, kept.instrument.microscope_model) == ("Apoferritin, grid 3", "Glacios")
        assert [author.family_name for author in kept.authors] == ["Chang"]
        (tmp_path / "grid1.json").write_text('{"grid": {"mesh": 300}}', "utf-8-sig")
        assert cryoferry(*start, tmp_path / "grid1.json").returncode == 0
        assert (client.metadata("grid1").title, client.metadata("grid1").grid.mesh) == (None, 300)
        with pytest.raises(NotFound):
            client.metadata("grid2")


@pytest.mark.parametrize(
    ("name", "text", "code", "told"),
    [
        ("a.toml", "[sampel]", 2, "sampel: no field of this name is known; did you mean 'sample'?"),
        ("a.toml", "title =", 2, "cannot be read as TOML"),
        ("a.json", "{", 2, "cannot be read as JSON"),
        ("a.json", " " * 64_001, 2, "a session's metadata have at most 64000"),
        ("a.json", '{"title": "Apoferritin 1", "title": "Apoferritin 2"}', 2, "'title' stands there twice"),
        ("a.json", '{"title": "Apoferritin \\u0000"}', 2, "title: text should have no NUL"),
        ("a.json", '{"movies": {"width_px": 18446744073709551616}}', 2, "movies.width_px: input should be less than"),
        ("a.toml", None, 4, "cannot be read: No such file or directory"),
    ],
)
def test_no_session_is_started_with_metadata_that_are_wrong(receiver, cryoferry, tmp_path, name, text, code, told):
    if text is not None:
        (tmp_path / name).write_text(text)
    done = cryoferry("session", "start", "grid1", "--to", receiver.url, "--metadata", tmp_path / name)
    assert done.returncode == code
    assert told in " ".join(done.stderr.split())
    with ReceiverClient(receiver.url, receiver.token("admin")) as client:
        assert client.sessions() == ()


def test_the_receiver_names_mistakes_too(receiver):
    bearer = {"Authorization": f"Bearer {receiver.token('admin')}"}
    with httpx.Client(base_url=receiver.url, headers=bearer, trust_env=False, timeout=30) as http:
        http.put("/v1/sessions/grid1").raise_for_status()
        answer = http.put("/v1/sessions/grid1/metadata", json={"grid": {"mehs": 1}})
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (422, "bad-metadata")
    assert "grid.mehs: no field of this name is known; did you mean 'mesh'?" in answer.json()["detail"]


def publish_no_image(receiver):
    content, bearer = b"no image", {"Authorization": f"Bearer {receiver.token('admin')}"}
    digest = {"Content-Digest": format_content_digest("blake3", chunk_digest(content))}
    with httpx.Client(base_url=receiver.url, headers=bearer, trust_env=False, timeout=30) as http:
        http.put("/v1/sessions/grid1").raise_for_status()
        receipt = http.put("/v1/files/grid1/a.mrc", content=content, headers=digest).raise_for_status().json()
        exposure = uuid4()
        record = record_of_files(exposure, [receipt])
        http.put(f"/v1/sessions/grid1/exposures/{exposure}", json=record).raise_for_status()
