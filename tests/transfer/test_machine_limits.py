"""What the machine denies is told from other errors, whichever library meets it first."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import clean_environment
from transfer.machine_limits import denial_of

ROOT = Path(__file__).parents[2]
DENIED = """
import resource, sys, threading
import numpy, scipy.fft
from transfer.machine_limits import denial_of
used = 4096 * int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20), -1))
def told(work):
    try:
        work()
    except Exception as error:
        return f"{type(error).__name__.removeprefix('_Array')}: {denial_of(error).text}"
print(told(lambda: scipy.fft.rfft2(numpy.ones((64, 64), numpy.float32), workers=2)))
print(told(threading.Thread(target=print).start))
print(told(lambda: __import__("scipy.optimize")))
print(told(lambda: numpy.zeros(1 << 28)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit addresses")
def test_what_libraries_raise_is_understood() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DENIED], capture_output=True, text=True, cwd=ROOT, env=clean_environment(), check=False
    )
    assert done.stdout.splitlines() == [
        "RuntimeError: no new thread can be started",
        "RuntimeError: no new thread can be started",
        "ImportError: the machine has too little memory",
        "MemoryError: the machine has too little memory",
    ], done.stderr


@pytest.mark.parametrize(
    ("error", "limit"),
    [
        (MemoryError(), "ulimit -v"),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "ulimit -v"),
        (ImportError("a.so: failed to map segment from shared object"), "ulimit -v"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
    ],
)
def test_it_says_which_limit_to_raise(error: Exception, limit: str) -> None:
    denial = denial_of(error)
    assert denial is not None
    assert limit in denial.what_to_do


@pytest.mark.parametrize(
    "error", [RuntimeError("dictionary changed size"), ImportError("No module named 'x'"), OSError(errno.EIO, "x")]
)
def test_other_errors_are_not(error: Exception) -> None:
    assert denial_of(error) is None
