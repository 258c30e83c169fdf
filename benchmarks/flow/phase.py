"""Sends exposures through the real agent and receiver, and measures what each of them takes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.errors import TookTooLong
from benchmarks.flow.figures import Block, Phase, block_between, idle_between
from benchmarks.flow.place import FlowPlace
from benchmarks.flow.process_usage import Sample
from benchmarks.flow.running import RunningSession
from benchmarks.flow.small_movies import SmallMovies

_LOOK_S, _SAMPLE_S, _STALL_S = 0.05, 2.0, 180.0
_OVER = ("released", "held", "failed")


class PhaseRun:
    """One phase.

    Parameters
    ----------
    before
        Exposures of the session that are registered already.
    pause_s
        Time between two movies.
    scan_s
        Pause between two scans of the movies' folder.
    block
        Exposures in a block; the first block is the warm-up.
    idle_s
        How long the programs are measured with nothing to do.
    """

    def __init__(
        self,
        place: FlowPlace,
        before: int,
        count: int,
        *,
        pause_s: float,
        settle_s: float,
        scan_s: float,
        block: int,
        idle_s: float,
    ) -> None:
        self._place, self._before, self._count = place, before, count
        self._pause_s, self._settle_s, self._scan_s = pause_s, settle_s, scan_s
        self._block, self._idle_s = block, idle_s
        self._states: dict[str, tuple[str, str]] = {}
        self._marks: list[Sample] = []
        self._peaks: dict[str, int] = {}

    def run(self, logs: Path, tell: Callable[[str], None]) -> Phase:
        """Run it.

        Raises
        ------
        TookTooLong
            Nothing has happened for minutes.
        """
        movies = SmallMovies(self._place, self._before + 1, self._count)
        load_before = os.getloadavg()[0]
        with RunningSession(self._place, logs, settle_s=self._settle_s, scan_s=self._scan_s) as session:
            first_event = session.newest_event()
            began_s = time.monotonic()
            self._feed(session, movies, tell)
            wall_s = time.monotonic() - began_s
            set_aside = sum(state != "released" for state, _ in self._states.values())
            self._await_registered(session, self._before + self._count - set_aside)
            load = (load_before, os.getloadavg()[0])
            at_rest = self._sample(session)
            time.sleep(self._idle_s)
            idle = idle_between(at_rest, self._sample(session), self._scan_s)
            latencies = self._latencies(session, movies, first_event)
        return Phase(
            session_exposures=self._before,
            exposures=self._count,
            warm_up=min(self._block, self._count),
            per_hour=3600.0 / self._pause_s,
            wall_s=wall_s,
            set_aside=set_aside,
            blocks=self._blocks(),
            idle=idle,
            latencies_s=latencies,
            peak_bytes=self._peaks,
            load_1_min=load,
            journal_bytes=self._place.journal_bytes(),
            database_bytes=self._place.database_bytes(),
        )

    def _sample(self, session: RunningSession) -> Sample:
        sample = session.sample()
        for whose, size in sample.resident_bytes.items():
            self._peaks[whose] = max(self._peaks.get(whose, 0), size)
        return sample

    def _feed(self, session: RunningSession, movies: SmallMovies, tell: Callable[[str], None]) -> None:
        """Give the movies one by one, and follow the exposures until the last one's end; take a sample each block."""
        next_movie_s = next_sample_s = last_news_s = time.monotonic()
        while len(self._states) < self._count:
            now_s = time.monotonic()
            if movies.left and now_s >= next_movie_s:
                movies.give_next()
                next_movie_s, last_news_s = next_movie_s + self._pause_s, now_s
            for line in session.watch.waiting_lines():
                last_news_s = now_s
                if self._take(line):
                    self._marks.append(self._sample(session))
                    tell(f"{len(self._states)} of {self._count} exposures are over")
            if now_s >= next_sample_s:
                self._sample(session)
                next_sample_s = now_s + _SAMPLE_S
            if now_s - last_news_s > self._settle_s + _STALL_S:
                raise TookTooLong(
                    f"no exposure has changed its state for {_STALL_S:.0f} s",
                    hint=f"The logs are in {self._place.folder}/logs; --keep keeps them.",
                )
            time.sleep(_LOOK_S)

    def _take(self, line: Mapping[str, str]) -> bool:
        """Note an exposure that is over; return whether a block ends with it."""
        if line.get("state") not in _OVER or line["movie"] in self._states:
            return False
        self._states[line["movie"]] = line["state"], line["exposure_id"]
        return len(self._states) % self._block == 0

    def _await_registered(self, session: RunningSession, wanted: int) -> None:
        deadline = time.monotonic() + _STALL_S
        while session.registered() < wanted:
            if time.monotonic() > deadline:
                raise TookTooLong(
                    f"{session.registered()} of {wanted} exposures are registered after {_STALL_S:.0f} s",
                    hint=f"The logs are in {self._place.folder}; --keep keeps them.",
                )
            time.sleep(0.5)

    def _blocks(self) -> tuple[Block, ...]:
        pairs = zip(self._marks, self._marks[1:], strict=False)
        return tuple(block_between(before, after, self._block) for before, after in pairs)

    def _latencies(
        self, session: RunningSession, movies: SmallMovies, first_event: int
    ) -> tuple[Mapping[str, float], ...]:
        registered = session.registered_at(first_event)
        found = []
        for movie in movies.names[self._block :]:
            state, exposure_id = self._states[movie]
            if state == "released":
                finished = session.finished_at(exposure_id)
                times = registered.get(exposure_id, {})
                found.append({name: (at - finished).total_seconds() for name, at in times.items()})
        return tuple(found)
