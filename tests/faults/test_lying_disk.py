"""A disk that loses writes and reports success: no receipt for such a file, and a whole file when the disk works again.

Holes alone prove no loss: a file system that compresses stores zeros as holes.
"""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest
from campaign import IS_LONG, LONG_TIMEOUT_S, SEED, NoteFigures, in_length
from faulty_calls import FaultyCalls
from session_clients import SESSION, is_on_disk

from transfer.client import ReceiverClient
from transfer.upload.file_to_send import FileToSend
from transfer.upload.sender import Sender
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.errors import TransferError

SIZES = {"one-request": 1_000_000, "one-request-8-MiB": CHUNK_BYTES, "in-parts": 2 * CHUNK_BYTES + 1_000_000}
FILES = in_length(1, 30)
DATA_PLANES = ["socket", "stream"] if IS_LONG else ["socket"]


@pytest.fixture
def calls(receiver_process: Any, tmp_path: Path) -> FaultyCalls:
    """Return the faults of a running receiver's disk."""
    faulty = FaultyCalls(tmp_path)
    receiver_process.prefix = faulty.prefix(".part")
    receiver_process.start()
    with ReceiverClient(receiver_process.url, receiver_process.token("agent")) as client:
        client.open_session(SESSION)
    return faulty


def send(receiver: Any, source: Path, name: str) -> Any:
    """Send a file, with few tries; return the receipt or the error."""
    with (
        ReceiverClient(receiver.url, receiver.token("agent")) as client,
        Sender(client, give_up_after_s=0.3, quiet_s=0.1) as sender,
    ):
        try:
            return sender.send(FileToSend(source, SESSION, name))
        except TransferError as error:
            return error


@pytest.mark.timeout(LONG_TIMEOUT_S)
@pytest.mark.parametrize("data_plane", DATA_PLANES)
def test_no_receipt_for_what_the_disk_has_lost(
    receiver_process: Any, calls: FaultyCalls, tmp_path: Path, note_figures: NoteFigures
) -> None:
    chance, lost_writes, whole, source = random.Random(SEED), 0, 0, tmp_path / "source"
    plan = list(itertools.product(range(FILES), SIZES, ("nothing", "second", "half")))
    for number, way, loss in plan:
        name = f"{way}-{loss}-{number}"
        source.write_bytes(chance.randbytes(SIZES[way]))
        calls.begin(loss)
        answer = send(receiver_process, source, name)
        lost = calls.end()
        assert lost
        if isinstance(answer, TransferError):
            assert not (receiver_process.data / "sessions" / SESSION / "files" / name).exists()
        else:  # by chance, what one try has lost another one has written
            assert loss == "second"
            assert is_on_disk(receiver_process.data, answer), f"{way}: a receipt although {lost} writes were lost"
            whole += 1
        lost_writes += lost
        receipt = send(receiver_process, source, name)  # the disk works again
        assert not isinstance(receipt, TransferError), receipt
        assert is_on_disk(receiver_process.data, receipt)
    note_figures(files=len(plan), writes_lost=lost_writes, receipts_for_files_not_whole=0, files_whole_after_all=whole)


def test_holes_alone_are_no_loss(receiver_process: Any, calls: FaultyCalls, tmp_path: Path) -> None:
    for name, size_bytes in SIZES.items():
        source = tmp_path / name
        source.write_bytes(bytes(size_bytes))
        calls.begin("zeros")
        receipt = send(receiver_process, source, name)
        assert calls.end() > 0
        assert not isinstance(receipt, TransferError), receipt
        assert is_on_disk(receiver_process.data, receipt)
        status = (receiver_process.data / "sessions" / SESSION / "files" / name).stat()
        assert status.st_size == size_bytes
        assert status.st_blocks * 512 < size_bytes, "no hole was made"
