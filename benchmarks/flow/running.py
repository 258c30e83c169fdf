"""Runs the real agent and the real receiver on a filled session, and asks the receiver what became of exposures."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

from agents.demo.processes import Command, run
from benchmarks.errors import TookTooLong
from benchmarks.flow.place import SESSION, FlowPlace
from benchmarks.flow.process_usage import Sample, SessionProcesses
from transfer.client import ReceiverClient

_START_S, _CHECK_S, _END_S = 120.0, 900.0, 120.0
_ANSWER_S = 60.0
_PAGE = 1000


class RunningSession:
    """Agent and receiver as processes, until the end of the block.

    Parameters
    ----------
    logs
        Folder for what they print.
    settle_s
        After how many seconds without a change a movie is finished.
    scan_s
        Pause between two scans of the movies' folder.
    """

    def __init__(self, place: FlowPlace, logs: Path, *, settle_s: float, scan_s: float) -> None:
        self._place, self._logs, self._settle_s, self._scan_s = place, logs, settle_s, scan_s
        self._running = ExitStack()

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True)
        with ExitStack() as starting:  # what has started is stopped if the rest does not
            self._start(starting)
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _start(self, running: ExitStack) -> None:
        place = self._place
        database = ["--database", place.database] if place.database else []
        token = ["token", "create", "--data", str(place.receiver), *database, "--session", SESSION]
        self._token = run([*token, "--scope", "agent"]).strip()
        token_file = place.folder / "agent.token"
        token_file.touch(mode=0o600)
        token_file.write_text(self._token, "utf-8")
        serve = ["serve", "--data", str(place.receiver), *database, "--port", "0", "--json"]
        serve += ["--relion" if place.relion else "--no-relion"]
        serve += ["--scipion", str(place.scipion)] if place.scipion else []
        self._serve = Command(serve, logs=self._logs)
        running.callback(self._serve.stop)
        self.url = str(self._serve.next_line(_START_S)["url"])
        self.client = running.enter_context(ReceiverClient(self.url, self._token))
        self._await_check()
        self.watch = Command(
            [
                *("watch", str(place.source), "--work", str(place.agent), "--json"),
                *("--to", self.url, "--session", SESSION, "--token-file", str(token_file)),
                *("--settle-seconds", str(self._settle_s), "--scan-seconds", str(self._scan_s)),
            ],
            logs=self._logs,
        )
        running.callback(self.watch.stop)
        self._processes = SessionProcesses(self.watch.pid, self._serve.pid, partial(follower_of, place))

    def _await_check(self) -> None:
        """Wait until the receiver is ready and its check of the files at start has ended."""
        deadline = time.monotonic() + _CHECK_S
        while True:
            with contextlib.suppress(urllib.error.HTTPError):  # 503: not ready yet
                if "checking" not in json.dumps(self.ask("/readyz")):
                    return
            if time.monotonic() > deadline:
                raise TookTooLong(f"the receiver was not ready after {_CHECK_S:.0f} s; its log is in {self._logs}")
            time.sleep(0.5)

    def sample(self) -> Sample:
        """Return what the processes have taken so far."""
        return self._processes.sample()

    # ---- what the receiver knows

    def ask(self, path: str) -> Any:
        """Return the JSON values that the receiver answers."""
        request = urllib.request.Request(  # noqa: S310 - the receiver's own address
            self.url + path, headers={"Authorization": f"Bearer {self._token}"}
        )
        with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:  # noqa: S310
            return json.load(answer)

    def registered(self) -> int:
        """Return how many exposures every registrar has registered."""
        counts = self.client.session(SESSION).registered_count
        return min((counts.get(name, 0) for name in self._place.registrars), default=0)

    def newest_event(self) -> int:
        """Return the number of the newest event."""
        below, above = 0, 1
        while self._events(above, 1):
            below, above = above, 2 * above
        while above - below > 1:
            middle = (below + above) // 2
            below, above = (middle, above) if self._events(middle, 1) else (below, middle)
        return above

    def registered_at(self, after: int) -> dict[str, dict[str, datetime]]:
        """Return when exposures were registered, by their ids and the registrars, from the events after that one."""
        found: dict[str, dict[str, datetime]] = {}
        while page := self._events(after, _PAGE):
            for event in page:
                if event["kind"] == "exposure-registered":
                    registrar = event["detail"].partition(":")[0]
                    found.setdefault(event["subject"], {})[registrar] = datetime.fromisoformat(event["at"])
            after = page[-1]["number"]
        return found

    def _events(self, after: int, limit: int) -> list[dict[str, Any]]:
        answer = self.ask(f"/v1/sessions/{SESSION}/events?after={after}&limit={limit}")
        events: list[dict[str, Any]] = answer["events"]
        return events

    def finished_at(self, exposure_id: str) -> datetime:
        """Return when the agent found that the movie of an exposure no longer grows."""
        exposure = self.ask(f"/v1/sessions/{SESSION}/exposures/{exposure_id}")
        return datetime.fromisoformat(exposure["record"]["times"]["finished"])


def follower_of(place: FlowPlace) -> int | None:
    """Return the process of Scipion's follower, which notes it in a file of its own."""
    for beat in (place.receiver / "scipion-projects" / SESSION).glob("Runs/*ProtCryoferryFollow/extra/HEARTBEAT"):
        words = beat.read_text("utf-8").split()  # none at the moment at which the follower writes it anew
        if words and Path(f"/proc/{words[-1]}").exists():
            return int(words[-1])
    return None


@contextlib.contextmanager
def no_follower_left(place: FlowPlace) -> Iterator[None]:
    """End the follower of the place at the end of the block."""
    try:
        yield
    finally:
        pid = follower_of(place)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + _END_S
            while follower_of(place) is not None and time.monotonic() < deadline:
                time.sleep(0.1)
