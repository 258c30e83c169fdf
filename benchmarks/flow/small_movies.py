"""The movies that go through the real agent: small ones, each of its own content, with the XML file that EPU writes."""

from __future__ import annotations

from pathlib import Path

from benchmarks.flow.filling import filled_session, sidecar_of
from benchmarks.flow.place import FlowPlace
from preprocess.simulation import SimulationSettings, simulate_movie

SIZE_PX, FRAMES = 256, 8


class SmallMovies:
    """Simulates movies ahead, and gives them to the agent one by one.

    Parameters
    ----------
    first
        Number of the first movie in the session.
    """

    def __init__(self, place: FlowPlace, first: int, count: int) -> None:
        self._place = place
        session = filled_session(first)
        self.names = [session.movie(number) for number in range(first, first + count)]
        self._waiting = list(reversed(self.names))
        place.staging.mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(self.names, first):
            settings = SimulationSettings(
                height=SIZE_PX,
                width=SIZE_PX,
                frame_count=FRAMES,
                dose_per_frame_e_per_a2=1.25,
                gain=False,
                seed=number,
            )
            movie = simulate_movie(settings)
            movie.write(self._staged(name))
            movie.write_epu_xml(sidecar_of(self._staged(name)))

    def _staged(self, name: str) -> Path:
        return self._place.staging / Path(name).name

    @property
    def left(self) -> int:
        """Return how many movies have not been given to the agent."""
        return len(self._waiting)

    def give_next(self) -> None:
        """Move the next movie into the source."""
        name = self._waiting.pop()
        staged, movie = self._staged(name), self._place.source / name
        movie.parent.mkdir(parents=True, exist_ok=True)
        sidecar_of(staged).rename(sidecar_of(movie))
        staged.rename(movie)
