"""What a program took, measured on programs of known appetite."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.errors import NothingToMeasure, ProgramFailed
from benchmarks.measuring import measure
from tests.running import has_ended
from tests.waiting import wait_until

MB = 1_000_000


def python(text, tmp_path, **more):
    return measure([sys.executable, "-S", "-c", text], cwd=tmp_path, log=tmp_path / "log", **more)


def test_memory_is_the_child_s_own(tmp_path):
    """Whoever measures may be large: its memory must not count."""
    ballast = bytearray(os.urandom(1)) * (300 * MB)
    small = python("pass", tmp_path)
    large = python("x = bytearray(b'x') * 200_000_000", tmp_path)
    assert len(ballast) == 300 * MB
    assert small.peak_bytes < 60 * MB
    assert 190 * MB < large.peak_bytes < 280 * MB


def test_memory_of_a_grandchild_counts(tmp_path):
    text = "import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', 'x = bytearray(b\"x\") * 150_000_000'])"
    assert python(text, tmp_path).peak_bytes > 140 * MB


def test_cpu_seconds_of_threads_and_children_and_wall_time(tmp_path):
    busy = "import time\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass"
    worked = python(busy, tmp_path)
    assert 0.4 <= worked.cpu_s < 1.5
    assert worked.wall_s >= 0.39
    slept = python("import time; time.sleep(0.4)", tmp_path)
    assert slept.wall_s >= 0.4
    assert slept.cpu_s < 0.3


def test_output_environment_and_folder(tmp_path):
    text = "import os, sys; print(os.environ['NAME'], os.getcwd()); print('told', file=sys.stderr)"
    took = python(text, tmp_path, environment={"NAME": "value"})
    assert took.stdout == f"value {tmp_path}\n"
    assert (tmp_path / "log").read_text() == "told\n"


def test_a_failed_program_is_quoted(tmp_path):
    with pytest.raises(ProgramFailed, match=r"exit code 3: .*why"):
        python("import sys; print('why', file=sys.stderr); sys.exit(3)", tmp_path)
    with pytest.raises(ProgramFailed, match="exit code -9"):
        python("import os; os.kill(os.getpid(), 9)", tmp_path)


def test_a_missing_program_is_named(tmp_path):
    with pytest.raises(NothingToMeasure, match="no-such-program"):
        measure(["no-such-program"], cwd=tmp_path, log=tmp_path / "log")


def test_an_interrupted_benchmark_leaves_no_program_behind(tmp_path):
    """Ctrl-C reaches the benchmark alone; what it started ends with it."""
    child = tmp_path / "pid"
    inner = f"import os, time; open({str(child)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    outer = (
        "import sys; from pathlib import Path; from benchmarks.measuring import measure\n"
        f"measure([sys.executable, '-c', {inner!r}], cwd=Path({str(tmp_path)!r}), log=Path({str(tmp_path / 'log')!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", outer], cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL)
    pid = int(wait_until(lambda: child.exists() and child.read_text(), "the measured program's start"))
    process.send_signal(signal.SIGINT)
    process.wait(120)
    wait_until(lambda: has_ended(pid), "the measured program's end")
