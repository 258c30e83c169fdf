"""Measures what reading a large session costs its receiver: CPU and time of each list, and of commits beside readers.

    python -m benchmarks.flow.reading_costs --exposures 1000 --exposures 50000

The receiver is filled by its own functions, many a transaction, with six files an exposure and three registrars that
have registered everything. Filling 50 000 exposures takes minutes, and 2 GB of disk for the names of 300 000 files.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import typer

from api.access.tokens import Scope, create_token
from api.database.engine import Database
from api.registrars import RegistrationOutcome
from api.registrars.outbox import Outbox
from api.registrars.settings import RegistrarSettings
from api.settings import ReceiverSettings
from benchmarks.flow.filled_journal import FilledSession, fill_journal
from benchmarks.flow.filled_receiver import FilledReceiver
from benchmarks.flow.unsynced import unsynced
from benchmarks.transfer.paths.usage import cpu_seconds
from transfer.wire.exposure_record import ExposureRecord
from transfer.wire.protocol import RegistrationState

SESSION = "s"
REGISTRARS = ("relion", "scipion", "third")
PER_TRANSACTION = 1000
ROUNDS = 50
COMMITS = 40
READERS, READ_EVERY_S = 4, 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreeRegistrars(RegistrarSettings):
    """Names of registrars that do not run."""

    relion: bool = False

    def names(self) -> tuple[str, ...]:
        """Return the names that published exposures are to be registered under."""
        return REGISTRARS


def fill(folder: Path, exposure_count: int) -> str:
    """Make a receiver's data folder with so many registered exposures; return a token for it."""
    with (
        unsynced(),
        FilledReceiver.opened(folder / "data", None, ThreeRegistrars(), SESSION) as receiver,
    ):
        waiting: list[ExposureRecord] = []

        def publish(record: ExposureRecord) -> None:
            waiting.append(record)
            if len(waiting) == PER_TRANSACTION:
                receiver.add(waiting)
                waiting.clear()

        session = FilledSession(
            exposure_count=exposure_count, failed_every=0, held_every=0, waiting_count=0, session=SESSION
        )
        fill_journal(folder / "work", session, publish=publish, per_transaction=PER_TRANSACTION)
        receiver.add(waiting)
    database = Database(ReceiverSettings(data=folder / "data").database_url)
    with unsynced():
        for registrar in REGISTRARS:
            _register_all(Outbox(database, folder / "data", registrar), folder / "project")
        token = create_token(database, Scope.ADMIN, None, None)[1]
    database.close()
    return token


def _register_all(outbox: Outbox, project: Path) -> None:
    registered = RegistrationOutcome(RegistrationState.REGISTERED)
    while batches := outbox.batches(PER_TRANSACTION, ()):
        for batch in batches:
            outbox.note_project(batch.session_id, project)
            outbox.settle(batch, {exposure.number: registered for exposure in batch.exposures})


@contextmanager
def running_receiver(data: Path) -> Iterator[tuple[str, int]]:
    """Run a receiver on a filled data folder; give out its URL and its process's id."""
    command = [sys.executable, "-m", "cryoferry", "serve", "--data", str(data), "--port", "0", "--no-relion"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CRYOFERRY_")}
    with subprocess.Popen(
        [*command, "--reserve-bytes", "0", "--json"], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"], process.pid
        finally:
            process.terminate()


def reading_routes(http: httpx.Client, exposure_count: int) -> dict[str, str]:
    """Return what is read, by name: counts, and pages of 50 from the start, the middle and the end of each list."""
    session = f"/v1/sessions/{SESSION}"
    numbers = [
        event["number"] for event in http.get(f"{session}/events?limit=1000").raise_for_status().json()["events"]
    ]
    first, last = numbers[0], numbers[0] + 9 * exposure_count
    paths = [file["path"] for file in http.get(f"{session}/files?limit=1000").raise_for_status().json()["files"]]
    routes = {"all sessions": "/v1/sessions", "one session": session}
    for place, share in (("start", 0.0), ("middle", 0.5), ("end", 1.0)):
        after = max(0, int(exposure_count * share) - 50)
        routes[f"50 exposures, {place}"] = f"{session}/exposures?limit=50&after={after}"
        routes[f"50 events, {place}"] = (
            f"{session}/events?limit=50&after={max(0, int(first + (last - first) * share) - 50)}"
        )
    routes["50 files, start"] = f"{session}/files?limit=50"
    routes["50 files, later"] = f"{session}/files?limit=50&after={paths[-1]}"
    routes["the largest page of exposures"] = f"{session}/exposures"
    return routes


def measure_reading(http: httpx.Client, pid: int, exposure_count: int) -> None:
    """Print CPU of the receiver and time of each reading request, in ms."""
    for name, route in reading_routes(http, exposure_count).items():
        http.get(route).raise_for_status()
        cpu_s, began_s, size_bytes = cpu_seconds(pid), time.perf_counter(), 0
        for _ in range(ROUNDS):
            size_bytes = len(http.get(route).raise_for_status().content)
        wall_s = time.perf_counter() - began_s
        cpu_ms = (cpu_seconds(pid) - cpu_s) / ROUNDS * 1e3
        typer.echo(f"{name:32} {cpu_ms:8.1f} ms CPU {wall_s / ROUNDS * 1e3:8.1f} ms {size_bytes / 1e3:9.1f} kB")


def measure_commits(http: httpx.Client, name: str) -> None:
    """Print how long small files take to be committed, in ms."""
    times = []
    for number in range(COMMITS):
        began_s = time.perf_counter()
        http.put(f"/v1/files/{SESSION}/{name}/{number}", content=b"x" * 1000).raise_for_status()
        times.append((time.perf_counter() - began_s) * 1e3)
    typer.echo(f"commit, {name}: median {statistics.median(times):.1f} ms, longest {max(times):.1f} ms")


@contextmanager
def readers(http: httpx.Client) -> Iterator[None]:
    """Have readers ask for the session's counts meanwhile."""
    stopping = threading.Event()

    def read() -> None:
        with httpx.Client(base_url=http.base_url, headers=http.headers) as own:
            while not stopping.wait(READ_EVERY_S):
                own.get(f"/v1/sessions/{SESSION}").raise_for_status()

    threads = [threading.Thread(target=read) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def main(words: Sequence[str] | None = None) -> None:
    """Fill and measure for each number of exposures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--exposures", type=int, action="append", help="size of the session; may be given several times"
    )
    parser.add_argument("--folder", type=Path, help="where to make the data folders")
    options = parser.parse_args(words)
    for count in options.exposures or [1000, 50000]:
        with tempfile.TemporaryDirectory(prefix="cryoferry-bench-", dir=options.folder) as folder:
            began_s = time.monotonic()
            token = fill(Path(folder), count)
            typer.echo(f"{count:,} exposures, filled in {time.monotonic() - began_s:.0f} s")
            headers = {"Authorization": f"Bearer {token}"}
            with (
                running_receiver(Path(folder) / "data") as (url, pid),
                httpx.Client(base_url=url, headers=headers, timeout=60) as http,
            ):
                while http.get("/readyz").json()["checks"].get("files") == "checking":
                    time.sleep(1)
                measure_reading(http, pid, count)
                measure_commits(http, "no readers")
                with readers(http):
                    measure_commits(http, f"{READERS} readers")


if __name__ == "__main__":
    main()
