"""The decoders' kernels never leave their memory, whatever the bytes: watched by sanitizers."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from preprocess.simulation.eer_writer import encode_events

TESTS = Path(__file__).parents[3]
KERNELS = TESTS.parent / "preprocess/backends/cuda/kernels"
LZW, DEFLATE, EVENTS = 0, 1, 2
ROUNDS = 120


def corpus() -> bytes:
    """Return records of whole strips: kind, size, size decoded, the strip."""
    random = np.random.default_rng(3)
    strips = []
    for mean in (0.02, 0.9, 60):
        for size in (700, 40_000):
            image = random.poisson(mean, size).astype(np.uint8).tobytes()
            strips.append((LZW, imagecodecs.lzw_encode(image), size))
            strips += [(DEFLATE, zlib.compress(image, level), size) for level in (0, 1, 9)]
        fixed = zlib.compressobj(strategy=zlib.Z_FIXED)
        strips.append((DEFLATE, fixed.compress(image) + fixed.flush(), len(image)))
        places = np.flatnonzero(random.random(6400) < mean / 100)
        strips.append((EVENTS, encode_events(places, random.integers(0, 16, places.size), 6400), 6400))
    return b"".join(struct.pack("<3I", kind, len(strip), size) + strip for kind, strip, size in strips)


def fuzzed(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler: kernels cannot be run on the host (Debian: apt-get install g++)")
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    flags = ["-std=c++17", "-O1", "-g1", *checks, *more, f"-I{KERNELS}"]
    source, program = TESTS / "gpu_host/fuzz_decoders.cpp", folder / "fuzz"
    subprocess.run([compiler, *flags, source, "-o", program], check=True)
    (folder / "corpus").write_bytes(corpus())
    return subprocess.run([program, folder / "corpus", "1", str(ROUNDS)], capture_output=True, text=True, check=False)


def test_damaged_strips_never_leave_their_memory(tmp_path):
    done = fuzzed(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{30 * (ROUNDS + 1)} strips\n"


def test_a_step_beyond_would_be_seen(tmp_path):
    """The kernels with one check less: a code may stand for an entry that is not in the table yet."""
    for kernel in KERNELS.iterdir():
        shutil.copy(kernel, tmp_path)
    weaker = (tmp_path / "lzw.cu").read_text().replace("|| code - LZW_FIRST_FREE >= index", "")
    (tmp_path / "lzw.cu").write_text(weaker)
    done = fuzzed(tmp_path, f"-I{tmp_path}")
    assert done.returncode != 0
    assert "ERROR: AddressSanitizer" in done.stderr
