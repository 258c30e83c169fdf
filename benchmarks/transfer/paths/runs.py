"""Runs paths over one link in turns, and measures each run."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError, TookTooLong
from benchmarks.measuring import Measurement, measure
from benchmarks.transfer.paths.contract import Call, Job, PathSetup, TransferPath
from benchmarks.transfer.paths.ends import End
from benchmarks.transfer.paths.iperf_limit import Limit
from benchmarks.transfer.paths.payload import Payload
from benchmarks.transfer.paths.servers import free_port, serving
from benchmarks.transfer.paths.start_up import SHORTEST_S, shortest_start
from benchmarks.transfer.paths.usage import MemoryWatch, cpu_seconds

START_CAP_S = 60.0


@dataclass(frozen=True, slots=True)
class TransferRun:
    """One run of one path.

    Attributes
    ----------
    congestion_control
        The default of both hosts while it ran.
    carried_bytes
        What had arrived at the end; less than the files if it was stopped.
    wall_s, start_s
        Of the whole command, and of the same command with one file of 1 kB: the shortest, if it was repeated.
    cpu_s, start_cpu_s
        Of both ends, and of the near end's command with that small file; None where the far end's cannot be seen.
    near_peak_bytes, far_peak_bytes
        Resident memory of all its processes at each end.
    digests_match
        Whether every file that should be there is there with its bytes; None if only the path itself knows.
    """

    path: str
    payload: str
    congestion_control: str | None
    command: str
    verifies: str
    total_bytes: int
    carried_bytes: int = 0
    wall_s: float = 0.0
    start_s: float = 0.0
    cpu_s: float | None = None
    start_cpu_s: float = 0.0
    near_peak_bytes: int = 0
    far_peak_bytes: int | None = None
    digests_match: bool | None = None
    stopped: bool = False
    failure: str | None = None

    def rate_bytes_per_s(self, start_s: float) -> float | None:
        """Return the rate without a start-up of `start_s`; None if it failed, or was too short."""
        moving_s = self.wall_s - start_s
        if self.failure is not None or moving_s < SHORTEST_S:
            return None
        return self.carried_bytes / moving_s

    def as_object(self) -> dict[str, Any]:
        """Return the run for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _StartedPath:
    """A path with its server running, if it has one; or why it has none."""

    path: TransferPath
    setup: PathSetup
    server: subprocess.Popen[bytes] | None = None
    failure: str | None = None


