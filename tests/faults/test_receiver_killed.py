"""kill -9 of the receiver at random moments: what was acknowledged is there, what was not is not visible in part."""

from __future__ import annotations

import os
import random
import threading
import time
from uuid import uuid4

import httpx
import pytest

from transfer.wire.chunks import CHUNK_BYTES

KILLING_S = 3.0


class Client(threading.Thread):
    """Sends one file after the other, repeating what fails, until it is told to stop."""

    def __init__(self, wire, root_of, number: int) -> None:
        super().__init__(daemon=True)
        self.wire, self.root_of, self.number = wire, root_of, number
        self.random = random.Random(number)
        self.stop = threading.Event()
        self.acknowledged: dict[str, tuple[bytes, str]] = {}
        self.sent: dict[str, bytes] = {}
        self.surprise: Exception | None = None

    def run(self) -> None:
        try:
            count = 0
            while not self.stop.is_set():
                count += 1
                self.send(f"client{self.number}/f{count}", count)
        except (AssertionError, KeyError, ValueError) as error:
            self.surprise = error

    def send(self, path: str, count: int) -> None:
        in_parts = count % 3 == 0
        size = CHUNK_BYTES + self.random.randrange(100_000) if in_parts else self.random.randrange(200_000)
        data = os.urandom(16) + self.random.randbytes(max(0, size - 16))
        self.sent[path] = data
        upload = uuid4()
        while True:
            try:
                answer = self.wire.put_file(path, data) if not in_parts else self.in_parts(upload, path, data)
                if answer.status_code in (200, 201):
                    assert answer.json()["digest"] == self.root_of(data)
                    self.acknowledged[path] = (data, answer.json()["digest"])
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


@pytest.mark.timeout(120)
def test_what_was_acknowledged_survives_kill_9(receiver_process, wire_to, root_digest_of) -> None:
    receiver_process.start()
    clients = [Client(wire_to(receiver_process), root_digest_of, number) for number in range(3)]
    for client in clients:
        client.start()
    kills, began = 0, time.monotonic()
    while time.monotonic() < began + KILLING_S or kills < 2 or sum(len(client.acknowledged) for client in clients) <= 5:
        time.sleep(random.uniform(0.1, 0.8))
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
    acknowledged = {path: data for client in clients for path, (data, _) in client.acknowledged.items()}
    sent = {path: data for client in clients for path, data in client.sent.items()}
    assert len(acknowledged) > 5
    for path, data in acknowledged.items():
        assert (files / path).read_bytes() == data, path
    visible = {str(path.relative_to(files)): path for path in files.rglob("*") if path.is_file()}
    for name, path in visible.items():
        assert path.read_bytes() == sent[name], f"{name} is visible in part"
    listed = wire_to(receiver_process).http.get("/v1/sessions/s1/files").json()["files"]
    digests = {file["path"]: file["digest"] for file in listed}
    assert len(digests) == len(listed)
    assert {path: digest for path, digest in digests.items() if path in acknowledged} == {
        path: root_digest_of(data) for path, data in acknowledged.items()
    }
    assert receiver_process.stop() == 0
    print(f"{kills} kills, {len(acknowledged)} acknowledged, {len(visible)} visible")  # noqa: T201 - for the curious
