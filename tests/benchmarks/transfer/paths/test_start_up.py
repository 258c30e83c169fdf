"""The start-up that is taken off a run's time, with measurements that the test gives."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.errors import ProgramFailed
from benchmarks.measuring import Measurement, measure
from benchmarks.transfer.paths import runs as runs_module
from benchmarks.transfer.paths.copy_path import Copy
from benchmarks.transfer.paths.ends import End
from benchmarks.transfer.paths.payload import TINY, make_payload
from benchmarks.transfer.paths.runs import TransferRuns
from benchmarks.transfer.paths.start_up import shortest_start


def started(wall_s):
    return Measurement(wall_s, wall_s / 2, 0, "")


@pytest.mark.parametrize(
    ("wall_s", "first_s", "later_s", "holds_s", "asked"),
    [
        (1.7, 0.6, [], 0.6, 0),  # leaves enough
        (1.7, 2.1, [0.6], 0.6, 1),  # longer than the whole run: the machine did something else
        (1.7, 2.1, [1.6, 0.5], 0.5, 2),
        (1.7, 1.6, [2.1, 1.8], 1.6, 2),  # the shortest, not the last
        (0.7, 0.6, [0.58, 0.59, 0.1], 0.58, 2),  # the run is that quick: at most twice more
        (0.1, 0.09, [0.01], 0.09, 0),  # no start-up could leave enough of it
    ],
)
def test_a_doubtful_start_up_is_measured_again_and_the_shortest_holds(wall_s, first_s, later_s, holds_s, asked):
    left = list(later_s)
    found = shortest_start(started(first_s), wall_s, lambda: started(left.pop(0)))
    assert found == started(holds_s)
    assert len(later_s) - len(left) == asked


def test_a_run_keeps_its_start_up_if_that_cannot_be_measured_again():
    def fail():
        raise ProgramFailed("no room")

    assert shortest_start(started(2.1), 1.7, fail) == started(2.1)


def test_a_hiccup_of_the_machine_while_a_path_starts_costs_no_rate(tmp_path, monkeypatch):
    walls_s, commands, said = iter([2.1, 1.7, 0.7]), [], []

    def given_time(command, **more):
        commands.append(command)
        return dataclasses.replace(measure(command, **more), wall_s=next(walls_s), cpu_s=len(commands))

    monkeypatch.setattr(runs_module, "measure", given_time)
    here = End("127.0.0.1", str(tmp_path))
    runner = TransferRuns(here, here, tmp_path, repeats=1, cap_s=60.0, first_port=None, tell=said.append)
    payload = make_payload("2x10kB", tmp_path / "files", 2, 10_000)
    (run,) = runner.on([Copy()], payload, make_payload(TINY, tmp_path / TINY, 1, 1000), None)
    assert (run.wall_s, run.start_s, run.start_cpu_s) == (1.7, 0.7, 3)
    assert run.rate_bytes_per_s(run.start_s) == pytest.approx(20_000)
    assert run.digests_match is True
    assert len({tuple(command) for command in commands}) == 3, "each start-up carries its file to a place of its own"
    assert "too quick" not in said[0]