class TransferRuns:
    """Runs paths between two ends.

    Parameters
    ----------
    near, far
        The ends; each path gets a folder of its own in their `work`.
    logs
        Folder for the programs' output.
    repeats
        Runs of each path.
    cap_s
        A run is stopped after so many seconds; what had arrived then is its figure.
    first_port
        Of as many as there are paths; None: free ones of this machine.
    tell
        Called with a line of text after each run.
    """

    def __init__(
        self,
        near: End,
        far: End,
        logs: Path,
        *,
        repeats: int,
        cap_s: float,
        first_port: int | None,
        tell: Callable[[str], None],
    ) -> None:
        self._near, self._far, self._logs = near, far, logs
        self._repeats, self._cap_s, self._first_port, self._tell = repeats, cap_s, first_port, tell
        self._user = far.run("id", "-un").strip() if far.is_remote else getpass.getuser()
        self._ran = 0

    def limit(self, limit: Limit) -> float | None:
        """Return what iperf3 gets, in bytes/s; None, after reporting the reason, if it fails."""
        setup = self._setup("iperf3", 0)
        try:
            with serving(limit.server(setup), setup, self._logs / "iperf3-server.log"):
                done = self._measured(limit.client(setup), "iperf3", float(limit.seconds) + START_CAP_S)
            return limit.rate_bytes_per_s(done.stdout)
        except BenchmarkError as error:
            self._tell(f"iperf3: {error}")
            return None

    def on(
        self, paths: Sequence[TransferPath], payload: Payload, tiny: Payload, congestion_control: str | None
    ) -> Iterator[TransferRun]:
        """Yield every run of the paths with a payload; all servers run from the first to the last."""
        with ExitStack() as stack:
            started = [stack.enter_context(self._start(path, number)) for number, path in enumerate(paths, 1)]
            for repeat in range(self._repeats):
                turn = repeat % len(started)
                for started_path in [*started[turn:], *started[:turn]]:
                    run = self._run(started_path, payload, tiny, congestion_control)
                    self._tell(_line(run))
                    yield run

    @contextmanager
    def _start(self, path: TransferPath, number: int) -> Iterator[_StartedPath]:
        setup = self._setup(_folder_name(path.name), number)
        try:
            call = path.prepare(setup)
            if call is None:
                self._far.run("mkdir", "-p", setup.far_folder)
                started_path, server = _StartedPath(path, setup), None
            else:
                server = serving(call, setup, self._logs / f"{_folder_name(path.name)}-server.log")
                started_path = _StartedPath(path, setup, server.__enter__())
        except BenchmarkError as error:
            started_path, server = _StartedPath(path, setup, failure=str(error)), None
        try:
            yield started_path
        finally:
            if server is not None:
                server.__exit__(None, None, None)
            self._remove(setup)

    def _setup(self, name: str, number: int) -> PathSetup:
        port = self._first_port + number if self._first_port is not None else free_port()
        near_folder, far_folder = f"{self._near.work}/near-{name}", f"{self._far.work}/far-{name}"
        return PathSetup(self._near, self._far, port, near_folder, far_folder, self._user)

    def _run(
        self, started_path: _StartedPath, payload: Payload, tiny: Payload, congestion_control: str | None
    ) -> TransferRun:
        path, setup = started_path.path, started_path.setup
        facts: dict[str, Any] = {
            "path": path.name,
            "payload": payload.label,
            "congestion_control": congestion_control,
            "verifies": path.verifies,
            "total_bytes": payload.total_bytes,
        }
        if started_path.failure is not None:
            return TransferRun(**facts, command="", failure=started_path.failure)
        self._ran += 1
        job = Job(payload.folder, payload.names, f"run{self._ran}")
        command, call = "", None
        starts = self._starts(started_path, tiny)
        try:
            start = next(starts)
            facts |= {"start_s": start.wall_s, "start_cpu_s": start.cpu_s}
            call = path.send(setup, job)
            command = " ".join(call.words[:12])
            if not self._far.is_remote:
                self._far.warm_memory(payload.total_bytes)
            carried = self._carried(started_path, call, job, payload)
            start = shortest_start(start, carried["wall_s"], lambda: next(starts))
            facts |= {"start_s": start.wall_s, "start_cpu_s": start.cpu_s}
            return TransferRun(**facts, command=command, **carried)
        except BenchmarkError as error:
            return TransferRun(**facts, command=command, failure=str(error))
        finally:
            self._clear(started_path, job, call)

    def _starts(self, started_path: _StartedPath, tiny: Payload) -> Iterator[Measurement]:
        """Measure the path's start-up each time that the next one is asked for, under a name that is new there."""
        path, setup = started_path.path, started_path.setup
        for number in count(1):
            job = Job(tiny.folder, tiny.names, f"start{self._ran}-{number}")
            yield self._measured(path.send(setup, job), _folder_name(path.name), START_CAP_S)

    def _carried(self, started_path: _StartedPath, call: Call, job: Job, payload: Payload) -> dict[str, Any]:
        """Run the command and return its figures."""
        path, setup = started_path.path, started_path.setup
        before_bytes = self._far.arrived_bytes(setup.far_folder)
        before_s = cpu_seconds(started_path.server.pid) if self._sees(started_path) and started_path.server else 0.0
        with ExitStack() as stack:
            far = (
                stack.enter_context(MemoryWatch(started_path.server.pid))
                if self._sees(started_path) and started_path.server
                else None
            )
            near: list[MemoryWatch] = []

            def watch(pid: int) -> MemoryWatch:
                near.append(MemoryWatch(pid, descendants_only=True))
                return near[0]

            arrived_at = path.arrived_at(setup, job)
            cap_s = self._cap_s if arrived_at is not None else None  # it could not see what had arrived
            try:
                done = self._measured(call, _folder_name(path.name), cap_s, watch)
            except TookTooLong:
                arrived = self._far.arrived_bytes(setup.far_folder) - before_bytes
                return {"carried_bytes": max(arrived, 0), "wall_s": cap_s, "stopped": True}
        server_s = (
            cpu_seconds(started_path.server.pid) - before_s if self._sees(started_path) and started_path.server else 0.0
        )
        return {
            "carried_bytes": payload.total_bytes,
            "wall_s": done.wall_s,
            "cpu_s": done.cpu_s + server_s if not self._far.is_remote else None,
            "near_peak_bytes": near[0].peak_bytes,
            "far_peak_bytes": far.peak_bytes if far is not None else None,
            "digests_match": self._matches(arrived_at, payload) if arrived_at is not None else None,
        }

    def _sees(self, started_path: _StartedPath) -> bool:
        return started_path.server is not None and not self._far.is_remote

    def _measured(
        self,
        call: Call,
        name: str,
        cap_s: float | None,
        watch: Callable[[int], MemoryWatch] | None = None,
    ) -> Measurement:
        words = self._near.command(*call.words)
        log = self._logs / f"{name}.log"
        return measure(words, cwd=self._logs, log=log, environment=call.environment, cap_s=cap_s, watch=watch)

    def _matches(self, folder: str, payload: Payload) -> bool:
        return self._far.sha256_of(folder, payload.names) == payload.digests

    def _clear(self, started_path: _StartedPath, job: Job, call: Call | None) -> None:
        """Make room for the next run, behind the server's back: it is asked for other names next time.

        A server whose client was stopped may still be putting away what had arrived: then again, and again.
        """
        if (folder := started_path.path.arrived_at(started_path.setup, job)) is not None:
            self._far.run("sh", "-c", 'for _ in 1 2 3 4 5; do rm -rf "$1" && exit; sleep 1; done; exit 1', "sh", folder)
        if call is not None and call.leaves is not None:
            self._far.run("sh", "-c", 'rm -rf "$1"/*', "sh", call.leaves)

    def _remove(self, setup: PathSetup) -> None:
        self._far.run("sh", "-c", f"rm -rf {setup.far_folder} {setup.far_folder}.*")
        shutil.rmtree(setup.near_folder, ignore_errors=True)


def _folder_name(path: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in path.lower())


def _line(run: TransferRun) -> str:
    if run.failure is not None:
        return f"{run.path}: {run.failure}"
    rate = run.rate_bytes_per_s(run.start_s)
    text = (
        f"{run.path}: {rate / 1e6:,.1f} MB/s"
        if rate is not None
        else f"{run.path}: too quick for a rate, take more or larger --files;"
    )
    if run.stopped:
        return f"{text}, stopped after {run.wall_s:g} s"
    wrong = " (BYTES ARE WRONG OR MISSING)" if run.digests_match is False else ""
    return f"{text} in {run.wall_s:.1f} s, {run.start_s:.1f} s of it start-up{wrong}"
