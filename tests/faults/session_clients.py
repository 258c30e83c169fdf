"""Clients that fill a session for as long as a test lasts, whatever becomes of its receiver, and keep what they got.

They use the product's own client and sender. A client that gets a temporary error tries again; any other error is a
surprise, and fails the test.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import mrcfile
import numpy as np

from transfer.client import ReceiverClient
from transfer.file_digest import file_digest
from transfer.upload.file_to_send import FileToSend
from transfer.upload.sender import Sender
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.errors import TemporaryError, TransferError, TransferStopped
from transfer.wire.exposure_record import AcquisitionRecord, ExposureRecord, FileReference, FileRole, ShiftsRecord
from transfer.wire.protocol import Exposure, RegistrationState
from transfer.wire.receipt import Receipt

T = TypeVar("T")

SESSION = "s1"
JOIN_TIMEOUT_S = 60.0


class SessionClient(threading.Thread):
    """Sends one thing after the other until it is told to stop; what it has begun it ends.

    Parameters
    ----------
    url, token
        The receiver, which may be gone and come back.
    folder
        Where its files are made.
    number
        Of this client; its random numbers depend on it.

    Attributes
    ----------
    receipts, published
        What the receiver has acknowledged.
    surprise
        The error that ended it, which should not have been.
    """

    kind = ""

    def __init__(self, url: str, token: str, folder: Path, number: int) -> None:
        super().__init__(daemon=True)
        folder.mkdir(parents=True, exist_ok=True)
        self.receipts: list[Receipt] = []
        self.published: list[ExposureRecord] = []
        self.repeated: Counter[str] = Counter()
        self.surprise: BaseException | None = None
        self.chance = random.Random(number)
        self._folder, self._number = folder, number
        self._client = ReceiverClient(url, token)
        self._stopping = threading.Event()
        self._abandoned = threading.Event()

    def run(self) -> None:
        try:
            with self._client, Sender(self._client, connections=2, give_up_after_s=0.3, quiet_s=0.1) as sender:
                count = 0
                while not self._stopping.is_set():
                    self._send_next(sender, f"{self.kind}{self._number}-{count}")
                    count += 1
        except TransferStopped:
            pass
        except (TransferError, OSError, AssertionError) as error:
            self.surprise = error

    def stop(self) -> None:
        """Let it begin nothing more."""
        self._stopping.set()

    def abandon(self) -> None:
        """End it where it is."""
        self._stopping.set()
        self._abandoned.set()
        self.join(JOIN_TIMEOUT_S)

    def end(self) -> None:
        """Let it end what it has begun, and nothing more."""
        self._stopping.set()
        self.join(JOIN_TIMEOUT_S)
        assert not self.is_alive(), f"{self.name} could not end what it has begun"
        assert self.surprise is None, repr(self.surprise)

    def _send_next(self, sender: Sender, name: str) -> None:
        raise NotImplementedError

    def _insist(self, request: Callable[[], T]) -> T:
        while True:
            try:
                return request()
            except TemporaryError as error:
                self.repeated[type(error).__name__] += 1
                if self._abandoned.wait(0.05):
                    raise TransferStopped from error

    def _send_file(self, sender: Sender, name: str, data: bytes) -> Receipt:
        source = self._folder / name
        source.write_bytes(data)
        receipt = self._insist(lambda: sender.send(FileToSend(source, SESSION, name)))
        self.receipts.append(receipt)
        source.unlink()
        return receipt


class SmallFiles(SessionClient):
    """Files that go in one request."""

    kind = "small"

    def _send_next(self, sender: Sender, name: str) -> None:
        self._send_file(sender, name, self.chance.randbytes(self.chance.randrange(200_000)))
        time.sleep(0.01)


class LargeFiles(SessionClient):
    """Files that go in parts."""

    kind = "large"

    def _send_next(self, sender: Sender, name: str) -> None:
        self._send_file(sender, name, self.chance.randbytes(CHUNK_BYTES + self.chance.randrange(1, CHUNK_BYTES)))
        time.sleep(0.1)


class Exposures(SessionClient):
    """Exposures with their records."""

    kind = "exposure"

    def _send_next(self, sender: Sender, name: str) -> None:
        micrograph = micrograph_bytes(self._folder / "micrograph", self.chance.randrange(1 << 30))
        receipts = {
            FileRole.MICROGRAPH: self._send_file(sender, f"{name}.mrc", micrograph),
            FileRole.MOTION_STAR: self._send_file(
                sender, f"{name}.star", f"data_general\n\n_rlnName {name}\n".encode()
            ),
        }
        record = exposure_record(name, UUID(int=self.chance.getrandbits(128), version=4), receipts)
        self._insist(lambda: self._client.publish(SESSION, record))
        self.published.append(record)


def micrograph_bytes(path: Path, seed: int) -> bytes:
    """Return a small micrograph of 64 × 96 px in float16, as MRC."""
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.random.default_rng(seed).normal(100, 10, (64, 96)).astype(np.float16))
        mrc.voxel_size = 1.06
    return path.read_bytes()


def exposure_record(name: str, exposure_id: UUID, receipts: dict[FileRole, Receipt]) -> ExposureRecord:
    """Return the record of an exposure whose files are committed."""
    references = [
        FileReference(role=role, **receipt.model_dump(include={"path", "revision", "size_bytes", "digest"}))
        for role, receipt in receipts.items()
    ]
    return ExposureRecord(
        exposure_id=exposure_id,
        movie=f"{name}.tiff",
        label=name,
        micrograph_pixel_size_angstrom=1.06,
        micrograph_width_px=96,
        micrograph_height_px=64,
        acquisition=AcquisitionRecord(
            voltage_kv=300, cs_mm=2.7, amplitude_contrast=0.1, movie_pixel_size_angstrom=1.06, frame_count=3
        ),
        shifts=ShiftsRecord(first_frame=1, y_px=(0.0, 0.5, 1.0), x_px=(0.0, 1.0, 2.0)),
        figures={"motion_total_angstrom": 2.7},
        files=tuple(references),
    )


@contextmanager
def filling(clients: list[SessionClient]) -> Iterator[list[SessionClient]]:
    """Let clients fill a session during the block; after it, each has ended what it had begun."""
    for client in clients:
        client.start()
    try:
        yield clients
        for client in clients:
            client.stop()
        for client in clients:
            client.end()
    finally:
        for client in clients:
            client.abandon()


# what must be there


def not_on_disk(data: Path, receipts: list[Receipt]) -> list[str]:
    """Return the paths of files that have a receipt, but not the content on the disk that it names."""
    return [receipt.path for receipt in receipts if not is_on_disk(data, receipt)]


def is_on_disk(data: Path, receipt: Receipt) -> bool:
    """Return whether a file with a receipt is on the disk, byte for byte."""
    path = data / "sessions" / receipt.session / "files" / receipt.path
    try:
        with path.open("rb") as content:
            return (
                path.stat().st_size == receipt.size_bytes
                and file_digest(content.fileno(), receipt.size_bytes) == receipt.digest
            )
    except OSError:
        return False


def assert_listed(client: ReceiverClient, receipts: list[Receipt]) -> None:
    """Check that the receiver lists every file that has a receipt, with its content."""
    listed = {(file.path, file.revision): file.digest for file in client.files(SESSION)}
    assert [
        receipt.path for receipt in receipts if listed.get((receipt.path, receipt.revision)) != receipt.digest
    ] == []


def exposures_of(client: ReceiverClient, session: str = SESSION) -> list[Exposure]:
    """Return all published exposures of a session."""
    page = client.exposures(session)
    exposures = list(page.exposures)
    while page.next:
        page = client.exposures(session, page.next)
        exposures += page.exposures
    return exposures


def are_registered(client: ReceiverClient, records: list[ExposureRecord]) -> bool:
    """Return whether exposures are listed, each once, and every registrar has registered them."""
    exposures = exposures_of(client)
    by_id = {exposure.record.exposure_id: exposure for exposure in exposures}
    assert len(by_id) == len(exposures), "an exposure is listed twice"
    assert [record.label for record in records if record.exposure_id not in by_id] == [], "exposures are lost"
    states = {entry.state for record in records for entry in by_id[record.exposure_id].registrations}
    assert RegistrationState.FAILED not in states
    return not records or states == {RegistrationState.REGISTERED}


def assert_in_star(data: Path, records: list[ExposureRecord]) -> None:
    """Check that RELION's STAR file names each exposure once, and a readable micrograph."""
    if not records:
        return
    project = data / "sessions" / SESSION / "relion"
    lines = (project / "corrected_micrographs.star").read_text("utf-8").splitlines()
    rows = [line.split()[0] for line in lines if line.lstrip().startswith("micrographs/")]
    counted = Counter(rows)
    assert [name for name, count in counted.items() if count > 1] == []
    named = {Path(name).stem: name for name in rows}
    for record in records:
        assert record.label in named, f"{record.label} is not in the STAR file"
        with mrcfile.open(project / named[record.label]) as micrograph:
            assert micrograph.data.shape == (64, 96)
