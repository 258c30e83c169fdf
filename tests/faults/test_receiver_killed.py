"""kill -9 of the receiver at random moments: what was acknowledged is there, what was not is not visible in part."""

from __future__ import annotations

import os
import random
import threading
import time
from uuid import uuid4

import httpx
import pytest
from campaign import IS_LONG, LONG_TIMEOUT_S, SEED, NoteFigures, in_length

from transfer.file_digest import file_digest
from transfer.wire.chunks import CHUNK_BYTES

KILLS = in_length(3, 180)
IN_PARTS_EVERY = in_length(3, 30)
PAUSE_S = 0.03 if IS_LONG else 0.0  # a long run would fill the disk


class Client(threading.Thread):
    """Sends one file after the other, repeating what fails, until it is told to stop."""

    def __init__(self, wire, root_of, number: int) -> None:
        super().__init__(daemon=True)
        self.wire, self.root_of, self.number = wire, root_of, number
        self.random = random.Random(SEED + number)
        self.stop = threading.Event()
        self.acknowledged: dict[str, str] = {}
        self.sent: dict[str, str] = {}
        self.surprise: Exception | None = None

    def run(self) -> None:
        try:
            count = 0
            while not self.stop.is_set():
                count += 1
                self.send(f"client{self.number}/f{count}", count)
                time.sleep(PAUSE_S)
        except (AssertionError, KeyError, ValueError) as error:
            self.surprise = error

    def send(self, path: str, count: int) -> None:
        in_parts = count % IN_PARTS_EVERY == 0
        size = CHUNK_BYTES + self.random.randrange(100_000) if in_parts else self.random.randrange(200_000)
        data = os.urandom(16) + self.random.randbytes(max(0, size - 16))
        self.sent[path] = self.root_of(data)
        upload = uuid4()
        while True:
            try:
                answer = self.wire.put_file(path, data) if not in_parts else self.in_parts(upload, path, data)
                if answer.status_code in (200, 201):
                    assert answer.json()["digest"] == self.sent[path]
                    self.acknowledged[path] = self.sent[path]
                    return
                assert answer.status_code in (409, 503), answer.text
                assert answer.status_code == 503 or "upload-incomplete" in answer.text, answer.text
            except httpx.TransportError:
                time.sleep(0.02)
            if self.stop.is_set():
                return

    def in_parts(self, upload, path: str, data: bytes):
        answer = self.wire.declare(upload, path, len(data))
        if answer.status_code not in (200, 201):
            return answer
        for gap in self.wire.http.get(f"/v1/uploads/{upload}/ranges").json()["missing"]:
            for first in range(gap["first"], gap["last"] + 1, CHUNK_BYTES):
                last = min(first + CHUNK_BYTES, gap["last"] + 1)
                answer = self.wire.put(upload, data[first:last], first, len(data))
                if answer.status_code != 204:
                    return answer
        return self.wire.commit(upload, self.root_of(data))


def digest_of(path) -> str | None:
    """Return the root digest of a file; None if there is none."""
    if not path.is_file():
        return None
    with path.open("rb") as content:
        return file_digest(content.fileno(), path.stat().st_size)


@pytest.mark.timeout(LONG_TIMEOUT_S)
def test_what_was_acknowledged_survives_kill_9(
    receiver_process, wire_to, root_digest_of, note_figures: NoteFigures
) -> None:
    receiver_process.start()
    clients = [Client(wire_to(receiver_process), root_digest_of, number) for number in range(3)]
    for client in clients:
        client.start()
    kills, chance = 0, random.Random(SEED)
    while kills < KILLS or sum(len(client.acknowledged) for client in clients) <= 5:
        time.sleep(chance.uniform(0.1, 0.8))
        receiver_process.kill()
        kills += 1
        receiver_process.options = ("--data-plane", ("socket", "stream")[kills % 2])
        receiver_process.start()
    time.sleep(0.5)
    for client in clients:
        client.stop.set()
    for client in clients:
        client.join(30)
        assert client.surprise is None, client.surprise

    files = receiver_process.data / "sessions/s1/files"
    acknowledged = {path: digest for client in clients for path, digest in client.acknowledged.items()}
    sent = {path: digest for client in clients for path, digest in client.sent.items()}
    assert len(acknowledged) > 5
    assert [path for path, digest in acknowledged.items() if digest_of(files / path) != digest] == []
    visible = {str(path.relative_to(files)): path for path in files.rglob("*") if path.is_file()}
    assert [name for name, path in visible.items() if digest_of(path) != sent[name]] == []
    listed = wire_to(receiver_process, "reader").http
    digests, after = {}, None
    while page := listed.get("/v1/sessions/s1/files", params={"after": after} if after else {}).json():
        digests |= {file["path"]: file["digest"] for file in page["files"]}
        if not (after := page.get("next")):
            break
    assert {path: digest for path, digest in digests.items() if path in acknowledged} == acknowledged
    assert receiver_process.stop() == 0
    note_figures(kills_of_the_receiver=kills, receipts=len(acknowledged), files_visible=len(visible), receipts_lost=0)
