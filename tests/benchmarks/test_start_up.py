"""The start-up benchmark runs the commands that it names, and compares medians."""

from __future__ import annotations

import json

import pytest

from benchmarks import start_up


def test_medians_are_compared_with_the_first_command() -> None:
    seconds = {start_up.BASELINE: [0.1, 0.9, 0.2], "cryoferry --help": [0.5, 0.4, 9.0]}
    assert start_up.summary(seconds) == {
        start_up.BASELINE: {"median_s": 0.2, "ratio": 1.0},
        "cryoferry --help": {"median_s": 0.5, "ratio": 2.5},
    }


def test_each_command_is_run(capfd: pytest.CaptureFixture[str]) -> None:
    start_up.main(["--rounds", "1", "--json"])
    found = json.loads(capfd.readouterr().out)
    assert list(found) == [start_up.BASELINE, "cryoferry --help", "cryoferry status", "cryoferry align"]
    assert all(values["median_s"] > 0 for values in found.values())
