"""Which GPUs workers get: those that the batch system has given, and no others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cupy_elsewhere import CupyElsewhere

from agents.workers.gpus import VARIABLE, permitted_gpus, shares_of_gpus

UUIDS = "GPU-0a1b,GPU-77ff"
PARTS = "MIG-1111,MIG-2222,MIG-1111"


@pytest.mark.parametrize(
    ("listed", "there", "permitted"),
    [
        (None, 2, ["0", "1"]),
        (None, 0, []),
        ("2,5", 2, ["2", "5"]),
        (" 3 , 1 ", 2, ["3", "1"]),
        ("7", 1, ["7"]),
        ("1,-1,0", 1, ["1"]),
        (UUIDS, 2, UUIDS.split(",")),
        (PARTS, 1, ["MIG-1111", "MIG-2222"]),
        (PARTS, 0, []),
        ("NoDevFiles", 0, []),
        ("", 3, []),
    ],
)
def test_gpus_are_those_that_the_parent_was_given(
    tmp_path: Path, listed: str | None, there: int, permitted: list[str]
) -> None:
    elsewhere = CupyElsewhere(tmp_path / "cupy", devices=there)
    environment = {**os.environ, **elsewhere.environment}
    environment.pop(VARIABLE, None)
    if listed is not None:
        environment[VARIABLE] = listed
    assert permitted_gpus(environment) == permitted


def test_workers_share_gpus_evenly_and_leave_a_single_one_as_it_is() -> None:
    assert shares_of_gpus(3, ["2", "5"]) == [{VARIABLE: "2"}, {VARIABLE: "5"}, {VARIABLE: "2"}]
    assert shares_of_gpus(2, ["7"]) == [{}, {}]
    assert shares_of_gpus(1, []) == [{}]
