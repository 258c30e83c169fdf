"""`cryoferry bench transfer` as a user runs it, with files that take no time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.errors import ProgramFailed
from benchmarks.transfer.paths.contract import Call
from benchmarks.transfer.paths.copy_path import Copy
from benchmarks.transfer.paths.ends import End
from benchmarks.transfer.paths.payload import TINY, make_payload
from benchmarks.transfer.paths.runs import TransferRuns
from tests.running import cryoferry

ROOT = Path(__file__).parents[3]


def bench(*arguments, cwd, **environment):
    return cryoferry("bench", "transfer", *arguments, cwd=cwd, **{"COLUMNS": "100", **environment})


def bare_path(folder, *programs):
    """A PATH on which there is nothing but this Python and what every system has."""
    (folder / "bin").mkdir()
    for name in ("cp", "sh", "bash", "id", "du", "cut", "cat", "rm", "mkdir", "xargs", "sha256sum", "chmod", "openssl"):
        (folder / "bin" / name).symlink_to(shutil.which(name))
    return str(folder / "bin")


def test_loopback_with_no_other_program_installed(tmp_path):
    done = bench(
        "--files", "2x300kB", "--repeat", "1", "--json", "--work", str(tmp_path), cwd=tmp_path, PATH=bare_path(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == json.loads((tmp_path / "cryoferry-bench/transfer.json").read_text())
    own = [run for run in told["runs"] if "in front" not in run["path"]]  # proxies are found off the PATH too
    assert {run["path"]: run["digests_match"] for run in own} == {
        "cryoferry": True,
        "cryoferry, TLS": True,
        "cp (no network)": True,
    }
    assert told["runs"][0]["start_s"] > 0
    assert told["runs"][0]["far_peak_bytes"] > 2e7
    assert "github.com/eeertekin/bbcp" in told["missing"]["bbcp -s 4"]
    assert "rsync daemon is left out: it lacks rsync at the near end" in done.stderr
    assert "iperf3 is left out" in done.stderr
    assert not list(tmp_path.glob("cryoferry-bench-*")), "nothing is left of the files"


def test_whatever_is_installed_carries_every_byte(tmp_path):
    every = "bbcp,gridftp,rsync,scp,rclone,xrdcp,nginx"  # the others run in the test above
    done = bench("--files", "2x300kB", "--repeat", "1", "--paths", every, "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert done.returncode == 0, [run for run in told["runs"] if run["failure"]]
    assert all(run["digests_match"] for run in told["runs"])


def test_to_a_receiver_that_runs_already(tmp_path, receiver):
    token = receiver.token()
    done = bench(
        *("--to", receiver.url, "--files", "2x300kB", "--repeat", "1", "--json", "--work", str(tmp_path)),
        cwd=tmp_path,
        CRYOFERRY_TOKEN=token,
    )
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    assert (run["path"], run["failure"], run["carried_bytes"]) == ("cryoferry", None, 600_000)
    assert "The files lie in the session bench-transfer" in done.stderr


@dataclass(frozen=True)
class _Damaging(Copy):
    """A path that ends well and has changed one byte."""

    name: str = "damaging"

    def send(self, setup, job):
        copy = super().send(setup, job)
        last = f"{self.arrived_at(setup, job)}/{job.names[-1]}"
        return Call(["sh", "-c", '"$@" && printf x | dd of="$0" bs=1 seek=99 conv=notrunc', last, *copy.words])


@dataclass(frozen=True)
class _Endless(Copy):
    """A path that carries one file and never ends."""

    name: str = "endless"

    def send(self, setup, job):
        if job.into.startswith("start"):
            return super().send(setup, job)
        copied = f"cp {job.sources[0]} {self.arrived_at(setup, job)}/"
        setup.far.run("mkdir", "-p", self.arrived_at(setup, job))
        half = f"{setup.far_folder}/unnamed"
        return Call(["sh", "-c", f"{copied}; mkdir {half}; echo half > {half}/part; sleep 600"], leaves=half)


@dataclass(frozen=True)
class _Refusing(Copy):
    """A path that fails."""

    name: str = "refusing"

    def send(self, setup, job):
        return Call(["sh", "-c", "echo no room >&2; exit 3"])


def test_damage_endless_runs_and_failures_are_told(tmp_path):
    here = End("127.0.0.1", str(tmp_path))
    said = []
    runner = TransferRuns(here, here, tmp_path, repeats=1, cap_s=1.5, first_port=None, tell=said.append)
    payload = make_payload("3x10kB", tmp_path / "files", 3, 10_000)
    tiny = make_payload(TINY, tmp_path / TINY, 1, 1000)
    runs = {}
    for run in runner.on([_Damaging(), _Endless(), _Refusing(), Copy()], payload, tiny, None):
        runs[run.path] = run
        assert not list(tmp_path.rglob("part")), "what a stopped run leaves would fill the far end"
    assert runs["damaging"].digests_match is False
    assert "BYTES ARE WRONG" in said[0]
    assert runs["endless"].stopped
    assert 10_000 <= runs["endless"].carried_bytes < 20_000
    assert "no room" in runs["refusing"].failure
    assert runs["cp (no network)"].digests_match is True


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--files", "many"], "20x90MB"),
        (["--files", "0x1MB"], "20x90MB"),
        (["--files", "900000x9GB"], "Take fewer or smaller --files"),
        (["--paths", "pigeon"], "no path is called pigeon"),
        (["--emulate", "1gbit"], "1gbit:100ms:0.1%"),
        (["--emulate", "1gbit:20ms", "--to", "https://a"], "cannot be used together"),
        (["--ssh", "host"], "Name the receiver"),
        (["--work", "nowhere"], "is no folder"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_advice(tmp_path, arguments, says):
    done = bench(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="Linux has it")
@pytest.mark.parametrize("status", [0, 1])
def test_memory_is_warmed_and_left_free_where_files_lie_in_memory(tmp_path, status):
    calls = tmp_path / "calls"
    fake = tmp_path / "head"
    fake.write_text(f'#!/bin/sh\necho "$@" >>{calls}\necho some\nexit {status}\n')
    fake.chmod(0o755)
    prefix = ("env", f"PATH={tmp_path}:{os.environ['PATH']}")
    End("", str(tmp_path), prefix).warm_memory(1234)
    on_disk = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True).stdout
    assert calls.exists() == (on_disk.strip() == "tmpfs")
    calls.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        with nullcontext() if status == 0 else pytest.raises(ProgramFailed):
            End("", folder, prefix).warm_memory(1234)
        assert calls.read_text() == "-c 1234 /dev/zero\n"
        assert list(Path(folder).iterdir()) == []


def test_dry_run_writes_nothing(tmp_path):
    done = bench("--dry-run", "--json", "--work", str(tmp_path), cwd=tmp_path)
    assert json.loads(done.stdout)["link"] == "loopback"
    assert not list(tmp_path.iterdir())


def test_the_picture_can_be_opened(tmp_path):
    from benchmarks.transfer.plot import write_plot
    from benchmarks.transfer.summary import Group, Row

    row = Row("cryoferry", "1x1MB", None, "", 2, (5e6, 4e6, 6e6), 1.0, 0.1, None, 0, None, False, False, None)
    path = write_plot([Group("1x1MB", None, [row], 9e6)], tmp_path / "plot.png")
    with Image.open(path) as picture:
        assert picture.width == 900
        blue = np.all(np.asarray(picture.convert("RGB")) == (0, 114, 178), axis=-1)
        assert blue.sum() > 1000
