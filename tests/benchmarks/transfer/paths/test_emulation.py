"""The emulated link: as slow as it should be, as lossy as it should be, and every byte right."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.errors import NothingToMeasure
from benchmarks.transfer.paths.emulation import FAR_ADDRESS, SOURCE, build_emulator, emulated
from benchmarks.transfer.paths.link import parse_link

CAN_EMULATE = os.geteuid() == 0 and Path("/dev/net/tun").exists() and shutil.which("ip") and shutil.which("cc")
emulates = pytest.mark.skipif(not CAN_EMULATE, reason="needs root, /dev/net/tun, ip and a C compiler")

TAKE = """
import hashlib, json, socket, sys
with socket.create_server((sys.argv[1], 18000)) as listening:
    print("ready", flush=True)
    connection, _ = listening.accept()
    digest, count = hashlib.sha256(), 0
    while piece := connection.recv(1 << 20):
        digest.update(piece)
        count += len(piece)
    connection.sendall(json.dumps([digest.hexdigest(), count]).encode())
"""
GIVE = """
import hashlib, json, os, socket, sys, time
data = os.urandom(int(sys.argv[2]))
began = time.monotonic()
connection = socket.create_connection((sys.argv[1], 18000))
connected = time.monotonic()
connection.sendall(data)
connection.shutdown(socket.SHUT_WR)
answer = json.loads(connection.makefile().read())
print(json.dumps({"right": answer == [hashlib.sha256(data).hexdigest(), len(data)],
                  "handshake_s": connected - began, "seconds": time.monotonic() - began}))
"""


def carried(link, size_bytes, work):
    """Send random bytes over a link; return what both ends said."""
    with emulated(parse_link(link), work) as (near, far):
        taking = subprocess.Popen(
            far.command(sys.executable, "-c", TAKE, FAR_ADDRESS), stdout=subprocess.PIPE, text=True
        )
        assert taking.stdout.readline() == "ready\n"
        given = near.run(sys.executable, "-c", GIVE, FAR_ADDRESS, f"{size_bytes}")
        taking.communicate()
    return json.loads(given)


@emulates
def test_delay_and_rate_are_kept(tmp_path):
    told = carried("80mbit:40ms", 2_000_000, tmp_path)
    assert told["right"]
    assert told["handshake_s"] >= 0.040
    assert told["seconds"] >= 2_000_000 * 8 / 80e6 + 0.040


@emulates
def test_bytes_are_right_where_every_fiftieth_segment_is_lost(tmp_path):
    assert carried("200mbit:4ms:2%", 5_000_000, tmp_path)["right"]


@emulates
def test_nothing_is_left_behind(tmp_path):
    with emulated(parse_link("1gbit:1ms"), tmp_path) as (near, _):
        name = near.prefix[-1]
        assert Path("/var/run/netns", name).exists()
    assert not Path("/var/run/netns", name).exists()
    assert not Path("/etc/netns", name).exists()


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_the_source_compiles_without_a_warning(tmp_path):
    if sys.platform != "linux":
        pytest.skip("Linux only")
    strict = ["-std=gnu11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-O2"]
    subprocess.run(["cc", *strict, "-o", str(tmp_path / "emulator"), str(SOURCE)], check=True)
    first = build_emulator(tmp_path / "cache")
    assert build_emulator(tmp_path / "cache") == first, "built once"


def test_without_root_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NothingToMeasure), emulated(parse_link("1gbit:1ms"), tmp_path):
        pass
