"""How cost grows with pixels and with frames: an exponent of 1 is linear."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.alignment.runs import AlignRun

SIZES = ("small@512x512x24", "small@1024x1024x24", "small@2048x2048x24")
LENGTHS = ("small@1024x1024x12", "small@1024x1024x24", "small@1024x1024x48", "small@1024x1024x96")


@dataclass(frozen=True, slots=True)
class Scaling:
    """A program's cost over movies of several sizes. `seconds` are medians; cost grows as amount ** exponent."""

    program: str
    along: str
    amounts: tuple[int, ...]
    seconds: tuple[float, ...]
    exponent: float

    def as_object(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


def scaling(runs: Sequence[AlignRun]) -> list[Scaling]:
    """Return each program's growth of cost with pixels and with frames.

    Cost is the sum of the stages that a program reports, which leaves out its start-up, or else its wall time.
    """
    found = []
    for program in dict.fromkeys(run.program for run in runs):
        own = [run for run in runs if run.program == program and run.failure is None]
        for along, presets in (("pixels", SIZES), ("frames", LENGTHS)):
            costs: dict[int, list[float]] = {}
            for run in own:
                if run.preset in presets:
                    amount = run.pixels if along == "pixels" else run.frame_count
                    costs.setdefault(amount, []).append(_cost(run))
            if len(costs) > 1:
                amounts = sorted(costs)
                seconds = [statistics.median(costs[amount]) for amount in amounts]
                exponent = float(np.polyfit(np.log(amounts), np.log(seconds), 1)[0])
                found.append(Scaling(program, along, tuple(amounts), tuple(seconds), exponent))
    return found


def _cost(run: AlignRun) -> float:
    return sum(run.stage_seconds.values()) or run.wall_s or float("nan")
