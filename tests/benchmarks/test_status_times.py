"""The benchmark of `cryoferry status` runs every form that it names, on journals of every size."""

from __future__ import annotations

import json

import pytest

from benchmarks import status_times
from benchmarks.start_up import BASELINE


def test_each_form_is_run_at_each_size(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_times, "FORMS", {"status": (), "status --failed": ("--failed",)})
    status_times.main(["--sizes", "20", "10", "--rounds", "1", "--json"])
    found = json.loads(capfd.readouterr().out)
    assert list(found) == [BASELINE, "status, 10", "status, 20", "status --failed, 10", "status --failed, 20"]
    assert all(values["median_s"] > 0 for values in found.values())
