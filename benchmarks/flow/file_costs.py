"""Measures the receiver's CPU time for a small file beside many committed ones, as a ratio to that beside none.

    python -m benchmarks.flow.file_costs --files 300000 --rounds 10

Two receivers take turns, so that a busy machine slows both down alike: one is empty, the other one's database and disk
hold files that its own functions have committed. In each round each gets files of 20 kB by `PUT /v1/files`, one after
the other. The smallest values of all rounds are compared.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import httpx

from agents.demo.processes import Command, run
from api.app import prepared
from api.checking.committed_rows import files_without_sha256
from api.checking.findings import note_sha256
from api.database.tables import now, sessions
from api.settings import ReceiverSettings
from api.store.committed_files import CommittedFiles
from api.store.on_disk import FileOnDisk, FileRow
from api.store.storage import Storage
from api.store.upload_book import UploadBook
from benchmarks.flow.batched_database import BatchedDatabase
from benchmarks.flow.filled_receiver import make_sparse, sha256_of_zeros
from benchmarks.transfer.paths.usage import cpu_seconds
from transfer.wire.digest import chunk_digest, root_digest
from transfer.wire.protocol import UploadDeclaration
from transfer.wire.verification import FileCheck

SIZE_BYTES = 20_000
A_ROUND = 100
A_TRANSACTION = 1000
SESSION = "s1"
_START_S, _CHECK_S = 120.0, 900.0


def fill(data: Path, count: int) -> None:
    """Commit sparse files to a receiver's database and disk by its own functions."""
    settings = ReceiverSettings(data=data, reserve_bytes=0)
    root = root_digest([chunk_digest(bytes(SIZE_BYTES))])
    with prepared(settings):
        database = BatchedDatabase(settings.database_url)
        committed = CommittedFiles(database, Storage(data, 0))
        book = UploadBook(database, settings.run_id, committed, max_open_uploads=settings.max_open_uploads)
        with database.write() as connection:
            connection.execute(sessions.insert().values(name=SESSION, state="open", created_at=now()))
        for start in range(0, count, A_TRANSACTION):
            with database.together():
                for number in range(start, min(start + A_TRANSACTION, count)):
                    path = f"Movies/{start}/{number}.mrc"
                    declared = UploadDeclaration(session=SESSION, path=path, size_bytes=SIZE_BYTES)
                    upload, _ = book.declare(uuid4(), declared, require_space=lambda *_: None, one_request=True)
                    place = data / upload.location
                    make_sparse(place, SIZE_BYTES)
                    book.record_commit(upload, root, place.stat().st_mtime_ns)
                seen = FileOnDisk(FileCheck.SAME, sha256=sha256_of_zeros(SIZE_BYTES))
                note_sha256(database, [(file, seen) for file in _without_sha256(database)])
        database.close()


def _without_sha256(database: BatchedDatabase) -> list[FileRow]:
    rows: list[FileRow] = []
    last = 0
    while batch := files_without_sha256(database, last):
        rows += batch
        last = batch[-1].id
    return rows


class LoadedReceiver:
    """A receiver as a process, to which files are sent."""

    def __init__(self, data: Path, running: ExitStack) -> None:
        token = run(["token", "create", "--data", str(data), "--session", SESSION]).strip()
        serve = ["serve", "--data", str(data), "--port", "0", "--json", "--reserve-bytes", "0"]
        logs = data.parent / f"{data.name}-log"
        logs.mkdir()
        self._serve = Command(serve, logs=logs)
        running.callback(self._serve.stop)
        url = str(self._serve.next_line(_START_S)["url"])
        headers = {"Authorization": f"Bearer {token}"}
        self._http = running.enter_context(httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False))
        self._http.put(f"/v1/sessions/{SESSION}").raise_for_status()
        self._await_check()

    def _await_check(self) -> None:
        """Wait until the receiver has looked at all its files."""
        deadline = time.monotonic() + _CHECK_S
        while "checking" in self._http.get("/readyz").text and time.monotonic() < deadline:
            time.sleep(0.5)

    def cpu_ms_per_file(self) -> float:
        """Send the files of one round; return the CPU time that each took, in ms."""
        body, run_id = os.urandom(SIZE_BYTES), uuid4().hex
        before = cpu_seconds(self._serve.pid)
        for number in range(A_ROUND):
            self._http.put(f"/v1/files/{SESSION}/{run_id}/{number}", content=body).raise_for_status()
        return 1e3 * (cpu_seconds(self._serve.pid) - before) / A_ROUND


def measure(count: int, rounds: int, folder: Path) -> dict[str, float]:
    """Return the receivers' CPU times for a file, in ms, and their ratio."""
    fill(folder / "filled", count)
    fill(folder / "empty", 0)
    with ExitStack() as running:
        filled, empty = (LoadedReceiver(folder / name, running) for name in ("filled", "empty"))
        pairs = [(filled.cpu_ms_per_file(), empty.cpu_ms_per_file()) for _ in range(rounds + 1)][1:]
    filled_ms, empty_ms = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
    return {"files": count, "filled_ms": filled_ms, "empty_ms": empty_ms, "ratio": filled_ms / empty_ms}


def main() -> None:
    """Measure, and print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=300_000, metavar="N", help="committed files of the filled one")
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help=f"rounds of {A_ROUND} files each")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="cryoferry-file-costs-") as folder:
        print(json.dumps(measure(chosen.files, chosen.rounds, Path(folder))))  # noqa: T201 - its result


if __name__ == "__main__":
    main()
