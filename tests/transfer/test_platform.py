from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from transfer.platform import Readiness, SocketWatch, is_pipe_readable, usable_cores

ROOT = Path(__file__).parents[2]


def test_the_cores_are_those_that_this_process_may_use() -> None:
    program = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
    program += "from transfer.platform import usable_cores; print(usable_cores())"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert told.stdout == "1\n"
    assert usable_cores() == len(os.sched_getaffinity(0))


def test_a_process_ends_with_its_parent(tmp_path: Path) -> None:
    child = "import os, sys, time; from transfer.platform import end_with_parent; end_with_parent(int(sys.argv[1]));"
    child += "print(os.getpid(), flush=True); time.sleep(300)"
    parent = f"import os, subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}, str(os.getpid())])"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True, cwd=ROOT) as started:
        assert started.stdout is not None
        assert int(started.stdout.readline())
        started.kill()
        assert started.stdout.read() == ""  # returns once the child has closed its end, too


def test_a_process_whose_parent_has_ended_already_ends() -> None:
    program = "from transfer.platform import end_with_parent; end_with_parent(1234567890); print('went on')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout) == (1, "")


def test_a_pipe_is_readable_when_bytes_come_or_it_ends() -> None:
    source, sink = os.pipe()
    assert not is_pipe_readable(source, 0)
    os.write(sink, b"x")
    assert is_pipe_readable(source, 10)
    os.read(source, 1)
    assert not is_pipe_readable(source, 0)
    os.close(sink)
    assert is_pipe_readable(source, 10)
    os.close(source)


@pytest.fixture(params=["poll", "select"])
def ends(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connected pair of sockets, with and without a system that has `poll`."""
    if request.param == "select":
        monkeypatch.delattr(select, "poll")
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def test_a_socket_is_ready_for_what_was_asked(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    assert SocketWatch(near, for_input=True).wait(0) is None
    assert SocketWatch(near, for_output=True).wait(0) == Readiness(input=False, output=True)
    far.send(b"x")
    assert SocketWatch(near, for_input=True).wait(10) == Readiness(input=True, output=False)
    assert SocketWatch(near, for_input=True, for_output=True).wait(10) == Readiness(input=True, output=True)


def test_a_full_socket_is_not_ready_for_output(ends: tuple[socket.socket, socket.socket]) -> None:
    near, _ = ends
    near.setblocking(False)
    with suppress(BlockingIOError):
        while near.send(bytes(1 << 16)):
            continue
    assert SocketWatch(near, for_output=True).wait(0) is None


def test_a_closed_socket_is_ready_for_input(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    far.close()
    ready = SocketWatch(near, for_input=True, for_output=True).wait(10)
    assert ready is not None
    assert ready.input


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_freed_memory_goes_back_to_the_system() -> None:
    program = """
import re, threading
from pathlib import Path
from transfer.platform import give_freed_memory_back
give_freed_memory_back()
def fill():
    for _ in range(20):
        blocks = [bytes(200_000) for _ in range(50)]
threads = [threading.Thread(target=fill) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(told.stdout) < 80_000  # kB; the blocks together had 160 MB
