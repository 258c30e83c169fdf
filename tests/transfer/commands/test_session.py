"""`cryoferry session` as a user runs it."""

from __future__ import annotations

import pytest

from transfer.client import ReceiverClient


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
