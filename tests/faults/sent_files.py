"""Files that tests send, a process that sends one and can be killed, and what is visible of them at the receiver."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from transfer.upload.file_to_send import FileToSend

ROOT = Path(__file__).parents[2]

SENDING_PROGRAM = """
import sys
from pathlib import Path
from transfer.client import ReceiverClient
from transfer.pace.congestion import CongestionLimits
from transfer.upload.file_to_send import FileToSend
from transfer.upload.sender import Sender
url, token, source = sys.argv[1:]
pipelined = CongestionLimits(pipeline_round_trip_s=0.0)
with (
    ReceiverClient(url, token) as client,
    Sender(client, connections=2, quiet_s=0.1, congestion_limits=pipelined) as sender,
):
    sender.send(FileToSend(Path(source), "grid1", Path(source).name))
"""


def start_sending(url, token, file):
    """Send a file from a process of its own, with pipelining over two connections."""
    return subprocess.Popen([sys.executable, "-c", SENDING_PROGRAM, url, token, file.source], cwd=ROOT)


def make(folder, name, size_bytes):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(os.urandom(size_bytes))
    return FileToSend(path, "grid1", name)


def visible(data):
    """What stands under its name in the session, name by name."""
    top = data / "sessions" / "grid1" / "files"
    return {str(path.relative_to(top)): path for path in top.rglob("*") if path.is_file()} if top.exists() else {}


def assert_arrived(data, files):
    assert {name: path.read_bytes() for name, path in visible(data).items()} == {
        file.path: file.source.read_bytes() for file in files
    }


class Watching:
    """Reads every file as soon as it is visible, again and again, and keeps what was not as it was sent."""

    def __init__(self, data, files):
        self.data, self.files = data, {file.path: file.source for file in files}
        self.bad, self.looks = [], 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _watch(self):
        while not self._over.wait(0.02):
            for name, path in visible(self.data).items():
                self.looks += 1
                if name not in self.files or path.read_bytes() != self.files[name].read_bytes():
                    self.bad.append(name)
