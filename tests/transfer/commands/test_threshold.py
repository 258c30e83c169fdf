"""`cryoferry threshold` as a user runs it."""

from __future__ import annotations

import pytest

from transfer.client import ReceiverClient

FIGURE = "ctf_resolution_angstrom"


@pytest.fixture
def to(receiver):
    """Return the options that name a session of the receiver."""
    with ReceiverClient(receiver.url, receiver.token("admin")) as client:
        client.open_session("grid1")
    return ("--session", "grid1", "--to", receiver.url)


def test_thresholds_are_set_shown_and_removed(to, cryoferry) -> None:
    told = cryoferry("threshold", "set", FIGURE, "--above", "8", "--below", "1.5", *to, "--json").objects[-1]
    assert [(one["side"], one["value"]) for one in told["thresholds"]] == [("above", 8.0), ("below", 1.5)]
    shown = cryoferry("threshold", "list", *to)
    lines = shown.stdout.splitlines()
    assert (shown.returncode, len(lines), shown.stderr) == (0, 3, "")
    assert lines[0].startswith(f"{FIGURE} above 8 is rejected: set by token ")
    assert lines[2] == "0 of 0 exposures are rejected"
    told = cryoferry("threshold", "remove", FIGURE, "--below", *to, "--json").objects[-1]
    assert [one["side"] for one in told["thresholds"]] == ["above"]
    assert cryoferry("threshold", "remove", FIGURE, *to).stdout.splitlines()[0] == "no thresholds"


def test_what_is_wrong_is_refused(to, cryoferry) -> None:
    for options in (("--dry-run",), ()):
        refused = cryoferry("threshold", "set", "ctf_resolution", "--above", "8", *to, *options)
        assert refused.returncode == 2
        assert f"Did you mean '{FIGURE}'?" in refused.stderr
    assert "--above VALUE" in cryoferry("threshold", "set", FIGURE, *to).stderr
    assert cryoferry("threshold", "set", FIGURE, "--above", "nan", *to).returncode == 2
    everything = cryoferry("threshold", "set", FIGURE, "--above", "3", "--below", "5", *to)
    assert (everything.returncode, "all would be rejected" in everything.stderr) == (2, True)


def test_a_dry_run_changes_nothing(to, cryoferry) -> None:
    told = cryoferry("threshold", "set", FIGURE, "--above", "8", *to, "--dry-run", "--json")
    assert told.objects == [{"would": "set", "session": "grid1", "figure": FIGURE, "side": "above", "value": 8.0}]
    told = cryoferry("threshold", "remove", FIGURE, *to, "--dry-run", "--json")
    assert [one["side"] for one in told.objects] == ["above", "below"]
    assert cryoferry("threshold", "list", *to, "--json").objects[0]["thresholds"] == []
