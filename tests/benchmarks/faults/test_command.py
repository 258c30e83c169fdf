"""`cryoferry bench faults` as a user runs it, on one fault."""

from __future__ import annotations

import json

from benchmarks.faults.catalogue import FAULTS
from tests.running import cryoferry


def bench(*arguments, cwd):
    return cryoferry("bench", "faults", *arguments, cwd=cwd)


def test_the_error_of_a_fault_and_the_warnings_are_told(tmp_path) -> None:
    done = bench("empty frame amid", "--no-relion", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == json.loads((tmp_path / "cryoferry-bench/faults.json").read_text())
    (run,) = told["runs"]
    assert 0 < run["error_px"] < 0.1
    assert (run["warnings"], run["refusal"]) == (["frames-without-signal"], "")
    assert (run["relion_error_px"], run["relion_refusal"]) == (None, "not run")
    assert not (tmp_path / "cryoferry-bench/work").exists()


def test_a_dry_run_lists_the_faults_that_are_named(tmp_path) -> None:
    assert len(bench("--dry-run", "--no-relion", cwd=tmp_path).stdout.splitlines()) == len(FAULTS)
    some = bench("beam", "aperture", "--dry-run", "--no-relion", cwd=tmp_path)
    assert some.stdout.splitlines() == ["fixed structure: beam edge", "fixed structure: aperture"]
    none = bench("no such fault", "--dry-run", "--no-relion", cwd=tmp_path)
    assert (none.returncode, "no fault has such a name" in none.stderr) == (2, True)
