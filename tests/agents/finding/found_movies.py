"""A source, a journal, a clock and a discovery, and what tests put into the source."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import UUID

import numpy as np

from agents.finding.discovery import Discovery
from agents.finding.movie_inputs import NamedInputs
from agents.finding.source_access import DirectAccess
from agents.journal.inputs import UsedInput
from agents.journal.journal import Journal
from agents.journal.movie_names import movie_path
from agents.journal.rows import ExposureRow
from agents.journal.states import TRANSITIONS, State
from agents.steps.used_inputs import used_inputs
from preprocess.layouts import AUTO, Layout
from preprocess.simulation import write_mrc

XML = (
    '<MicroscopeImage xmlns="http://schemas.datacontract.org/2004/07/Fei.SharedObjects"><SpatialScale><pixelSize><x>'
    "<numericValue>{0}E-10</numericValue></x></pixelSize></SpatialScale></MicroscopeImage>"
)
_WAY = (State.FOUND, State.FINISHED, State.ALIGNED, State.SENDING, State.COMMITTED, State.RELEASED)


class Clock:
    """A clock that stands still."""

    now_s = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


def movie(path: Path, value: int = 1) -> Path:
    """Write a movie of two small frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_mrc(path, [np.full((8, 8), value + 1, np.uint8)] * 2, frame_count=2, mode=0)
    return path


class Found:
    """A source that is scanned, with a clock that only the test moves. What is aligned and sent, the test says."""

    def __init__(
        self, folder: Path, *, layout: Layout = AUTO, input_wait_s: float = 30.0, gain_wait_s: float = 900.0
    ) -> None:
        self.source, self._layout, self._wait_s = folder / "source", layout, input_wait_s
        self._gain_wait_s = gain_wait_s
        for each in ("source", "work"):
            (folder / each).mkdir()
        self._work = folder / "work"
        self.clock, self.named, self._began_s = Clock(), NamedInputs(), time.time()
        self.journal = Journal(self._work)
        self.discovery = self._discovery()

    def _discovery(self) -> Discovery:
        return Discovery(
            self.journal, self.source, self._layout, settle_s=10, give_up_s=100, input_wait_s=self._wait_s,
            gain_wait_s=self._gain_wait_s, named=lambda _changes: self.named, clock=self.clock,
            wall_clock=lambda: self._began_s + self.clock.now_s,
        )  # fmt: skip

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()

    def restart(self) -> None:
        """End the agent and start it again."""
        self.journal.close()
        self.journal = Journal(self._work)
        self.discovery = self._discovery()

    def write(self, name: str, content: bytes | str | int) -> Path:
        """Write a file of the source; a number writes a movie or a reference."""
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, int):
            return movie(path, content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def after(self, seconds: float) -> None:
        """Scan, let some time pass, and scan again, as often as an agent would."""
        self.discovery.scan_once()
        for _ in range(round(seconds / 5)):
            self.clock.now_s += 5
            self.discovery.scan_once()

    def exposure(self, name: str) -> ExposureRow:
        """Return the exposure of a movie."""
        (found,) = [each for each in self.journal.exposures() if each.movie == name]
        return found

    def begin(self, name: str) -> list[UsedInput]:
        """Look at the inputs of a movie, as its alignment does first."""
        access, path = DirectAccess(self.source, self._layout), movie_path(self.source, name)
        return used_inputs(access, self.source, path, access.inputs(path, self.named))

    def align(self, name: str, to: State, inputs: list[UsedInput] | None = None) -> UUID:
        """Take a finished exposure to a state, with the inputs that are there."""
        exposure = self.exposure(name)
        assert exposure.state == State.FINISHED
        self.journal.inputs.note(exposure.exposure_id, self.begin(name) if inputs is None else inputs)
        self.advance(name, to)
        return exposure.exposure_id

    def advance(self, name: str, to: State) -> None:
        """Take an exposure on its way to a state."""
        exposure = self.exposure(name)
        while exposure.state != to:
            state = to if to in TRANSITIONS[exposure.state] and to not in _WAY else _WAY[_WAY.index(exposure.state) + 1]
            exposure = self.journal.change(exposure.exposure_id, state)

    def standing(self, name: str) -> tuple[State, int]:
        """Return the state and the revision of an exposure."""
        exposure = self.exposure(name)
        return exposure.state, exposure.revision
